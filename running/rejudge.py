"""``test=RUN`` on the command line: the parts of RUN's config are there as files of their groups, under one name.

So Hydra composes RUN's config as it does any experiment: what the user sets replaces, and a typo is told as any other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from ground.errors import UserError
from ground.home import at_home
from ground.mistakes import AS_IN_RUN, parsed
from running.finished import FinishedRun

GROUPS = ("aligner", "datamodule", "eval_datamodule", "evaluation", "report", "trainer", "logger")
VALUES = ("seed", "data_dir", "cache_dir", "matmul_precision", "threads", "tags", "aligner_name", "name")
OF_THE_FIT = ("aligner", "experiment", "seed", "resume", "matmul_precision", "evaluation.keep", "evaluation.select")
"""What cannot be set any more: these keys and those below them."""


@contextmanager
def with_run(overrides: list[str]) -> Iterator[list[str]]:
    """The overrides that make ``test=RUN`` mean RUN's config, as long as the context lasts; without it, none.

    Raises:
        UserError: RUN is no finished run, or something is set that belongs to its fit.
    """
    keys = {each.key_or_group: each for each in parsed(overrides)}
    path = keys["test"].value() if "test" in keys else None
    if path is None:
        yield []
        return
    if not isinstance(path, str):
        raise UserError(f"test takes one run directory, got {keys['test'].input_line}")
    own = f"experiment={AS_IN_RUN}"
    for key in keys:
        if any(key == each or key.startswith(f"{each}.") for each in OF_THE_FIT) and own not in overrides:
            raise UserError(f"{key} belongs to the fit: with test={path} the aligner is judged as it was fitted")
    _store(FinishedRun(at_home(path)), "datamodule" not in keys)
    try:
        yield [] if own in overrides else [own]
    finally:
        for group in ("experiment", *GROUPS):
            ConfigStore.instance().repo[group].pop(f"{AS_IN_RUN}.yaml", None)


def _store(run: FinishedRun, named: bool) -> None:
    """RUN's config as a file of each group, and as an experiment that picks them; ``named``: under RUN's name too."""
    config: Any = OmegaConf.to_container(run.config)
    for logger in config["logger"].values():
        if "save_dir" in logger:
            logger["save_dir"] = "${run_dir}"
    store = ConfigStore.instance()
    defaults: list[Any] = []
    for group in GROUPS:
        store.store(AS_IN_RUN, config[group] or {}, group)
        if config[group] is not None:
            defaults.append({f"override /{group}": AS_IN_RUN})
    values = {key: config[key] for key in VALUES if key in config and (named or key != "name")}  # older runs lack some
    place = {"run_dir": f"{run.path}/test/${{now:%Y-%m-%d_%H-%M-%S}}"}
    store.store(AS_IN_RUN, {"defaults": [*defaults, "_self_"], **values, **place}, "experiment", "_global_")
