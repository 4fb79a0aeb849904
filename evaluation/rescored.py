"""How a test is scored: by the rule of the run, with what other rules give beside."""

from dataclasses import replace
from typing import Literal, NamedTuple

from datamodules.base.datamodule import PairsDataModule
from evaluation.correction import Correction, Space
from evaluation.judged import Judged, Scored
from evaluation.retrieval import ranks_both_ways, rates_both_ways
from evaluation.scoring import COSINE

RuleName = Literal["cosine", "inverted_softmax", "nnn", "csls", "sinkhorn"]
"""``cosine`` is the aligner's own score, where it has one."""


class Remembering(NamedTuple):
    """Where items are scored with an aligner's memory, and a test's rows there.

    Example:
        >>> import torch
        >>> from evaluation.scoring import COSINE
        >>> rows = Scored(torch.eye(2), torch.eye(2), COSINE)
        >>> Remembering(Space(torch.clone, torch.clone, COSINE), rows).rows.x.shape
        torch.Size([2, 2])
    """

    space: Space
    rows: Scored


class Rescored:
    """The rule that a test's items are ranked by, and those that are compared with it.

    Example:
        >>> import torch
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data, x = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0), torch.eye(3)
        >>> data.splits["test"] = pairs_of_tensors(x, x)
        >>> judged = Judged(x, x, "test", data, torch.clone, torch.clone, block_size=8)
        >>> rule = Correction("test", items=9, neighbours=2, weights=[1], temperatures=[1], iterations=9)
        >>> _, beside, said = Rescored("csls", [], rule)(judged, None, data)
        >>> beside, said["scoring"]
        ({'cosine/mean_recall': 100.0}, 'csls, transductive: the test queries are its bank')
    """

    def __init__(self, rule: RuleName, also: list[RuleName], correction: Correction):
        self.rule = rule
        self.rules = dict.fromkeys(["cosine", rule, *also])
        self.correction = correction

    def __call__(
        self, judged: Judged, remembering: Remembering | None, own: PairsDataModule
    ) -> tuple[Judged, dict[str, float], dict[str, str | float]]:
        """``judged`` with what its items are ranked by, the mean recalls of others, and what the protocol says.

        A mean recall is under the name of its rule; with a memory under ``memory/`` and the name; of a bank of test
        queries under ``transductive/``. That of the rule of the run itself is not among them.

        Args:
            judged: a test's embeddings.
            remembering: None where the aligner has no memory.
            own: the datamodule of the fit.

        Raises:
            UserError: as ``Correction.corrected``.
        """
        encode_x, encode_y, scorer = judged.encode_x, judged.encode_y, judged.scorer
        plain = Remembering(Space(encode_x, encode_y, scorer, plain=scorer), Scored(judged.x, judged.y, scorer))
        spaces = {"": plain} if remembering is None else {"": plain, "memory/": remembering}
        beside: dict[str, float] = {}
        said: dict[str, str | float] = {}
        for prefix, (space, rows) in spaces.items():
            for rule in self.rules:
                scored = rows
                says: dict[str, str | float] = {"scoring": "cosine" if judged.scorer is COSINE else "the aligner's own"}
                if rule != "cosine":
                    scored, says = self.correction.corrected(rule, space, rows, own, judged.block_size)
                if rule == self.rule and (remembering is None or prefix):  # the last of them
                    judged, said = replace(judged, ranked=scored), says
                else:
                    beside[f"{prefix}{self.key(rule)}/mean_recall"] = _mean_recall(scored, judged)
        if remembering is not None:
            said["memory"] = "training items, weighed on validation"
        return judged, beside, said

    def key(self, rule: str) -> str:
        """What a metric of the rule is called: a bank of test queries is told."""
        return f"transductive/{rule}" if rule != "cosine" and self.correction.bank == "test" else rule


def _mean_recall(scored: Scored, judged: Judged) -> float:
    pairs, (x, y, scorer) = judged.pairs, scored
    ranks = ranks_both_ways(x, y, pairs.group, pairs.y_group, *judged.names, judged.block_size, scorer)
    return rates_both_ways(ranks)["mean_recall"]
