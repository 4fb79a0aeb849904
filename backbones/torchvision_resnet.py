"""ResNets of torchvision with their official ImageNet weights."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from backbones.backbone import Backbone
from backbones.images import middle, to_rgb
from backbones.weights import local_path, state_dict, url_file
from ground.errors import UserError, nearest
from ground.ranges import Count, one_of

DIMS = {"resnet18": 512, "resnet50": 2048}


class TorchvisionResNet(Backbone):
    """Pooled features of a ResNet, before the classifier: 512-d (resnet18) or 2048-d (resnet50).

    Args:
        arch: 'resnet18' or 'resnet50'.
        pretrained: the official weights, such as 'IMAGENET1K_V1'; they also say the preprocessing.
        weights: a local state dict (.safetensors, .pth) or None: torchvision's own file, from torch's cache.
        download: whether that file may be downloaded when the cache lacks it.
        size: side in pixels of the square that the network sees, to which the short side of the image is resized;
            None: the official resizing and crop, 224.

    Raises:
        UserError: an argument out of its range; on first use, an unknown ``pretrained``, or missing weights.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from torchvision.models import resnet18
        >>> with TemporaryDirectory() as folder:
        ...     torch.save(resnet18().state_dict(), f"{folder}/own.pth")
        ...     backbone = TorchvisionResNet(
        ...         "resnet18", "IMAGENET1K_V1", f"{folder}/own.pth", False, size=64, batch_size=8, device="cpu"
        ...     )
        ...     features = backbone.encode([Image.new("RGB", (90, 60), "red")])
        >>> features.shape
        torch.Size([1, 512])
    """

    modality = "image"

    def __init__(
        self,
        arch: Annotated[str, one_of(DIMS)],
        pretrained: str,
        weights: str | None,
        download: bool,
        size: Count | None,
        batch_size: Count,
        device: str,
    ) -> None:
        super().__init__(batch_size, device)
        self.arch, self.pretrained, self.weights, self.download = arch, pretrained, weights, download
        self._size = size

    @property
    def dim(self) -> int:
        return DIMS[self.arch]

    @property
    def size(self) -> int:
        """Side in pixels of the square that the network sees."""
        return int(self._transform().crop_size[0])

    def _transform(self) -> Any:
        official = self._official().transforms
        return official() if self._size is None else official(crop_size=self._size, resize_size=self._size)

    def _official(self) -> Any:
        from torchvision.models import get_model_weights

        known = get_model_weights(self.arch).__members__
        if self.pretrained not in known:
            raise UserError(f"unknown {self.arch} weights '{self.pretrained}': {nearest(self.pretrained, known)}")
        return known[self.pretrained]

    def _file(self) -> Path:
        if self.weights is not None:
            return local_path(self.weights)
        url = self._official().url
        digest = url.removesuffix(".pth").rpartition("-")[2]
        return url_file(f"{self.arch}/{self.pretrained}", url, self.download, digest)

    def _content(self) -> tuple[str, Iterable[Path]]:
        return f"{self.arch} {self.dim}, rgb on white, {self._transform()}", [self._file()]

    def _load(self) -> nn.Module:
        from torchvision.models import get_model

        network: nn.Module = get_model(self.arch, weights=None)
        network.fc = nn.Identity()
        tensors = {k: v for k, v in state_dict(self._file()).items() if not k.startswith("fc.")}
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise UserError(f"backbone weights: {self._file()} is not a state dict of {self.arch}") from error
        self.transform = self._transform()
        return network

    def _prepare(self, items: list[Any]) -> Tensor:
        return torch.stack([self.transform(middle(to_rgb(image))) for image in items])

    def _forward(self, network: nn.Module, items: Tensor) -> Any:
        return network(items)
