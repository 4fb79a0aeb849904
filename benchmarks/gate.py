"""A gate for changes that should change no result: small runs of everything, compared to the last digit.

``python -m benchmarks.gate record FOLDER`` runs a fixed list of small runs of ``train.py`` and keeps ``metrics.json``
of each, without times and memory. Done before and after a change, ``python -m benchmarks.gate compare BEFORE AFTER``
prints every difference and exits with 1 where there is one. ``--root`` runs the code of another checkout, so that the
gate itself may be newer than what it measures.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.record import ROOT, Parser, command, path, positive
from datamodules.cache.shards import write_atomically
from ground.errors import UserError, nearest
from running.compose import quoted

EPOCHS = "trainer.max_epochs=3"
"""Epochs of a gradient aligner; of a solved one the first solution and two passes."""
FEATURES = "clipart/features.safetensors"
COST = ("time/", "memory/", "energy/")


def runs(root: Path, data: Path) -> dict[str, list[str]]:
    """The command line of each run by its name; those without their data are left out."""
    names = sorted(path.stem for path in (root / "configs" / "aligner").glob("*.yaml"))
    listed = {f"aligner_{name}": [f"aligner={name}", EPOCHS] for name in names}
    for name in ("unicon", "sgd_clip"):
        listed[f"two_processes_{name}"] = [f"aligner={name}", EPOCHS, "trainer=ddp_cpu", "trainer.devices=2"]
    listed["sweep"] = ["-m", "aligner=cca,sgd_clip", "seed=0,1", EPOCHS, "aligner.rank=64"]
    for name in ("synthetic_nonlinear", "synthetic_triplet"):
        listed[f"experiment_{name}"] = [f"experiment={name}", EPOCHS]
    listed["batch_negatives"] = ["aligner=unicon", "aligner.negatives=batch", "aligner.memory_mb=0", EPOCHS]
    listed["bandwidths"] = [
        "aligner=unicon",
        "aligner.feature_map=nystrom",
        "aligner.kernel=rbf",
        "aligner.bandwidth=[0.5,1]",
        EPOCHS,
    ]
    listed["warm_start"] = ["aligner=sgd_clip", "aligner.warm_start=unicon", EPOCHS]
    if (data / FEATURES).is_file():
        features = [
            "datamodule=features",
            f"datamodule.path={quoted(str(data / FEATURES))}",
            "datamodule.batch_size=300",
            EPOCHS,
        ]
        for name in ("unicon", "sgd_clip", "unicon_batches"):
            # float16 features, the linear solver: the kernel one takes half a minute there
            linear = ["aligner.feature_map=identity", "aligner.sample=enough"] if name == "unicon" else []
            listed[f"features_{name}"] = [f"aligner={name}", *features, *linear]
    for name, folder in (("mscoco_sample", "coco_mini"), ("clotho_sample", "clotho")):
        if (data / folder).is_dir():
            small = ["aligner.rank=2"] if folder == "clotho" else []
            listed[f"experiment_{name}"] = [
                f"experiment={name}",
                f"data_dir={quoted(str(data / folder))}",
                EPOCHS,
                *small,
            ]
    return listed


def record(root: Path, data: Path, folder: Path, jobs: int, only: str = "*") -> None:
    """Run everything in ``root`` whose name fits ``only``, and write ``NAME.json`` of each run to ``folder``.

    A run that fails does not stop the others, and what a run came to is written when it has ended.

    Raises:
        UserError: no such run, a folder that cannot be written, and at the end the runs that failed.
    """
    if not (root / "train.py").is_file():
        raise UserError(f"--root {root} is no checkout: there is no train.py in it")
    listed: dict[str, list[str] | None] = {**runs(root, data), "resumed": None}
    listed = {name: each for name, each in listed.items() if fnmatch(name, only)}
    if not listed:
        raise UserError(f"no run is named as --only {only}: {nearest(only, [*runs(root, data), 'resumed'])}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = TemporaryDirectory(prefix="runs-", dir=folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    failed = []

    def one(name: str, overrides: list[str] | None) -> str | None:
        place = Path(work.name) / name
        output = _resumed(root, place) if overrides is None else _run(root, place, overrides)
        if output is None:
            kept = {str(path.relative_to(place)): _metrics(path) for path in sorted(place.rglob("metrics.json"))}
            text = json.dumps(kept, indent=1, sort_keys=True)
            write_atomically(folder / f"{name}.json", text.encode())
        return output

    with work, ThreadPoolExecutor(jobs) as pool:
        try:
            for name, output in zip(listed, pool.map(one, listed, listed.values()), strict=True):
                print(f"{name} ran" if output is None else f"{name} failed:\n{output}", flush=True)
                failed += [name] * (output is not None)
        except BaseException:  # Ctrl-C among them: what waits is not begun
            pool.shutdown(cancel_futures=True)
            raise
    if failed:
        raise UserError(f"{len(failed)} of {len(listed)} runs failed: {', '.join(failed)}")


def _run(root: Path, run_dir: Path, overrides: Sequence[str]) -> str | None:
    """None, or what a run that failed had to say."""
    places = {
        "run_dir": f"{run_dir}/${{aligner_name}}${{seed}}", "hydra.sweep.dir": f"{run_dir}/sweep",
        "cache_dir": f"{ROOT}/cache",
    }  # fmt: skip
    place = [f"{key}={quoted(value)}" for key, value in places.items()]
    quiet = ["threads=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    ended = subprocess.run(
        [sys.executable, "train.py", *overrides, *place, *quiet],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return None if ended.returncode == 0 else ended.stdout + ended.stderr


def _resumed(root: Path, run_dir: Path) -> str | None:
    """A fit of one pass, gone on with to three."""
    aligner = ["aligner=unicon", "aligner.passes=3"]
    first = _run(root, run_dir, [*aligner, "trainer.max_epochs=2"])
    if first is not None:
        return first
    checkpoint = run_dir / "unicon0" / "checkpoints" / "last.ckpt"
    kept = checkpoint.rename(run_dir / "first.ckpt")
    return _run(root, run_dir, [*aligner, "trainer.max_epochs=4", f"resume={quoted(str(kept))}"])


def _metrics(path: Path) -> dict[str, Any]:
    metrics = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in metrics.items() if not key.startswith(COST)}


def differences(before: Path, after: Path) -> Iterator[str]:
    """A line for each value that is not the same in both records."""
    one, other = _recorded(before), _recorded(after)
    for run in sorted(one.keys() | other.keys()):
        here, there = _flat(one.get(run, {})), _flat(other.get(run, {}))
        for key in sorted(here.keys() | there.keys()):
            if key not in there:
                yield f"{run} {key}: gone, was {here[key]}"
            elif key not in here:
                yield f"{run} {key}: new, {there[key]}"
            elif here[key] != there[key]:
                yield f"{run} {key}: {here[key]} became {there[key]}"


def _recorded(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    record = {}
    for file in folder.glob("*.json"):
        try:
            record[file.name] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {file}: {error}; record it again") from error
        runs_of = record[file.name]
        if not isinstance(runs_of, dict) or not all(isinstance(each, dict) for each in runs_of.values()):
            raise UserError(f"{file} is no record of the gate")
    if not record:
        raise UserError(f"{folder} holds no record: python -m benchmarks.gate record {folder}")
    return record


def _flat(record: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{run} {key}": value for run, metrics in record.items() for key, value in metrics.items()}


def main(arguments: Sequence[str]) -> None:
    parser = Parser(prog="python -m benchmarks.gate", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record")
    recording.add_argument("folder", type=path)
    recording.add_argument("--root", type=path, default=ROOT, help="the checkout that is run")
    recording.add_argument("--data", type=path, help="further data; runs without theirs are left out")
    recording.add_argument("--jobs", type=positive, default=2, help="runs at once, of one thread each")
    recording.add_argument("--only", default="*", help="a pattern of names, as aligner_sgd_*")
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=path)
    comparing.add_argument("after", type=path)
    given = parser.parse_args(arguments)
    if given.verb == "record":
        if given.data is not None and not given.data.is_dir():
            raise UserError(f"--data {given.data} is no folder")
        data = given.data or ROOT.parent / "shared" / "data"
        record(given.root.resolve(), data.resolve(), given.folder.resolve(), given.jobs, given.only)
        return
    lines = list(differences(given.before, given.after))
    print("\n".join(lines) or "equal to the last digit")
    sys.exit(bool(lines))


if __name__ == "__main__":
    command(main)
