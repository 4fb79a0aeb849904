"""Pairs of feature rows of two modalities, their splits, and batches of them."""

from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.balanced import BalancedBatches
from datamodules.pairs.batches import GroupBatches, ShareInOrder
from datamodules.pairs.pairs import (
    FeatureRows,
    Labelled,
    Members,
    PairBatch,
    Pairs,
    Prompts,
    SelectedRows,
    subset,
    with_positives,
)
from datamodules.pairs.splits import SPLITS, drawn_split
from datamodules.pairs.stream import Stream
from datamodules.pairs.training import Training

__all__ = [
    "SPLITS",
    "BalancedBatches",
    "FeatureRows",
    "GroupBatches",
    "Labelled",
    "Members",
    "PairBatch",
    "Pairs",
    "Prompts",
    "SelectedRows",
    "ShareInOrder",
    "Stream",
    "Training",
    "drawn_split",
    "pairs_of_tensors",
    "subset",
    "with_positives",
]
