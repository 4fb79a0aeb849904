"""The contrastive objectives, as pure functions of the similarities and the positives.

Called with ``similarity`` (n_x, n_y) and ``positives`` (n_x, n_y) bool, rectangular and many-to-many, an
objective is a scalar loss; ``weights`` is the contrastive similarity weight matrix S = -dL/ds (n_x, n_y) of
UniCon (Sui, Wang, Do, ICLR 2026, Eq. 3-6). ``aligners.objectives.base`` says what an objective is.
"""

from aligners.objectives.base import FromRows, Objective
from aligners.objectives.general import GeneralContrastive
from aligners.objectives.names import OBJECTIVES, chosen_objective, named_objective
from aligners.objectives.pairwise import SigLIP, Triplet
from aligners.objectives.plans import domain_plan, positive_plan
from aligners.objectives.robust import GCARINCE, GCAUOT, RINCE
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from aligners.objectives.sweep import Contrast, Contrasted
from aligners.objectives.transport import GCAINCE, IOT, IOTUni, Transport, gca_ince
from aligners.objectives.whole import FromLoss, WholeObjective

__all__ = [
    "CLIP",
    "DCL",
    "GCAINCE",
    "GCARINCE",
    "GCAUOT",
    "IOT",
    "OBJECTIVES",
    "RINCE",
    "Contrast",
    "Contrasted",
    "FromLoss",
    "FromRows",
    "GeneralContrastive",
    "IOTUni",
    "InfoNCE",
    "Objective",
    "SigLIP",
    "Transport",
    "Triplet",
    "UniCon",
    "WholeObjective",
    "chosen_objective",
    "domain_plan",
    "gca_ince",
    "named_objective",
    "positive_plan",
]
