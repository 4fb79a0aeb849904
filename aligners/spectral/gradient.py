r"""The exact gradient of the objective in the heads, which the solver's fixed point does not make zero.

A pass follows ``sum_ij S_ij <a_i, b_j>`` of unnormalised embeddings. The objective is one of cosines, and its gradient
in a head M_x, :math:`a_i = M_x^T \psi(x_i)`, has the part along each embedding taken out:

.. math:: \nabla_{M_x} L = -\Psi_x^T G_x, \quad
          G_{x,i} = \big((S \hat B)_i - \hat a_i \hat a_i^T (S \hat B)_i\big) / |a_i|
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives.sweep import Contrast, Contrasted, WholeContrast

SMALLEST = 1e-12
"""A length that is taken in the place of 0, as ``normalize`` does."""


def cosine_gradients(contrast: Contrast | WholeContrast, a: Tensor, b: Tensor, at: Contrasted) -> tuple[Tensor, Tensor]:
    """G_x (n_x, r) and G_y (n_y, r): minus the objective's gradient in embeddings a (n_x, r) and b (n_y, r).

    Example:
        >>> from aligners.objectives import CLIP
        >>> contrast = Contrast(CLIP(tau=1.0), torch.arange(2), torch.arange(2), block_size=2**20)
        >>> a, b = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> G_x, _ = cosine_gradients(contrast, a, b, contrast.value(a, b))
        >>> (G_x * a).sum(1)  # a longer embedding changes no cosine
        tensor([0., 0.])
    """
    unit_a, unit_b = normalize(a), normalize(b)
    SB, StA = contrast.products(a, b, unit_a, unit_b, at)
    return _across(SB, unit_a, a), _across(StA, unit_b, b)


def relative_norm(gradients: tuple[Tensor, Tensor], heads: tuple[Tensor, Tensor], shared: bool) -> float:
    """The norm of the gradient in both heads, each in units of its head's length: it is free of their scale.

    ``gradients`` and ``heads`` are (m_x, r) and (m_y, r); with ``shared`` both sides have one head.
    """
    if shared:
        gradients, heads = (gradients[0] + gradients[1],), heads[:1]  # type: ignore[assignment]
    squares = [(g.norm() * M.norm()) ** 2 for g, M in zip(gradients, heads, strict=True)]
    return float(torch.stack(squares).sum().sqrt())


def _across(rows: Tensor, unit: Tensor, embeddings: Tensor) -> Tensor:
    lengths = embeddings.norm(dim=1, keepdim=True).clamp_min(SMALLEST)
    across: Tensor = (rows - unit * (unit * rows).sum(1, keepdim=True)) / lengths
    return across
