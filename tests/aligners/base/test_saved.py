"""A fitted aligner as one file."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from aligners import load
from aligners.base import saved
from aligners.closed_form import CCA, PLS
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError
from tests.problems import random_features


@pytest.fixture(scope="module")
def cca(pairs: Pairs) -> CCA:
    return CCA(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        header: dict[str, Any] = json.loads(file.metadata()[saved.HEADER])
    return header


def rewritten(path: Path, **changed: Any) -> Path:
    """The file with parts of its record changed, and the hash made right."""
    header, tensors = header_of(path), load_file(path)
    record = header["record"]
    for key, value in changed.items():
        part = next((part for part in (record["checkpoint"], record) if key in part), header)
        part[key] = value
    header["sha256"] = saved._digest(record, tensors)
    other = path.with_name("other.safetensors")
    save_file(tensors, other, metadata={saved.HEADER: json.dumps(header)})
    return other


def test_a_file_holds_tensors_and_says_what_they_are(cca: CCA, tmp_path: Path) -> None:
    cca.save(tmp_path / "cca.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["cca.safetensors"]
    state = cca.state_dict()
    assert load_file(tmp_path / "cca.safetensors").keys() == state.keys()
    header = header_of(tmp_path / "cca.safetensors")
    record = header["record"]
    assert record["class"] == "aligners.closed_form.CCA"
    assert record["checkpoint"]["hyper_parameters"]["rank"] == 4
    assert record["checkpoint"]["dims"] == [24, 17]
    assert header["format"] == 1


def test_a_loaded_aligner_goes_on_as_the_first(cca: CCA, pairs: Pairs, tmp_path: Path) -> None:
    cca.save(tmp_path / "cca.safetensors")
    loaded = CCA.load(str(tmp_path / "cca.safetensors"))
    assert loaded.dims == (24, 17)
    assert not loaded.training
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "cca.safetensors").read_bytes()
    again = loaded.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    assert torch.equal(again.encode_x(pairs.x), cca.encode_x(pairs.x))


def test_the_record_of_a_fit_is_kept(pairs: Pairs, tmp_path: Path) -> None:
    aligner = UniConSpectral(rank=4, feature_map="identity").fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    aligner.save(tmp_path / "unicon.safetensors")
    loaded = UniConSpectral.load(tmp_path / "unicon.safetensors")
    assert loaded.solution == aligner.solution
    assert loaded.solution.trials


def test_an_aligner_saved_before_spans_is_read_and_moves_in_all_directions(pairs: Pairs, tmp_path: Path) -> None:
    aligner = UniConSpectral(rank=4, feature_map="identity").fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    del aligner.hparams["subspace"], aligner.hparams["contrast_items"], aligner.hparams["contrast_redraw"]
    aligner.hparams["choice_items"] = 4096
    aligner.save(tmp_path / "unicon.safetensors")
    loaded = UniConSpectral.load(tmp_path / "unicon.safetensors")
    assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
    settings = loaded.settings
    assert (settings.subspace, settings.contrast_items, settings.contrast_redraw) == ("all", "all", False)


def test_what_both_sides_share_is_written_once(tmp_path: Path) -> None:
    x, y, _ = random_features(40, 1, 9, 9, seed=0)
    aligner = SGDCLIP(rank=3, shared=True).fit(x, y, max_epochs=1)
    aligner.save(tmp_path / "shared.safetensors")
    assert "head_y.weight" not in load_file(tmp_path / "shared.safetensors")
    loaded = load(tmp_path / "shared.safetensors")
    assert loaded.shared is True
    assert torch.equal(loaded.encode_y(x), aligner.encode_y(x))


def test_tensors_come_back_in_their_order_of_memory() -> None:
    state = {
        "T": torch.rand(3, 5).T,
        "cube": torch.rand(2, 3, 4).permute(2, 0, 1),
        "row": torch.rand(4),
        "0": torch.rand(()),
    }
    tensors, axes, same = saved._packed(state)
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    back = saved._unpacked(tensors, axes, same)
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor)
        assert back[name].stride() == tensor.stride()


def test_before_a_fit_there_is_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this CCA is not fitted, there is nothing to save"):
        CCA(rank=4).save(tmp_path / "cca.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_former_file_stays_until_the_new_one_is_whole(
    cca: CCA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cca.safetensors"
    cca.save(path)
    before = path.read_bytes()

    def full(tensors: Any, part: Path, metadata: Any) -> None:
        part.write_bytes(before[:100])
        raise OSError("No space left on device")

    monkeypatch.setattr(saved, "save_file", full)
    with pytest.raises(UserError, match=r"cannot write the aligner to .*cca.safetensors: No space left"):
        cca.save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["cca.safetensors"]


def test_a_place_that_cannot_be_written_is_told(cca: CCA, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cannot write the aligner to .*nowhere/cca.safetensors: .*"):
        cca.save(tmp_path / "nowhere" / "cca.safetensors")


def test_files_that_cannot_be_read_are_told_in_a_line(cca: CCA, tmp_path: Path) -> None:
    path = tmp_path / "cca.safetensors"
    cca.save(path)
    whole = path.read_bytes()
    with pytest.raises(UserError, match=r"^there is no file .*none.safetensors$"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "short").write_bytes(whole[:-8])
    (tmp_path / "text").write_text("an aligner")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("short", "text", "empty"):
        with pytest.raises(UserError, match=rf"^.*{name} is damaged, or no safetensors file: [^\n]*$"):
            load(tmp_path / name)
    (tmp_path / "flipped").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="flipped is damaged: its content has another hash"):
        load(tmp_path / "flipped")
    save_file({"x": torch.ones(2)}, tmp_path / "features")
    with pytest.raises(UserError, match=r"features holds no aligner: aligner.save\(path\) writes one"):
        load(tmp_path / "features")
    with pytest.raises(UserError, match=r"was written by a newer unicon-align, 9.0: update this one"):
        load(rewritten(path, format=2, version="9.0"))
    with pytest.raises(UserError, match=r"^.*does not fit CCA: CCA has no argument 'rnk': did you mean 'rank'\?$"):
        load(rewritten(path, hyper_parameters={"rnk": 3}))
    with pytest.raises(UserError, match=r"^.*does not fit PLS: [^\n]*$"):
        load(rewritten(path, **{"class": "aligners.closed_form.PLS"}))
    with pytest.raises(UserError, match="holds no aligner that this version can read"):
        load(rewritten(path, axes=3))


def test_only_the_class_asked_for_is_made(cca: CCA, tmp_path: Path) -> None:
    cca.save(tmp_path / "cca.safetensors")
    with pytest.raises(UserError, match=r"names aligners.closed_form.CCA, which is no PLS"):
        PLS.load(tmp_path / "cca.safetensors")
    for name in ("aligners.objectives.base.Objective", "aligners.base.loading.load", "aligners.spectral.factors.torch"):
        with pytest.raises(UserError, match=rf"names {name}, which is no Aligner"):
            load(rewritten(tmp_path / "cca.safetensors", **{"class": name}))
    for name in ("aligners.nowhere.CCA", "aligners.closed_form.Ccca"):
        with pytest.raises(UserError, match=rf"needs {name}, which cannot be imported"):
            load(rewritten(tmp_path / "cca.safetensors", **{"class": name}))


def test_a_file_runs_no_code_unasked(cca: CCA, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere.py").write_text(
        "from pathlib import Path\nfrom aligners.closed_form import CCA\n"
        "Path(__file__).with_name('ran').touch()\nclass Mine(CCA):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    cca.save(tmp_path / "cca.safetensors")
    path = rewritten(tmp_path / "cca.safetensors", **{"class": "elsewhere.Mine"})
    with pytest.raises(UserError, match=r"names elsewhere.Mine, from outside this project: trust=True imports it"):
        load(path)
    assert "elsewhere" not in sys.modules
    assert not (tmp_path / "ran").exists()
    mine = load(path, trust=True)
    assert type(mine).__name__ == "Mine"
    assert type(type(mine).load(path)) is type(mine)  # the very class needs no trust
    assert torch.equal(mine.encode_x(pairs.x), cca.encode_x(pairs.x))


@pytest.mark.parametrize(
    "optimizer",
    [{"_target_": "os.system", "command": "true"}, {"lr": "${oc.env:HOME}"}, {"a": [{"_target_": "torch.hub.load"}]}],
)
def test_hyper_parameters_call_nothing_but_optimizers(pairs: Pairs, tmp_path: Path, optimizer: dict[str, Any]) -> None:
    aligner = SGDCLIP(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)
    aligner.save(tmp_path / "sgd.safetensors")
    path = rewritten(tmp_path / "sgd.safetensors", hyper_parameters=dict(aligner.hparams) | {"optimizer": optimizer})
    with pytest.raises(UserError, match="trust=True"):
        load(path)
    assert load(path, trust=True).hparams.optimizer == optimizer
