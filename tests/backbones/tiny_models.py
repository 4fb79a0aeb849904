"""Every backbone at hand: two with packaged weights, the others on tiny random models in real formats."""

import json
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from backbones.backbone import Backbone

CONFIGS = Path(__file__).parents[2] / "configs" / "backbone"
TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
TINY_CLAP = {
    "projection_dim": 20,
    "audio_config": {
        "patch_embeds_hidden_size": 8,
        "hidden_size": 16,
        "depths": [1, 1],
        "num_hidden_layers": 2,
        "num_attention_heads": [1, 2],
        "initializer_factor": 10.0,  # small random weights hear all sounds alike
    },
    "text_config": {
        "vocab_size": 32,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 40,
        "initializer_factor": 10.0,
    },
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "two", "red", "blue", "cat", "dog", "house"]


def made(name: str, **changes: Any) -> Backbone:
    """The backbone of ``configs/backbone/NAME.yaml``, on the CPU; an unknown key is an error."""
    config = OmegaConf.load(CONFIGS / f"{name}.yaml")
    OmegaConf.set_struct(config, True)
    backbone = instantiate(OmegaConf.merge(config, {"device": "cpu"}, changes))
    assert isinstance(backbone, Backbone)
    return backbone


@pytest.fixture(scope="session")
def make() -> Callable[..., Backbone]:
    """``make(NAME, key=value...)``: the backbone of that config, as it is."""
    return made


@pytest.fixture(scope="session")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("resnet18") / "resnet18.pth"
    torch.save(resnet18(weights=None).state_dict(), file)
    return file


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_clip(tmp_path_factory.mktemp("clip"), TINY_CLIP)


def saved_clip(folder: Path, shape: dict[str, Any]) -> Path:
    """The folder, with ``tiny_clip.json`` and ``tiny_clip.safetensors``."""
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    (folder / "tiny_clip.json").write_text(json.dumps(shape))
    model = open_clip.CLIP(**shape)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "tiny_clip.safetensors")
    return folder


@pytest.fixture(scope="session")
def sbert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    from backbones.weights import hub_access

    torch.manual_seed(0)
    bert = str(tmp_path_factory.mktemp("bert"))
    Path(bert, "vocab.txt").write_text("\n".join(VOCABULARY))
    BertTokenizer(str(Path(bert, "vocab.txt"))).save_pretrained(bert)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(VOCABULARY), max_position_embeddings=32, **shape)).save_pretrained(bert)
    folder = tmp_path_factory.mktemp("sbert")
    with hub_access(False):
        SentenceTransformer(modules=[Transformer(bert), Pooling(16)], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def clap_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP model that hears 1 s, with a tokenizer of letters."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizerFast

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clap")
    ClapModel(ClapConfig(**TINY_CLAP)).save_pretrained(folder)
    letters = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *ascii_lowercase])}
    tokenizer = RobertaTokenizerFast(vocab=letters, merges=[], model_max_length=30)
    extractor = ClapFeatureExtractor(max_length_s=1, truncation="rand_trunc")
    ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def wav2clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with the names of the official one: torchvision's ResNet of one channel, two linear layers."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    encoder = resnet18(weights=None)
    encoder.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    del encoder.fc
    tensors = {f"audio_encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    tensors["audio_encoder.spectrogram.window"] = torch.hann_window(512)
    for layer in (0, 3):
        linear = torch.nn.Linear(512, 512)
        tensors[f"audio_transform.sequential.{layer}.weight"] = linear.weight.detach()
        tensors[f"audio_transform.sequential.{layer}.bias"] = linear.bias.detach()
    tensors["image_transform.sequential.0.weight"] = torch.zeros(2, 2)
    file = tmp_path_factory.mktemp("wav2clip") / "Wav2CLIP.pt"
    torch.save(tensors, file)
    return file


@pytest.fixture(scope="session")
def build(
    resnet18_file: Path, clip_folder: Path, sbert_folder: Path, clap_folder: Path, wav2clip_file: Path
) -> Callable[..., Backbone]:
    """``build(NAME, key=value...)``: the backbone of that config on the weights at hand."""
    clip = {
        "model": str(clip_folder / "tiny_clip.json"),
        "pretrained": None,
        "weights": str(clip_folder / "tiny_clip.safetensors"),
    }
    at_hand: dict[str, dict[str, Any]] = {
        "efficientnet_lite0": {},
        "minilm": {},
        "resnet18": {"weights": str(resnet18_file)},
        "sbert": {"weights": str(sbert_folder)},
        "open_clip_image": clip,
        "open_clip_text": clip,
        "clap_audio": {"weights": str(clap_folder)},
        "clap_text": {"weights": str(clap_folder)},
        "wav2clip": {"weights": str(wav2clip_file)},
        "log_mel": {},
        "identity": {"dim": 3},
    }
    return lambda name, **changes: made(name, **(at_hand[name] | changes))
