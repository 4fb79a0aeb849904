"""Warnings of Pillow while an image is decoded, in any number of threads."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image

_lock = threading.Lock()
_inside = 0
_filters = ExitStack()


@contextmanager
def only_bombs() -> Iterator[None]:
    """Within the block a decompression bomb is an error; other warnings, of odd metadata, concern no pixel: not shown.

    Filters of warnings belong to the process: the first thread that comes sets them, the last one that leaves puts them
    back. Each with its own, they would take them from each other.
    """
    global _inside
    with _lock:
        if not _inside:
            _filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _filters.close()
