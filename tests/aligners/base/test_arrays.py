"""An aligner as an estimator on two arrays."""

import numpy as np
import pytest
import torch

from aligners.closed_form import CCA
from aligners.gradient import SGDCLIP
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError


def fitted(pairs: Pairs) -> CCA:
    return CCA(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)


def test_similarity_is_the_cosine_of_the_embeddings(pairs: Pairs) -> None:
    aligner = fitted(pairs)
    similarity = aligner.similarity(pairs.x[:7].numpy(), pairs.y[:5].numpy())
    assert similarity.shape == (7, 5)
    f, g = aligner.encode_x(pairs.x[:7]).double().numpy(), aligner.encode_y(pairs.y[:5]).double().numpy()
    expected = (f @ g.T) / np.outer(np.linalg.norm(f, axis=1), np.linalg.norm(g, axis=1))
    np.testing.assert_allclose(similarity, expected, atol=1e-6)
    assert not similarity.requires_grad
    whole = SGDCLIP(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1).similarity(pairs.x, pairs.y)
    assert not whole.requires_grad


def test_before_a_fit_it_says_so(pairs: Pairs) -> None:
    aligner = CCA(rank=4)
    for use in (lambda: aligner.encode_x(pairs.x), lambda: aligner.similarity(pairs.x, pairs.y)):
        with pytest.raises(UserError, match=r"this CCA is not fitted: call fit\(x, y\), or load\(path\)"):
            use()


def test_a_fit_that_fails_is_none(pairs: Pairs) -> None:
    aligner = fitted(pairs)
    with pytest.raises(UserError, match="one group"):
        aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=torch.zeros(61, dtype=torch.int64))
    with pytest.raises(UserError, match="not fitted"):
        aligner.encode_x(pairs.x)
    aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    before = aligner.encode_x(pairs.x)
    with pytest.raises(UserError, match="without x_of_y"):  # arrays that cannot be used change nothing
        aligner.fit(pairs.x, pairs.y)
    assert torch.equal(aligner.encode_x(pairs.x), before)
    assert torch.equal(fitted(pairs).encode_x(pairs.x), before)


def test_features_of_another_shape_are_refused(pairs: Pairs) -> None:
    aligner = fitted(pairs)
    with pytest.raises(UserError, match=r"^x has 5 features, the aligner was fitted on 24$"):
        aligner.encode_x(pairs.x[:, :5])
    with pytest.raises(UserError, match=r"^y has 24 features, the aligner was fitted on 17$"):
        aligner.encode_y(pairs.x)
    with pytest.raises(UserError, match=r"^x must be features \(n, 24\), got the shape \(24,\)$"):
        aligner.encode_x(pairs.x[0])
    with pytest.raises(UserError, match=r"^y must be features \(n, 17\), got the shape \(1, 183, 17\)$"):
        aligner.similarity(pairs.x, pairs.y[None])
    assert aligner.encode_x(pairs.x[:0]).shape == (0, 4)


def test_what_is_no_array_is_refused(pairs: Pairs) -> None:
    aligner = fitted(pairs)
    with pytest.raises(UserError, match=r"^x must be an array of numbers, got list: "):
        aligner.encode_x([[0.0, 1.0], [0.0]])
    with pytest.raises(UserError, match=r"^y must be an array of numbers, got dict: "):
        aligner.fit(pairs.x, {})
    with pytest.raises(UserError, match=r"x is raw items, and this CCA has no backbone, it encodes features \(n, 24\)"):
        aligner.encode_x(["photo.jpg"])


def test_arrays_that_cannot_be_written_to_are_read(pairs: Pairs) -> None:
    x = pairs.x.numpy().copy()
    x.flags.writeable = False
    assert torch.equal(fitted(pairs).encode_x(x), fitted(pairs).encode_x(pairs.x))
