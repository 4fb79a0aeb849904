"""Runs of a group in Weights & Biases: what a contest left there is enough for its report."""

import copy
import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.errors import CommError, UsageError

from comparison.command import compare
from comparison.found import results_of
from comparison.wandb_runs import brought, runs_of
from ground.errors import UserError
from tests.comparison.contests import command, contest
from tests.comparison.offline_wandb import Api, Artifact, Run

ADDRESS = "wandb:us/unicon-align/contest"
CURVE = "csv/metrics.csv"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest whose runs were logged offline, a trial of each row among them."""
    folder = tmp_path_factory.mktemp("played")
    staged = {"WANDB_DATA_DIR": str(folder / "staged"), "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    ended = contest(folder, "aligners=[cca,sgd_clip]", "trials=1", "logger=wandb", **staged)
    assert ended.returncode == 0, ended.stderr
    return folder / "contest"


@pytest.fixture
def service(played: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that the service has."""
    runs = [Run(file) for file in sorted(played.rglob("*.wandb"))]
    monkeypatch.setattr(wandb, "Api", lambda: Api("us", runs))
    return runs


def of_files(run: Run) -> Artifact:
    """The artifact among those of its tables that has its files."""
    (found,) = (each for each in run.artifacts if each.type == "result")
    return found


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [{key: value for key, value in row.items() if key not in ("data", "tuned")} for row in rows]


def test_the_report_is_that_of_the_contest(
    played: Path,
    service: list[Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["compare.py", f"runs={ADDRESS}", f"run_dir={tmp_path / 'report'}"])
    compare()
    shown = capsys.readouterr().out
    assert "4 finished runs of wandb:us/unicon-align/contest" in shown
    assert "Left out of the group's runs: 2 for trials, 1 of the contest itself." in " ".join(shown.split())
    assert table(tmp_path / "report" / "table.csv") == table(played / "table.csv")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for text in ("recall over passes", "objective over passes", "hubness", "map of the shared space"):
        assert text in page
    for place in (tmp_path / "report" / "wandb").iterdir():
        config = (place / "config.yaml").read_text(encoding="utf-8")
        (origin,) = [each.parent for each in played.glob("runs/**/config.yaml") if each.read_text() == config]
        for name in ("config.yaml", "metrics.json", "ranks.safetensors", CURVE):
            assert (place / name).read_bytes() == (origin / name).read_bytes(), name


def test_what_is_there_is_not_downloaded_again(service: list[Run], tmp_path: Path) -> None:
    first = brought(ADDRESS, runs_of(ADDRESS), tmp_path)
    assert brought(ADDRESS, runs_of(ADDRESS), tmp_path) == first
    (first.places[0] / "metrics.json").unlink()
    assert brought(ADDRESS, runs_of(ADDRESS), tmp_path) == first
    assert sorted(each.downloads for run in service for each in run.artifacts if each.type == "result") == [
        0,
        0,
        1,
        1,
        1,
        2,
    ]


def test_of_two_runs_alike_the_later_counts(service: list[Run], tmp_path: Path) -> None:
    again = copy.copy(next(run for run in service if run.job_type == "run"))
    again.id, again.created_at = "again", "2100-01-01T00:00:00Z"
    service.append(again)
    places = brought(ADDRESS, runs_of(ADDRESS), tmp_path).places
    assert len(places) == 5
    kept = {each.folder.name for each in results_of(places[::-1])}
    assert len(kept) == 4
    assert "again" in kept


def test_what_is_no_whole_run_is_left_out_and_told(service: list[Run], tmp_path: Path) -> None:
    crashed, bare, cut, judged = (run for run in service if run.job_type == "run")
    crashed.state = "crashed"
    bare.artifacts = []
    del of_files(cut)._files["ranks.safetensors"]
    judged.config["test"] = "outputs/run"
    whole = copy.copy(next(run for run in service if run.job_type == "trial"))
    whole.id, whole.job_type = "whole", None  # as train.py logs it
    service.append(whole)
    places, told = brought(ADDRESS, runs_of(ADDRESS), tmp_path)
    assert [place.name for place in places] == ["whole"]
    for reason in (
        "1 crashed", "1 without the artifact of its files", "1 whose artifact lacks files", "1 judged again",
        "2 for trials", "1 of the contest itself",
    ):  # fmt: skip
        assert reason in told
    assert [place.name for place in tmp_path.iterdir()] == ["whole"]
    service.remove(whole)
    with pytest.raises(UserError, match=r"no finished run of train.py with its files: .*1 crashed"):
        brought(ADDRESS, runs_of(ADDRESS), tmp_path / "none")


def test_a_download_that_breaks_off_is_a_line_and_goes_on(service: list[Run], tmp_path: Path) -> None:
    broken = of_files([run for run in service if run.job_type == "run"][1])

    def download(root: str) -> str:
        Path(root).mkdir(parents=True)
        (Path(root) / "metrics.json").write_text(json.dumps({}))
        raise OSError("Connection reset by peer")

    whole = broken.download
    broken.download = download  # type: ignore[method-assign]
    with pytest.raises(UserError, match="Weights & Biases: Connection reset by peer"):
        brought(ADDRESS, runs_of(ADDRESS), tmp_path)
    broken.download = whole  # type: ignore[method-assign]
    assert len(brought(ADDRESS, runs_of(ADDRESS), tmp_path).places) == 4


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("wandb:us/unicon-align", "runs=wandb:us/unicon-align: write wandb:entity/project/group"),
        ("wandb:us/unicon-align/", "write wandb:entity/project/group"),
        ("wandb:us/nothing/contest", "no project us/nothing that this login may see"),
        ("wandb:them/unicon-align/contest", "no project them/unicon-align that this login may see"),
        ("wandb:us/unicon-align/other", "no run of the group 'other' in us/unicon-align"),
    ],
)
def test_addresses_of_nothing(service: list[Run], address: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        runs_of(address)
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UsageError("No API key configured."), "no login to Weights & Biases: wandb login, or WANDB_API_KEY"),
        (
            CommError("Failed to verify\ncredentials"),
            "Weights & Biases does not answer, or not to this login: Failed to verify credentials",
        ),
        (ConnectionError(), "Weights & Biases: ConnectionError"),
    ],
)
def test_no_login_and_no_network(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def api() -> Any:
        raise error

    monkeypatch.setattr(wandb, "Api", api)
    with pytest.raises(UserError) as told:
        runs_of(ADDRESS)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_without_a_login_the_real_client_is_told_in_a_line(tmp_path: Path) -> None:
    nobody = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    ended = subprocess.run(  # a process of its own: the client keeps the settings that it found first
        [*command()[:2], f"runs={ADDRESS}"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=nobody | {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none")}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"error: runs={ADDRESS}: no login to Weights & Biases: wandb login, or WANDB_API_KEY"
    )
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "outputs").exists()
