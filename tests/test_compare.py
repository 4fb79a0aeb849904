"""``compare.py`` from the outside: what it writes, what it does again, and what ends it."""

import html
import json
import os
import platform
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.comparison.contests import (
    command,
    contest,
    environment,
    finished,
    own_aligners,
    rows,
    unmeasured,
    wait_for,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A contest with rows that fail in every way, and what it said."""
    folder = tmp_path_factory.mktemp("played")
    configs = own_aligners(folder)
    ended = contest(folder, "aligners=[cca,pls,identity,crashes,killed,declines]", f"--config-dir={configs}")
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stdout


def test_what_fails_has_its_reason_and_the_rest_stands(played: tuple[Path, str]) -> None:
    folder, shown = played
    table = rows(folder)
    assert {name for name, row in table.items() if row["mean_recall"]} == {"cca", "pls"}
    assert table["cca"]["seeds"] == table["pls"]["seeds"] == "2"
    assert table["crashes"]["told"] == "failed: RuntimeError: this one is broken"
    assert table["killed"]["told"] == "failed: killed by SIGKILL, as where memory runs out"
    assert table["declines"]["told"] == "declined: this one needs other data"
    assert table["identity"]["told"].startswith("declined: aligner=identity needs features of one dimension")
    for text in ("cca", "untuned", "Absent, not asked for: ", "unicon", "this one is broken", "killed by SIGKILL"):
        assert text in shown


def test_the_report_has_the_config_and_the_versions_of_every_run(played: tuple[Path, str]) -> None:
    folder, _ = played
    page = html.unescape((folder / "contest" / "report.html").read_text(encoding="utf-8"))
    assert "y effective rank" in page
    assert "kappa20" not in page  # densities at each kappa stand in the runs
    runs = list(finished(folder))
    assert len(runs) == 4
    for metrics in runs:
        assert (metrics.parent / "config.yaml").read_text(encoding="utf-8") in page
        assert str(metrics.parent.relative_to(folder)) in page
    assert page.count(f"<td>python {platform.python_version()}, torch") == 4


def test_each_run_has_a_directory_of_its_own(played: tuple[Path, str]) -> None:
    folder, _ = played
    for metrics in finished(folder):
        for name in ("config.yaml", "ranks.safetensors", "checkpoints/last.ckpt", "csv/metrics.csv", "train.log"):
            assert (metrics.parent / name).is_file()
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"conf", "contest", "own.py"}


def test_its_files_hold_every_run_and_every_query(played: tuple[Path, str]) -> None:
    folder, _ = played
    runs = pq.read_table(folder / "contest" / "results.parquet").to_pylist()
    assert [(each["row"], each["seed"], each["status"]) for each in runs if each["row"] in ("cca", "killed")] == [
        ("cca", 0, "finished"), ("cca", 1, "finished"), ("killed", 0, "failed"), ("killed", 1, "failed")
    ]  # fmt: skip
    ranks = pq.read_table(folder / "contest" / "ranks.parquet").to_pylist()
    first = next(each for each in runs if each["row"] == "cca")
    ways = {each["direction"] for each in ranks}
    mine = [[each["rank"] for each in ranks if (each["run"], each["direction"]) == (first["run"], way)] for way in ways]
    hits = [sum(rank <= k for rank in of_way) / len(of_way) for of_way in mine for k in (1, 5, 10)]
    assert 100 * sum(hits) / 6 == pytest.approx(first["test/mean_recall"])
    assert (folder / "contest" / "table.tex").read_text().startswith("% \\usepackage{booktabs}")
    assert "untuned" in (folder / "contest" / "table.md").read_text()


def test_a_second_call_does_nothing_again_but_what_crashed(played: tuple[Path, str]) -> None:
    folder, _ = played
    before, table = finished(folder), rows(folder)
    configs = folder / "conf"
    ended = contest(folder, "aligners=[cca,pls,identity,crashes,killed,declines]", f"--config-dir={configs}")
    assert ended.returncode == 0, ended.stderr
    assert finished(folder) == before
    assert rows(folder) == table
    more = contest(folder, "aligners=[cca,pls]", "seeds=3")  # another seed: the others are there
    assert more.returncode == 0, more.stderr
    assert before.items() <= finished(folder).items()
    assert len(finished(folder)) == len(before) + 2


def lives_on(session: int) -> bool:
    """Whether a process of this session is there."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_report_of_its_runs(played: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = played
    of = [f"runs={folder / 'contest'}", f"run_dir={tmp_path / 'contest'}"]
    ended = subprocess.run([*command()[:2], *of], cwd=tmp_path, capture_output=True, text=True, check=True)
    again, before = rows(tmp_path), rows(folder)
    assert {name: row["mean_recall"] for name, row in again.items()} == {
        name: row["mean_recall"] for name, row in before.items() if row["mean_recall"]
    }
    assert "finished runs of" in ended.stdout
    assert (tmp_path / "contest" / "report.html").stat().st_size > 500_000
    refused = subprocess.run(
        [*command()[:2], *of, "aligner.rank=8"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_in_weights_and_biases_it_is_one_group(tmp_path: Path) -> None:
    ended = contest(
        tmp_path, "aligners=[cca,pls]", "seeds=1", "logger=wandb", WANDB_MODE="offline", WANDB_SILENT="true"
    )
    assert ended.returncode == 0, ended.stderr
    (whole,) = (tmp_path / "contest" / "wandb").glob("offline-run-*")
    (record,) = whole.glob("*.wandb")
    said = [
        "unicon-align",
        "contest contest",
        "table/synthetic",
        "report.html",
        "results.parquet",
        "figures/recall_synthetic.png",
    ]
    content = record.read_bytes()
    for text in [*said, f"contest-{whole.name.rpartition('-')[2]}"]:
        assert text.encode() in content, text
    (page,) = (whole / "files" / "media" / "html").iterdir()
    assert "Aligners head to head on synthetic" in page.read_text(encoding="utf-8")
    for row in ("cca", "pls"):
        (run,) = (tmp_path / "contest" / "runs" / "synthetic" / row).rglob("*.wandb")
        for text in ("contest", "synthetic", "ranks.safetensors", row, "run"):
            assert text.encode() in run.read_bytes(), text


def wait_for_end_of(session: int) -> None:
    end = time.monotonic() + 20
    while lives_on(session):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_killed_and_started_again_it_gives_the_same_table(tmp_path: Path) -> None:
    configs = own_aligners(tmp_path)
    arguments = ("aligners=[cca,slow,pls]", f"--config-dir={configs}", "jobs=1", f"run_dir={tmp_path / 'contest'}")
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(tmp_path, SLOW="300"), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    wait_for(tmp_path / "started")
    before = finished(tmp_path)
    assert len(before) == 1  # cca, seed 0
    process.kill()
    process.wait()
    wait_for_end_of(process.pid)  # a run that went on would be in the way of its like
    ended = contest(tmp_path, *arguments[:-1])
    assert ended.returncode == 0, ended.stderr
    assert before.items() <= finished(tmp_path).items()
    assert len(finished(tmp_path)) == 6
    killed = rows(tmp_path)
    shutil.rmtree(tmp_path / "contest")
    assert contest(tmp_path, *arguments[:-1]).returncode == 0
    whole = rows(tmp_path)
    assert {name: unmeasured(row) for name, row in whole.items()} == {
        name: unmeasured(row) for name, row in killed.items()
    }


def test_ctrl_c_ends_its_processes_and_keeps_what_is_there(tmp_path: Path) -> None:
    configs = own_aligners(tmp_path)
    arguments = ("aligners=[cca,slow]", f"--config-dir={configs}", "jobs=1", f"run_dir={tmp_path / 'contest'}")
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(tmp_path, SLOW="300"), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(tmp_path / "started")
    os.kill(process.pid, signal.SIGINT)
    try:
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert told.strip().splitlines()[-1] == "interrupted: what was written before is kept"
    assert len(finished(tmp_path)) == 1
    wait_for_end_of(process.pid)


def test_two_at_once_on_one_folder(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            command("aligners=[cca,pls]", "jobs=1", f"run_dir={tmp_path / 'contest'}"), cwd=tmp_path,
            env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = [each.communicate(timeout=200) for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    assert sum("another contest is in" in out for out, _ in told) == 1
    assert len(finished(tmp_path)) == 4
    assert {row["seeds"] for row in rows(tmp_path).values()} == {"2"}


def test_axes_and_tuning(tmp_path: Path) -> None:
    ended = contest(tmp_path, "aligners=[cca,sgd_clip]", "datamodule.n_train=60,120", "seeds=1", "trials=3")
    assert ended.returncode == 0, ended.stderr
    runs = pq.read_table(tmp_path / "contest" / "results.parquet").to_pylist()
    assert {(each["data"], each["row"]) for each in runs} == {
        (data, row) for data in ("n_train=60", "n_train=120") for row in ("cca", "sgd_clip")
    }
    scores: dict[tuple[str, str], list[float]] = {}
    for file in (tmp_path / "contest" / "trials").rglob("metrics.json"):
        of_row = scores.setdefault((file.parts[-4], file.parts[-3]), [])
        of_row.append(json.loads(file.read_text(encoding="utf-8"))["val/mean_recall"])
    assert [len(each) for each in scores.values()] == [3] * 4
    for each in runs:  # the run that is tested is of the setting that was best
        assert each["val/mean_recall"] == max(scores[each["data"], each["row"]])
    tuned = rows(tmp_path)["sgd_clip"]["tuned"]
    assert "lr=" in tuned
    assert "batch_size" not in tuned  # which the command sets
    assert "3 trials" in ended.stdout


def test_what_declined_is_asked_again(tmp_path: Path) -> None:
    arguments = (f"--config-dir={own_aligners(tmp_path)}", "aligners=[waits]", "seeds=1")
    assert contest(tmp_path, *arguments).returncode == 2
    (tmp_path / "file").touch()  # as data that was downloaded since
    ended = contest(tmp_path, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert rows(tmp_path)["waits"]["seeds"] == "1"


def test_help_says_what_there_is(tmp_path: Path) -> None:
    ended = subprocess.run([*command()[:2], "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    for text in ("python compare.py aligners=mandatory", "matched", "mandatory", "parts", "seeds: 5", "trials: 20"):
        assert text in ended.stdout
