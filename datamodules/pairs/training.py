"""What a fit sees of the training split: fewer of its items, x that lose their y, y that belong to another x."""

import logging
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from datamodules.pairs.pairs import Pairs, SelectedRows, subset, with_positives
from ground.errors import UserError

logger = logging.getLogger(__name__)


@dataclass
class Training:
    """The keys ``train_items``, ``train_unpaired`` and ``train_noise`` of every dataset, in this order.

    Validation and test stay as they are. Of one seed, what a smaller share draws is a part of what a larger one draws.

    Args:
        items: so many x, with their y; None takes all.
        unpaired: the share of the x that lose their y.
        noise: the share of the y that change their x with each other, see ``shuffled``.
        seed: of all three draws.

    Attributes:
        facts: what was done, for the protocol of a run.

    Example:
        >>> pairs = Pairs(torch.eye(10), torch.eye(10), torch.arange(10), torch.arange(10))
        >>> training = Training(items=None, unpaired=0.4, noise=0.5, seed=0)
        >>> fitted = training.of(pairs)
        >>> fitted.n_x, int((fitted.x_of_y != torch.arange(6)).sum())
        (6, 3)
        >>> training.facts
        {'train_unpaired': 0.4, 'train_x_left_out': 4, 'train_noise': 0.5, 'train_y_of_another_x': 3}
    """

    items: int | None
    unpaired: float
    noise: float
    seed: int
    facts: dict[str, str | int | float] = field(default_factory=dict)

    def rows(self, n_x: int) -> Tensor:
        """The x (k,) that are taken of ``n_x``."""
        if self.items is not None:
            self.facts["train_items"] = self.items
        if self.items is None or self.items >= n_x:
            return torch.arange(n_x)
        order = torch.randperm(n_x, generator=torch.Generator().manual_seed(self.seed))
        return order[: self.items].sort().values

    def paired(self, x_of_y: Tensor, n_x: int) -> Tensor:
        """The y (k,) that stay where ``round(unpaired n_x)`` of the x lose theirs; ``x_of_y`` (n_y,).

        Raises:
            UserError: none stays.
        """
        lost = torch.randperm(n_x, generator=_generator(self.seed, 2))[: round(self.unpaired * n_x)]
        kept = (~torch.isin(x_of_y, lost)).nonzero()[:, 0]
        if not len(kept):
            raise UserError(f"datamodule.train_unpaired={self.unpaired} leaves no y in training: lower it")
        self.facts["train_unpaired"] = self.unpaired
        return kept

    def noisy(self, pairs: Pairs) -> Pairs:
        """The pairs, some of whose y belong to another x."""
        if not self.noise:
            return pairs
        x_of_y = shuffled(pairs.x_of_y, pairs.group, self.noise, self.seed)
        moved = int((pairs.group[x_of_y] != pairs.y_group).sum())
        self.facts |= {"train_noise": self.noise, "train_y_of_another_x": moved}
        return Pairs(pairs.x, pairs.y, x_of_y, pairs.group, pairs.label, pairs.domain)

    def of(self, pairs: Pairs) -> Pairs:
        """The training split ``pairs`` as a fit sees it."""
        rows = self.rows(pairs.n_x)
        pairs = pairs if len(rows) == pairs.n_x else subset(pairs, rows)
        if self.unpaired:
            kept = with_positives(of_y(pairs, self.paired(pairs.x_of_y, pairs.n_x)))
            left_out = self.facts["train_x_left_out"] = pairs.n_x - kept.n_x
            logger.warning("train: %d of %d x have no y and are left out", left_out, pairs.n_x)
            pairs = kept
        return self.noisy(pairs)


def of_y(pairs: Pairs, y_index: Tensor) -> Pairs:
    """All x, and of the y those ``y_index`` (k,)."""
    return Pairs(pairs.x, SelectedRows(pairs.y, y_index), pairs.x_of_y[y_index], pairs.group, pairs.label, pairs.domain)


def shuffled(x_of_y: Tensor, group: Tensor, share: float, seed: int) -> Tensor:
    """``x_of_y`` (n_y,) in which ``round(share n_y)`` y, drawn with ``seed``, have changed their x with each other.

    So every x has as many y as before. None of them stays within its ``group`` (n_x,), whose x are all its positives,
    wherever that can be: not where more than half of what is drawn is of one group.

    Example:
        >>> shuffled(torch.arange(6), torch.arange(6), share=0.5, seed=0)
        tensor([0, 1, 2, 4, 5, 3])
    """
    generator = _generator(seed, 3)
    drawn = torch.randperm(len(x_of_y), generator=generator)[: round(share * len(x_of_y))]
    own = group[x_of_y[drawn]]
    order = torch.randperm(len(drawn), generator=generator)
    for i in (own[order] == own).nonzero()[:, 0].tolist():
        if own[order[i]] != own[i]:  # an exchange for another one has solved it
            continue
        fits = ((own != own[i]) & (own[order] != own[i])).nonzero()[:, 0]  # neither of the two stays after an exchange
        if len(fits):
            j = fits[torch.randint(len(fits), (1,), generator=generator)]
            order[i], order[j] = order[j].clone(), order[i].clone()
    result = x_of_y.clone()
    result[drawn] = x_of_y[drawn[order]]
    return result


def _generator(seed: int, number: int) -> torch.Generator:
    """A generator of this draw alone: batches and partners are drawn with the same seed, in other ways."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0]))
