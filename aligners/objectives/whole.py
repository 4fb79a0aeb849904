"""Objectives that are no sum over rows: under gradient aligners, and over the pairs of a batch."""

from abc import abstractmethod

from torch import Tensor

from aligners.objectives.base import LossFunction, Objective, check_pairs, minus_gradient
from ground.errors import UserError


class WholeObjective(Objective):
    """A contrastive loss that is no sum over rows: ``whole`` is the loss, its weights are by autograd.

    It runs under gradient aligners and with ``negatives=batch``; it cannot be swept by blocks of rows.

    Example:
        >>> import torch
        >>> class Alignment(WholeObjective):
        ...     def whole(self, similarity, positives):
        ...         return -similarity[positives].mean()
        >>> Alignment()(torch.eye(2), torch.eye(2).bool())
        tensor(-1.)
    """

    has_rows = False
    streamed = False
    """Whether ``aligners.objectives.streamed`` knows it over all pairs, by tiles."""

    @abstractmethod
    def whole(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """The loss, a scalar, of similarities and positives (n_x, n_y)."""

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        raise UserError(
            f"{type(self).__name__} is no sum over rows, which a sweep over all pairs needs: "
            "take aligner.negatives=batch, or a gradient aligner"
        )

    def __call__(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """The loss, a scalar.

        Raises:
            ValueError: shapes that differ, a row or column without a positive, or a loss that is no scalar.
        """
        check_pairs(similarity, positives)
        loss = self.whole(similarity, positives)
        if loss.ndim:
            raise ValueError(f"a loss must be a scalar, got shape {tuple(loss.shape)}")
        return loss

    def weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """S = -dL/ds, (n_x, n_y); raises as the call does."""
        return minus_gradient(self, similarity, positives)


class FromLoss(WholeObjective):
    """The objective of any differentiable ``loss(similarity, positives)``, a scalar of the whole matrices.

    Example:
        >>> import torch
        >>> alignment = FromLoss(lambda s, p: -s[p].mean())
        >>> alignment.weights(torch.zeros(2, 2), torch.eye(2).bool()).diagonal()
        tensor([0.5000, 0.5000])
    """

    def __init__(self, loss: LossFunction):
        self.loss = loss

    def whole(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return self.loss(similarity, positives)
