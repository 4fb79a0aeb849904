"""How wide raw features may be: what is refused before any matrix of their width is allocated."""

from ground.errors import UserError

MOMENTS_BYTES = 4e9
"""The bytes that the second moments of both modalities may take; a solution needs a few times as much."""


def check_width(m_x: int, m_y: int) -> None:
    """Refuse raw features (n, m_x), (n, m_y) whose second moments do not fit into memory.

    Raises:
        UserError: moments of more than ``MOMENTS_BYTES``.

    Example:
        >>> check_width(6144, 6144)
    """
    if not fits(m_x, m_y):
        size = _bytes(m_x, m_y)
        raise UserError(
            f"the second moments of features of dimensions {m_x} and {m_y} take {size / 1e9:.1f} GB, more than "
            f"{MOMENTS_BYTES / 1e9:.0f}: take aligner=unicon with aligner.feature_map=nystrom (its matrices are of "
            "aligner.landmarks, no more than there are rows), a gradient aligner without warm start, or fewer features"
        )


def fits(m_x: int, m_y: int) -> bool:
    """Whether ``check_width`` takes them."""
    return _bytes(m_x, m_y) <= MOMENTS_BYTES


def _bytes(m_x: int, m_y: int) -> float:
    return 8.0 * (m_x * m_x + m_y * m_y + m_x * m_y)
