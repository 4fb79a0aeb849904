"""Ridge: regression of one modality on the other, in either direction or both."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.yaml_defaults import defaults_from
from aligners.closed_form import MomentAligner
from aligners.features.steps import Step
from aligners.spectral.coordinates import Projector, Statistics
from aligners.spectral.factors import Factors
from aligners.spectral.passes import Solved
from aligners.spectral.whitening import Whitening
from datamodules.pairs.pairs import Pairs
from ground.ranges import NonNegative


@defaults_from("ridge")
class Ridge(MomentAligner):
    r"""Ridge regression (Hoerl and Kennard 1970) of one modality on the other, compared with it by the cosine.

    .. math:: B = (\Sigma_x + \lambda t_x I)^{-1} \Sigma_{xy}, \quad f(x) = (x - \mu_x) B, \quad g(y) = y - \mu_y

    for ``direction`` x_to_y, the same with x and y exchanged for y_to_x, t the mean variance. With ``both`` the score
    of a pair is the mean of the two cosines: each embedding has the two parts side by side, each of length
    :math:`1/\sqrt 2`, the shorter filled up with zeros. The rank is the number of columns: :math:`m_y`, :math:`m_x`,
    or :math:`2 \max(m_x, m_y)`.

    Raises:
        UserError: features that do not vary, or a covariance that is singular at ``lam``.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = Ridge(direction="x_to_y", lam=1e-6, unit=False).fit(x, x[:, :6])
        >>> torch.allclose(aligner.encode_x(x), aligner.encode_y(x[:, :6]), atol=1e-4)
        True
    """

    def __init__(self, *, direction: Literal["x_to_y", "y_to_x", "both"], lam: NonNegative, **common: Any):
        super().__init__(rank=1, shared=False, lam=lam, weight_power=0.0, **common)  # the rank is the data's
        self.direction = direction

    def build(self, d_x: int, d_y: int) -> None:
        self.rank = {"x_to_y": d_y, "y_to_x": d_x, "both": 2 * max(d_x, d_y)}[self.direction]
        super().build(d_x, d_y)

    def rank_bound(self, train: Pairs) -> None:
        """None: the rank is the data's."""

    def solution(self, statistics: Statistics) -> Solved:
        W_x, W_y, mean_x, mean_y, _ = statistics.coordinates(self.lam)
        cross, eye = statistics.cross, torch.eye(max(statistics.cross.shape)).to(statistics.cross)
        m_x, m_y = cross.shape
        to_y = _fitted(W_x, cross), eye[:m_y, :m_y]
        to_x = eye[:m_x, :m_x], _fitted(W_y, cross.T)
        if self.direction == "both":
            P_x, P_y = (torch.cat([_wide(part, len(eye)) for part in side], 1) for side in zip(to_y, to_x, strict=True))
        else:
            P_x, P_y = to_y if self.direction == "x_to_y" else to_x
        self.rank = P_x.shape[1]
        factors = Factors(P_x, torch.ones_like(P_x[0]), P_y, gap=1.0)
        return Solved(Projector(P_x, P_y, mean_x @ P_x, mean_y @ P_y), factors)

    def embed_x(self, x: Tensor) -> Tensor:
        return self._joined(super().embed_x(x))

    def embed_y(self, y: Tensor) -> Tensor:
        return self._joined(super().embed_y(y))

    def _joined(self, parts: Tensor) -> Tensor:
        if self.direction != "both":
            return parts
        unit: Tensor = normalize(parts.unflatten(1, (2, -1)), dim=2)
        return unit.flatten(1) / 2**0.5

    def embedding_steps(self, side: str) -> list[Step]:
        joined = [Step("unit", values={"layers": 2})] if self.direction == "both" else []
        return [*super().embedding_steps(side), *joined]


def _fitted(W: Whitening, cross: Tensor) -> Tensor:
    r""":math:`(\Sigma + \lambda t I)^{-1}` times the cross-covariance (m, l)."""
    return W @ (W.T @ cross)


def _wide(columns: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(columns, (0, width - columns.shape[1]))
