"""A pipe whose reader is gone, as ``head`` is after its lines."""

import os
import sys
from typing import NoReturn


def end_of_pipe() -> NoReturn:
    """End the process at a BrokenPipeError: exit code 141, as by the signal, and no word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)
