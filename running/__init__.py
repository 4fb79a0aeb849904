"""One run and what surrounds it."""

from ground.lazy import lazy

# not before it is asked for: Lightning takes seconds to import.
# ``run.run`` has the name of its file, and is imported from it
__getattr__ = lazy(
    __name__,
    {
        "checkpoints": ("AtomicCheckpointIO",),
        "directory": ("RunDirectory", "journal"),
        "finished": ("FinishedRun",),
        "process": ("command_line",),
        "sweep": ("Sweep",),
    },
)
