r"""What a contrastive objective is: row losses, the same over columns, and the weights S = -dL/ds.

.. math:: L(s; P) = \frac{1}{2 n_x} \sum_i \ell(s_{i\cdot}, P_{i\cdot})
                  + \frac{1}{2 n_y} \sum_j \ell(s_{\cdot j}, P_{\cdot j})

``Objective`` has this form, so that a solver can sweep blocks of rows and of columns without ever holding the
whole matrix. ``FromRows`` makes one of any row loss; a ``WholeObjective``, as ``FromLoss`` makes, is no sum over rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""Similarities and positives, (b, n) or (n_x, n_y), to losses."""


class Objective(ABC):
    """A contrastive loss that is a sum over rows (and, if ``symmetric``, the same over columns).

    One with a temperature takes ``tau`` in its constructor. Of its other arguments, a gradient aligner learns those
    that ``learned`` names, from the values that they are given.

    Example:
        >>> class Alignment(Objective):
        ...     def rows(self, similarity, positives):
        ...         return -(similarity * positives).sum(1)
        >>> Alignment()(torch.eye(2), torch.eye(2).bool())
        tensor(-1.)
        >>> Alignment().weights(torch.eye(2), torch.eye(2).bool())
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """

    symmetric = True
    has_rows = True
    """Whether it is a sum over rows, and so can be swept by blocks."""
    learned: tuple[str, ...] = ()

    @abstractmethod
    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """Loss of each row: (b, n) similarities and positives to (b,)."""

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """Minus the derivative of ``rows(...).sum()``: (b, n). By autograd where a child has no closed form."""
        return minus_gradient(lambda s, p: self.rows(s, p).sum(), similarity, positives)

    def __call__(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """The loss, a scalar.

        Raises:
            ValueError: shapes that differ, or a row or column without a positive.
        """
        check_pairs(similarity, positives)
        loss = self.rows(similarity, positives).mean()
        if self.symmetric:
            loss = (loss + self.rows(similarity.T, positives.T).mean()) / 2
        return loss

    def of_cosines(self, cosines: Tensor, positives: Tensor, scale: Tensor) -> Tensor:
        """The loss at temperature ``1 / scale``, a scalar tensor, in the scale in which a temperature can be learned.

        A value at tau that is tau times a mean of logarithms falls with tau alone. So the objective is the one made at
        tau 1, and the cosines (n_x, n_y) are scaled; one whose temperature is more than a scale (the entropy of a
        transport plan) overrides this.
        """
        return self(scale * cosines, positives)

    def weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """S = -dL/ds, (n_x, n_y).

        Raises:
            ValueError: shapes that differ, or a row or column without a positive.
        """
        check_pairs(similarity, positives)
        n_x, n_y = similarity.shape
        weights = self.row_weights(similarity, positives) / n_x
        if self.symmetric:
            weights = (weights + self.row_weights(similarity.T, positives.T).T / n_y) / 2
        return weights


class FromRows(Objective):
    """The objective of a differentiable row loss, its weights by autograd.

    ``row_loss`` maps similarities and positives (b, n) to (b,), each loss a function of its own row alone.

    Raises:
        ValueError: from every call, where ``row_loss`` returns another shape.

    Example:
        >>> margin = FromRows(lambda s, p: (1 - s[p]).relu(), symmetric=False)
        >>> margin(torch.eye(2) / 2, torch.eye(2).bool())
        tensor(0.5000)
    """

    def __init__(self, row_loss: LossFunction, symmetric: bool):
        self.row_loss = row_loss
        self.symmetric = symmetric

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        losses = self.row_loss(similarity, positives)
        if losses.shape != similarity.shape[:1]:
            raise ValueError(f"a row loss must give one number a row, {len(similarity)}, got {tuple(losses.shape)}")
        return losses


def minus_gradient(loss: LossFunction, similarity: Tensor, positives: Tensor) -> Tensor:
    """Minus the gradient of a scalar loss in the similarities, under ``no_grad`` and inference mode as well."""
    with torch.inference_mode(False), torch.enable_grad():
        # copies: autograd saves no tensor that was made in inference mode
        leaf = similarity.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf, positives.clone()), leaf)
    return -gradient


def check_pairs(similarity: Tensor, positives: Tensor) -> None:
    """Refuse what is no problem of pairs.

    Raises:
        ValueError: shapes that differ, or a row or column without a positive.
    """
    if similarity.shape != positives.shape:
        raise ValueError(
            f"similarity and positives must have one shape, got {tuple(similarity.shape)} and {tuple(positives.shape)}"
        )
    if not (positives.any(dim=1).all() and positives.any(dim=0).all()):
        raise ValueError("every row and every column needs at least one positive")
