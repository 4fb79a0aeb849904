"""The datamodule that every dataset is, and how it cuts a split into batches."""

from collections.abc import Iterable, Iterator

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from datamodules.pairs import Labelled, Members, PairBatch, Pairs
from distributed import rank_and_world
from errors import UserError


class GroupBatches(Sampler[Tensor]):
    """Batches of whole groups, each x exactly once an epoch over all processes.

    The order is the epoch's own, or with ``reshuffles=False`` the same in all epochs.

    A batch is cut from the shuffled groups of the whole split, and its groups are dealt to the processes: the
    joined batch is the same for any number of processes, and every process has the same number of batches.
    Nothing is padded or repeated, so a process's part may be smaller than another's, or empty.

    Yields the rows of x (b,) of this process's part.
    """

    def __init__(self, group: Tensor, batch_size: int, seed: int, reshuffles: bool = True):
        unique, inverse = torch.unique(group, return_inverse=True)
        self.members = Members(inverse, len(unique))
        self.n_groups = len(unique)
        self.n_batches = min(-(-len(group) // batch_size), self.n_groups)
        self.seed = seed
        self.reshuffles = reshuffles
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        rank, world = rank_and_world()
        # torch's generator on the CPU takes 32 bits of its seed: they have to depend on both
        epoch = self.epoch if self.reshuffles else 0
        mixed = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        for groups in self.cut(generator):
            # in the order of the rows, which a memory map reads faster
            yield self.members.of(groups.sort().values[rank::world])

    def cut(self, generator: torch.Generator) -> Iterable[Tensor]:
        """The numbers of the groups of each batch, over all processes."""
        return torch.randperm(self.n_groups, generator=generator).tensor_split(self.n_batches)


class ShareInOrder(Sampler[Tensor]):
    """This process's share of n rows of x, in order, each row in one process: shares may be uneven."""

    def __init__(self, n: int, batch_size: int):
        self.n = n
        self.batch_size = batch_size

    def _batches(self) -> list[Tensor]:
        rank, world = rank_and_world()
        share = torch.arange(self.n).tensor_split(world)[rank]
        # as many batches as the largest share has: collectives inside a step meet on every process
        largest = -(-self.n // world)
        return list(share.tensor_split(max(1, -(-largest // self.batch_size))))

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._batches())


class PairsDataModule(lightning.LightningDataModule):
    """Yields PairBatches of the training split, and the whole val and test splits for evaluation.

    A dataset sets ``splits`` (train, and where it has them val and test) in ``setup`` and names its two
    modalities; ``protocol`` says what a retrieval number on it means, and goes into ``metrics.json``.

    Args:
        batch_size: x items in a training batch, over all processes.
        eval_batch_size: x items encoded at once for evaluation.
        seed: of the order of the batches, in [0, 2^32).

    Attributes:
        reshuffles: a new order of the training rows in every epoch; an aligner that is solved wants one order.
        shifted: test sets of x under a shift of distribution, by name, for the probe.

    Raises:
        UserError: a size below 1, or a seed out of its range.
    """

    x_name = "x"
    y_name = "y"
    one_modality = False  # both sides are views of one modality: aligners then have one encoder
    label_names: list[str] | None = None

    def __init__(self, batch_size: int, eval_batch_size: int, seed: int):
        super().__init__()
        for name, size in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if not (isinstance(size, int) and size >= 1):
                raise UserError(f"datamodule.{name} must be a whole number of at least 1, got {size}")
        if not (isinstance(seed, int) and 0 <= seed < 2**32):
            raise UserError(f"seed must be a whole number from 0 to {2**32 - 1}, got {seed}")
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.seed = seed
        self.reshuffles = True
        self.splits: dict[str, Pairs] = {}
        self.shifted: dict[str, Labelled] = {}
        self.feature_seconds = 0.0
        self.extracted_items = 0

    @property
    def probe_train(self) -> Labelled | None:
        """What probes of x are fitted on; None without labels."""
        train = self.splits.get("train")
        return None if train is None or train.label is None else Labelled(train.x, train.label)

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

    def train_dataloader(self) -> DataLoader[PairBatch]:
        pairs = self.splits["train"]
        return _loader(pairs, GroupBatches(pairs.group, self.batch_size, self.seed, self.reshuffles))

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
