"""Runs of a group in Weights & Biases, as run directories here."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ground.errors import UserError
from ground.files import folder_name
from ground.progress import progress_bar
from running.directory import FINISHED, RESULT

PREFIX = "wandb:"
NEEDED = ("config.yaml", FINISHED, "ranks.safetensors")


class Brought(NamedTuple):
    """The directories of the runs that are here, and in words what was left out."""

    places: list[Path]
    left_out: str


def runs_of(address: str) -> list[Any]:
    """The runs of the group that ``wandb:entity/project/group`` names, the oldest first.

    Raises:
        UserError: another address, no login, no network, no such project or nothing in the group.
    """
    parts = address.removeprefix(PREFIX).split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise UserError(f"runs={address}: write wandb:entity/project/group")
    entity, project, group = parts
    import wandb

    with _told(address):
        try:
            # list() would ask for the length first
            found = [run for run in wandb.Api().runs(f"{entity}/{project}", filters={"group": group})]  # noqa: C416
        except wandb.errors.UsageError as error:
            raise UserError(f"runs={address}: no login to Weights & Biases: wandb login, or WANDB_API_KEY") from error
        except wandb.errors.CommError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"runs={address}: Weights & Biases does not answer, or not to this login: {reason}"
            ) from error
        except Exception as error:
            if "could not find project" in str(error).lower():
                raise UserError(f"runs={address}: no project {entity}/{project} that this login may see") from error
            raise
    if not found:
        raise UserError(f"runs={address}: no run of the group '{group}' in {entity}/{project}")
    return found


def brought(address: str, runs: Sequence[Any], folder: Path) -> Brought:
    """The directories ``folder/RUN_ID`` of the finished ones among these runs, downloaded where they are not there.

    Raises:
        UserError: none is left, or one cannot be downloaded: those before it are here, and the next call goes on.
    """
    places: list[Path] = []
    left_out: Counter[str] = Counter()
    with _told(address), progress_bar("runs", len(runs), 0, visible=True) as advance:
        for run in runs:
            place = folder / folder_name(run.id)
            reason = _unfit(run) or _download(run, place)
            if reason is None:
                places.append(place)
            else:
                left_out[reason] += 1
            advance(1)
    told = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
    if not places:
        raise UserError(f"runs={address}: no finished run of train.py with its files: {told}")
    return Brought(places, told)


def _unfit(run: Any) -> str | None:
    """Why it is no run of a row."""
    kind = getattr(run, "job_type", None)
    if kind == "contest":
        return "of the contest itself"
    if kind == "trial":
        return "for trials"
    if run.state != "finished":
        return str(run.state)
    return "judged again" if run.config.get("test") else None


def _download(run: Any, place: Path) -> str | None:
    """Its files; or why there are none."""
    if all((place / name).is_file() for name in NEEDED):
        return None
    artifacts = [each for each in run.logged_artifacts() if each.type == RESULT]
    if not artifacts:
        return "without the artifact of its files"
    part = place.with_name(f".{place.name}.part")
    for former in (part, place):
        shutil.rmtree(former, ignore_errors=True)
    artifacts[-1].download(root=str(part))
    if not all((part / name).is_file() for name in NEEDED):
        shutil.rmtree(part)
        return "whose artifact lacks files"
    # of two runs alike the later is taken, whenever they are downloaded
    made = datetime.fromisoformat(run.created_at.replace("Z", "+00:00")).timestamp()
    os.utime(part / FINISHED, (made, made))
    part.replace(place)
    return None


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Make any error of the service's client a line: it is foreign code, and what it failed at may be a network."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"runs={address}: Weights & Biases: {reason}") from error
