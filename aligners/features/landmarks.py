"""What the landmarks of a Nystrom map are: rows of a sample, or the centres of clusters of them; and how many.

Every rule takes a sample (k, d) of training rows in random order and gives m landmarks, fewer where the sample has
fewer. Random numbers come from a generator on the CPU, so that every process chooses the same.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Generator, Tensor

from aligners.features.kernels import KERNELS
from aligners.features.rpcholesky import rpcholesky
from ground.ranges import Count, one_of

ROW_SELECTIONS = ("uniform", "kmeans++", "leverage", "rpcholesky")
SELECTIONS = (*ROW_SELECTIONS, "kmeans")
Selection = Annotated[str, one_of(SELECTIONS)]

OVERSAMPLING = 4
"""The rules that look at the data choose m landmarks out of so many times m rows."""

CANDIDATES = 64
"""Rows that k-means++ draws and measures at once."""

AUTO_FEWEST, AUTO_MOST, AUTO_PRODUCTS = 1024, 4096, 1e11
"""By ``auto`` there are as many landmarks as keep both modalities' kernel rows and their Gram matrices at so many
multiplications, a second or so: at least so many landmarks, as far as there are rows, and at most."""

AUTO_RANDOM = 2048
"""Random features by ``auto``."""

NEAREST_ROWS = 4096
"""Rows whose distances to all centres are in memory at once."""

KMEANS_ITERATIONS = 1
"""Lloyd's iterations: further ones moved validation recall by less than its noise."""

LandmarkNumber = Count | Literal["auto"]
"""How many landmarks of each modality; ``auto``: by the rows, see ``number_of``."""

Gram = Callable[[Tensor, Tensor], Tensor]


def at_most(landmarks: LandmarkNumber) -> int:
    """How many landmarks no modality has more than, whatever its rows."""
    return AUTO_MOST if isinstance(landmarks, str) else landmarks


class Size(NamedTuple):
    """How many rows a modality has, and of what dimension."""

    rows: int
    d: int


def number_of(landmarks: LandmarkNumber, sizes: Sequence[Size]) -> int:
    """How many landmarks the first of the modalities of these ``sizes`` has, if all its rows differ.

    ``auto`` is the largest m with ``sum rows m (d + m / 2)`` multiplications over all of them at most
    ``AUTO_PRODUCTS``, within its bounds: as many for each as its rows allow, since the weaker one limits what is found.

    Example:
        >>> images, texts = Size(6000, 1280), Size(30_000, 768)
        >>> number_of(500, [images, texts]), number_of("auto", [images, texts]), number_of("auto", [Size(300, 768)])
        (500, 1653, 300)
    """
    rows = sizes[0].rows
    if isinstance(landmarks, str):
        everything, numbers = sum(size.rows for size in sizes), sum(size.rows * size.d for size in sizes)
        d = numbers / everything
        affordable = int(math.sqrt(d * d + 2 * AUTO_PRODUCTS / everything) - d)
        return min(rows, AUTO_MOST, max(AUTO_FEWEST, affordable))
    return min(rows, landmarks)


def sample_size(selection: str, landmarks: LandmarkNumber, sizes: Sequence[Size]) -> int:
    """How many rows of the first of these modalities ``selection`` wants to choose from."""
    number = number_of(landmarks, sizes)
    return min(sizes[0].rows, number if selection == "uniform" else OVERSAMPLING * number)


def selected(selection: str, sample: Tensor, number: int, kernel: str, bandwidth: float, draws: Generator) -> Tensor:
    """The landmarks (m, d), ``number`` or all of the sample, by a rule of ``SELECTIONS``."""
    if selection == "kmeans":
        return kmeans(sample, number)
    return sample[select(selection, sample, number, kernel, bandwidth, draws)]


def kmeans(sample: Tensor, landmarks: int) -> Tensor:
    r"""Centres (m, d) of clusters of the sample (Zhang and Kwok 2008), O(k m d): Lloyd's, from its first m rows.

    :math:`z \leftarrow` the mean of the rows that are nearest to z; a cluster that no row is left of stays as it is.
    In float32, in which a distance decides the same but for near ties.
    """
    rows = sample.float()
    centres = rows[:landmarks].clone()
    for _ in range(KMEANS_ITERATIONS if len(rows) > landmarks else 0):
        half = centres.square().sum(1) / 2
        nearest = torch.cat(
            [torch.addmm(half, part, centres.T, alpha=-1).argmin(1) for part in rows.split(NEAREST_ROWS)]
        )
        sizes = torch.bincount(nearest, minlength=landmarks)[:, None]
        means = torch.zeros_like(centres).index_add_(0, nearest, rows) / sizes.clamp_min(1)
        centres = torch.where(sizes > 0, means, centres)
    return centres.to(sample)


def select(selection: str, sample: Tensor, landmarks: int, kernel: str, bandwidth: float, draws: Generator) -> Tensor:
    """Indices (m,) into ``sample`` (k, d) by a rule of ``ROW_SELECTIONS``."""
    if selection == "uniform" or len(sample) <= landmarks:
        return torch.arange(min(landmarks, len(sample)), device=sample.device)
    k = KERNELS[kernel]
    gram, diagonal = partial(k, bandwidth=bandwidth), k.diagonal(sample, bandwidth)
    if selection == "rpcholesky":
        return rpcholesky(sample, landmarks, gram, diagonal, draws)[0]
    rule = {"kmeans++": kmeans_plus_plus, "leverage": leverage}[selection]
    return rule(sample, landmarks, gram, diagonal, draws)


def kmeans_plus_plus(sample: Tensor, landmarks: int, gram: Gram, diagonal: Tensor, draws: Generator) -> Tensor:
    r"""k-means++ seeding (Arthur and Vassilvitskii 2007) in the kernel's feature space, O(k m d).

    Each landmark is drawn in proportion to its squared distance from the nearest one chosen before,
    :math:`D^2 = \min_z k(x, x) + k(z, z) - 2 k(x, z)`. Candidates are drawn many at a time by the distances at hand and
    measured in one matrix product; each is then kept with the probability by which its distance has fallen
    since, which is exactly the sequential draw. Ends early where all rows left equal a landmark.
    """
    chosen = [0]  # the sample is in random order
    squared = (diagonal + diagonal[0] - 2 * gram(sample, sample[:1])[:, 0]).clamp_min_(0)
    squared[0] = 0
    negligible = 1e-7 * float(diagonal.sum())  # the rounding of an arc-cosine between equal rows
    while len(chosen) < landmarks and float(squared.sum()) > negligible:
        candidates = torch.multinomial(squared.cpu(), CANDIDATES, replacement=True, generator=draws)
        keep = torch.rand(CANDIDATES, generator=draws, dtype=torch.float64)
        at = candidates.to(sample.device)
        between = (diagonal[:, None] + diagonal[at] - 2 * gram(sample, sample[at])).clamp_min_(0)
        between[at, torch.arange(CANDIDATES, device=sample.device)] = 0
        drawn_by = squared[at].cpu()
        now = between[at].cpu()  # between the candidates themselves
        left = drawn_by.clone()
        kept: list[int] = []
        for i in range(CANDIDATES):
            if keep[i] * drawn_by[i] < left[i]:
                kept.append(i)
                left = torch.minimum(left, now[:, i])
                if len(chosen) + len(kept) == landmarks:
                    break
        squared = torch.minimum(squared, between[:, torch.tensor(kept, device=sample.device)].amin(1))
        chosen += candidates[kept].tolist()
    return torch.tensor(chosen, device=sample.device)


def leverage(sample: Tensor, landmarks: int, gram: Gram, diagonal: Tensor, draws: Generator) -> Tensor:
    r"""Approximate ridge leverage scores (Alaoui and Mahoney 2015; Musco and Musco 2017), O(k m (d + m)).

    .. math:: \ell_i = \min(1, \tfrac{1}{\gamma} (k_{ii} - k_{is} (K_{ss} + \tfrac{s}{k} \gamma I)^{-1} k_{si}))

    with a uniform pilot of s = m rows. The ridge is the kernel's trace beyond its q largest eigenvalues, divided
    by :math:`q = \lceil m / (4 \log(m + 1)) \rceil`, as in Musco and Musco's released code but for the 1, which is
    for m = 1. Rows are drawn in proportion to their score without repeats.
    """
    pilot = sample[:landmarks]
    values, vectors = torch.linalg.eigh(gram(pilot, pilot))
    values = values.clamp_min(0)
    q = math.ceil(landmarks / (4 * math.log(landmarks + 1)))
    ridge = torch.maximum(values[:-q].sum() / q, 1e-12 * values[-1])  # (s / k) gamma
    coordinates = gram(sample, pilot) @ vectors
    residuals = diagonal - coordinates.square() @ (values + ridge).reciprocal()
    gamma = ridge * len(sample) / len(pilot)
    scores = (residuals / gamma).clamp(1e-12, 1)  # above 0: rounding may not leave fewer rows to draw than m
    return torch.multinomial(scores.cpu(), landmarks, generator=draws).to(sample.device)
