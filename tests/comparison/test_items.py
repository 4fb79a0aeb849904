"""What is shown of test items: pictures, texts, and sounds that can be decoded again."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from comparison import items
from comparison.items import described
from comparison.queries import within
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from ground.configs import CONFIGS


def sounds(folder: Path) -> PairsDataModule:
    """A table of six clips of 10 s, each a tone of its own, with two captions each, one clip a test item at least."""
    lines = ["audio,text,split"]
    for number, split in enumerate(("train", "train", "train", "val", "test", "test")):
        tone = np.sin(2 * np.pi * 200 * (number + 1) * np.arange(10 * 22_050) / 22_050)
        soundfile.write(folder / f"tone{number}.wav", np.stack([tone, tone], 1), 22_050)
        lines += [f"tone{number}.wav,a tone {number} {which},{split}" for which in "ab"]
    (folder / "pairs.csv").write_text("\n".join(lines))
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        overrides = ["datamodule=table", f"datamodule.path={folder / 'pairs.csv'}", f"cache_dir={folder / 'cache'}"]
        overrides += ["backbone@datamodule.text_backbone=minilm"]
        datamodule: PairsDataModule = instantiate(compose("train", overrides).datamodule)
    datamodule.setup()
    return datamodule


def decoded(address: str) -> tuple[Any, int]:
    kind, _, data = address.partition(";base64,")
    assert kind == "data:audio/ogg"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    return samples, rate


def test_of_a_sound_its_beginning_is_heard(tmp_path: Path) -> None:
    found = described(sounds(tmp_path))
    assert found["names"] == ["audio", "text"]
    assert [each["text"] for each in found["x"]] == ["tone4", "tone5"]
    assert all("sound" not in each for each in found["y"])
    for number, each in zip((4, 5), found["x"], strict=True):
        assert len(each["sound"]) < 60_000
        samples, rate = decoded(each["sound"])
        assert samples.ndim == 1
        assert len(samples) / rate == pytest.approx(items.SECONDS, abs=0.1)
        loudest = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
        assert loudest == pytest.approx(200 * (number + 1), abs=5)


def test_sounds_that_have_no_room_are_left_out_and_their_names_stay() -> None:
    sound = "data:audio/ogg;base64," + "A" * 78
    many = {
        "names": ["a", "b"],
        "x": [{"row": i, "text": str(i), "sound": sound} for i in range(4)],
        "y": [{"text": ""}],
    }
    kept = within(many, 250)
    assert [("sound" in each, each["text"]) for each in kept["x"]] == [
        (True, "0"), (True, "1"), (False, "2"), (False, "3")
    ]  # fmt: skip
    assert (kept["names"], kept["y"]) == (many["names"], many["y"])
    assert within(many, 1000) == many


class Drawn(PairsDataModule):
    """Pictures of one colour."""

    def describe_x(self, split: str, index: int) -> object:
        return Image.new("RGB", (300, 200), (index, 0, 0))


def test_pictures_are_small_and_some_groups_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "GROUPS", 5)
    data = Drawn(batch_size=8, eval_batch_size=8, seed=0)
    data.splits["test"] = pairs_of_tensors(torch.eye(20), torch.eye(20))
    found = described(data)
    assert [each["row"] for each in found["x"]] == [0, 5, 10, 14, 19]
    picture = Image.open(io.BytesIO(base64.b64decode(found["x"][0]["image"].partition(";base64,")[2])))
    assert max(picture.size) == items.SIDE
    data.__class__ = PairsDataModule  # features alone
    assert described(data) == {"names": ["x", "y"], "x": [], "y": []}
