"""A real Slurm of one node (munged, slurmctld, slurmd), started and ended by a test in a folder of its own.

Nothing outside that folder is changed: socket, key, spool and logs lie in it, and Slurm finds its controller by
``SLURM_CONF``.  The daemons are ended by their pid files.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
# A job that is told to end has so many seconds.
_KILL_WAIT = 3
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MinJobAge=86400
KillWait={kill_wait}
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs={processors} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> list[str]:
    """Slurm's programs that are not on the PATH."""
    paths = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=paths) is None]


@dataclass(frozen=True)
class Cluster:
    """A Slurm that runs."""

    folder: Path

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment in which Slurm's programs find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """The output of one of Slurm's programs; raises CalledProcessError."""
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, **self.variables}
        )
        return answer.stdout

    def jobs(self, *states: str) -> list[str]:
        """The jobs in one of ``states``, all elements of arrays apart."""
        said = self.ask("squeue", "--noheader", "--array", f"--states={','.join(states)}", "--format=%i")
        return said.split()

    def hurry(self) -> None:
        """Let requeued jobs start now and not in two minutes."""
        for job in self.jobs("PENDING"):
            with suppress(subprocess.CalledProcessError):
                self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def processes(self, job: str) -> list[int]:
        """The processes of the step of a job, by its folder of submitit's in the command line."""
        (number,) = set(self.ask("squeue", "--noheader", f"--jobs={job}", "--format=%A").split()) or {""}
        found = []
        for line in subprocess.run(
            ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
        ).stdout.splitlines():
            pid, _, arguments = line.strip().partition(" ")
            if "submitit.core._submit" in arguments and "srun" not in arguments and _job_of(int(pid)) == number:
                found.append(int(pid))
        return found


def _job_of(pid: int) -> str:
    with suppress(OSError):
        for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if word.startswith(b"SLURM_JOB_ID="):
                return word.partition(b"=")[2].decode()
    return ""


@contextmanager
def cluster(folder: Path, *, processors: int = 2) -> Iterator[Cluster]:
    """Start a Slurm in ``folder``, and end it."""
    folder.mkdir(mode=0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(
        _CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            folder=folder,
            processors=processors,
            kill_wait=_KILL_WAIT,
            controller=_free_port(),
            node=_free_port(),
        )
    )
    running = Cluster(folder)
    try:
        _start(running, "munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
               f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
               f"--seed-file={folder}/munged.seed", "--num-threads=2")  # fmt: skip
        _start(running, "slurmctld", "-i")
        _start(running, "slurmd", "-N", "localhost")
        wait_until(lambda: "idle" in running.ask("sinfo", "--noheader", "--format=%t"), "an idle node", seconds=60)
        yield running
    finally:
        with suppress(subprocess.CalledProcessError, FileNotFoundError):
            running.ask("scancel", "--full", f"--user={getpass.getuser()}")
            wait_until(lambda: not running.jobs("RUNNING", "COMPLETING"), "the end of all jobs", seconds=30)
        for name in ("slurmd", "slurmctld", "munged"):
            _end(folder / f"{name}.pid")


def wait_until(is_true: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Wait for something that Slurm does; raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(subprocess.CalledProcessError):
            if is_true():
                return
        time.sleep(0.5)
    raise TimeoutError(f"waited {seconds:g} s for {what}")


def _start(running: Cluster, program: str, *arguments: str) -> None:
    found = shutil.which(program, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    assert found is not None
    subprocess.run(
        [found, *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, **running.variables},
        cwd=running.folder,
    )


def _end(pid_file: Path) -> None:
    """End the daemon of a pid file and wait for it."""
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
