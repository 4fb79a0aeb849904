"""The gated layer of SAIL's heads."""

from torch import Tensor, nn
from torch.nn.functional import relu6

from aligners.features.steps import Step


class Gated(nn.Module):
    r"""A gated linear layer, (n, d) to (n, h): a clipped rectifier opens and shuts what a second map gives.

    .. math:: \mathrm{relu6}(A x + a) \odot (B x + b), \quad \mathrm{relu6}(t) = \min(\max(t, 0), 6)

    A head is this and a linear layer after it (Zhang et al., CVPR 2025, "Assessing and Learning Alignment of Unimodal
    Vision and Language Models"; the formula is that of the released code).

    Example:
        >>> import torch
        >>> layer = Gated(1, 1)
        >>> for linear, weight in ((layer.gate, 2.0), (layer.value, 3.0)):
        ...     _ = nn.init.constant_(linear.weight, weight), nn.init.zeros_(linear.bias)
        >>> layer(torch.tensor([[-1.0], [1.0], [4.0]])).flatten().tolist()  # the gates are 0, 2 and 6
        [-0.0, 6.0, 72.0]
    """

    def __init__(self, d: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(d, hidden)
        self.value = nn.Linear(d, hidden)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = relu6(self.gate(x)) * self.value(x)
        return gated

    def step(self) -> Step:
        """What ``forward`` does."""
        layers = {"A": self.gate.weight.T, "a": self.gate.bias, "B": self.value.weight.T, "b": self.value.bias}
        return Step("gated", layers)
