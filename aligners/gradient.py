"""Aligners whose heads are trained on a contrastive objective of the cosines."""

from typing import Any

from aligners.base.of_cosines import OfCosines
from aligners.base.yaml_defaults import defaults_from
from ground.ranges import Finite, NonNegative


@defaults_from("sgd_clip")
class SGDCLIP(OfCosines):
    """Heads trained on CLIP's loss (Radford et al. 2021), SupCon-out where there are several positives.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> SGDCLIP(rank=4, tau=0.1).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """


@defaults_from("sgd_siglip")
class SGDSigLIP(OfCosines):
    """Heads trained on the sigmoid loss of every pair (Zhai et al. 2023), with a learned temperature and bias.

    ``tau`` and ``bias`` are their values at the start (SigLIP: 0.1 and -10).

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = SGDSigLIP(rank=4, bias=-5.0).fit(x, x.flip(1), max_epochs=2)
        >>> [name for name, parameter in aligner.named_parameters() if parameter.ndim == 0]
        ['log_scale', 'bias']
    """

    def __init__(self, *, bias: Finite, **common: Any):
        super().__init__(objective="siglip", objective_options={"bias": bias}, **common)


@defaults_from("sail")
class SAIL(SGDSigLIP):
    r"""Gated heads trained on the sigmoid loss of every pair (Zhang et al., CVPR 2025).

    .. math:: f(x) = C (\mathrm{relu6}(A x + a) \odot (B x + b)) + c

    and g(y) alike, of ``hidden`` units; all captions of an image are its positives, each a pair of the loss.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> SAIL(rank=4, hidden=16).fit(x, x.flip(1), max_epochs=2).head_x[0]
        Gated(
          (gate): Linear(in_features=8, out_features=16, bias=True)
          (value): Linear(in_features=8, out_features=16, bias=True)
        )
    """


@defaults_from("triplet")
class Triplet(OfCosines):
    """Heads trained on the hinge of every negative of the batch against the positives, both directions.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> Triplet(rank=4, margin=0.2).fit(x, x.flip(1), max_epochs=2).encode_y(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, margin: NonNegative, **common: Any):
        options = {"margin": margin}  # the hinge has no temperature: that of these arguments is not read
        super().__init__(
            objective="triplet", objective_options=options, tau=1.0, learn_tau=False, tau_min=1.0, **common
        )
