"""Raw feature rows of some items."""

from typing import NamedTuple

from torch import Tensor


class Rows(NamedTuple):
    """Raw feature rows of some items, and who is whose positive."""

    x: Tensor  # (b, m_x)
    y: Tensor  # (c, m_y)
    x_group: Tensor  # (b,)
    y_group: Tensor  # (c,)
    x_index: Tensor  # (b,) their places in the split
    y_index: Tensor  # (c,)
