"""The profiles agree, and SLURM's states are translated for Snakemake."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROFILES = {name: ROOT / "profiles" / name for name in ("local", "slurm")}
# Every state that `man squeue` lists.
STATES = {
    "success": "COMPLETED",
    "failed": "BOOT_FAIL CANCELLED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED "
    "TIMEOUT",
    "running": "CONFIGURING COMPLETING PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD RESIZING "
    "RESV_DEL_HOLD RUNNING SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED SUSPENDED",
}


def status(folder, output, *, exit_status=None):
    """Return what status.sh prints for job 7, given scontrol's output and an exit status."""
    scontrol = folder / "bin" / "scontrol"
    scontrol.parent.mkdir(exist_ok=True)
    scontrol.write_text(f"#!/bin/sh\n[ \"$*\" = '-o show job 7' ] && echo '{output}'\n")
    scontrol.chmod(0o755)
    left = folder / ".snakemake/slurm"
    left.mkdir(parents=True, exist_ok=True)
    if exit_status is not None:
        (left / "7.exit").write_text(f"{exit_status}\n")
    env = os.environ | {"PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [PROFILES["slurm"] / "status.sh", "7"], cwd=folder, env=env, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("expected", STATES)
def test_each_state_of_a_job_is_known(tmp_path, expected):
    for state in STATES[expected].split():
        line = f"JobId=7 JobName=a Priority=1 JobState={state} Reason=None ExitCode=0:0"
        assert status(tmp_path, line) == expected, state


def test_a_forgotten_job_is_judged_by_its_exit_status_and_a_silent_controller_ends_none(tmp_path):
    silent = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    assert status(tmp_path, silent) == "running"
    forgotten = "slurm_load_jobs error: Invalid job id specified"
    assert status(tmp_path, forgotten) == "failed"
    assert status(tmp_path, forgotten, exit_status=1) == "failed"
    assert status(tmp_path, forgotten, exit_status=0) == "success"


def test_a_job_leaves_its_exit_status(tmp_path):
    (tmp_path / ".snakemake/slurm").mkdir(parents=True)
    script = (PROFILES["slurm"] / "jobscript.sh").read_text()
    env = os.environ | {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "7"}
    for command, left in (("true && exit 0 || exit 1", "0"), ("false && exit 0 || exit 1", "1")):
        job = tmp_path / "job.sh"
        job.write_text(script.replace("{properties}", "{}").replace("{exec_job}", command))
        subprocess.run(["sh", job], cwd="/", env=env)
        assert (tmp_path / ".snakemake/slurm/7.exit").read_text().strip() == left


def test_the_profiles_differ_only_in_where_jobs_run():
    local, slurm = (yaml.safe_load((p / "config.yaml").read_text()) for p in PROFILES.values())
    assert (ROOT / "profiles/default").resolve() == PROFILES["local"]  # used by plain snakemake
    assert set(local) - set(slurm) == {"cores", "resources"}
    assert {key for key in local if key in slurm and local[key] != slurm[key]} == set()
    assert local["keep-going"] is True and local["rerun-incomplete"] is True
