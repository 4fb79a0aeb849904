"""The audio encoder of Wav2CLIP."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.audio import RESAMPLER, resampled, windows
from backbones.backbone import Backbone
from backbones.weights import local_path, state_dict, url_file
from ground.errors import UserError
from ground.ranges import Count

URL = "https://github.com/descriptinc/lyrebird-wav2clip/releases/download/v0.1.0-alpha/Wav2CLIP.pt"
RATE, WINDOW, HOP = 16_000, 512, 353  # Hz, samples, samples
LONGEST = 60  # seconds of one window
PARTS = {"encoder": "audio_encoder.", "transform": "audio_transform.sequential."}  # here, in the official checkpoint


class Wav2Clip(Backbone):
    """Embeddings (n, 512) of Wav2CLIP, not normalised, in the space of CLIP ViT-B/32 images (arXiv:2110.11499).

    A clip is encoded whole, as by the package ``wav2clip``; longer than 60 s, in windows of 60 s that overlap evenly,
    whose embeddings are averaged; shorter than 32 ms, filled up with zeros.

    Args:
        weights: a local checkpoint (.pt or .safetensors), or None: the official file ``Wav2CLIP.pt`` of torch's cache.
        download: whether that file may be downloaded when the cache lacks it.

    Raises:
        UserError: on first use, for missing weights or another checkpoint.

    Example:
        >>> backbone = Wav2Clip(None, download=False, batch_size=8, device="cpu")
        >>> backbone.modality, backbone.dim
        ('audio', 512)
    """

    modality = "audio"
    dim = 512

    def __init__(self, weights: str | None, download: bool, batch_size: Count, device: str) -> None:
        super().__init__(batch_size, device)
        self.weights, self.download = weights, download

    def _file(self) -> Path:
        if self.weights is not None:
            return local_path(self.weights)
        return url_file("Wav2CLIP", URL, self.download, None)

    def _content(self) -> tuple[str, Iterable[Path]]:
        return f"{RESAMPLER} to {RATE} Hz, mean of even windows of {LONGEST} s", [self._file()]

    def _load(self) -> nn.Module:
        network, file = Wav2ClipNetwork(), self._file()
        tensors = {
            f"{here}.{name.removeprefix(there)}": tensor
            for name, tensor in state_dict(file).items()
            for here, there in PARTS.items()
            if name.startswith(there) and not name.startswith("audio_encoder.spectrogram.")
        }
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise UserError(f"backbone weights: {file} is no checkpoint of Wav2CLIP") from error
        return network

    def _forward(self, network: nn.Module, items: list[Any]) -> Tensor:
        rows = []
        for clip in items:
            parts = torch.from_numpy(windows(resampled(clip, RATE), LONGEST * RATE))
            parts = nn.functional.pad(parts, (0, max(0, WINDOW - parts.shape[1])))
            rows.append(torch.cat([network(part[None].to(self.device)) for part in parts]).mean(0))
        return torch.stack(rows)


class Wav2ClipNetwork(nn.Module):
    """A ResNet-18 on the standardised log spectrogram, and two linear layers: (b, n) samples to (b, 512).

    The package standardises over a whole batch, so that clips of a batch change each other; here each is by itself,
    which is the same for a batch of one.
    """

    window: Tensor

    def __init__(self) -> None:
        from torchvision.models import resnet18

        super().__init__()
        self.encoder: nn.Module = resnet18(weights=None)
        self.encoder.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.encoder.fc = nn.Identity()
        self.transform = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.1), nn.Linear(512, 512))
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        spectrum = torch.stft(samples, WINDOW, HOP, window=self.window, return_complex=True)
        levels = (spectrum.abs().square() + 1e-7).log().double()  # of silence all are equal: the mean must be exact
        mean, deviation = levels.mean((1, 2), keepdim=True), levels.std((1, 2), keepdim=True)
        standard = ((levels - mean) / (deviation + 1e-9)).float()
        embeddings: Tensor = self.transform(self.encoder(standard[:, None]))
        return embeddings
