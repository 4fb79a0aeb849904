"""A SLURM of one node on this machine, for as long as a test asks: its keys, its controller, its node."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.processes import free_port

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun")
CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=60 State=UP
"""
"""Without control groups, which a container need not have: processes are found by their parents. A job that is put into
the queue again waits for ``cred_expire`` seconds."""


def missing() -> str | None:
    """Why no SLURM can be started here; None where it can."""
    if any(shutil.which(name, path=_path()) is None for name in NEEDED):
        return "slurm-wlm and munge are not installed"
    return None if os.geteuid() == 0 else "slurmd is started by root alone"


@contextmanager
def slurm(folder: Path, cpus: int) -> Iterator[dict[str, str]]:
    """Start it, and give what the environment of its commands needs; at the end none of its processes is left."""
    own = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(
        CONF.format(host=host, controller=free_port(), node=free_port(), folder=folder, cpus=cpus)
    )
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    munged = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"]
    munged += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        daemons.append(_started(munged, folder, own))
        _wait_until((folder / "munge.socket").exists, folder)
        daemons += [_started(["slurmctld", "-D"], folder, own), _started(["slurmd", "-D"], folder, own)]
        _wait_until(lambda: asked(own, "sinfo", "--noheader", "--format=%T") == "idle", folder)
        yield own
    finally:
        asked(own, "scancel", "--user=root")
        with suppress(AssertionError):
            _wait_until(lambda: asked(own, "squeue", "--noheader") == "", folder)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
        for process in processes(folder):  # what did not end by itself
            os.kill(process, signal.SIGKILL)
        for daemon in daemons:
            daemon.wait()


def asked(environment: dict[str, str], *command: str) -> str:
    """What a command of this SLURM prints."""
    whole = {**os.environ, **environment}
    return subprocess.run(command, env=whole, capture_output=True, text=True, check=False, timeout=60).stdout.strip()


def processes(folder: Path) -> list[int]:
    """The processes of the SLURM in ``folder``, its jobs among them, and what was started with its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if f"SLURM_CONF={folder / 'slurm.conf'}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def _started(command: list[str], folder: Path, own: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(command, env={**os.environ, **own}, stdout=out, stderr=out, start_new_session=True)


def _path() -> str:
    """Where daemons lie too."""
    return f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"


def _wait_until(holds: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "\n".join(path.read_text() for path in folder.glob("*.out"))
        time.sleep(0.1)
