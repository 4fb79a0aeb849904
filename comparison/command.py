"""The command ``compare.py``: its keys, its contest, its files."""

import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from comparison.contest import Contest, Entry, Machine
from comparison.data import Data, combinations, config_of, name_of, with_study
from comparison.files import write_results, write_tables
from comparison.found import results_of, runs_in
from comparison.live import Board
from comparison.machines import Local, gpus, slots_here
from comparison.notes import TELLING, notes, on_energy, on_scoring
from comparison.report import write_report
from comparison.results import Result, Standing, standings
from comparison.rows import Rows, rows_of
from comparison.slurm import Request
from comparison.tables import screen_table
from comparison.tuning import left_open
from comparison.wandb_group import log_contest, project_of
from comparison.wandb_runs import PREFIX, brought, runs_of
from ground.annotations import problem
from ground.configs import CONFIGS
from ground.errors import UserError
from ground.home import at_home
from ground.mistakes import parsed, search_path
from ground.ranges import Count, Natural
from report.tables import screen
from running.compose import overrides
from running.owner import Owner

DECLARED: dict[str, Any] = {
    "seeds": Count, "trials": Natural, "jobs": Count | str, "threads": Count, "memory_gb": float | int,
    "aligners": list[str] | str, "study": str | None, "run_dir": str | None, "runs": str | None,
    "launcher": Literal["local", "slurm"], "slurm": Request,
}  # fmt: skip


def compare() -> None:
    """Play the contest that the command line describes, and write what came of it.

    Raises:
        UserError: a mistake in the command line.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        return
    given = overrides()
    settings, of_runs = divided(given)
    of_runs = with_study(of_runs, settings.study, _folders(given))
    console = screen()
    if settings.runs is not None:
        _of_finished_runs(settings, of_runs, console)
        return
    if settings.launcher == "slurm" and shutil.which("sbatch") is None:
        raise UserError("launcher=slurm: no sbatch on this machine; a contest is started where jobs are sent from")
    rows = rows_of(OmegaConf.to_object(settings)["aligners"], _folders(given))  # type: ignore[index, call-overload]
    entries = _entries(rows, combinations(of_runs), OmegaConf.to_object(settings.tuning))
    folder = Path(at_home(settings.run_dir) if settings.run_dir else f"outputs/compare/{_folder_name(entries)}")
    owner = _alone(folder, console)
    try:
        machine = _machine(settings, folder)
        board = Board(console, entries, settings.seeds, settings.trials)
        contest = Contest(machine, folder, range(settings.seeds), settings.trials, board.told)
        try:
            with board.showing():
                contest.play(entries)
        finally:
            machine.close()
        results, tables = collected(entries)
        if not results:
            reasons = [reason for table in tables.values() for row in table for reason in row.reasons]
            raise UserError(f"no row could run: {reasons[0]}")
        write_results(folder, [job for entry in entries for job in entry.jobs], results)
        _show(folder, tables, notes(settings, folder, rows, entries, machine.slots), console)
        project = project_of([each.config for each in entries if each.config is not None])
        if project is not None:
            log_contest(folder, folder.name, project, tables)
    finally:
        owner.leave()


def _machine(settings: DictConfig, folder: Path) -> Machine:
    """What the runs go to."""
    jobs = settings.jobs if isinstance(settings.jobs, int) else None
    if settings.launcher == "local":
        return Local(jobs or slots_here(settings.threads, settings.memory_gb), settings.threads, gpus())
    from comparison.cluster import QUEUED, Cluster  # with submitit, which no other contest needs

    request: Any = OmegaConf.to_object(settings.slurm)
    return Cluster(folder, jobs or QUEUED, settings.threads, settings.memory_gb, request)


def _of_finished_runs(settings: DictConfig, of_runs: Sequence[str], console: Console) -> None:
    """The report of runs that are there."""
    if of_runs:
        raise UserError(f"runs={settings.runs} are finished: {of_runs[0]} would be of runs to come")
    away = str(settings.runs).startswith(PREFIX)
    runs = runs_of(settings.runs) if away else []
    results = [] if away else runs_in(Path(at_home(settings.runs)))
    folder = Path(at_home(settings.run_dir) if settings.run_dir else f"outputs/compare/{Path(settings.runs).name}")
    owner = _alone(folder, console)
    try:
        left_out = ""
        if away:
            places, left_out = brought(settings.runs, runs, folder / "wandb")
            results = results_of(places)
        write_results(folder, [], results)
        told = [f"{len(results)} finished runs of {settings.runs}, each with the settings that it had.", TELLING]
        told += [f"Left out of the group's runs: {left_out}."] if left_out else []
        _show(folder, standings(results, {}), told, console)
    finally:
        owner.leave()


def _show(folder: Path, tables: dict[str, list[Standing]], told: Sequence[str], console: Console) -> None:
    """Write the tables and the report, and print the tables."""
    told = [*told, *on_scoring(tables), *on_energy(tables)]
    write_tables(folder, tables, told)
    page = write_report(folder, tables, told, shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]))
    for name, table in tables.items():
        console.print(screen_table(f"{name}: test split, rates in percent", table))
        for row in table:
            for reason in row.reasons:
                console.print(f"{row.row}: {reason}", soft_wrap=True)
    for line in told:
        console.print(line, soft_wrap=True)
    console.print(f"report: {page}, beside it tables, results.parquet and figures", soft_wrap=True)


def divided(given: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """The contest's own settings, and the overrides of its runs.

    Raises:
        UserError: a value of a wrong type.
    """
    own = set(OmegaConf.load(CONFIGS / "compare.yaml"))
    of_contest = [each for each in parsed(list(given)) if each.key_or_group.partition(".")[0] in own]
    lines = [str(each.input_line) for each in of_contest]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = compose("compare", overrides=lines)
    plain: Any = OmegaConf.to_container(settings)
    for name, kind in DECLARED.items():
        line = problem(name, plain[name], kind)
        if line is not None:
            raise UserError(line)
    if not isinstance(settings.jobs, int) and settings.jobs != "auto":
        raise UserError(f"jobs must be auto or a number of runs at once, got '{settings.jobs}'")
    return settings, [each for each in given if each not in lines]


def collected(entries: Sequence[Entry]) -> tuple[list[Result], dict[str, list[Standing]]]:
    """The finished runs, and the table of each data set."""
    results: list[Result] = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry.config is None:
            reasons[entry.data, entry.row] = [entry.reason]
        for job in entry.jobs:
            metrics, ended = job.metrics(), job.ended()
            if metrics is not None:
                results.append(Result(job.row, job.data, job.seed, metrics, job.folder))
            elif ended is not None:
                reasons.setdefault((job.data, job.row), []).append(f"{ended.status}: {ended.reason}")
    tables = standings(results, reasons)
    settings = {(each.data, each.row): each.tuned.setting for each in entries if each.tuned is not None}
    for row in (row for table in tables.values() for row in table):
        told = (f"{key.rpartition('.')[2]}={value:g}" for key, value in settings.get((row.data, row.row), {}).items())
        row.setting = ", ".join(told)
    return results, tables


def help_text() -> str:
    """What ``--help`` prints: the command, then ``configs/compare.yaml``."""
    text = (CONFIGS / "compare.yaml").read_text(encoding="utf-8")
    rows, studies = (
        ", ".join(sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))) for group in ("rows", "studies")
    )
    return (
        "Compare aligners: the same data, budget and judges for all, one table.\n\n"
        "python compare.py aligners=mandatory seeds=3 trials=0\n"
        "python compare.py datamodule=features datamodule.path=FILE aligners=[unicon,sgd_clip]\n"
        "python compare.py datamodule.train_items=100,400,1600 aligners=[unicon,cca]   a curve over an axis\n"
        "python compare.py study=noisy_pairs aligners=[unicon,cca]   the axes of a file of configs/studies\n\n"
        f"== Files of configs/rows: {rows} ==\n== Files of configs/studies: {studies} ==\n"
        f"== Keys: key=value sets one ==\n{text}"
    )


def _entries(rows: Rows, data: Sequence[Data], space: Any) -> list[Entry]:
    """Each row on each data set; one whose config cannot be composed has the reason."""
    entries = []
    names: dict[int, str] = {}
    for number, each in enumerate(data):
        for row in rows.present:
            try:
                config = config_of(row, each)
            except UserError as error:
                entries.append(Entry(row.label, str(number), None, f"declined: {error}"))
                continue
            names.setdefault(number, name_of(each, config))
            open_space = left_open(space, (*each.overrides, *row.overrides))
            entries.append(Entry(row.label, str(number), config, space=open_space))
    if not names:
        raise UserError(entries[0].reason.removeprefix("declined: "))
    for entry in entries:
        entry.data = names.get(int(entry.data), data[int(entry.data)].label)
    return entries


def _alone(folder: Path, console: Console) -> Owner:
    """This contest's hold on the folder; another one there is waited for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; set another run_dir") from error
    waits = False
    while True:
        try:
            return Owner(folder)
        except UserError:
            if not waits:
                console.print(f"another contest is in {folder}: waiting for its end", soft_wrap=True)
            waits = True
            time.sleep(1)


def _folders(given: Sequence[str]) -> list[Path]:
    """The user's own folders of configs."""
    return [Path(each.removeprefix("file://")) for each in search_path(list(given)) if each.startswith("file://")]


def _folder_name(entries: Sequence[Entry]) -> str:
    names = list(dict.fromkeys(each.data for each in entries))
    return names[0] if len(names) == 1 else f"{names[0]}_and_{len(names) - 1}_more"
