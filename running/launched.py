"""What started the process: alone, by Lightning, torchrun or SLURM, and whether the trainer knows of the others."""

import os
import warnings

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from omegaconf import DictConfig

from ground.errors import UserError
from ground.progress import is_rank_zero

ONE_DEVICE = "auto"
"""The strategy of ``trainer=default``."""


def hush() -> None:
    """Silence what Lightning says that no user can mend, and nothing else.

    That ``srun`` is on the PATH, which is so on any login node, and that Lightning itself asks torch for a class by its
    former name.
    """
    warnings.filterwarnings("ignore", "The `srun` command is available on your system but is not used")
    former, where = r"`isinstance\(treespec, LeafSpec\)` is deprecated", r"lightning\.pytorch\.utilities\._pytree"
    warnings.filterwarnings("ignore", former, FutureWarning, where)


def refuse_other_processes(config: DictConfig) -> None:
    """Refuse several devices, or several started processes, where the trainer has a strategy for one device.

    Raises:
        UserError: naming what to set.
    """
    if config.trainer.get("strategy") != ONE_DEVICE:
        return
    devices, nodes = config.trainer.get("devices", 1), config.trainer.get("num_nodes", 1)
    several = len(devices) if not isinstance(devices, int | str) else int(devices) if str(devices).isdigit() else 1
    if several > 1 or nodes > 1:
        raise UserError(
            f"trainer.devices={devices} and trainer.num_nodes={nodes} are several processes: "
            "set trainer=ddp (GPUs) or trainer=ddp_cpu beside them"
        )
    for launcher, processes in started().items():
        if processes > 1:
            raise UserError(
                f"{launcher} starts {processes} processes, trainer=default is for one: set trainer=ddp (or ddp_cpu) "
                f"trainer.devices={processes} for one run in all of them, or start one"
            )


def started() -> dict[str, int]:
    """Processes that SLURM or torchrun start for one command, by the launcher's name."""
    with warnings.catch_warnings():
        hush()
        slurm = SLURMEnvironment.detect()
    counts = {}
    if slurm:
        counts["SLURM"] = int(os.environ["SLURM_NTASKS"])
    if TorchElasticEnvironment.detect():
        counts["torchrun"] = int(os.environ.get("WORLD_SIZE", "1"))
    return counts


def is_first(config: DictConfig) -> bool:
    """Whether this process owns the run directory: the only one, or the first by its launcher's variables."""
    return config.trainer.get("strategy") == ONE_DEVICE or is_rank_zero()
