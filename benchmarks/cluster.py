"""What the workflow itself costs: on a cluster against one machine, and with many systems.

    python benchmarks/cluster.py overhead   # the demo with both profiles, on a local SLURM
    python benchmarks/cluster.py systems    # memory, and a dry run of 500 up-to-date systems

The first runs the demo twice (about 10 minutes on 2 cores) and needs SLURM's daemons, like `make
test-cluster`; the second first makes 1,500 empty outputs (a few minutes).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.builders.project import copy_project  # noqa: E402
from tests.builders.slurm_cluster import Cluster, install  # noqa: E402

N_SYSTEMS = 500
SHARDS = 2  # of each of the demo's systems, on the cluster
# Inserted above this line of the Snakefile: notebooks and report are replaced by empty files.
LINE = "def code_of(notebook):"
EMPTY = """NOTEBOOK = "touch {output} {log}"
SYSTEM_NOTEBOOK = "echo '{{\\"is_ok\\": true, \\"files\\": {{}}}}' > {output}; touch {log}"
REPORT = "touch {output}"


"""


def snakemake(
    project: Path, *arguments: str, env: dict[str, str] | None = None
) -> tuple[float, float]:
    """Run the workflow; return its seconds and the largest process's peak memory in MB."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "snakemake", *arguments],
            cwd=project, env=(env or os.environ) | {"PYTHONPATH": _path(project)},
            stdout=output, stderr=output,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        if status:
            output.seek(0)
            sys.exit(f"{arguments}:\n{output.read()}")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def _path(project: Path) -> str:
    return os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])])


def overhead(folder: Path) -> None:
    """Run the demo with profiles/local, then with profiles/slurm and shards."""
    if why := install():
        sys.exit(why)
    seconds = {}
    cores = os.cpu_count() or 1
    for profile in ("local", "slurm"):
        project = copy_project(_new_folder(folder / profile))
        if profile == "local":
            arguments = ("--cores", str(cores))
            seconds[profile], _ = snakemake(project, *arguments)
            continue
        for name in yaml.safe_load((project / "params/demo.yaml").read_text())["systems"]:
            with (project / f"params/systems/{name}.yaml").open("a") as file:
                small = "{memory_gb: 2}"
                file.write(f"shards: {SHARDS}\nresources: {{generate: {small}, score: {small}}}\n")
        cluster = Cluster(_new_folder(folder / "daemons"), cpus=cores)
        try:
            arguments = ("--workflow-profile", "profiles/slurm")
            seconds[profile], _ = snakemake(project, *arguments, env=cluster.env)
        finally:
            cluster.stop()
    ratio = seconds["slurm"] / seconds["local"]
    print(f"the demo on {cores} cores: local {seconds['local']:.0f} s, slurm with {SHARDS} shards "
          f"per system {seconds['slurm']:.0f} s, ratio {ratio:.2f}")  # fmt: skip
    tables = [{file.name: file.read_bytes() for file in (folder / profile).glob("runs/*/tables/*")}
              for profile in seconds]  # fmt: skip
    print("tables byte-identical:", tables[0] == tables[1])


def systems(folder: Path) -> None:
    """Time a dry run with nothing to do and measure a job's memory, for 2 and many systems."""
    for n in (2, N_SYSTEMS):
        project = copy_project(_new_folder(folder / str(n)))
        base = (project / "params/systems/bm25-2k.yaml").read_text()
        names = [f"system-{i}" for i in range(n)]
        for i, name in enumerate(names):
            text = base.replace("2048", str(1000 + i))
            (project / f"params/systems/{name}.yaml").write_text(text)
        experiment = yaml.safe_load((project / "params/demo.yaml").read_text())
        experiment |= {"systems": names, "counterfactual_systems": [], "metrics": ["chrf"],
                       "synthetic_patients": 3, "synthetic_instructions": 20}  # fmt: skip
        (project / "params/many.yaml").write_text(yaml.safe_dump(experiment))
        snakefile = (project / "Snakefile").read_text()
        if LINE not in snakefile:
            sys.exit(f"Snakefile: no line {LINE!r}")
        (project / "Snakefile").write_text(snakefile.replace(LINE, EMPTY + LINE))
        options = ("--configfile", "params/many.yaml", "--cores", "2")
        run_seconds, _ = snakemake(project, *options)
        seconds, _ = snakemake(project, *options, "--dry-run")
        print(f"{n} systems: run in {run_seconds:.0f} s, empty dry run {seconds:.1f} s")
        # One job as on a cluster: first Snakemake's own memory, then with the notebook's kernel.
        for kind in ("empty", "real"):
            if kind == "real":
                (project / "Snakefile").write_text(snakefile)
            for rule in ("generate", "score"):
                job = ("--target-jobs", f"{rule}:part=system-0", "--allowed-rules", rule)
                file = f"runs/many/status/{rule}/system-0.json"
                remote = ("--mode", "remote", "--nolock", "--force", "--", file)
                _, peak = snakemake(project, *options, *job, *remote)
                print(f"{n} systems, {kind} notebook, {rule}: largest process {peak:.0f} MB")


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("overhead", "systems"))
    with tempfile.TemporaryDirectory() as temporary:
        {"overhead": overhead, "systems": systems}[parser.parse_args().what](Path(temporary))
