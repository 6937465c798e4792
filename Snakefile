# Runs one experiment, from its release to its report: `snakemake` runs params/demo.yaml,
# `snakemake --configfile params/<experiment>.yaml` another one. Errors in these files are reported
# before the first job starts. A folder in profiles/ says where jobs run.

import json
import math
import os
import re
import sys
from pathlib import Path

import yaml

from medalign_utils.config import (
    answering_systems,
    cost_settings,
    for_notebook,
    load_experiment,
    load_system,
)
from medalign_utils.data.access import table_files
from medalign_utils.data.ehr_files import ehrs_digest
from medalign_utils.data.release import load_release
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import has_ratings
from medalign_utils.generation.system import job_resources, shaping_settings
from medalign_utils.generation.terms import check_terms
from medalign_utils.outputs import FIGURE_KINDS, OUTPUTS, stem
from medalign_utils.paths import checkpoint, keep_private, part, resolve
from medalign_utils.provenance.code_closure import code_hash
from medalign_utils.provenance.notebook import notebook_code
from medalign_utils.reporting.jobs import is_finished
from medalign_utils.review.collected import files_of
from medalign_utils.run import Run

# Jobs find python in the environment that runs Snakemake.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

try:
    FILE = os.path.relpath(workflow.configfiles[-1] if workflow.configfiles else "params/demo.yaml")
    EXPERIMENT = load_experiment(FILE, overrides=workflow.config_settings.config)
    EXPERIMENT.setdefault("limit", None)
    SETTINGS = yaml.safe_dump({key: EXPERIMENT[key] for key in EXPERIMENT if key != "experiment"})
    IS_SYNTHETIC = "synthetic_seed" in EXPERIMENT
    IS_RELEASED = EXPERIMENT["responses"] == "released"
    IS_RESTRICTED = False
    # Released systems need no YAML, since their responses are in the release.
    PROMPT = EXPERIMENT.get("prompt")
    SYSTEMS = {name: load_system(name, PROMPT) for name in answering_systems(EXPERIMENT)}
    # A digest of a given release's EHRs; the manifest of a synthetic one has their digests. Their
    # names are ids of patients, so they are no inputs, which Snakemake logs and records.
    EHRS = ""
    if not IS_SYNTHETIC:
        EHRS = ehrs_digest(resolve(EXPERIMENT["release"]))
        release = load_release(resolve(EXPERIMENT["release"]), columns=EXPERIMENT["columns"])
        IS_RESTRICTED = release.is_restricted
        for system in SYSTEMS.values():
            check_terms(release, system)
except MedAlignError as error:
    sys.exit(str(error))

RELEASE = EXPERIMENT["release"]
RUN = f"runs/{EXPERIMENT['experiment']}"
IS_COLLECTED = EXPERIMENT.get("ratings") == "collected"
# The answer key of a synthetic release need not exist yet.
IS_RATED = (IS_SYNTHETIC and not IS_COLLECTED) or has_ratings(Run.of(EXPERIMENT))
if not IS_RATED:
    missing = "nothing is collected yet" if IS_COLLECTED else f"{RELEASE} has no answer key"
    print(f"{missing}: responses are generated and scored, not rated; `make review` collects ratings.")
# What raters have said so far.
REVIEW = [os.path.relpath(file) for file in files_of(RUN.removeprefix("runs/"))] if IS_COLLECTED else []
# The audit asks systems again about rewritten records, which released responses do not allow.
IS_AUDITED = not IS_RELEASED and bool(EXPERIMENT["counterfactual_systems"])

# Part of a system's generation and scoring -> (system, shard, shards).
PARTS = {
    f"{system}/{k + 1}-of-{shards}" if shards > 1 else system: (system, k + 1, shards)
    for system in SYSTEMS or EXPERIMENT["systems"]
    for shards in [min(SYSTEMS.get(system, {}).get("shards", 1), EXPERIMENT["limit"] or math.inf)]
    for k in range(shards)
}
SHARDED = [system for system in SYSTEMS if system not in PARTS]
KIND_NOTEBOOKS = {"generate": "03_generate_responses", "score": "04_score_responses"}
KINDS = ["score"] if IS_RELEASED else ["generate", "score"]

def keep_run_private():
    """Let only the owner read files made from a restricted release, and Snakemake's records."""
    if IS_RESTRICTED:
        for folder in (RUN, ".snakemake"):
            keep_private(Path(folder))


try:
    keep_run_private()
except MedAlignError as error:
    sys.exit(str(error))
# Runs a notebook and keeps its executed copy and its log. The number of threads is fixed, because
# the order of a parallel sum changes the last digits of a score.
RUN_NOTEBOOK = (
    "log={log:q}; OMP_NUM_THREADS={threads} python -m medalign_utils run {input.notebook:q}"
    ' "$log" -y {params.notebook:q} --after {params.after:q} '
)
LOGGED = ' >"${{log%.ipynb}}.log" 2>&1 || {{ cat "${{log%.ipynb}}.log" >&2; exit 1; }}'
NOTEBOOK = RUN_NOTEBOOK + "--status {params.status:q} --makes {params.makes:q}" + LOGGED
# A system's job: if it is killed, its second attempt writes the status.
MADE = "--status {output:q} --makes {params.makes:q} --attempt {resources.attempt}"
SYSTEM_NOTEBOOK = RUN_NOTEBOOK + MADE + LOGGED + "; grep '\"is_ok\": false' {output:q} >&2 || true"
REPORT = "python -m medalign_utils report {FILE:q} -y {SETTINGS:q}"


def code_of(notebook):
    """Return a hash of the package code that this notebook uses; a change runs it again."""
    return code_hash(notebook_code(Path(f"notebooks/{notebook}.ipynb")))


def statuses(kind, systems):
    """Return the systems' status files, which contain the hashes of the jobs' files."""
    return [f"{RUN}/status/{kind}/{system}.json" for system in systems]


def outputs_of(notebook):
    tables, figures = OUTPUTS[notebook]
    return [
        *(f"{RUN}/tables/{stem(notebook, suffix)}.csv" for suffix in tables),
        *(f"{RUN}/figures/{stem(notebook, name)}.{kind}" for name in figures for kind in FIGURE_KINDS),
        *([f"{RUN}/patients.csv"] if notebook == "01_explore_release" else []),
        f"{RUN}/provenance/{notebook}.json",
    ]


def parameters(notebook):
    """Return exactly the parameters that this notebook declares, as JSON, which is also YAML."""
    usual = for_notebook(f"notebooks/{notebook}.ipynb", EXPERIMENT, system=None)

    def of_job(wildcards):
        names = ("system", "shard", "shards")
        job = dict(zip(names, PARTS[wildcards.part])) if wildcards else {}
        return json.dumps({k: job.get(k, v) for k, v in usual.items()}, ensure_ascii=False)

    return of_job


def makes(kind):
    """Return the files that a status vouches for, of a system or of one of its shards."""
    names = ["scores/{}.parquet", "scores/{}-skipped.csv"]
    names = ["responses/{}.jsonl"] if kind == "generate" else names

    def of_job(wildcards):
        whole = (wildcards.get("system"), 1, 1)
        system, shard, shards = PARTS.get(wildcards.get("part"), whole)
        files = [str(part(Path(RUN, name.format(system)), shard, shards)) for name in names]
        # The first shard answers all rewordings.
        answers_them = kind == "generate" and wildcards.get("part") and shard == 1
        if answers_them and EXPERIMENT.get("rewordings"):
            files.append(f"{RUN}/rewordings/{system}.jsonl")
        return files

    return of_job


def asks(job, resource, factor=1):
    """Return a resource that a system's job requests, from its YAML or by default."""

    def of_job(wildcards):
        system, *_ = PARTS[wildcards.part]
        return math.ceil(factor * job_resources(SYSTEMS.get(system, {}), job)[resource])

    return of_job


def any_of(names):
    """Return a wildcard constraint that matches these names only."""
    return "|".join(map(re.escape, names)) or "(?!)"


GENERATED = [] if IS_RELEASED else statuses("generate", EXPERIMENT["systems"])
# Of the systems that also answer rewritten records, and may do nothing else.
AUDITED = statuses("generate", EXPERIMENT["counterfactual_systems"]) if IS_AUDITED else []
SCORED = statuses("score", EXPERIMENT["systems"])
# Metrics' models in folders; jobs download those on a hub.
WEIGHTS = [
    os.path.relpath(file)  # the same in every clone
    for name in map(checkpoint, (EXPERIMENT["comet_checkpoint"], *EXPERIMENT["weights"].values()))
    if name
    for file in sorted([Path(name), *Path(name).rglob("*")])
    if file.is_file() and file.suffix not in (".md", ".csv")
]
PAPER = sorted(map(str, Path("data/paper").glob("*.csv")))

# Notebook -> what it reads besides the release.
NOTEBOOKS = {"01_explore_release": PAPER, "02_match_instructions": []}
if IS_RATED:
    NOTEBOOKS |= {
        "05_evaluate_systems": GENERATED + REVIEW,
        "06_correlate_metrics": GENERATED + SCORED + REVIEW,
        "07_audit_fairness": GENERATED + SCORED + REVIEW,
        "08_reproduce_paper": [
            f"{RUN}/patients.csv",
            f"{RUN}/tables/05_evaluate_systems.csv",
            f"{RUN}/tables/05_evaluate_systems-contexts.csv",
            f"{RUN}/tables/06_correlate_metrics.csv",
            *PAPER,
            *GENERATED,
            *REVIEW,
        ],
    }
if IS_AUDITED:
    NOTEBOOKS["09_audit_counterfactuals"] = AUDITED
NOTEBOOKS["12_analyze_errors"] = GENERATED + REVIEW
NO_EHRS = ("06_correlate_metrics", "08_reproduce_paper")  # of these
EVERYTHING = [file for notebook in NOTEBOOKS for file in outputs_of(notebook)]

# Try again systems that failed, and whatever has files other than its status says, for instance
# tables that were saved by hand. While another run holds the lock, the statuses belong to it.
if workflow.is_main_process and not any(Path(".snakemake/locks").glob("*")):
    for file in [file for kind in KINDS for file in statuses(kind, [*PARTS, *SHARDED])]:
        if os.path.exists(file) and not is_finished(Path(file)):
            os.remove(file)
    for notebook in NOTEBOOKS:
        status, record = (f"{RUN}/{folder}/{notebook}.json" for folder in ("status", "provenance"))
        if all(map(os.path.exists, (status, record))) and not is_finished(Path(status)):
            print(f"{notebook} runs again, because its tables or figures were changed by hand.")
            os.remove(record)


wildcard_constraints:
    part=any_of(PARTS),
    system=any_of(SHARDED),
    kind=any_of(KINDS),


localrules: all, join, complete


if IS_SYNTHETIC:

    rule synthesize:
        # `update`, because Snakemake deletes other outputs before it runs a job, and without the
        # manifest nothing proves that the EHRs in the folder may be replaced.
        output:
            update(f"{RELEASE}/manifest.json"),
            update(f"{RELEASE}/all-instructions-rouge.tsv"),
            update(f"{RELEASE}/clinician-instruction-responses.tsv"),
            update(f"{RELEASE}/submitted-instructions.tsv"),
            update(f"{RELEASE}/answer-key.jsonl"),
        params:
            out=RELEASE,
            patients=EXPERIMENT["synthetic_patients"],
            instructions=EXPERIMENT["synthetic_instructions"],
            seed=EXPERIMENT["synthetic_seed"],
            code=code_hash("import medalign_utils.synthetic"),
        message:
            "write the synthetic release {params.out}"
        shell:
            "python -m medalign_utils synthesize {params.out:q} --patients {params.patients}"
            " --instructions {params.instructions} --seed {params.seed}"


# The release's tables, and the manifest with each EHR's digest.
TABLES = rules.synthesize.output if IS_SYNTHETIC else [
    str(file) for file in table_files(Path(RELEASE).expanduser())
]


# A system's jobs. Their files are not declared as outputs, because Snakemake would delete them
# before a rerun, and responses and scores that are still valid would be lost.
for kind in KINDS:

    rule:
        name:
            kind
        input:
            TABLES,
            WEIGHTS if kind == "score" else [],
            after=[f"{RUN}/status/generate/{{part}}.json"] if kind != KINDS[0] else [],
            notebook=f"notebooks/{KIND_NOTEBOOKS[kind]}.ipynb",
        output:
            f"{RUN}/status/{kind}/{{part}}.json",
        log:
            f"{RUN}/notebooks/{KIND_NOTEBOOKS[kind]}-{{part}}.ipynb",
        params:
            notebook=parameters(KIND_NOTEBOOKS[kind]),
            code=code_of(KIND_NOTEBOOKS[kind]),
            ehrs=EHRS if kind == "generate" else "",
            after=lambda wildcards, input: input.after,
            makes=makes(kind),
            # Not the YAML itself, which also has settings that change no response.
            system=lambda wildcards: shaping_settings(SYSTEMS.get(PARTS[wildcards.part][0], {})),
        retries: 1
        threads: asks(kind, "cores")
        resources:
            mem_mb=asks(kind, "memory_gb", 1000),
            runtime=asks(kind, "hours", 60),
            gpus=asks(kind, "gpus"),
            attempt=lambda wildcards, attempt: attempt,
        message:
            f"{kind} the responses of {{wildcards.part}}"
        shell:
            SYSTEM_NOTEBOOK


rule join:
    input:
        lambda wildcards: statuses(
            wildcards.kind, [name for name in PARTS if PARTS[name][0] == wildcards.system]
        ),
    output:
        f"{RUN}/status/{{kind}}/{{system}}.json",
    params:
        makes=lambda wildcards: makes(wildcards.kind)(wildcards),
    shell:
        "python -m medalign_utils join --status {output:q} --after {input:q} --makes {params.makes:q}"


for notebook, files in NOTEBOOKS.items():

    rule:
        name:
            notebook[3:]
        input:
            TABLES,
            files,
            notebook=f"notebooks/{notebook}.ipynb",
        output:
            outputs_of(notebook),
        log:
            f"{RUN}/notebooks/{notebook}.ipynb",
        params:
            notebook=parameters(notebook),
            code=code_of(notebook),
            ehrs="" if notebook in NO_EHRS else EHRS,
            status=f"{RUN}/status/{notebook}.json",
            makes=[file for file in outputs_of(notebook) if "/provenance/" not in file],
            after=[file for file in files if "/status/" in file],
            costs=cost_settings(EXPERIMENT["systems"], EXPERIMENT["responses"])
            if notebook == "05_evaluate_systems"
            else None,
            # For the systems that this notebook asks itself, as in `generate`.
            systems=[
                shaping_settings(SYSTEMS[system])
                for system in EXPERIMENT["counterfactual_systems"] * ("counterfactual" in notebook)
            ],
        message:
            f"run notebook {notebook}"
        shell:
            NOTEBOOK


rule report:
    input:
        TABLES,
        GENERATED,
        SCORED,
        EVERYTHING,
        expand("params/systems/{system}.yaml", system=SYSTEMS),
        sorted(map(str, Path("notebooks").glob("[0-9]*.ipynb"))),
    output:
        f"{RUN}/report.html",
        f"{RUN}/run.json",
        [file.replace(".csv", ".tex") for file in EVERYTHING if "/tables/" in file],
    params:
        # By a function, because the wording of prompts has braces, which are not wildcards.
        settings=lambda wildcards: SETTINGS,
        code=code_hash("import medalign_utils.reporting.report"),
        notebook=code_of("14_report"),
    message:
        "write the report"
    shell:
        REPORT


rule complete:
    input:
        f"{RUN}/report.html",
        statuses=[*dict.fromkeys(GENERATED + AUDITED + SCORED)],
    output:
        touch(f"{RUN}/status/complete"),
    message:
        "check that every system has finished"
    shell:
        "if grep -h '\"is_ok\": false' {input.statuses:q} >&2; then"
        " echo 'Not finished: the systems above; the next run tries them again.' >&2; exit 1; fi"


onsuccess:
    keep_run_private()
    if os.path.exists(f"{RUN}/report.html"):
        print(f"Open {RUN}/report.html; tables, figures and notebooks are next to it.")


onerror:
    keep_run_private()
    # Unless interrupted, everything that could run has run: the report says what is missing.
    interrupted = workflow.scheduler.running or list(workflow.scheduler.open_jobs)
    if not interrupted and not all(map(os.path.exists, EVERYTHING)):
        shell(f"{REPORT} || true")


rule all:
    default_target: True
    input:
        # All files, because Snakemake would not notice that an intermediate one is missing.
        TABLES,
        GENERATED,
        SCORED,
        EVERYTHING,
        rules.report.output + rules.complete.output,
    message:
        "everything is there"
