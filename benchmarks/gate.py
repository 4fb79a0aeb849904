"""A gate for changes that should change no result: small runs of everything, compared to the last digit.

``python -m benchmarks.gate record FOLDER`` runs a fixed list of small runs of ``train.py`` and keeps ``metrics.json``
of each, without times and memory. Done before and after a change, ``python -m benchmarks.gate compare BEFORE AFTER``
prints every difference and exits with 1 where there is one. ``--root`` runs the code of another checkout, so that the
gate itself may be newer than what it measures.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, Parser, command
from ground.errors import UserError, nearest

EPOCHS = "trainer.max_epochs=3"
"""Epochs of a gradient aligner; of a solved one the first solution and two passes."""
FEATURES = "clipart/features.safetensors"
COST = ("time/", "memory/")


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
    listed["bandwidths"] = ["aligner=unicon", "aligner.kernel=rbf", "aligner.bandwidth=[0.5,1]", EPOCHS]
    listed["warm_start"] = ["aligner=sgd_clip", "aligner.warm_start=unicon", EPOCHS]
    if (data / FEATURES).is_file():
        features = ["datamodule=features", f"datamodule.path={data / FEATURES}", "datamodule.batch_size=300", EPOCHS]
        for name in ("unicon", "sgd_clip", "unicon_batches"):
            # float16 features, the linear solver: the kernel one takes half a minute there
            linear = ["aligner.feature_map=identity", "aligner.sample=enough"] if name == "unicon" else []
            listed[f"features_{name}"] = [f"aligner={name}", *features, *linear]
    for name, folder in (("mscoco_sample", "coco_mini"), ("clotho_sample", "clotho")):
        if (data / folder).is_dir():
            small = ["aligner.rank=2"] if folder == "clotho" else []
            listed[f"experiment_{name}"] = [f"experiment={name}", f"data_dir={data / folder}", EPOCHS, *small]
    return listed


def record(root: Path, data: Path, folder: Path, jobs: int, only: str = "*") -> None:
    """Run everything in ``root`` whose name fits ``only``, and write ``NAME.json`` of each run to ``folder``.

    Raises:
        UserError: a run that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / "runs"
    shutil.rmtree(work, ignore_errors=True)
    listed = {name: each for name, each in runs(root, data).items() if fnmatch(name, only)}
    if not listed and not fnmatch("resumed", only):
        raise UserError(f"no run is named as --only {only}: {nearest(only, [*runs(root, data), 'resumed'])}")
    with ThreadPoolExecutor(jobs) as pool:
        for name, output in zip(
            listed, pool.map(lambda each: _run(root, work / each[0], each[1]), listed.items()), strict=True
        ):
            if output is not None:
                raise UserError(f"the run {name} failed:\n{output}")
            print(f"{name} ran", flush=True)
    if fnmatch("resumed", only):
        if (output := _resumed(root, work / "resumed")) is not None:
            raise UserError(f"the resumed run failed:\n{output}")
        listed["resumed"] = []
    for name in listed:
        kept = {
            str(path.relative_to(work / name)): _metrics(path) for path in sorted((work / name).rglob("metrics.json"))
        }
        (folder / f"{name}.json").write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)


def _run(root: Path, run_dir: Path, overrides: Sequence[str]) -> str | None:
    """None, or what a run that failed had to say."""
    place = [f"run_dir={run_dir}/${{aligner_name}}${{seed}}", f"hydra.sweep.dir={run_dir}/sweep"]
    quiet = ["threads=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", f"cache_dir={ROOT / 'cache'}"]
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
    return _run(root, run_dir, [*aligner, "trainer.max_epochs=4", f"resume={kept}"])


def _metrics(path: Path) -> dict[str, Any]:
    metrics = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in metrics.items() if not key.startswith(COST)}


def differences(before: Path, after: Path) -> Iterator[str]:
    """A line for each value that is not the same in both records."""
    one, other = ({path.name: json.loads(path.read_text()) for path in each.glob("*.json")} for each in (before, after))
    for run in sorted(one.keys() | other.keys()):
        here, there = _flat(one.get(run, {})), _flat(other.get(run, {}))
        for key in sorted(here.keys() | there.keys()):
            if key not in there:
                yield f"{run} {key}: gone, was {here[key]}"
            elif key not in here:
                yield f"{run} {key}: new, {there[key]}"
            elif here[key] != there[key]:
                yield f"{run} {key}: {here[key]} became {there[key]}"


def _flat(record: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{run} {key}": value for run, metrics in record.items() for key, value in metrics.items()}


def main(arguments: Sequence[str]) -> None:
    parser = Parser(prog="python -m benchmarks.gate", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--root", type=Path, default=ROOT, help="the checkout that is run")
    recording.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    recording.add_argument("--jobs", type=int, default=2, help="runs at once, of one thread each")
    recording.add_argument("--only", default="*", help="a pattern of names, as aligner_sgd_*")
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args(arguments)
    if given.verb == "record":
        record(given.root.resolve(), given.data.resolve(), given.folder.resolve(), given.jobs, given.only)
        return
    for folder in (given.before, given.after):
        if not any(folder.glob("*.json")):
            raise UserError(f"{folder} holds no record: python -m benchmarks.gate record {folder}")
    lines = list(differences(given.before, given.after))
    print("\n".join(lines) or "equal to the last digit")
    sys.exit(bool(lines))


if __name__ == "__main__":
    command(main)
