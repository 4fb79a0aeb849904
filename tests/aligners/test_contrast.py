import pytest
import torch
from torch.nn.functional import normalize

from aligners.contrast import Contrast
from aligners.objectives import CLIP, InfoNCE
from tests.aligners.test_spectral import grouped, normal


@pytest.mark.parametrize("objective", [CLIP(0.1), InfoNCE(0.3)])
@pytest.mark.parametrize(("block_size", "shares"), [(100, 1), (3, 1), (4, 3)])
def test_contrast_by_blocks_is_the_whole_objective(objective: CLIP, block_size: int, shares: int) -> None:
    x_group, y_group = grouped(5, 11, 17)
    x, y = normal(11, 4), normal(17, 4, seed=1)
    A, B = normal(11, 6, seed=2), normal(17, 6, seed=3)
    positives = x_group[:, None] == y_group
    similarity = normalize(x) @ normalize(y).T
    S = objective.weights(similarity, positives)
    sweeps = [Contrast(objective, x_group, y_group, block_size, share, shares) for share in range(shares)]
    value = sum(sweep.value(x, y) for sweep in sweeps)
    torch.testing.assert_close(value, objective(similarity, positives))
    pulls = [sweep.pull(x, y, A, B) for sweep in sweeps]
    torch.testing.assert_close(sum(p[0] for p in pulls), S @ B)
    torch.testing.assert_close(sum(p[1] for p in pulls), S.T @ A)
