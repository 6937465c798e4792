"""A SLURM cluster of one node on the loopback device, for the duration of a test."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
DAEMONS = ("munged", "slurmctld", "slurmd")
CONFIGURATION = """\
ClusterName=medalign
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=300
KillWait=10
SchedulerParameters=batch_sched_delay=0,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} CoresPerSocket={cpus} RealMemory={memory}
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""


def daemons() -> dict[str, str | None]:
    """Return the paths of SLURM's daemons, which are not in an ordinary user's PATH."""
    path = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
    return {name: shutil.which(name, path=path) for name in DAEMONS}


def install() -> str:
    """Install missing daemons if possible; return why not, or an empty string."""
    if all(daemons().values()):
        return ""
    if not shutil.which("apt-get"):
        return "no SLURM here, and no apt-get to install it"
    if os.geteuid():
        return f"no SLURM here, and only root may `apt-get install {' '.join(PACKAGES)}`"
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--no-install-recommends", "--yes", *PACKAGES]
    for command in (["apt-get", "update"], install):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
    fault = (done.stderr.strip().splitlines() or [""])[-1]
    missing = [name for name, path in daemons().items() if not path]
    return f"apt-get did not install {', '.join(missing)}: {fault}" if missing else ""


class Cluster:
    """munged, slurmctld and slurmd, with all files in one folder; stopped by their process ids."""

    def __init__(self, folder: Path, cpus: int = 2, memory: int = 12_000) -> None:
        """Start the daemons; `memory` is in MB.

        Raises: RuntimeError, with the logs' last lines, if no job runs within 30 s.
        """
        self._folder = folder
        self._processes: list[subprocess.Popen] = []
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self.env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname(), user=getpass.getuser(), ports=_free_ports(2),
                folder=folder, cpus=cpus, memory=memory,
            )
        )  # fmt: skip
        key = folder / "munge.key-file"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        found = daemons()
        # --force allows running as root with the key in a temporary folder.
        files = ("socket", "key-file", "pid-file", "log-file", "seed-file")
        munge = [f"--{name}={folder}/munge.{name}" for name in files]
        try:
            self._start(found["munged"], "--foreground", "--force", *munge)
            self._start(found["slurmctld"], "-D")
            self._start(found["slurmd"], "-D")
            self._wait_for_a_job()
        except BaseException:
            self.stop()
            raise

    def _start(self, *command: str) -> None:
        output = self._folder / f"{Path(command[0]).name}.out"
        with output.open("w") as out:
            process = subprocess.Popen(
                command, env=self.env, stdout=out, stderr=out, start_new_session=True
            )
        self._processes.append(process)
        time.sleep(0.5)

    def _wait_for_a_job(self) -> None:
        for _ in range(30):
            if subprocess.run(
                ["srun", "--quiet", "--immediate=5", "true"], env=self.env, capture_output=True
            ).returncode == 0:  # fmt: skip
                return
            time.sleep(1)
        logs = [file for file in self._folder.iterdir() if file.suffix in (".log", ".out")]
        tails = [f"{file.name}: {line}" for file in logs
                 for line in file.read_text(errors="replace").splitlines()[-5:]]  # fmt: skip
        raise RuntimeError("SLURM runs no job:\n" + "\n".join(tails))

    def ask(self, *command: str) -> str:
        """Run one of SLURM's commands and return its output."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def jobs(self) -> list[str]:
        """Return the ids of the jobs that have not ended."""
        return self.ask("squeue", "--noheader", "--format=%i").split()

    def stop(self) -> None:
        """Stop the daemons in reverse order, by process id."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports
