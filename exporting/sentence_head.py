"""The last modules of a sentence-transformers model: several layers pooled, and a head into the shared space.

Stands in the folder of the model, which is loaded with ``SentenceTransformer(folder, trust_remote_code=True)``.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.sentence_transformer import modules as library
from sentence_transformers.sentence_transformer.modules import Module
from torch import Tensor, nn

from .aligned_head import Head  # transformers copies this file beside it


class PooledLayers(Module):
    """Several layers of the transformer, each pooled as it pools its last, beside each other: (n, layers d).

    ``pooling`` names the library's modules that pool, each with its settings.
    """

    config_keys = ["layers", "pooling"]  # noqa: RUF012 - as the library has it

    def __init__(self, layers: list[int], pooling: list[tuple[str, dict[str, Any]]]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers, self.pooling = layers, pooling
        self.pooled = nn.Sequential(*(getattr(library, name)(**settings) for name, settings in pooling))

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        every = features["all_layer_embeddings"]
        rows = [self.pooled(features | {"token_embeddings": every[i]})["sentence_embedding"] for i in self.layers]
        return features | {"sentence_embedding": torch.cat(rows, 1)}

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write its settings; it has no weights."""
        self.save_config(output_path)


class SentenceHead(Module):
    """``sentence_embedding`` (n, d) to (n, r); ``record`` is what ``heads.json`` says of the head."""

    def __init__(self, record: dict[str, Any], tensors: dict[str, Tensor]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.record = record
        self.head = Head(record["steps"], tensors)

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        return features | {"sentence_embedding": self.head(features["sentence_embedding"])}

    def get_embedding_dimension(self) -> int:
        """r."""
        return int(self.record["r"])

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write it as it was read."""
        buffers = dict(self.head.named_buffers())
        tensors = {
            name: buffers[f"step{number}_{key}"].cpu().contiguous()
            for number, step in enumerate(self.record["steps"])
            for key, name in step["tensors"].items()
        }
        save_file(tensors, Path(output_path) / "heads.safetensors")
        (Path(output_path) / "heads.json").write_text(json.dumps(self.record), encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", *_: Any, **options: Any) -> "SentenceHead":
        """The module in a folder of the model."""
        known = ("token", "cache_folder", "revision", "local_files_only")
        files = [
            cls.load_file_path(
                model_name_or_path, name, subfolder, **{key: options[key] for key in known if key in options}
            )
            for name in ("heads.json", "heads.safetensors")
        ]
        record, tensors = (str(file) for file in files)
        return cls(json.loads(Path(record).read_text(encoding="utf-8")), load_file(tensors))
