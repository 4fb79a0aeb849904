"""The two towers of the CLAP models of transformers."""

import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from backbones.audio import RESAMPLER, resampled, windows
from backbones.backbone import Backbone
from backbones.weights import hub_access, hub_folder, local_path
from ground.errors import UserError
from ground.ranges import Count

NEEDS = ("config.json", "model.safetensors")
PATTERNS = ("*.json", "merges.txt", "*.safetensors")
_DRAWING = threading.Lock()  # numpy's global generator serves one thread at a time


class Clap(Backbone):
    """One tower of a CLAP model: (n, d) projected embeddings of unit norm, 512-d for the official models.

    The model hears 10 s. A shorter clip is repeated and filled up with zeros as in its training. A longer one is
    heard in windows of 10 s that overlap evenly, and their embeddings are averaged: the library's own way draws
    crops at random.

    Args:
        pretrained: name on the Hugging Face hub, such as 'laion/clap-htsat-unfused'.
        weights: a local model folder, or None: the model ``pretrained``.
        side: 'audio' or 'text'.
        download: whether ``pretrained`` may be downloaded when the local cache lacks it.
        batch_size: texts, or windows of sound, in one forward pass.

    Raises:
        UserError: an argument out of its range; on first use, missing weights, or a folder of something else.

    Example:
        >>> Clap("laion/clap-htsat-unfused", None, "text", download=False, batch_size=8, device="cpu").modality
        'text'
    """

    def __init__(
        self,
        pretrained: str,
        weights: str | None,
        side: Literal["audio", "text"],
        download: bool,
        batch_size: Count,
        device: str,
    ) -> None:
        super().__init__(batch_size, device)
        self.modality = side
        self.pretrained, self.weights, self.download = pretrained, weights, download

    def _folder(self) -> Path:
        if self.weights is None:
            return hub_folder(self.pretrained, self.pretrained, NEEDS, PATTERNS, self.download)
        folder = local_path(self.weights)
        if not all((folder / need).exists() for need in NEEDS):
            raise UserError(f"backbone weights: {folder} is no CLAP model: it lacks {' or '.join(NEEDS)}")
        return folder

    @property
    def dim(self) -> int:
        return int(json.loads((self._folder() / "config.json").read_text()).get("projection_dim", 512))

    def _content(self) -> tuple[str, Iterable[Path]]:
        folder = self._folder()
        preparation = f"{RESAMPLER}, mean of even windows" if self.modality == "audio" else ""
        return f"{self.modality} {preparation}", sorted(file for name in PATTERNS for file in folder.glob(name))

    def _load(self) -> nn.Module:
        from safetensors import SafetensorError
        from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizerFast

        folder, model_class = str(self._folder()), cast(Any, ClapModel)
        with hub_access(False):
            try:
                model, report = model_class.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
                lost = [name for name, _ in model.named_parameters() if name in report["missing_keys"]]
                if self.modality == "audio":
                    self.extractor = ClapFeatureExtractor.from_pretrained(folder)
                    del model.text_model, model.text_projection
                else:
                    self.tokenizer = RobertaTokenizerFast.from_pretrained(folder)
                    del model.audio_model, model.audio_projection
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise UserError(f"backbone weights: {folder} is no CLAP model ({type(error).__name__})") from error
        if lost:  # the library would leave them at random
            raise UserError(f"backbone weights: {folder} lacks {len(lost)} tensors of a CLAP model, such as {lost[0]}")
        network: nn.Module = model
        return network

    def _order(self, items: Sequence[Any]) -> list[int]:
        if self.modality == "audio":
            return super()._order(items)
        return sorted(range(len(items)), key=lambda i: -len(items[i]))  # little is padding

    def too_long(self, items: Sequence[Any]) -> tuple[int, str]:
        if self.modality == "audio":
            return super().too_long(items)
        self.network  # noqa: B018 # which brings the tokenizer
        limit = self.tokenizer.model_max_length
        tokens = self.tokenizer(list(items), verbose=False)["input_ids"] if items else []
        return sum(len(of_text) > limit for of_text in tokens), f"cut at {limit} tokens"

    def _forward(self, network: Any, items: list[Any]) -> Tensor:
        if self.modality == "audio":
            return self._sounds(network, items)
        tokens = self.tokenizer(items, padding=True, truncation=True, return_tensors="pt").to(self.device)
        embeddings: Tensor = network.get_text_features(**tokens).pooler_output
        return embeddings

    def _sounds(self, network: Any, clips: list[Any]) -> Tensor:
        rate, length = self.extractor.sampling_rate, self.extractor.nb_max_samples
        cut = [windows(resampled(clip, rate), length) for clip in clips]
        every = [window for of_clip in cut for window in of_clip]
        parts = [every[i : i + self.batch_size] for i in range(0, len(every), self.batch_size)]
        embeddings = torch.cat([self._windows(network, part) for part in parts])
        means = [of_clip.mean(0) for of_clip in embeddings.split([len(of_clip) for of_clip in cut])]
        return nn.functional.normalize(torch.stack(means), dim=-1)

    def _windows(self, network: Any, sounds: list[Any]) -> Tensor:
        with _DRAWING:  # a fused model's extractor draws from numpy's generator, to no effect here
            state = np.random.get_state()  # noqa: NPY002
            inputs = self.extractor(sounds, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
            np.random.set_state(state)  # noqa: NPY002
        spectrograms = inputs["input_features"].float().to(self.device)
        longer = torch.zeros(len(sounds), 1, dtype=torch.bool, device=self.device)
        embeddings: Tensor = network.get_audio_features(spectrograms, is_longer=longer).pooler_output
        return embeddings
