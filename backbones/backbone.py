"""What every frozen encoder is: raw items in, float32 vectors out, and a fingerprint of what shapes them."""

import copy
import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ground.errors import UserError
from ground.ranges import Count
from ground.values import check_constructor, checked

# The memory of a device holds what one batch makes of itself: threads start their batches on it in turns.
_DEVICE = threading.Lock()


class Backbone(nn.Module, ABC):
    """A frozen encoder of one modality.

    Construction is cheap: the network is loaded by the first ``encode``; ``dim`` and ``fingerprint`` read at
    most files. A subclass sets ``modality`` and ``dim`` and writes ``_load``, ``_forward`` and ``_content``, and
    ``_prepare`` where items are made tensors on the CPU; its constructor's arguments are checked against their
    annotations.

    Args:
        batch_size: items in one forward pass.
        device: 'cpu', 'cuda', 'cuda:1', ... or 'auto' (a GPU where there is one).

    Raises:
        UserError: an argument of a wrong type or out of its range.

    Example:
        >>> class MeanColour(Backbone):
        ...     modality, dim = "image", 3
        ...
        ...     def _content(self):
        ...         return "mean over the pixels", []
        ...
        ...     def _load(self):
        ...         return nn.AdaptiveAvgPool2d(1)
        ...
        ...     def _forward(self, network, items):
        ...         return network(torch.stack(items)).flatten(1)
        >>> MeanColour(batch_size=2, device="cpu").encode([torch.ones(3, 4, 4)] * 5).shape
        torch.Size([5, 3])
    """

    modality: str
    n_layers = 1
    """Features of how many layers, of equal width, stand beside each other in a row."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_constructor(cls, "backbone.")

    @checked("backbone.")
    def __init__(self, batch_size: Count, device: str) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.device = _device(device)
        self._network: nn.Module | None = None
        self._fingerprint: str | None = None

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width d of the features."""

    @abstractmethod
    def _load(self) -> nn.Module:
        """The network with its weights, on the CPU."""

    def _prepare(self, items: list[Any]) -> Any:
        """What ``_forward`` is given of one batch: the items, or a tensor, which is moved to the device in between."""
        return items

    @abstractmethod
    def _forward(self, network: nn.Module, items: Any) -> Tensor:
        """Features (b, d) of one batch."""

    @abstractmethod
    def _content(self) -> tuple[str, Iterable[Path]]:
        """What the fingerprint covers beside the class: a description of the preprocessing, and the files."""

    def _order(self, items: Sequence[Any]) -> list[int]:
        """The order of encoding; neighbours share a batch."""
        return list(range(len(items)))

    @property
    def network(self) -> nn.Module:
        """The network: frozen, in eval mode, float32, on ``device``; loaded on first use.

        Raises:
            UserError: there is no such device.
        """
        if self._network is None:
            if self.device.type == "cuda" and (self.device.index or 0) >= torch.cuda.device_count():
                raise UserError(
                    f"backbone.device is {self.device}, torch sees {torch.cuda.device_count()} GPUs: set cpu"
                )
            self._network = self._load().float().requires_grad_(False).eval().to(self.device)
        return self._network

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the class name, the preprocessing and the bytes of weights and vocabulary.

        File names and places do not count. Computed once, without loading the network.
        """
        if self._fingerprint is None:
            description, files = self._content()
            digest = hashlib.sha256(f"{type(self).__name__}\n{description}\n".encode())
            for file in files:
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def too_long(self, items: Sequence[Any]) -> tuple[int, str]:
        """How many of the items are longer than the network takes, and what it does to them: ``cut at 256 tokens``."""
        return 0, ""

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode, whatever ``mode`` says: a backbone is frozen for good."""
        return super().train(False)

    def replicas(self, n: int) -> list[Self]:
        """This backbone and copies of it, ``n`` in all, for as many threads: each with the same weights in memory.

        Raises:
            UserError: the network cannot be loaded.
        """
        shared = {id(tensor): tensor for part in (self.network.parameters(), self.network.buffers()) for tensor in part}
        return [self, *(copy.deepcopy(self, dict(shared)) for _ in range(n - 1))]

    def encode(self, items: Sequence[Any]) -> Tensor:
        """Features (n, d), float32 on the CPU, in the order of ``items``; n may be 0."""
        features = torch.empty(len(items), self.dim)
        order = self._order(items)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            network = self.network.eval()
            with torch.inference_mode():
                prepared = self._prepare([items[i] for i in rows])
                with nullcontext() if self.device.type == "cpu" else _DEVICE:
                    batch = self._forward(network, self._moved(prepared)).float()
            features[rows] = batch.cpu()
        return features

    def _moved(self, prepared: Any) -> Any:
        """What was prepared, on the device; to a GPU by way of memory that it reads by itself."""
        if not isinstance(prepared, Tensor):
            return prepared
        if self.device.type == "cuda":
            return prepared.pin_memory().to(self.device, non_blocking=True)
        return prepared.to(self.device)


def _device(name: str) -> torch.device:
    """Raises a UserError for what is no device."""
    try:
        device = torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    except RuntimeError as error:
        raise UserError(f"backbone.device must be auto, cpu, cuda, cuda:1, ..., got '{name}'") from error
    if device.type not in ("cpu", "cuda", "mps", "xpu"):
        raise UserError(f"backbone.device must be auto, cpu, cuda, cuda:1, ..., got '{name}'")
    return device
