"""The probes on data whose answer is known, and the labels and classes that break a careless one."""

import logging

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from evaluation import linear_probe as module
from evaluation.linear_probe import knn_probe, linear_probe

STRENGTHS = [0.01, 1.0, 100.0]


def blobs(n: int, seed: int, spread: float = 0.3, labels: tuple[int, ...] = (-4, 7, 1000)) -> tuple[Tensor, Tensor]:
    """Gaussian blobs on the axes, one a label, labels not contiguous."""
    g = torch.Generator().manual_seed(seed)
    which = torch.arange(n) % len(labels)
    rows = 2 * torch.eye(len(labels), 5)[which] + spread * torch.randn(n, 5, generator=g)
    return rows, torch.tensor(labels)[which]


def test_separable_blobs_are_100_with_any_labels() -> None:
    result = linear_probe(*blobs(90, 0), *blobs(60, 1), STRENGTHS, 0.2, seed=0)
    assert result.accuracy == 100.0
    assert result.classes.tolist() == [-4, 7, 1000]
    assert result.confusion.tolist() == (20 * torch.eye(3, dtype=torch.int64)).tolist()
    assert result.confusion.dtype == torch.int64
    assert result.strength in STRENGTHS


def test_the_classifier_is_scikit_learns_on_standardised_features() -> None:
    (train, train_label), (test, test_label) = blobs(120, 0, spread=2.0), blobs(90, 1, spread=2.0)
    result = linear_probe(train, train_label, test, test_label, [0.5], 0.2, seed=0)
    scaler = StandardScaler().fit(train)
    oracle = LogisticRegression(C=0.5, tol=1e-8, max_iter=5000).fit(scaler.transform(train), train_label)
    predicted = oracle.predict(scaler.transform(test))
    assert result.accuracy == pytest.approx(100 * (predicted == test_label.numpy()).mean(), abs=1e-4)
    expected = [
        [int(((test_label.numpy() == t) & (predicted == p)).sum()) for p in (-4, 7, 1000)] for t in (-4, 7, 1000)
    ]
    assert result.confusion.tolist() == expected
    assert 0 < result.accuracy < 100


def test_shift_and_scale_of_the_features_do_not_matter() -> None:
    (train, train_label), (test, test_label) = blobs(120, 0, spread=1.5), blobs(90, 1, spread=1.5)
    scale, shift = torch.tensor([1e-3, 1.0, 50.0, 7.0, 0.1]), torch.tensor([10.0, -3.0, 0.0, 100.0, 1.0])
    plain = linear_probe(train.double(), train_label, test.double(), test_label, [1.0], 0.2, seed=0)
    moved = linear_probe(
        train.double() * scale + shift,
        train_label,
        test.double() * scale + shift,
        test_label,
        [1.0],
        0.2,
        seed=0,
    )
    assert torch.equal(plain.confusion, moved.confusion)


def test_strength_is_chosen_without_the_test_set() -> None:
    train, label = blobs(90, 0, spread=2.0)
    chosen = {
        linear_probe(train, label, *blobs(30, seed, spread), STRENGTHS, 0.3, seed=0).strength
        for seed, spread in ((1, 0.1), (2, 5.0), (3, 50.0))
    }
    assert len(chosen) == 1


def test_of_equal_strengths_the_smallest_is_chosen_whatever_their_order() -> None:
    for strengths in (STRENGTHS, STRENGTHS[::-1]):
        assert linear_probe(*blobs(90, 0, 0.01), *blobs(30, 1), strengths, 0.2, seed=0).strength == 0.01


def test_a_seed_gives_the_same_holdout_and_zero_is_a_seed() -> None:
    label = np.repeat([3, 5], 50)
    held = [module._held_out(label, 0.2, seed) for seed in (0, 0, 1)]
    assert (held[0] == held[1]).all()
    assert (held[0] != held[2]).any()


def test_the_holdout_is_stratified_and_leaves_every_class_in_train() -> None:
    label = np.array([0] * 50 + [1] * 10 + [2] * 2 + [9])
    held = module._held_out(label, 0.2, seed=0)
    assert [int(held[label == c].sum()) for c in (0, 1, 2, 9)] == [10, 2, 1, 0]
    almost_all = module._held_out(label, 0.999, seed=0)
    assert [int((~almost_all)[label == c].sum()) for c in (0, 1, 2, 9)] == [1, 1, 1, 1]


def test_a_class_of_one_sample_does_not_crash() -> None:
    train, label = blobs(60, 0)
    label = label.clone()
    label[0] = 5
    result = linear_probe(train, label, *blobs(30, 1), STRENGTHS, 0.2, seed=0)
    assert result.classes.tolist() == [-4, 5, 7, 1000]
    assert result.confusion.shape == (4, 4)


def test_classes_of_one_sample_only_take_the_strongest_penalty(caplog: pytest.LogCaptureFixture) -> None:
    train, label = blobs(3, 0)
    with caplog.at_level(logging.WARNING):
        result = linear_probe(train, label, *blobs(30, 1), STRENGTHS, 0.2, seed=0)
    assert result.strength == 0.01
    assert "without a holdout" in caplog.text


def probe(name: str, *data: Tensor) -> module.ProbeResult:
    return linear_probe(*data, STRENGTHS, 0.2, seed=0) if name == "linear" else knn_probe(*data, 5, 16)


@pytest.mark.parametrize("name", ["linear", "knn"])
def test_a_test_class_that_train_lacks_counts_as_wrong(name: str) -> None:
    test, test_label = blobs(30, 1)
    test_label = torch.where(test_label == 7, 8, test_label)
    result = probe(name, *blobs(90, 0), test, test_label)
    assert result.accuracy == pytest.approx(100 * 2 / 3)
    assert result.classes.tolist() == [-4, 7, 8, 1000]
    assert result.confusion[2].tolist() == [0, 10, 0, 0]


@pytest.mark.parametrize("name", ["linear", "knn"])
def test_misuse_is_refused(name: str) -> None:
    rows, label = blobs(30, 0)
    bad = rows.clone()
    bad[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        probe(name, bad, label, rows, label)
    with pytest.raises(ValueError, match="two classes"):
        probe(name, rows, label * 0, rows, label)
    with pytest.raises(ValueError, match="integer labels"):
        probe(name, rows, label[1:], rows, label)
    with pytest.raises(ValueError, match="integer labels"):
        probe(name, rows, label, rows, label.float())


@pytest.mark.parametrize(
    ("strengths", "holdout", "match"),
    [([], 0.2, "strengths"), ([0.0], 0.2, "strengths"), ([1.0], 1.0, "holdout")],
)
def test_settings_out_of_range_are_refused(strengths: list[float], holdout: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        linear_probe(*blobs(30, 0), *blobs(30, 1), strengths, holdout, seed=0)


def test_an_early_stop_is_a_log_line_not_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MAX_ITERATIONS", 1)
    with caplog.at_level(logging.WARNING):
        linear_probe(*blobs(90, 0, 2.0), *blobs(30, 1), [100.0], 0.2, seed=0)
    assert "stopped after 1 iterations" in caplog.text


def test_constant_columns_and_more_columns_than_rows() -> None:
    (train, train_label), (test, test_label) = blobs(30, 0), blobs(30, 1)
    wide = torch.ones(30, 60)
    result = linear_probe(
        torch.cat([train, wide], 1),
        train_label,
        torch.cat([test, wide], 1),
        test_label,
        STRENGTHS,
        0.2,
        seed=0,
    )
    assert result.accuracy == 100.0


def test_two_classes() -> None:
    data = (*blobs(60, 0, labels=(4, 2)), *blobs(40, 1, labels=(4, 2)))
    assert linear_probe(*data, STRENGTHS, 0.2, seed=0).accuracy == 100.0
    assert knn_probe(*data, 3, 16).accuracy == 100.0


def test_knn_is_a_majority_vote_by_cosine() -> None:
    train = torch.tensor([[1.0, 0.0], [1.0, 0.5], [100.0, 60.0], [0.0, 1.0]])
    label = torch.tensor([5, 3, 3, 5])
    test, true = torch.tensor([[3.0, 0.0], [0.0, 0.1]]), torch.tensor([5, 5])
    nearest = knn_probe(train, label, test, true, k=1, block_size=8)
    assert nearest.confusion.tolist() == [[0, 0], [0, 2]]
    assert nearest.strength is None
    three = knn_probe(train, label, test, true, k=3, block_size=1)  # the two of label 3 outvote the nearest
    assert three.confusion.tolist() == [[0, 0], [2, 0]]
    assert three.accuracy == 0.0


def test_knn_ties_go_to_the_larger_summed_cosine_then_the_smaller_label() -> None:
    train = torch.tensor([[1.0, 0.2], [1.0, 0.0], [0.0, 1.0]])
    test, true = torch.tensor([[1.0, 0.0]]), torch.tensor([9])
    assert knn_probe(train, torch.tensor([1, 9, 5]), test, true, k=2, block_size=8).accuracy == 100.0
    assert knn_probe(train, torch.tensor([9, 1, 5]), test, true, k=2, block_size=8).accuracy == 0.0
    same = torch.ones(2, 2)
    result = knn_probe(same, torch.tensor([9, 1]), test, torch.tensor([1]), k=2, block_size=8)
    assert result.accuracy == 100.0


def test_knn_with_more_neighbours_than_train_and_any_block_size() -> None:
    data = (*blobs(31, 0, 1.0), *blobs(30, 1, 1.0))
    every = [knn_probe(*data, 100, block_size) for block_size in (1, 7, 1000)]
    assert every[0].accuracy == pytest.approx(100 / 3)  # the label with 11 of 31 always wins
    assert all(torch.equal(every[0].confusion, other.confusion) for other in every)
