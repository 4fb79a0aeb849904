"""A contrastive objective over all pairs of a split, by blocks of rows and of columns."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives import Objective


@dataclass(frozen=True)
class Contrast:
    """The objective over all pairs at projections A (n_x, r), B (n_y, r), by blocks of rows and of columns.

    ``share`` and ``shares`` tell which part of the blocks this process sweeps; results are added over
    processes. Memory is one block of ``block_size`` rows by the other modality's whole length.
    """

    objective: Objective
    x_group: Tensor
    y_group: Tensor
    block_size: int
    share: int
    shares: int

    def _sweeps(self) -> list[tuple[bool, Tensor]]:
        sweeps = []
        for transposed, n in ((False, len(self.x_group)), (True, len(self.y_group))):
            if transposed and not self.objective.symmetric:
                continue
            mine = torch.arange(n, device=self.x_group.device).tensor_split(self.shares)[self.share]
            sweeps += [(transposed, block) for block in mine.split(self.block_size) if len(block)]
        return sweeps

    def _block(self, x: Tensor, y: Tensor, transposed: bool, rows: Tensor) -> tuple[Tensor, Tensor, float]:
        """Similarities and positives of a block of rows (or columns), and the block's factor in the mean."""
        if transposed:
            x, y = y, x
        group, other = (self.y_group, self.x_group) if transposed else (self.x_group, self.y_group)
        factor = 1 / (len(group) * (2 if self.objective.symmetric else 1))
        return x[rows] @ y.T, group[rows, None] == other, factor

    def value(self, x: Tensor, y: Tensor) -> Tensor:
        """This process's share of the loss at embeddings (n_x, r), (n_y, r): a scalar tensor."""
        x, y = normalize(x), normalize(y)
        total = x.new_zeros(())
        for transposed, rows in self._sweeps():
            similarity, positives, factor = self._block(x, y, transposed, rows)
            total += factor * self.objective.rows(similarity, positives).sum()
        return total

    def pull(self, x: Tensor, y: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """This process's share of ``S B`` (n_x, r) and ``S^T A`` (n_y, r), S at the embeddings' cosines."""
        x, y = normalize(x), normalize(y)
        SB, StA = torch.zeros_like(A), torch.zeros_like(B)
        for transposed, rows in self._sweeps():
            similarity, positives, factor = self._block(x, y, transposed, rows)
            weights = self.objective.row_weights(similarity, positives).mul_(factor)
            if transposed:
                StA[rows] += weights @ A
                SB.addmm_(weights.T, B[rows])
            else:
                SB[rows] += weights @ B
                StA.addmm_(weights.T, A[rows])
        return SB, StA
