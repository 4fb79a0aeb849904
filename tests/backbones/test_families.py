"""What is particular to each backbone: its reference, and what its fingerprint sees."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.errors import InstantiationException
from PIL import Image
from safetensors.torch import load_file, save_file

from backbones.backbone import Backbone
from ground.errors import UserError

MAKE = Callable[..., Backbone]
RED, GREEN = Image.new("RGB", (50, 40), "red"), Image.linear_gradient("L").resize((64, 32))


def nudge(file: Path, tensor: str) -> None:
    """One weight of a safetensors file, changed a little."""
    tensors = load_file(file)
    tensors[tensor].view(-1)[0] += 1e-3
    save_file(tensors, file)


def test_efficientnet_sees_pixels_as_in_training(build: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build("efficientnet_lite0")
    seen: list[torch.Tensor] = []
    features = torch.zeros(1, 1280, 7, 7)
    monkeypatch.setattr(backbone.network, "extract_features", lambda pixels: seen.append(pixels) or features)
    backbone.encode([Image.new("RGB", (8, 8), (255, 127, 0))])
    assert seen[0].shape == (1, 3, 224, 224)
    assert seen[0][0, :, 0, 0].tolist() == [1.0, 0.0, -127 / 128]


def test_efficientnet_fingerprint_sees_weights_and_fit(build: MAKE, tmp_path: Path) -> None:
    reference = build("efficientnet_lite0")
    network = reference.network
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "a.safetensors")
    copy = build("efficientnet_lite0", weights=str(tmp_path / "a.safetensors"))
    assert torch.equal(copy.encode([GREEN]), reference.encode([GREEN]))
    before = copy.fingerprint
    nudge(tmp_path / "a.safetensors", "_conv_head.weight")
    changed = build("efficientnet_lite0", weights=str(tmp_path / "a.safetensors"))
    assert changed.fingerprint != before
    cropped = build("efficientnet_lite0", fit="crop")
    small = build("efficientnet_lite0", size=32)
    assert len({each.fingerprint for each in (cropped, reference, small)}) == 3
    assert not torch.equal(cropped.encode([GREEN]), reference.encode([GREEN]))


def test_efficientnet_runs_at_the_size_of_small_images(build: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build("efficientnet_lite0", size=32)
    picture = GREEN.resize((32, 32)).convert("RGB")
    seen: list[torch.Tensor] = []
    extract = backbone.network.extract_features
    monkeypatch.setattr(backbone.network, "extract_features", lambda pixels: seen.append(pixels) or extract(pixels))
    assert backbone.encode([picture]).shape == (1, 1280)
    pixels = torch.tensor(picture.get_flattened_data()).view(32, 32, 3).permute(2, 0, 1)
    assert torch.equal(seen[0][0] * 128 + 127, pixels.float())  # not resampled


def test_minilm_understands(build: MAKE) -> None:
    texts = ["a kitten", "a small cat", "stocks fell on Monday"]
    features = build("minilm").encode(texts)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    similarity = features @ features.T
    assert similarity[0, 1] > similarity[0, 2] + 0.3


def test_sentence_transformer_equals_the_library(build: MAKE, sbert_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from backbones.weights import hub_access

    texts = ["a", "red blue cat dog house", "two dog", "", "a blue house " * 40]
    with hub_access(False):
        library = SentenceTransformer(str(sbert_folder), device="cpu")
    expected = library.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    features = build("sbert", batch_size=2).encode(texts)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", ["weight", "tokenizer.json", "1_Pooling/config.json"])
def test_sentence_transformer_fingerprint_sees(build: MAKE, sbert_folder: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(sbert_folder, tmp_path / "model")
    before = build("sbert", weights=str(folder)).fingerprint
    assert before == build("sbert").fingerprint
    if part == "weight":
        nudge(folder / "model.safetensors", "embeddings.word_embeddings.weight")
    else:
        text = (folder / part).read_text()
        (folder / part).write_text(text.replace('"cat"', '"cow"').replace('"mean"', '"max"'))
    assert build("sbert", weights=str(folder)).fingerprint != before


def with_dense(sbert_folder: Path, folder: Path) -> None:
    """The tiny model with a dense layer of width 5 at its end, saved to ``folder``."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    from backbones.weights import hub_access

    with hub_access(False):
        model = SentenceTransformer(str(sbert_folder), device="cpu")
        model.append(Dense(16, 5))
        model.save(str(folder))


def test_sentence_transformer_with_a_dense_layer_knows_its_width(
    build: MAKE, sbert_folder: Path, tmp_path: Path
) -> None:
    with_dense(sbert_folder, tmp_path)
    backbone = build("sbert", weights=str(tmp_path))
    assert backbone.dim == 5
    assert backbone.encode(["a cat"]).shape == (1, 5)


def test_layers_are_each_pooled_as_the_model_pools(build: MAKE) -> None:
    from transformers import AutoModel, AutoTokenizer

    texts = ["a dog on the beach", "the income tax", "", "a house " * 20]
    backbone = build("minilm", layers=[6, 3, 0], batch_size=2)
    folder = str(backbone._folder())
    network, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        every = network(**tokens, output_hidden_states=True).hidden_states
    mask = tokens["attention_mask"][:, :, None]
    means = [(every[layer] * mask).sum(1) / mask.sum(1) for layer in (6, 3, 0)]
    expected = torch.cat([torch.nn.functional.normalize(each) for each in means], 1)
    features = backbone.encode(texts)
    assert (backbone.n_layers, backbone.dim) == (3, 3 * 384)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features[:, :384], build("minilm").encode(texts), rtol=1e-4, atol=1e-5)
    assert backbone.too_long(["word " * 300]) == build("minilm").too_long(["word " * 300])


def test_layers_are_in_the_fingerprint(build: MAKE) -> None:
    fingerprints = {build("minilm", layers=layers).fingerprint for layers in (None, [6], [6, 3], [3, 6])}
    assert len(fingerprints) == 4


def test_layers_that_there_are_not(build: MAKE, sbert_folder: Path, tmp_path: Path) -> None:
    for layers, message in (([], "a list of at least one"), ([-1], "at least 0")):
        with pytest.raises(InstantiationException, match=message):
            build("sbert", layers=layers)
    with pytest.raises(UserError, match=r"layers=\[0, 2\]: the network has the layers 0 to 1"):
        build("sbert", layers=[0, 2]).encode(["a"])
    with_dense(sbert_folder, tmp_path)
    with pytest.raises(UserError, match="the model has Dense after its pooling"):
        build("sbert", weights=str(tmp_path), layers=[1]).encode(["a"])


def test_resnet_equals_torchvision(build: MAKE, resnet18_file: Path) -> None:
    from torchvision.models import ResNet18_Weights, resnet18

    network = resnet18(weights=None).eval()
    network.load_state_dict(torch.load(resnet18_file, weights_only=True))
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = network(ResNet18_Weights.IMAGENET1K_V1.transforms()(RED)[None])
    torch.testing.assert_close(build("resnet18").encode([RED]), expected, rtol=1e-4, atol=1e-5)


def test_resnet_fingerprint_sees_weights_and_preprocessing(
    make: MAKE, build: MAKE, resnet18_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.safetensors"
    save_file(torch.load(resnet18_file, weights_only=True), file)
    same = build("resnet18", weights=str(file))
    torch.testing.assert_close(same.encode([RED]), build("resnet18").encode([RED]))
    before = same.fingerprint
    nudge(file, "layer1.0.conv1.weight")
    assert build("resnet18", weights=str(file)).fingerprint != before
    small = build("resnet18", size=32)
    assert (small.size, build("resnet18").size) == (32, 224)
    assert small.fingerprint != build("resnet18").fingerprint
    first, second = (make("resnet50", weights=str(file), pretrained=f"IMAGENET1K_V{v}") for v in (1, 2))
    assert first.fingerprint != second.fingerprint
    assert first.dim == 2048


def test_open_clip_equals_the_library(build: MAKE, clip_folder: Path) -> None:
    import open_clip

    open_clip.add_model_config(clip_folder / "tiny_clip.json")
    weights = str(clip_folder / "tiny_clip.safetensors")
    model, _, transform = open_clip.create_model_and_transforms("tiny_clip", pretrained=weights)
    model.eval()
    texts = ["a cat", ""]
    with torch.no_grad():
        image = model.encode_image(transform(GREEN)[None])
        text = model.encode_text(open_clip.get_tokenizer("tiny_clip")(texts))
    torch.testing.assert_close(build("open_clip_image").encode([GREEN]), image, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(build("open_clip_text").encode(texts), text, rtol=1e-4, atol=1e-5)


def test_open_clip_fingerprint_sees_weights_architecture_and_tag(
    make: MAKE, build: MAKE, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "clip")
    at = {"model": str(folder / "tiny_clip.json"), "weights": str(folder / "tiny_clip.safetensors")}
    before = build("open_clip_image", **at).fingerprint
    assert before == build("open_clip_image").fingerprint
    shape = json.loads((folder / "tiny_clip.json").read_text())
    (folder / "tiny_clip.json").write_text(json.dumps(shape | {"quick_gelu": True}))
    gelu = build("open_clip_image", **at).fingerprint
    nudge(folder / "tiny_clip.safetensors", "visual.proj")
    weight = build("open_clip_image", **at).fingerprint
    assert len({before, gelu, weight}) == 3
    plain, quick = (make("open_clip_image", weights=at["weights"], pretrained=tag) for tag in ("laion2b_e16", "openai"))
    assert plain.fingerprint != quick.fingerprint


def test_identity_checks_its_vectors(make: MAKE) -> None:
    identity = make("identity", dim=2, modality="audio")
    assert identity.modality == "audio"
    assert identity.encode([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        identity.encode([[1, 2, 3]])
    assert identity.fingerprint != make("identity", dim=3, modality="audio").fingerprint
