"""Items that several threads read at once are what one thread reads."""

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.images.augmentations import SimCLR
from datamodules.images.views import Views
from datamodules.items.audio import AudioFiles
from datamodules.items.image_arrays import ImageArrays
from datamodules.items.items import ImageFiles, Unreadable
from datamodules.items.quiet import only_bombs

ROUNDS = 40


def read(source: Any, show: Callable[[Any], Any], i: int) -> Any:
    try:
        return show(source[i])
    except Unreadable as reason:
        return str(reason)


def agree(source: Any, show: Callable[[Any], Any]) -> list[Any]:
    """What one thread reads, which four have to read too."""
    alone = [read(source, show, i) for i in range(len(source))]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: read(source, show, i), list(range(len(source))) * ROUNDS))
    assert together == alone * ROUNDS
    return alone


def test_bombs_beside_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 96)
    for i, size in enumerate([(12, 8), (12, 9), (4, 4), (13, 8)]):
        Image.new("RGB", size, (i, 0, 0)).save(tmp_path / f"{i}.png")
    filters = list(warnings.filters)
    alone = agree(ImageFiles([tmp_path / f"{i}.png" for i in range(4)], "pictures"), lambda image: image.tobytes())
    assert ["bomb" in str(each) for each in alone] == [False, True, False, True]
    assert warnings.filters == filters


def test_filters_of_warnings_hold_until_the_last_has_left() -> None:
    filters = list(warnings.filters)
    first, second = only_bombs(), only_bombs()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(first.__enter__).result()
        pool.submit(second.__enter__).result()
        pool.submit(first.__exit__, None, None, None).result()
        with pytest.raises(Image.DecompressionBombWarning):
            warnings.warn("a bomb", Image.DecompressionBombWarning, stacklevel=1)
        warnings.warn("odd metadata", UserWarning, stacklevel=1)
        pool.submit(second.__exit__, None, None, None).result()
    assert warnings.filters == filters


def test_the_first_pictures_of_a_process_may_be_of_any_format(tmp_path: Path) -> None:
    for name in ("0.webp", "1.tiff"):
        Image.new("RGB", (16, 16), "red").save(tmp_path / name)
    # both threads have found no format, and load the rest, before one of them goes on
    program = f"""
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from PIL import Image
from datamodules.items.items import ImageFiles
load, both, one = Image.init, Barrier(2), Lock()
def init():
    both.wait(60)
    with one:
        return load()
Image.init = init
source = ImageFiles([{str(tmp_path)!r} + "/0.webp", {str(tmp_path)!r} + "/1.tiff"], "pictures")
with ThreadPoolExecutor(2) as pool:
    print(list(pool.map(lambda i: source[i].size, range(2))))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str([(16, 16)] * 2)


def test_sounds_that_cannot_be_opened_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import soundfile

    opening, whole = threading.Lock(), soundfile.SoundFile

    def one_at_a_time(data: Any) -> Any:
        assert opening.acquire(blocking=False)  # the library keeps the reason of the last one alone
        try:
            return whole(data)
        finally:
            opening.release()

    for i in range(2):
        soundfile.write(tmp_path / f"{i}.wav", np.linspace(-0.5, 0.5, 2000 + i), 16000)
    (tmp_path / "2.wav").write_bytes((tmp_path / "0.wav").read_bytes()[:20])
    (tmp_path / "3.wav").write_bytes(b"no sound at all")
    monkeypatch.setattr(soundfile, "SoundFile", one_at_a_time)
    alone = agree(AudioFiles([tmp_path / f"{i}.wav" for i in range(4)], "sounds"), lambda clip: clip.samples.tobytes())
    assert all("cannot be decoded" in each for each in alone[2:])


def test_views_draw_from_their_own_seeds() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 40, 36, 3), dtype=np.uint8)
    views = Views(ImageArrays(pixels, "images"), SimCLR(None), seed=3, name="views")
    state = torch.get_rng_state()
    agree(views, lambda image: image.tobytes())
    assert torch.equal(state, torch.get_rng_state())
