"""The datamodule that every dataset is, and how it cuts a split into batches."""

from collections.abc import Sequence
from typing import Any

import lightning
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from backbones.audio import Clip
from datamodules.pairs.batches import GroupBatches, ShareInOrder
from datamodules.pairs.pairs import Labelled, PairBatch, Pairs, Prompts
from datamodules.pairs.training import Training
from ground.ranges import Count, Part, Seed
from ground.values import check_constructor, checked


class PairsDataModule(lightning.LightningDataModule):
    """Yields PairBatches of the training split, and the whole val and test splits for evaluation.

    A dataset sets ``splits`` (train, and where it has them val and test) in ``setup`` and names its two
    modalities; ``protocol`` says what a retrieval number on it means, and goes into ``metrics.json``. The arguments of
    a dataset's constructor are checked against their annotations.

    Args:
        batch_size: x items in a training batch, over all processes.
        eval_batch_size: x items encoded at once for evaluation.
        seed: of the order of the batches, and of what is drawn of the training split.
        train_items, train_unpaired, train_noise: what a fit sees of the training split, see ``Training``: all of it as
            it is, where a dataset does not say otherwise.

    Attributes:
        training: what a dataset makes of its training split in ``setup``, by ``training.of(pairs)``.
        shifted: test sets of x under a shift of distribution, by name, for the probe.

    Raises:
        UserError: an argument of a wrong type or out of its range.

    Example:
        >>> import torch
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data = PairsDataModule(batch_size=4, eval_batch_size=8, seed=0)
        >>> data.splits = {"train": pairs_of_tensors(torch.ones(8, 3), torch.ones(8, 2))}
        >>> data.dims, [tuple(batch.x.shape) for batch in data.train_dataloader()]
        ((3, 2), [(4, 3), (4, 3)])
    """

    x_name = "x"
    y_name = "y"
    one_modality = False  # both sides are views of one modality: aligners then have one encoder
    layers = (1, 1)
    """Features of how many layers stand beside each other in a row of x and of y."""
    label_names: list[str] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_constructor(cls, "datamodule.")

    @checked("datamodule.")
    def __init__(
        self,
        batch_size: Count,
        eval_batch_size: Count,
        seed: Seed,
        train_items: Count | None = None,
        train_unpaired: Part = 0.0,
        train_noise: Part = 0.0,
    ):
        super().__init__()
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.seed = seed
        self.training = Training(train_items, train_unpaired, train_noise, seed)
        self.splits: dict[str, Pairs] = {}
        self.shifted: dict[str, Labelled] = {}
        self.feature_seconds = 0.0
        self.extracted_items = 0

    @property
    def probe_train(self) -> Labelled | None:
        """What probes of x are fitted on; None without labels."""
        train = self.splits.get("train")
        return None if train is None or train.label is None else Labelled(train.x, train.label)

    def class_prompts(self, templates: Sequence[str]) -> Prompts | None:
        """Features of texts about the classes of ``label_names``, said by ``templates``; None where there are none."""
        return None

    @property
    def domain_train(self) -> Labelled | None:
        """What probes of the domain of x are fitted on, the domains as its labels; None without domains."""
        train = self.splits.get("train")
        return None if train is None or train.domain is None else Labelled(train.x, train.domain)

    @property
    def coco_ids(self) -> tuple[Tensor, Tensor] | None:
        """COCO's numbers of the images (n_x,) and captions (n_y,) of the test split, where it is of COCO."""
        return None

    @property
    def dims(self) -> tuple[int, int]:
        """(d_x, d_y)."""
        return self.splits["train"].dims

    @property
    def protocol(self) -> dict[str, str | int | float]:
        return {}

    def prepare_data(self) -> None:
        """Find mistakes in the data before processes are started and anything is computed."""
        self.setup("fit")

    def describe_x(self, split: str, index: int) -> str | object:
        """What a person sees of item ``index`` of x: a PIL image or a text."""
        return f"{self.x_name} {index}"

    def describe_y(self, split: str, index: int) -> str:
        """What a person sees of item ``index`` of y."""
        return f"{self.y_name} {index}"

    def sound_x(self, split: str, index: int) -> Clip | None:
        """Item ``index`` of x, where it is a sound."""
        return None

    def sound_y(self, split: str, index: int) -> Clip | None:
        """Item ``index`` of y, where it is a sound."""
        return None

    def name_x(self, split: str, index: int) -> str:
        """What item ``index`` of x is called where it is shown as a picture: its file's name, say."""
        return f"{self.x_name} {index}"

    @property
    def describes(self) -> bool:
        """Whether the descriptions say more than a number: of features alone there is nothing to see."""
        kind = type(self)
        return (kind.describe_x, kind.describe_y) != (PairsDataModule.describe_x, PairsDataModule.describe_y)

    def train_dataloader(self) -> DataLoader[PairBatch]:
        pairs = self.splits["train"]
        return _loader(pairs, GroupBatches(pairs.group, self.batch_size, self.seed))

    def val_dataloader(self) -> DataLoader[PairBatch]:
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[PairBatch]:
        return self._eval_loader("test")

    def _eval_loader(self, split: str) -> DataLoader[PairBatch]:
        pairs = self.splits[split]
        return _loader(pairs, ShareInOrder(pairs.n_x, self.eval_batch_size))


def _loader(pairs: Pairs, sampler: Sampler[Tensor]) -> DataLoader[PairBatch]:
    # the sampler yields whole batches of rows, so one read of the (memory-mapped) rows makes a batch
    return DataLoader(pairs, batch_size=None, sampler=sampler)  # type: ignore[arg-type]
