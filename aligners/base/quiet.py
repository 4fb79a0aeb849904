"""A fit inside somebody else's program: it says nothing of its own, and leaves the process as it was."""

import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import lightning
import torch

from ground.progress import progress_bar

LOGGERS = ("lightning.pytorch", "lightning.fabric")
LONG = 2.0  # seconds that a fit may take before a bar shows it


@contextmanager
def quiet(seed: int) -> Iterator[None]:
    """A block in which Lightning neither logs nor warns, and torch's random numbers start from ``seed``.

    After it, torch's random numbers, the loggers' levels, the filters of warnings and the handler of Ctrl-C are as
    they were.

    Raises:
        KeyboardInterrupt: in the place of the SystemExit that Lightning makes of Ctrl-C.
    """
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    interrupt = signal.getsignal(signal.SIGINT)
    devices = list(range(torch.cuda.device_count()))
    with warnings.catch_warnings(), torch.random.fork_rng(devices):
        # hints to those who write a Trainer: of workers, devices, and what its own libraries deprecate
        warnings.filterwarnings("ignore", module=r"lightning\.")
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        torch.manual_seed(seed)
        try:
            yield
        except SystemExit as stop:
            raise KeyboardInterrupt from stop
        finally:
            if interrupt is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, interrupt)
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


class LongFitBar(lightning.Callback):
    """A bar of the batches on the terminal, once a fit has taken longer than ``LONG``."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.advance: Callable[[int], None] | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.start, self.done = time.monotonic(), 0

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.done += 1
        if self.advance is not None:
            self.advance(1)
        elif time.monotonic() - self.start > LONG and sys.stderr.isatty():
            total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
            self.advance = self.stack.enter_context(progress_bar("fitting", total, self.done, visible=True))

    def on_train_end(self, *_: Any) -> None:
        self.stack.close()

    def on_exception(self, *_: Any) -> None:
        self.stack.close()
