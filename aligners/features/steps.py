"""Encoding a row, step by step, as plain data: what is left of a fit where the project is not at hand."""

from typing import Any, NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """One operation on rows (n, d): its name, its tensors and its numbers and names.

    - ``centre``: less the ``mean`` (d,) float64, in two parts, so that rows far from 0 lose no digits;
    - ``unit``: each of the ``layers`` equal parts of a row to length 1, then the row;
    - ``scale``: times ``by``;
    - ``double``, ``float``: to float64, to float32;
    - ``kernel``: the values of ``kernel`` at ``bandwidth`` with ``landmarks`` (m, d), as ``aligners.features.kernels``;
    - ``random``: random features of ``kernel`` at ``bandwidth`` from ``frequencies``, as ``aligners.features.random``;
    - ``less``: less ``origin`` (m,);
    - ``linear``: times ``weight`` (m, r), plus ``bias`` (r,);
    - ``gelu``: x times the Gaussian's distribution function at x;
    - ``gated``: ``relu6(row A + a) * (row B + b)``, relu6 what is below 0 at 0, what is above 6 at 6;
    - ``adapter``: the row plus ``gelu(row A + a) B + b``;
    - ``remember``: the row at length 1, and beside it ``sqrt(weight)`` times the profile of the features that came in,
      as ``aligners.features.anchors``; ``anchors`` (m per_item, d) are those of one item after the other.

    Example:
        >>> Step("scale", values={"by": 2.0})
        Step(op='scale', tensors={}, values={'by': 2.0})
    """

    op: str
    tensors: dict[str, Tensor] = {}  # noqa: RUF012 - of a NamedTuple, never written to
    values: dict[str, Any] = {}  # noqa: RUF012
