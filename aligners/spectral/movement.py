"""What a solution is like and how far it moved: its norm, and its angles to the one before."""

import torch
from torch import Tensor

from aligners.spectral.factors import Factors


def principal_angles(A: Tensor, B: Tensor) -> Tensor:
    """The principal angles between the column spaces of A (m, k) and B (m, l), in degrees, the largest first.

    min(k, l) of them, both of full column rank. By cosines and sines (Bjorck and Golub 1973): to rounding at any size.

    Example:
        >>> eye = torch.eye(3, dtype=torch.float64)
        >>> turned = torch.stack([eye[0], (eye[1] + eye[2])], 1)
        >>> [round(angle, 6) for angle in principal_angles(eye[:, :2], turned).tolist()]
        [45.0, 0.0]
    """
    if A.shape[1] < B.shape[1]:
        A, B = B, A
    Q_A, Q_B = torch.linalg.qr(A).Q, torch.linalg.qr(B).Q
    inside = Q_A.T @ Q_B
    cosines = torch.linalg.svdvals(inside).flip(0)
    sines = torch.linalg.svdvals(Q_B - Q_A @ inside)
    return torch.rad2deg(torch.atan2(sines, cosines))


def movement(factors: Factors, former: Factors | None) -> dict[str, float]:
    r"""The norm of a solution, and its angles to the ``former`` one of the same coordinates, where there is one.

    ``model_norm`` is :math:`\|Z\|_F = \|s\|` of :math:`Z = U \mathrm{diag}(s) V^T`. ``largest_angle_x`` and
    ``mean_angle_x`` are of the principal angles, in degrees, between the spaces of both U, the columns of the x head in
    whitened coordinates: there the cosine of an angle is a correlation over the training items, up to the ridge.
    ``largest_angle_y`` and ``mean_angle_y`` are V's. Directions whose singular value is 0 do not count.

    Example:
        >>> eye = torch.eye(3, dtype=torch.float64)
        >>> at_1, at_2 = (Factors(eye[:, [i]], torch.tensor([0.5]), eye[:, [0]], gap=2.0) for i in (1, 2))
        >>> movement(at_1, None)
        {'model_norm': 0.5}
        >>> {key: round(value) for key, value in movement(at_2, at_1).items() if "largest" in key}
        {'largest_angle_x': 90, 'largest_angle_y': 0}
    """
    told = {"model_norm": float(factors.s.norm())}
    if former is None:
        return told
    for side, here, there in (("x", factors.U, former.U), ("y", factors.V, former.V)):
        angles = principal_angles(here[:, factors.s > 0], there[:, former.s > 0])
        told |= {f"largest_angle_{side}": float(angles[0]), f"mean_angle_{side}": float(angles.mean())}
    return told
