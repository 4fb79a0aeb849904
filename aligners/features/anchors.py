r"""The anchor term: how alike an x and a y are by the training pairs that each is like, a soft ASIF.

.. math:: \langle p(x), q(y) \rangle, \quad p(x) = \sqrt{\mathrm{softmax}_i(\cos(x, x_i) / t)}, \quad
          q(y) = \sqrt{\mathrm{softmax}_i(\max_{k \in i} \cos(y, y_k) / t)}

over training items i, each an x and its y, by cosines of features centred with the items' mean. Profiles have length 1,
so a unit embedding beside :math:`\sqrt{w} p` has the cosine
:math:`(\cos(f(x), g(y)) + w \langle p, q \rangle) / (1 + w)`.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from aligners.features.steps import Step
from datamodules.pairs.pairs import Pairs

BLOCK = 512
"""Rows whose profiles are formed at once."""


class Anchors(nn.Module):
    """Training items and their features, and the profiles of new rows among them.

    Attributes:
        slots: (m, k) the y of each item, the first again where it has fewer than others.

    Example:
        >>> x = torch.eye(3)
        >>> anchors = Anchors()
        >>> anchors.remember(Pairs(x, x[[0, 1, 2, 2]], torch.tensor([0, 1, 2, 2]), torch.arange(3)), 3, seed=0)
        >>> p, q = anchors.x(x, temperature=0.1), anchors.y(x, temperature=0.1)
        >>> (p @ q.T).argmax(1), torch.allclose(p.norm(dim=1), torch.ones(3))
        (tensor([0, 1, 2]), True)
    """

    mean_x: Tensor
    mean_y: Tensor
    of_x: Tensor
    of_y: Tensor
    slots: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean_x", "mean_y"):
            self.register_buffer(name, torch.zeros(0))
        for name in ("of_x", "of_y"):
            self.register_buffer(name, torch.zeros(0, 0))
        self.register_buffer("slots", torch.zeros(0, 0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.of_x)

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffer in self.buffers())

    def remember(self, train: Pairs, items: int, seed: int) -> None:
        """Keep at most so many x of the training pairs that have y, drawn with the seed, and all their y."""
        paired = torch.unique(train.x_of_y)
        order = torch.randperm(len(paired), generator=torch.Generator().manual_seed(seed))
        drawn = paired[order[:items].sort().values]
        batch = train[drawn]
        place = torch.searchsorted(drawn, train.x_of_y[batch.y_index])
        counts = torch.bincount(place, minlength=len(drawn))
        starts = counts.cumsum(0) - counts
        order = torch.argsort(place, stable=True)
        step = torch.arange(int(counts.max()))
        self.slots = order[starts[:, None] + torch.where(step < counts[:, None], step, 0)].to(self.slots.device)
        for side, rows in (("x", batch.x), ("y", batch.y)):
            rows = rows.float().to(self.slots.device)
            mean = rows.mean(0)
            setattr(self, f"mean_{side}", mean)
            setattr(self, f"of_{side}", normalize(rows - mean))

    def x(self, rows: Tensor, temperature: float) -> Tensor:
        """Profiles (n, m) float32 of features (n, d_x) as they are."""
        return self._profiles(rows, self.mean_x, self.of_x, None, temperature)

    def y(self, rows: Tensor, temperature: float) -> Tensor:
        """Profiles (n, m) float32 of features (n, d_y) as they are."""
        return self._profiles(rows, self.mean_y, self.of_y, self.slots, temperature)

    def _profiles(self, rows: Tensor, mean: Tensor, of: Tensor, slots: Tensor | None, temperature: float) -> Tensor:
        blocks = []
        for block in rows.split(BLOCK):
            cosines = normalize(block.float() - mean) @ of.T
            if slots is not None:
                cosines = cosines[:, slots].amax(2)
            blocks.append(torch.softmax(cosines / temperature, 1).sqrt())
        return torch.cat(blocks) if blocks else rows.new_zeros(0, len(self))

    def step(self, side: str, weight: float, temperature: float) -> Step:
        """What puts the profiles beside the unit embeddings of a side."""
        tensors = {"mean": self.mean_x, "anchors": self.of_x}
        if side == "y":
            tensors = {"mean": self.mean_y, "anchors": self.of_y[self.slots.flatten()]}
        per_item = 1 if side == "x" else self.slots.shape[1]
        return Step("remember", tensors, {"weight": weight, "temperature": temperature, "per_item": per_item})
