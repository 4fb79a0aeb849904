"""The two towers of the CLIP models of open_clip."""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any, Literal

import torch

from backbones.backbone import Backbone
from backbones.images import middle, to_rgb
from backbones.weights import hub_access, hub_folder, local_path, package_folder
from ground.errors import UserError, nearest
from ground.ranges import Count

FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TOKENIZER = ("tokenizer*", "special_tokens_map.json", "config.json", "vocab*", "merges.txt", "*.model")


def _pretrained_table() -> Any:
    """open_clip's table of pretrained weights alone: importing the whole library takes seconds."""
    package = ModuleType("_open_clip_tables")
    package.__path__ = [str(package_folder("open_clip"))]
    sys.modules.setdefault(package.__name__, package)
    return import_module(f"{package.__name__}.pretrained")


class OpenClip(Backbone):
    """One tower of a CLIP model: (n, d) projected features, not normalised.

    Args:
        model: architecture of open_clip, such as 'ViT-B-32', or the path of a JSON file that describes one.
        pretrained: tag of the weights, such as 'openai'; it also says the preprocessing and the activation.
            None with local ``weights``: CLIP's preprocessing, the architecture's activation.
        weights: a local checkpoint (.safetensors, or .pt of tensors alone), or None: the tag's, from the hub.
        side: 'image' or 'text'.
        download: whether the tag's weights may be downloaded when the local cache lacks them.

    Raises:
        UserError: an argument out of its range; on first use, an unknown ``model`` or ``pretrained``, missing weights.

    Example:
        >>> OpenClip("ViT-B-32", "openai", None, "image", download=False, batch_size=8, device="cpu").dim
        512
    """

    def __init__(
        self,
        model: str,
        pretrained: str | None,
        weights: str | None,
        side: Literal["image", "text"],
        download: bool,
        batch_size: Count,
        device: str,
    ) -> None:
        super().__init__(batch_size, device)
        self.modality = side
        self.model, self.pretrained, self.weights, self.download = model, pretrained, weights, download

    def _architecture(self) -> Path:
        if self.model.endswith(".json"):
            return local_path(self.model)
        folder = package_folder("open_clip") / "model_configs"
        file = folder / f"{self.model}.json"
        if not file.exists():
            known = nearest(self.model, (f.stem for f in folder.glob("*.json")))
            raise UserError(f"unknown open_clip model '{self.model}': {known}")
        return file

    def _tag(self) -> dict[str, Any]:
        if self.pretrained is None:
            return {}
        name, table = self._architecture().stem, _pretrained_table()
        tag: dict[str, Any] = table.get_pretrained_cfg(name, self.pretrained)
        if not tag:
            known = nearest(self.pretrained, table.list_pretrained_tags_by_model(name) or ["null"])
            raise UserError(f"open_clip has no weights '{self.pretrained}' for {name}: {known}")
        return tag

    def _file(self) -> Path:
        if self.weights is not None:
            return local_path(self.weights)
        name = f"{self.model}/{self.pretrained}"
        hub = self._tag().get("hf_hub")
        if not hub:
            raise UserError(f"no weights for '{name}' on the hub: set the backbone's 'weights' to a local path")
        repo, _, file = hub.rpartition("/")
        files = (str(Path(file).with_suffix(".safetensors")), file) if file else FILES
        with suppress(UserError):
            return hub_folder(name, repo, files[:1], files[:1], self.download) / files[0]
        return hub_folder(name, repo, files[1:], files[1:], self.download) / files[1]

    @property
    def dim(self) -> int:
        return int(json.loads(self._architecture().read_text())["embed_dim"])

    def _preprocessing(self) -> dict[str, Any]:
        return {k: v for k, v in self._tag().items() if k in ("mean", "std", "interpolation", "resize_mode")}

    def _content(self) -> tuple[str, Iterable[Path]]:
        files = [self._architecture(), self._file()]
        if self.modality == "text":
            files += self._vocabulary()
        gelu = self._tag().get("quick_gelu", False)
        return f"{self.modality}, rgb on white, {self._preprocessing()}, quick_gelu={gelu}", files

    def _vocabulary(self) -> list[Path]:
        hub = json.loads(self._architecture().read_text())["text_cfg"].get("hf_tokenizer_name")
        if not hub:
            return [package_folder("open_clip") / "bpe_simple_vocab_16e6.txt.gz"]
        folder = hub_folder(hub, hub, ["tokenizer_config.json"], TOKENIZER, self.download)
        return sorted({file for pattern in TOKENIZER for file in folder.glob(pattern)})

    def _load(self) -> Any:
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2

        name = self._architecture().stem
        if self.model.endswith(".json"):
            open_clip.add_model_config(self._architecture())
        with hub_access(self.download):
            try:
                model: Any = open_clip.create_model(
                    name,
                    pretrained=str(self._file()),
                    force_quick_gelu=self._tag().get("quick_gelu", False),
                    force_preprocess_cfg=self._preprocessing(),
                )
            except (UnpicklingError, RuntimeError) as error:
                raise UserError(f"backbone weights: {self._file()} is no open_clip checkpoint of {name}") from error
            if self.modality == "text":
                self.tokenize = open_clip.get_tokenizer(name)
                del model.visual
                return model
        settings = PreprocessCfg(**model.visual.preprocess_cfg)
        self.transform = image_transform_v2(settings, is_train=False)
        return model.visual

    def too_long(self, items: Sequence[Any]) -> tuple[int, str]:
        if self.modality != "text":
            return super().too_long(items)
        self.network  # noqa: B018 # which brings the tokenizer
        limit = self.tokenize.context_length
        encode = getattr(self.tokenize, "encode", None)
        ends = 2 if encode else 0  # the library's own tokenizer adds its marks later

        def length(text: str) -> int:
            return len(encode(text) if encode else self.tokenize.tokenizer(text, verbose=False)["input_ids"]) + ends

        # a text has no more tokens than characters, and the marks
        return sum(len(text) + 2 > limit and length(text) > limit for text in items), f"cut at {limit} tokens"

    def _prepare(self, items: list[Any]) -> Any:
        if self.modality == "text":
            return self.tokenize(items)
        return torch.stack([self.transform(middle(to_rgb(image))) for image in items])

    def _forward(self, network: Any, items: Any) -> Any:
        return network.encode_text(items) if self.modality == "text" else network(items)
