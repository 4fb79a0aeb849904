"""Texts of any characters through the bundled text encoder and into names: finite features, or one line."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from backbones.backbone import Backbone
from datamodules.items.items import Texts
from ground.configs import CONFIGS
from tests.fuzz.outcome import outcome, share

PIECES = [
    "\0", "\ud800", "\udcff", "\u2028", "\u200b", "\ufeff", "e\u0301" * 40, "🐕", "a" * 3000, "[SEP]", "<|endoftext|>",
]  # fmt: skip
characters = st.characters(exclude_categories=())
texts = st.lists(st.text(characters, max_size=20) | st.sampled_from(PIECES), min_size=1, max_size=3)


def encoder() -> Backbone:
    backbone: Backbone = instantiate(OmegaConf.load(Path(CONFIGS) / "backbone" / "minilm.yaml"))
    return backbone


MINILM = encoder()


@share(0.001)
@given(texts)
def test_texts(strings: list[str]) -> None:
    items = Texts(strings, "texts")

    def encoded() -> torch.Tensor:
        assert len(items.fingerprint) == 64
        MINILM.too_long([items[i] for i in range(len(items))])
        return MINILM.encode([items[i] for i in range(len(items))])

    features = outcome("texts", encoded)
    assert features is not None
    assert features.shape == (len(strings), MINILM.dim)
    assert bool(features.isfinite().all())
    for i in range(len(items)):
        items.show(i).encode()
