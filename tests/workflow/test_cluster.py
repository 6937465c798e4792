"""An experiment of 3 patients on a SLURM that is started for it; `make test-cluster` runs this.

Its four systems are two extractors, one of them in shards; a model on a server at a pace that the
test sets, in shards; and a language model with damaged weights. The tests depend on their order:
the first run is interrupted, the second has cancelled jobs, the third completes the outputs.
"""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from medalign_utils.config import load_system
from tests.builders.chat_server import ChatServer, Reply, completion
from tests.builders.project import BIN, COSTS, copy_project, untimed, write_experiment
from tests.builders.slurm_cluster import Cluster, install
from tests.builders.tiny_models import write_tiny_llama

SYSTEMS = {
    "bm25-2k": {"shards": 2},
    "bm25-full": {},
    "served": {"shards": 2},
    "tiny-llama": {},
}
WAIT_S = 1800
pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if why := install():
        pytest.skip(f"THE CLUSTER IS NOT TESTED: {why}")
    # A folder with a short path: sockets allow 107 characters.
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.stop()


class Pace:
    """How many more prompts the server answers; later ones hang, as with a slow model."""

    left = math.inf

    def __call__(self, request):
        self.left -= 1
        return Reply(completion(request.prompt[-150:]), after=0 if self.left >= 0 else 1e6)


@pytest.fixture(scope="session")
def pace():
    return Pace()


@pytest.fixture(scope="session")
def server(pace):
    """Run a model that answers with the end of the prompt, at the pace that a test sets."""
    with ChatServer(pace) as server:
        yield server


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_tiny_llama(tmp_path_factory.mktemp("llama"))


def make_project(to, server, model, *, shards):
    """Return a project with these systems, each in one job or in shards."""
    project = copy_project(to)
    size = {"format": "lines", "context_length": 600}
    contents = {name: load_system(name) for name in ("bm25-2k", "bm25-full")}
    contents["served"] = {"generator": "openai", "model": "m", "base_url": server.base_url}
    contents["served"] |= size | {"concurrency": 1, "tokenizer": "minilm"}
    contents["tiny-llama"] = {"generator": "huggingface", "model": str(model), "device": "cpu"}
    contents["tiny-llama"] |= size
    small = {job: {"memory_gb": 2, "hours": 0.5} for job in ("generate", "score")}
    for name, content in contents.items():
        content |= {"resources": small} | (SYSTEMS[name] if shards else {})
        content.pop("system", None)
        (project / f"params/systems/{name}.yaml").write_text(yaml.safe_dump(content))
    metrics = ["bertscore", "rouge_l", "chrf"]
    write_experiment(
        "tiny", project, systems=list(SYSTEMS), metrics=metrics, counterfactual_systems=[]
    )
    return project


def start(project, profile, env):
    """Start the workflow like `make reproduce PROFILE=...`."""
    options = ("--workflow-profile", f"profiles/{profile}", "--configfile", "params/tiny.yaml")
    return subprocess.Popen(
        [BIN / "snakemake", *options],
        cwd=project,
        env=env | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project)},
        stdout=(project / "out.log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # If pytest runs in the background, it ignores Ctrl-C, and this process would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def end(process, project):
    status = process.wait(WAIT_S)
    return status, (project / "out.log").read_text()


def wait_for(what, true, process=None, seconds=WAIT_S):
    for _ in range(10 * seconds):
        if found := true():
            return found
        assert process is None or process.poll() is None, f"the run ended before: {what}"
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


def kept(project, system="served"):
    """Return a system's stored responses: file name -> lines."""
    files = (project / f"runs/tiny/responses/{system}").glob("store*.jsonl")
    lines = {file.name: file.read_text().splitlines() for file in files}
    return {name: [line for line in found if " response " in line] for name, found in lines.items()}


def outputs(project):
    """Return all outputs that depend on no clock: tables, scores, responses without seconds."""
    run = project / "runs/tiny"
    files = [*run.glob("tables/*.csv"), *run.glob("scores/*.parquet")]
    found = {str(file.relative_to(run)): file.read_bytes() for file in files}
    found[COSTS] = untimed(project)
    for file in run.glob("responses/*.jsonl"):
        rows = map(json.loads, file.read_text().splitlines())
        found[str(file.relative_to(run))] = [row | {"seconds": None} for row in rows]
    return found


def processes_in(project):
    """Return the command lines of jobs and kernels in the project's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").resolve() == project.resolve():
                found.append(process.joinpath("cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended
            continue
    return found


@pytest.fixture(scope="session")
def local(tmp_path_factory, server, model):
    """Run the same experiment on this machine, each system in one job."""
    project = make_project(tmp_path_factory.mktemp("local"), server, model, shards=False)
    status, log = end(start(project, "local", os.environ), project)
    assert status == 0, log
    return project


@pytest.fixture(scope="session")
def damaged(tmp_path_factory, model):
    """Return a copy of the model with a truncated file of weights."""
    folder = tmp_path_factory.mktemp("damaged") / "llama"
    shutil.copytree(model, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory, cluster, server, damaged):
    """Return the project that runs on the cluster."""
    return make_project(tmp_path_factory.mktemp("cluster"), server, damaged, shards=True)


def test_ctrl_c_leaves_no_job_behind(project, cluster, pace):
    pace.left = 3
    process = start(project, "slurm", cluster.env)
    wait_for("responses", lambda: sum(map(len, kept(project).values())) == 3, process)
    assert cluster.jobs()
    os.killpg(process.pid, signal.SIGINT)
    status, _ = end(process, project)
    assert status != 0
    assert not list((project / "runs/tiny/tables").glob("*"))
    assert not cluster.jobs()
    # This SLURM kills without cgroups, so a kernel may outlive its job: until its answer times out.
    wait_for("all ends", lambda: not processes_in(project), seconds=180)


def test_a_cancelled_job_and_a_damaged_model_leave_the_others_results(project, cluster, pace):
    before = kept(project)

    def running_shards():
        """Return the shards' running jobs after one of them has answered something and hangs."""
        jobs = cluster.ask("squeue", "--noheader", "--states=RUNNING", "--format=%i %k")
        hangs = pace.left < 0 and sum(map(len, kept(project).values())) == 3 + 2
        return hangs and re.findall(r"^(\d+) generate:part=served", jobs, re.MULTILINE)

    pace.left = 2
    process = start(project, "slurm", cluster.env)
    jobs = wait_for("a shard that runs", running_shards, process)
    pace.left = math.inf
    cluster.ask("scancel", *jobs)
    status, log = end(process, project)
    assert status != 0
    failed = re.findall(r'"system": "([\w-]+)", "is_ok": false, "error": "(\w+)"', log)
    assert set(failed) >= {("served", "Killed"), ("tiny-llama", "ParamsError")}
    assert {system for system, _ in failed} == {"served", "tiny-llama"}
    run = project / "runs/tiny"
    systems = pd.read_csv(run / "tables/05_evaluate_systems.csv")["system"]
    assert sorted(systems) == ["bm25-2k", "bm25-full"]
    assert (run / "tables/06_correlate_metrics.csv").is_file()
    # Failed jobs leave their log and the notebook executed up to the failing cell.
    cells = nbformat.read(run / "notebooks/03_generate_responses-tiny-llama.ipynb", 4).cells
    errors = [
        o.ename for cell in cells for o in cell.get("outputs", []) if o.output_type == "error"
    ]
    assert errors == ["ParamsError"]
    page = (run / "report.html").read_text()
    assert "system served: no responses" in page and "system tiny-llama: no responses" in page
    log = (run / "notebooks/03_generate_responses-tiny-llama.log").read_text()
    assert "is neither a folder with a language model nor a repository" in log
    assert not (run / "responses/served.jsonl").exists()
    for name, lines in before.items():
        assert kept(project)[name][: len(lines)] == lines


def test_another_run_completes_the_outputs_of_a_single_machine(
    project, cluster, server, model, damaged, local
):
    before = kept(project)
    shutil.copy(model / "model.safetensors", damaged)
    status, log = end(start(project, "slurm", cluster.env), project)
    assert status == 0, log
    done = set(re.findall(r"^Job \d+: (.+)$", log, flags=re.MULTILINE))
    assert not [job for job in done if "bm25" in job or "release" in job], done
    assert "generate the responses of tiny-llama" in done
    found, expected = outputs(project), outputs(local)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    for name, lines in before.items():
        assert kept(project)[name][: len(lines)] == lines
    # One per prompt on each machine, plus those that hung in killed jobs, twice for two shards.
    n = len(expected["responses/served.jsonl"])
    assert sum(map(len, kept(project).values())) == n
    assert len(server.requests) <= 2 * n + 4


def test_status_of_real_jobs(cluster, tmp_path):
    (tmp_path / ".snakemake/slurm").mkdir(parents=True)

    def status(job):
        program = Path(__file__).parents[2] / "profiles/slurm/status.sh"
        done = subprocess.run([program, job], cwd=tmp_path, env=cluster.env, capture_output=True)
        return done.stdout.decode().strip()

    jobs = {
        command: cluster.ask(
            "sbatch", "--parsable", "--mem=10M", "--output=/dev/null", f"--wrap={command}"
        )
        for command in ("true", "false", "sleep 60")
    }
    wait_for("two end", lambda: cluster.jobs() == [jobs["sleep 60"]], seconds=60)
    assert {command: status(job) for command, job in jobs.items()} == {
        "true": "success", "false": "failed", "sleep 60": "running",
    }  # fmt: skip
    cluster.ask("scancel", jobs["sleep 60"])
    wait_for("the end", lambda: not cluster.jobs(), seconds=60)
    assert status(jobs["sleep 60"]) == "failed"
    assert status("99999") == "failed"  # unknown to SLURM and without an exit status
    (tmp_path / ".snakemake/slurm/99999.exit").write_text("0\n")
    assert status("99999") == "success"
