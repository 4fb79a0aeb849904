"""A backbone of sentence-transformers and its head as one model of that library."""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

from aligners.base.aligner import Aligner
from backbones.sbert import PooledLayers, SentenceTransformerText
from exporting.heads import head_of

CODE = ("aligned_head.py", "sentence_head.py")


def write_sentence_model(aligner: Aligner, side: str, backbone: SentenceTransformerText, folder: Path) -> None:
    """Write the model of a side, x or y: ``SentenceTransformer(folder, trust_remote_code=True).encode(texts)``."""
    from transformers.utils import logging as transformers_log

    transformers_log.disable_progress_bar()  # type: ignore[no-untyped-call] # a bar for each file that is written
    network: Any = backbone.network
    parts = list(network)
    pooled = parts.pop() if isinstance(parts[-1], PooledLayers) else None
    SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    if pooled is not None:
        pooling = [(type(part).__name__, part.get_config_dict()) for part in pooled.pooling]
        place = _added(listed, folder, "PooledLayers")
        (place / "config.json").write_text(json.dumps({"layers": pooled.layers, "pooling": pooling}, indent=1))
    steps, tensors = head_of(aligner, side)
    place = _added(listed, folder, "SentenceHead")
    save_file(tensors, place / "heads.safetensors")
    (place / "heads.json").write_text(
        json.dumps({"r": aligner.embedding_width, "steps": steps}, indent=1), encoding="utf-8"
    )
    (folder / "modules.json").write_text(json.dumps(listed, indent=2), encoding="utf-8")
    for code in CODE:
        shutil.copy(Path(__file__).with_name(code), folder / code)


def _added(listed: list[dict[str, Any]], folder: Path, kind: str) -> Path:
    """The folder of one more module, of ``sentence_head.py``."""
    number = len(listed)
    listed.append({"idx": number, "name": str(number), "path": f"{number}_{kind}", "type": f"sentence_head.{kind}"})
    place = folder / f"{number}_{kind}"
    place.mkdir()
    return place
