"""Sound files as a source of items."""

import io
import re
import threading
from typing import Any

import numpy as np

from backbones.audio import Clip
from datamodules.items.items import Files, Unreadable

__all__ = ["AudioFiles", "Clip"]

RATES = (1_000, 1_000_000)
"""Sampling rates in Hz that sound has; another comes from a damaged header."""

SILENCE = 2.0**-14
"""Peak to peak: one step of 16 bits up and one down."""

LOUDEST = 1e6
"""Times full scale: beyond it, a float is no sample but damage."""

BLOCK = 1 << 20  # frames decoded at once: a header that promises hours costs no memory for them

_OPENING = threading.Lock()  # why a file cannot be opened, the library keeps for the last one alone


class AudioFiles(Files):
    """The sounds of ``paths`` (n,) as ``Clip``: all formats of libsndfile (WAV, FLAC, OGG, MP3, ...), mixed to mono.

    Example:
        >>> import soundfile
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/a.wav", np.linspace(-0.5, 0.5, 16000), 16000)
        ...     clip = AudioFiles([f"{folder}/a.wav"], "sounds")[0]
        >>> clip.rate, clip.samples.shape, clip.notes
        (16000, (16000,), ())
    """

    kind = "audio files"

    def __getitem__(self, i: int) -> Clip:
        """Clip ``i`` at the rate of its file.

        Raises:
            Unreadable: the file is missing, is no sound, is damaged or holds no samples.
            UserError: the file changed since the fingerprint was taken.
        """
        return decode_audio(self.content(i), str(self.paths[i]))

    def show(self, i: int) -> str:
        return self.paths[i].stem


def decode_audio(data: bytes, filename: str) -> Clip:
    """The clip of the bytes of a file.

    Raises:
        Unreadable: no sound, damaged, or without samples.
    """
    import soundfile

    try:
        with _OPENING:
            file = soundfile.SoundFile(io.BytesIO(data))
        with file:
            return _decoded(file, filename)
    except soundfile.LibsndfileError as error:
        raise Unreadable(f"{filename}: cannot be decoded ({error.error_string})") from error


def _decoded(file: Any, filename: str) -> Clip:
    rate, channels = file.samplerate, file.channels
    if not RATES[0] <= rate <= RATES[1]:
        raise Unreadable(f"{filename}: a sampling rate of {rate} Hz is not one of sound")
    blocks, all_finite = [], True
    while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
        sound = np.abs(block) <= LOUDEST  # False for NaN
        if not sound.all():
            block[~sound] = 0
            all_finite = False
        blocks.append(block.mean(axis=1))
    if not blocks:
        raise Unreadable(f"{filename}: holds no samples")
    samples = np.concatenate(blocks)
    odd = {
        "stereo" if channels == 2 else f"{channels} channels": channels > 1,
        f"rate {rate} Hz": rate < 16_000,
        "shorter than 1 s": len(samples) < rate,
        "longer than 60 s": len(samples) > 60 * rate,
        "cut short": _cut_short(file, len(samples)),
        "not finite samples set to 0": not all_finite,
        "silent": float(np.ptp(samples)) <= SILENCE,
    }
    return Clip(samples, rate, filename, tuple(note for note, holds in odd.items() if holds))


def _cut_short(file: Any, read: int) -> bool:
    """Whether the header promises more sound than there is; a header of all ones or zeros, of a stream, does not."""
    if read < file.frames:
        return True
    promised = re.search(r"^\s*data\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    return promised is not None and int(promised[2]) < int(promised[1]) < 0x7FFF_0000
