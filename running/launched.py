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
    """Silence Lightning's warning that ``srun`` is on the PATH: a login node has it, and so may any machine."""
    warnings.filterwarnings("ignore", "The `srun` command is available on your system but is not used")


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
