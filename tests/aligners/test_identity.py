"""The aligner that learns nothing."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from aligners import Identity, load
from ground.errors import UserError


def features(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 7, generator=generator)
    return x, x + 0.5 * torch.randn(60, 7, generator=generator) + 3


def test_similarity_is_the_cosine_of_raw_features() -> None:
    x, y = features()
    identity = Identity(centre=False).fit(x, y)
    torch.testing.assert_close(identity.similarity(x, y), normalize(x) @ normalize(y).T)
    assert identity.rank == 7


def test_centred_it_is_the_cosine_without_the_training_means() -> None:
    x, y = features()
    identity = Identity(centre=True).fit(x, y)
    a, b = normalize(x - x.mean(0)), normalize(y - y.mean(0))
    torch.testing.assert_close(identity.similarity(x, y), a @ b.T)
    other = features(seed=1)  # the means are those of the training rows
    torch.testing.assert_close(identity.encode_x(other[0]), other[0] - x.mean(0))


def test_features_of_two_dimensions_are_refused() -> None:
    x, y = features()
    with pytest.raises(UserError, match="one dimension on both sides, got 7 and 5"):
        Identity().fit(x, y[:, :5])


def test_it_has_no_rank_to_set() -> None:
    with pytest.raises(UserError, match="no argument 'rank'"):
        Identity(rank=3)  # type: ignore[call-arg]


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    x, y = features()
    identity = Identity(centre=True).fit(x, y)
    identity.save(tmp_path / "identity.safetensors")
    loaded = load(tmp_path / "identity.safetensors")
    assert loaded.rank == 7
    assert torch.equal(loaded.encode_y(y), identity.encode_y(y))
