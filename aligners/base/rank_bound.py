"""The largest rank that the data allow, known before anything is fitted on them."""

from typing import NamedTuple

from torch import unique

from datamodules.pairs.pairs import Pairs
from ground.errors import UserError


class RankBound(NamedTuple):
    """No rank above ``most``, and ``why``, as a phrase.

    Example:
        >>> try:
        ...     RankBound(3, "features of 8 and 3 dimensions").check(rank=5)
        ... except UserError as error:
        ...     print(error)
        rank 5 is above what the data allows: features of 8 and 3 dimensions; set aligner.rank=3 or less
    """

    most: int
    why: str

    def check(self, rank: int) -> None:
        """Compare a rank; where not even 1 is allowed, the fit itself says what is wrong with the data.

        Raises:
            UserError: a rank above ``most``.
        """
        if rank > self.most > 0:
            raise UserError(
                f"rank {rank} is above what the data allows: {self.why}; set aligner.rank={self.most} or less"
            )


def groups_bound(dims: tuple[int, int], train: Pairs, less: int, features: str = "features") -> RankBound:
    r"""What a solution from the moments of positives allows: :math:`\min(m_x, m_y, G - less)` of G groups.

    The weights of positives are the same within a group, and so of rank G; where the means are taken off, it is
    one ``less``. ``dims`` are (m_x, m_y), of what is called ``features``.
    """
    n_groups = len(unique(train.y_group))
    most = min(*dims, n_groups - less) if n_groups > 1 else 0  # one group alone is told as such
    return RankBound(most, f"{features} of {dims[0]} and {dims[1]} dimensions in {n_groups} groups")


def heads_bound(dims: tuple[int, int], shared: bool, kind: str) -> RankBound:
    r"""What heads on ``dims`` inputs have a use for: :math:`d_x + d_y` dimensions, or with one shared head d.

    All inner products of :math:`W_x x` and :math:`W_y y` are those of r-dimensional embeddings, with r the rank of
    :math:`(W_x, W_y)`.
    """
    most = dims[0] if shared else sum(dims)
    return RankBound(most, f"{kind} heads of {dims[0]} and {dims[1]} inputs have no use for more than {most}")
