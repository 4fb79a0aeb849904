"""How much of the classes frozen embeddings hold: a linear classifier and a nearest-neighbour vote."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from evaluation.nearest import nearest
from evaluation.scoring import blocks, check_embeddings

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)

_MAX_ITERATIONS = 2000  # a ceiling, not a setting: standardised features need some tens to hundreds


@dataclass(frozen=True)
class ProbeResult:
    """What a probe scored on the test set.

    Example:
        >>> train = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> result = knn_probe(train, torch.tensor([0, 0, 1, 1]), train[:2], torch.tensor([0, 1]), k=1, block_size=8)
        >>> result.accuracy, result.confusion, result.strength
        (50.0, tensor([[1, 0], [1, 0]]), None)
    """

    accuracy: float  # percent of the test items
    confusion: Tensor  # (C, C) int64 counts, rows the true class, columns the predicted class
    classes: Tensor  # (C,) int64, sorted: all labels of train and test, naming the rows and columns
    strength: float | None  # the C chosen, the inverse of the L2 penalty; None for the vote of neighbours


@dataclass(frozen=True)
class FittedProbe:
    """A linear classifier of embeddings, to score any number of test sets.

    Example:
        >>> label = torch.arange(20) % 2
        >>> probe = fit_linear_probe(torch.eye(2)[label], label, strengths=[0.1, 1.0], holdout=0.2, seed=0)
        >>> probe.strength, probe.score(torch.eye(2), torch.tensor([0, 1])).accuracy
        (0.1, 100.0)
    """

    model: "Pipeline"
    train_label: Tensor
    strength: float

    def score(self, test: Tensor, test_label: Tensor) -> ProbeResult:
        """What it scores on ``test`` (m, r) of classes ``test_label`` (m,) int64.

        Raises:
            ValueError: for NaN or infinity, or shapes that do not fit.
        """
        _check(test, test_label)
        with threadpool_limits(limits=1):
            predicted = self.model.predict(_array(test))
        return _score(torch.from_numpy(predicted), self.train_label, test_label, self.strength)


def fit_linear_probe(
    train: Tensor, train_label: Tensor, strengths: Sequence[float], holdout: float, seed: int
) -> FittedProbe:
    """Multinomial logistic regression on frozen embeddings, its penalty chosen on a part of train only.

    Minimises ``C sum_i -log softmax(W z_i + b)[label_i] + |W|^2 / 2`` (two classes: one logit) by L-BFGS,
    where ``z`` is standardised with the statistics of the rows that are fitted. Every C is fitted on train
    less a stratified holdout and scored on the holdout; the best (of equal ones the smallest, the strongest
    penalty) is fitted again on all of train. A class of one sample stays out of the holdout. A test class
    that train lacks counts as wrong.

    Args:
        train: (n, r) embeddings.
        train_label: (n,) int64, any integers.
        strengths: candidates for C; a single one is taken as it is.
        holdout: share of each class of train, in (0, 1), that chooses C.
        seed: of the holdout.

    Raises:
        ValueError: for NaN or infinity, shapes that do not fit, fewer than two classes in train, no or
            non-positive strengths, or a holdout outside (0, 1).
    """
    _check(train, train_label)
    _check_classes(train_label)
    if not strengths or min(strengths) <= 0:
        raise ValueError(f"strengths must be positive numbers, at least one, got {list(strengths)}")
    if not 0 < holdout < 1:
        raise ValueError(f"holdout is a share between 0 and 1, got {holdout}")
    features, label = _array(train), train_label.cpu().numpy()
    # one thread: L-BFGS makes many small products, and scikit-learn's threads and torch's in one process wait for
    # each other so long that two threads were measured to be sixteen times slower than one
    with threadpool_limits(limits=1):
        strength = _choose(features, label, sorted(strengths), _held_out(label, holdout, seed))
        return FittedProbe(_fit(features, label, strength), train_label, strength)


def linear_probe(
    train: Tensor,
    train_label: Tensor,
    test: Tensor,
    test_label: Tensor,
    strengths: Sequence[float],
    holdout: float,
    seed: int,
) -> ProbeResult:
    """``fit_linear_probe``, scored on ``test`` (m, r) of classes ``test_label`` (m,)."""
    check_embeddings(train, test)
    return fit_linear_probe(train, train_label, strengths, holdout, seed).score(test, test_label)


def knn_probe(
    train: Tensor, train_label: Tensor, test: Tensor, test_label: Tensor, k: int, block_size: int
) -> ProbeResult:
    """Majority vote of the k train items of highest cosine.

    Of classes with equal votes the one of the larger summed cosine wins, then the smaller label. Shapes as in
    ``linear_probe``; k above n takes all n; ``block_size`` is rows scored at a time.

    Raises:
        ValueError: for NaN or infinity, shapes that do not fit, one class only in train, or k below 1.
    """
    check_embeddings(train, test)
    _check(train, train_label)
    _check(test, test_label)
    _check_classes(train_label)
    classes, label = torch.unique(train_label.cpu(), return_inverse=True)
    predicted = []
    for part in blocks(len(test), block_size):
        scores, index = nearest(test[part], train, k, block_size)
        neighbour = label[index.cpu()]  # (b, k)
        votes = torch.zeros(len(neighbour), len(classes), dtype=torch.float64)
        votes.scatter_add_(1, neighbour, torch.ones_like(neighbour, dtype=torch.float64))
        closeness = torch.zeros_like(votes).scatter_add_(1, neighbour, scores.cpu().double())
        tied = votes == votes.amax(1, keepdim=True)
        predicted.append(closeness.masked_fill(~tied, -torch.inf).argmax(1))
    return _score(classes[torch.cat(predicted)], train_label, test_label, strength=None)


def _check(rows: Tensor, label: Tensor) -> None:
    check_embeddings(rows)
    if label.shape != rows.shape[:1] or label.is_floating_point():
        got = f"{label.dtype} of shape {tuple(label.shape)}"
        raise ValueError(f"{len(rows)} embeddings need as many integer labels, got {got}")


def _check_classes(train_label: Tensor) -> None:
    if len(torch.unique(train_label)) < 2:
        raise ValueError("a probe needs at least two classes in train")


def _array(rows: Tensor) -> NDArray[np.float64]:
    return rows.detach().cpu().double().numpy()


def _held_out(label: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """(n,) which rows choose C: about ``share`` of each class, at least one, never its last one."""
    held = np.zeros(len(label), dtype=bool)
    generator = np.random.default_rng(seed)
    for c in np.unique(label):
        rows = generator.permutation(np.flatnonzero(label == c))
        held[rows[: min(max(1, round(share * len(rows))), len(rows) - 1)]] = True
    return held


def _choose(
    features: NDArray[np.float64], label: NDArray[np.int64], strengths: list[float], held: NDArray[np.bool_]
) -> float:
    """The strength of the highest accuracy on the held-out rows; the first of ``strengths`` among equals."""
    if len(strengths) == 1:
        return strengths[0]
    if not held.any():
        log.warning("every class has one sample: C = %g, the strongest penalty, without a holdout", strengths[0])
        return strengths[0]
    accuracy = [_fit(features[~held], label[~held], c).score(features[held], label[held]) for c in strengths]
    return strengths[int(np.argmax(accuracy))]


def _fit(features: NDArray[np.float64], label: NDArray[np.int64], strength: float) -> "Pipeline":
    """Standardise and fit; that L-BFGS stopped early is a line in the log, not a warning."""
    from sklearn.exceptions import ConvergenceWarning  # a second to import, and most data has no labels
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(features, label)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            log.warning("the probe with C = %g stopped after %d iterations", strength, _MAX_ITERATIONS)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return model


def _score(predicted: Tensor, train_label: Tensor, test_label: Tensor, strength: float | None) -> ProbeResult:
    true = test_label.cpu()
    classes = torch.unique(torch.cat([train_label.cpu(), true])).long()
    guess, target = torch.searchsorted(classes, predicted.long()), torch.searchsorted(classes, true.long())
    confusion = multiclass_confusion_matrix(guess, target, num_classes=len(classes))
    accuracy = 100.0 * int(confusion.diagonal().sum()) / len(true)
    return ProbeResult(accuracy, confusion, classes, strength)
