# One experiment, from its release to its tables: `snakemake` runs params/demo.yaml,
# `snakemake --configfile params/<experiment>.yaml` another one. Everything that a file there can
# get wrong is found before the first job starts. Where it runs is said by a folder in profiles/.

import functools
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from medalign_utils.config import (
    for_notebook,
    load_comet_compact,
    load_experiment,
    load_system,
)
from medalign_utils.data.release import ehr_files as ehr_files_of, load_release
from medalign_utils.errors import MedAlignError
from medalign_utils.generation.registry import GENERATORS
from medalign_utils.generation.system import job_resources, shaping_settings
from medalign_utils.generation.terms import check_terms
from medalign_utils.paths import COMET_COMPACT, part, resolve

# Jobs find papermill and python in the environment that runs Snakemake.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

try:
    FILE = os.path.relpath(workflow.configfiles[-1] if workflow.configfiles else "params/demo.yaml")
    EXPERIMENT = load_experiment(FILE, overrides=workflow.config_settings.config)
    # The file's parameters as this run has them.
    SETTINGS = yaml.safe_dump({key: EXPERIMENT[key] for key in EXPERIMENT if key != "experiment"})
    TRAINING = load_comet_compact()
    IS_SYNTHETIC = "synthetic_seed" in EXPERIMENT
    IS_RELEASED = EXPERIMENT["responses"] == "released"
    IS_RESTRICTED = False
    if not IS_SYNTHETIC:
        release = load_release(resolve(EXPERIMENT["release"]), columns=EXPERIMENT["columns"])
        IS_RESTRICTED = release.is_restricted
    # The release brings the responses of released systems, which need no YAML.
    SYSTEMS = {} if IS_RELEASED else {name: load_system(name) for name in EXPERIMENT["systems"]}
    if not IS_SYNTHETIC:
        for system in SYSTEMS.values():
            check_terms(release, system)
except MedAlignError as error:
    sys.exit(str(error))

RELEASE = EXPERIMENT["release"]
RUN = f"runs/{EXPERIMENT['experiment']}"


def shards_of(system):
    """Into how many jobs a system's generation and scoring are cut."""
    return SYSTEMS.get(system, {}).get("shards", 1)


def parts_of(file, system):
    """The parts of a system's file that several jobs make, in their order; none where one does."""
    shards = shards_of(system)
    return [str(part(Path(file), k + 1, shards)) for k in range(shards)] if shards > 1 else []


def files_of(system):
    """All that generating and scoring make of a system."""
    files = [f"{RUN}/scores/{system}.parquet", f"{RUN}/scores/{system}-skipped.csv"]
    if not IS_RELEASED:
        files.append(f"{RUN}/responses/{system}.jsonl")
    return files + [each for file in files for each in parts_of(file, system)]


# Systems that a run failed to finish; see `onerror`, which goes on without them.
FAILED = os.environ.get("MEDALIGN_FAILED", "").split()
for key in ("systems", "counterfactual_systems"):
    EXPERIMENT[key] = [s for s in EXPERIMENT[key] if s not in FAILED]

RESPONSES = expand(f"{RUN}/responses/{{system}}.jsonl", system=EXPERIMENT["systems"])
if IS_RELEASED:
    RESPONSES = []
# Responses of this run can be rated by an answer key only.
IS_RATED = IS_RELEASED or IS_SYNTHETIC or (resolve(RELEASE) / "answer-key.jsonl").is_file()
if not IS_RATED:
    print(f"{RELEASE} has no answer key: responses are generated and scored, not rated.")
# Systems answer rewritten records anew, which a release's own responses do not.
IS_AUDITED = not IS_RELEASED and bool(EXPERIMENT["counterfactual_systems"])
SCORES = expand(f"{RUN}/scores/{{system}}.parquet", system=EXPERIMENT["systems"])
# The metrics by which there are no scores, and why.
SKIPPED = expand(f"{RUN}/scores/{{system}}-skipped.csv", system=EXPERIMENT["systems"])

# What is made from a restricted release is for its owner's eyes.
UMASK = "umask 077; " if IS_RESTRICTED else ""
# Threads are pinned because the order of a parallel sum moves the last digits of a score.
PAPERMILL = (
    UMASK
    # What it says goes beside the executed notebook, and where it fails to the screen as well.
    + "log={log}; OMP_NUM_THREADS={threads} papermill --engine ipc --no-progress-bar"
    " --log-level ERROR {input.notebook} $log -y {params.notebook:q} >${{log%.ipynb}}.log 2>&1"
    " || {{ cat ${{log%.ipynb}}.log >&2; exit 1; }}"
)

REPORT = UMASK + "python -m medalign_utils report {FILE:q} -y {SETTINGS:q}"


# What reading a release takes, putting it into prompts, and grading responses.
READING = ("dataset", "tables", "taxonomy", "ehr", "units")
PACKING = ("prompts", "measuring", "chat")
GRADING = ("grading", "units", "ratings", "published")
# What generating responses takes besides the generator, and what scoring them.
GENERATING = (
    *PACKING, "packing", "strategies", "ranking", "encoder", *READING,
    "systems", "running", "asking", "run_files", "sharding", "terms",
    "generators/generation", "generators/passages",
)
SCORING = ("encoder", "pretrained", "metrics", "ratings", *READING)


def package(*modules):
    """The modules whose change makes a job run again; a folder stands for all in it."""
    files = sorted(Path("medalign_utils").rglob("*.py"))
    return list(map(str, files))


@functools.cache
def digest(*modules):
    """Stands for these modules where there are many jobs: Snakemake looks at each input of each."""
    content = b"".join(Path(file).read_bytes() for file in package(*modules))
    return hashlib.sha256(content).hexdigest()


def parameters(notebook):
    """Exactly the parameters that this notebook declares, as JSON, which is YAML too."""
    usual = for_notebook(f"notebooks/{notebook}.ipynb", EXPERIMENT, system=None)

    def of_job(wildcards):
        job = {k: int(v) if k.startswith("shard") else v for k, v in wildcards.items()}
        return json.dumps({k: job.get(k, v) for k, v in usual.items()}, ensure_ascii=False)

    return of_job


def release_files():
    """What stands for the release: its tables, and the manifest with the digest of each EHR."""
    if IS_SYNTHETIC:
        return rules.synthesize.output
    return sorted(map(str, Path(RELEASE).expanduser().glob("*.[tc]sv")))


def ehr_files():
    """The EHRs of a release that is not written here; one that is has its manifest."""
    if IS_SYNTHETIC:
        return []
    return sorted(str(file) for file in ehr_files_of(resolve(RELEASE))[0])


def code_of(wildcards):
    """What generates a system's responses: of the generators its own alone."""
    generator = GENERATORS[SYSTEMS[wildcards.system]["generator"]]
    own = generator.__module__.removeprefix("medalign_utils.").replace(".", "/")
    return digest(*GENERATING, own)


def asks(job, resource, factor=1):
    """What a system's job asks of where it runs, as its YAML says; of released ones, the usual."""

    def of_job(wildcards):
        asked = job_resources(SYSTEMS.get(wildcards.system, {}), job)
        return math.ceil(factor * asked[resource])

    return of_job


def parts(file):
    return lambda wildcards: parts_of(file.format(system=wildcards.system), wildcards.system)


def any_of(systems):
    """A wildcard constraint: one of these names, or what is no name where there are none."""
    return "|".join(map(re.escape, systems)) or "(?!)"


WHOLE = any_of([s for s in EXPERIMENT["systems"] if shards_of(s) == 1])
SHARDED = any_of([s for s in EXPERIMENT["systems"] if shards_of(s) > 1])


def comet_files():
    """The checkpoint, where it is a file; a hub id is fetched by COMET itself."""
    model = EXPERIMENT["comet_checkpoint"]
    if "comet" in EXPERIMENT["metrics"] and model.endswith(".ckpt"):
        return [model]
    return []


def weight_files():
    """The weights of metrics that lie in a folder; a hub's are fetched by the job."""
    folders = [resolve(name) for name in EXPERIMENT["weights"].values() if name]
    files = [file for folder in folders if folder.is_dir() for file in folder.rglob("*")]
    return sorted(str(file) for file in files if file.is_file())


wildcard_constraints:
    system=any_of(EXPERIMENT["systems"]),
    shard=r"\d+",
    shards=r"\d+",


localrules:
    all,
    join_responses,
    join_scores,


if IS_SYNTHETIC:

    rule synthesize:
        input:
            package("synthetic", "taxonomy"),
        output:
            f"{RELEASE}/manifest.json",
            f"{RELEASE}/all-instructions-rouge.tsv",
            f"{RELEASE}/clinician-instruction-responses.tsv",
            f"{RELEASE}/submitted-instructions.tsv",
            f"{RELEASE}/answer-key.jsonl",
        params:
            out=RELEASE,
            patients=EXPERIMENT["synthetic_patients"],
            instructions=EXPERIMENT["synthetic_instructions"],
            seed=EXPERIMENT["synthetic_seed"],
        message:
            "write the synthetic release {params.out}"
        shell:
            "python -m medalign_utils synthesize {params.out:q} --patients {params.patients}"
            " --instructions {params.instructions} --seed {params.seed}"


rule comet_compact:
    input:
        package("comet_compact", "training_pairs", "encoder", "synthetic", "taxonomy", *GRADING),
    output:
        f"{COMET_COMPACT}/checkpoints/model.ckpt",
        f"{COMET_COMPACT}/hparams.yaml",
        f"{COMET_COMPACT}/held_out.csv",
    params:
        out=COMET_COMPACT,
        **TRAINING,
    # The longest job, and every score waits for it.
    priority: 10
    message:
        "train the COMET model {params.out}"
    shell:
        "OMP_NUM_THREADS={threads} python -m medalign_utils comet-compact {params.out}"
        " --patients {params.patients} --instructions {params.instructions} --seed {params.seed}"


rule explore:
    input:
        release_files(),
        ehr_files(),
        package("explore", "plots", *PACKING, *READING),
        package("browse", "browse_controls", "record_view", "evidence"),
        "data/paper/table_categories.csv",
        notebook="notebooks/01_explore_release.ipynb",
    output:
        f"{RUN}/patients.csv",
        f"{RUN}/figures/01_explore_release-categories.png",
        f"{RUN}/figures/01_explore_release-specialties.png",
        f"{RUN}/figures/01_explore_release-ehr_lengths.png",
        f"{RUN}/figures/01_explore_release-event_years.png",
        f"{RUN}/figures/01_explore_release-note_types.png",
    log:
        f"{RUN}/notebooks/01_explore_release.ipynb",
    params:
        notebook=parameters("01_explore_release"),
    message:
        "explore the release"
    shell:
        PAPERMILL


rule match:
    input:
        release_files(),
        ehr_files(),
        package("matching", "plots", "statistics", *READING),
        notebook="notebooks/02_match_instructions.ipynb",
    output:
        f"{RUN}/tables/02_match_instructions.csv",
        f"{RUN}/tables/02_match_instructions-dedup.csv",
        f"{RUN}/figures/02_match_instructions-dedup.png",
        f"{RUN}/figures/02_match_instructions-recall.png",
    log:
        f"{RUN}/notebooks/02_match_instructions.ipynb",
    params:
        notebook=parameters("02_match_instructions"),
    message:
        "match the instructions"
    shell:
        PAPERMILL


rule generate:
    input:
        release_files(),
        ehr_files(),
        notebook="notebooks/03_generate_responses.ipynb",
    output:
        # Snakemake deletes it before the job runs again. The responses stay in the folder
        # <system>/, which is not declared, and are not asked for again if they still hold.
        f"{RUN}/responses/{{system}}.jsonl",
    log:
        f"{RUN}/notebooks/03_generate_responses-{{system}}.ipynb",
    wildcard_constraints:
        system=WHOLE,
    params:
        notebook=parameters("03_generate_responses"),
        code=code_of,
        # In place of its YAML, which also says what changes no response.
        system=lambda wildcards: shaping_settings(SYSTEMS[wildcards.system]),
    threads: asks("generate", "cores")
    resources:
        mem_mb=asks("generate", "memory_gb", 1000),
        runtime=asks("generate", "hours", 60),
        gpus=asks("generate", "gpus"),
    message:
        "generate the responses of {wildcards.system}"
    shell:
        PAPERMILL


use rule generate as generate_shard with:
    output:
        f"{RUN}/responses/{{system}}/{{shard}}-of-{{shards}}.jsonl",
    log:
        f"{RUN}/notebooks/03_generate_responses-{{system}}-{{shard}}-of-{{shards}}.ipynb",
    wildcard_constraints:
        system=SHARDED,
    message:
        "generate the responses of {wildcards.system}, {wildcards.shard} of {wildcards.shards}"


rule join_responses:
    input:
        parts(f"{RUN}/responses/{{system}}.jsonl"),
    output:
        f"{RUN}/responses/{{system}}.jsonl",
    wildcard_constraints:
        system=SHARDED,
    message:
        "join the responses of {wildcards.system}"
    shell:
        UMASK + "cat {input} > {output}"


rule score:
    input:
        release_files(),
        comet_files(),
        weight_files(),
        [] if IS_RELEASED else f"{RUN}/responses/{{system}}.jsonl",
        notebook="notebooks/04_score_responses.ipynb",
    output:
        f"{RUN}/scores/{{system}}.parquet",
        f"{RUN}/scores/{{system}}-skipped.csv",
    log:
        f"{RUN}/notebooks/04_score_responses-{{system}}.ipynb",
    wildcard_constraints:
        system=WHOLE,
    params:
        notebook=parameters("04_score_responses"),
        code=digest(*SCORING),
    threads: asks("score", "cores")
    resources:
        mem_mb=asks("score", "memory_gb", 1000),
        runtime=asks("score", "hours", 60),
        gpus=asks("score", "gpus"),
    message:
        "score the responses of {wildcards.system}"
    shell:
        PAPERMILL


use rule score as score_shard with:
    input:
        release_files(),
        comet_files(),
        weight_files(),
        f"{RUN}/responses/{{system}}/{{shard}}-of-{{shards}}.jsonl",
        notebook="notebooks/04_score_responses.ipynb",
    output:
        f"{RUN}/scores/{{system}}/{{shard}}-of-{{shards}}.parquet",
        f"{RUN}/scores/{{system}}-skipped/{{shard}}-of-{{shards}}.csv",
    log:
        f"{RUN}/notebooks/04_score_responses-{{system}}-{{shard}}-of-{{shards}}.ipynb",
    wildcard_constraints:
        system=SHARDED,
    message:
        "score the responses of {wildcards.system}, {wildcards.shard} of {wildcards.shards}"


rule join_scores:
    input:
        scores=parts(f"{RUN}/scores/{{system}}.parquet"),
        skipped=parts(f"{RUN}/scores/{{system}}-skipped.csv"),
    output:
        scores=f"{RUN}/scores/{{system}}.parquet",
        skipped=f"{RUN}/scores/{{system}}-skipped.csv",
    wildcard_constraints:
        system=SHARDED,
    message:
        "join the scores of {wildcards.system}"
    shell:
        # Which also finds out if the shards have skipped other metrics.
        UMASK + "python -m medalign_utils join-scores {output.scores} {input.scores}"
        " && cp {input.skipped[0]} {output.skipped}"


rule evaluate:
    input:
        release_files(),
        ehr_files(),
        package("statistics", "evaluation", "comparisons", "groups", "plots", "synthetic/check"),
        package("explore", "terms"),
        package(*READING, *GRADING),
        RESPONSES,
        notebook="notebooks/05_evaluate_systems.ipynb",
    output:
        f"{RUN}/tables/05_evaluate_systems.csv",
        f"{RUN}/tables/05_evaluate_systems-pairs.csv",
        f"{RUN}/tables/05_evaluate_systems-contexts.csv",
        f"{RUN}/tables/05_evaluate_systems-groups.csv",
        f"{RUN}/figures/05_evaluate_systems-accuracy.png",
        f"{RUN}/figures/05_evaluate_systems-pairs.png",
        f"{RUN}/figures/05_evaluate_systems-groups.png",
        f"{RUN}/figures/05_evaluate_systems-contexts.png",
        f"{RUN}/figures/05_evaluate_systems-head_to_head.png",
    log:
        f"{RUN}/notebooks/05_evaluate_systems.ipynb",
    params:
        notebook=parameters("05_evaluate_systems"),
    message:
        "evaluate the systems"
    shell:
        PAPERMILL


rule correlate:
    input:
        release_files(),
        comet_files(),
        package("statistics", "evaluation", "correlation", "plots", *READING, *GRADING),
        package("agreement", "comparisons"),
        RESPONSES,
        SCORES,
        SKIPPED,
        notebook="notebooks/06_correlate_metrics.ipynb",
    output:
        f"{RUN}/tables/06_correlate_metrics.csv",
        f"{RUN}/tables/06_correlate_metrics-systems.csv",
        f"{RUN}/tables/06_correlate_metrics-pairs.csv",
        f"{RUN}/tables/06_correlate_metrics-raters.csv",
        f"{RUN}/figures/06_correlate_metrics-tau.png",
        f"{RUN}/figures/06_correlate_metrics-pairs.png",
    log:
        f"{RUN}/notebooks/06_correlate_metrics.ipynb",
    params:
        notebook=parameters("06_correlate_metrics"),
    message:
        "correlate the metrics with the ratings"
    shell:
        PAPERMILL


rule audit_fairness:
    input:
        release_files(),
        ehr_files(),
        package("fairness", "confounding", "permutation", "power", "suppression", "demographics"),
        package("statistics", "evaluation", "correlation", "explore", "plots", *READING, *GRADING),
        RESPONSES,
        SCORES,
        notebook="notebooks/07_audit_fairness.ipynb",
    output:
        f"{RUN}/tables/07_audit_fairness.csv",
        f"{RUN}/tables/07_audit_fairness-ranges.csv",
        f"{RUN}/tables/07_audit_fairness-adjusted.csv",
        f"{RUN}/tables/07_audit_fairness-agreement.csv",
        f"{RUN}/tables/07_audit_fairness-data.csv",
        f"{RUN}/tables/07_audit_fairness-categories.csv",
        f"{RUN}/tables/07_audit_fairness-simulation.csv",
        f"{RUN}/figures/07_audit_fairness-systems.png",
        f"{RUN}/figures/07_audit_fairness-gaps.png",
        f"{RUN}/figures/07_audit_fairness-agreement.png",
        f"{RUN}/figures/07_audit_fairness-lengths.png",
        f"{RUN}/figures/07_audit_fairness-power.png",
    log:
        f"{RUN}/notebooks/07_audit_fairness.ipynb",
    params:
        notebook=parameters("07_audit_fairness"),
    message:
        "audit the fairness of the systems"
    shell:
        PAPERMILL


rule reproduce_paper:
    input:
        release_files(),
        f"{RUN}/patients.csv",
        f"{RUN}/tables/05_evaluate_systems.csv",
        f"{RUN}/tables/05_evaluate_systems-contexts.csv",
        f"{RUN}/tables/06_correlate_metrics.csv",
        RESPONSES,
        package("reproduction", "explore", "evaluation", "plots", "terms", *READING, *GRADING),
        sorted(map(str, Path("data/paper").glob("*.csv"))),
        notebook="notebooks/08_reproduce_paper.ipynb",
    output:
        f"{RUN}/tables/08_reproduce_paper.csv",
        f"{RUN}/tables/08_reproduce_paper-categories.csv",
        f"{RUN}/tables/08_reproduce_paper-facts.csv",
        f"{RUN}/tables/08_reproduce_paper-human_evaluation.csv",
        f"{RUN}/tables/08_reproduce_paper-metric_correlation.csv",
        f"{RUN}/figures/08_reproduce_paper-head_to_head.png",
        f"{RUN}/figures/08_reproduce_paper-human_evaluation.png",
        f"{RUN}/figures/08_reproduce_paper-metric_correlation.png",
    log:
        f"{RUN}/notebooks/08_reproduce_paper.ipynb",
    params:
        notebook=parameters("08_reproduce_paper"),
    message:
        "set the paper beside the run"
    shell:
        PAPERMILL


rule counterfactuals:
    input:
        release_files(),
        ehr_files(),
        package("counterfactual", "rewriting", "groups", "statistics", "plots"),
        package(*PACKING, "packing", "strategies", "ranking", "encoder", *READING, *GRADING),
        package("systems", "running", "asking", "run_files", "terms", "generators"),
        expand(f"{RUN}/responses/{{system}}.jsonl", system=EXPERIMENT["counterfactual_systems"]),
        notebook="notebooks/09_audit_counterfactuals.ipynb",
    output:
        # The rewritten records and the answers to them stay in counterfactuals/, undeclared, as
        # responses do.
        f"{RUN}/tables/09_audit_counterfactuals.csv",
        f"{RUN}/figures/09_audit_counterfactuals-changes.png",
    log:
        f"{RUN}/notebooks/09_audit_counterfactuals.ipynb",
    params:
        notebook=parameters("09_audit_counterfactuals"),
        # In place of their YAML, as of `generate`.
        systems=[
            shaping_settings(SYSTEMS[system])
            for system in EXPERIMENT["counterfactual_systems"]
            if system in SYSTEMS
        ],
    message:
        "audit counterfactual records"
    shell:
        PAPERMILL


rule report:
    input:
        release_files(),
        comet_files(),
        RESPONSES,
        SCORES,
        SKIPPED,
        rules.explore.output,
        rules.match.output,
        rules.evaluate.output if IS_RATED else [],
        rules.correlate.output if IS_RATED else [],
        rules.audit_fairness.output if IS_RATED else [],
        rules.reproduce_paper.output if IS_RATED else [],
        rules.counterfactuals.output if IS_AUDITED else [],
        [] if IS_RELEASED else expand("params/systems/{system}.yaml", system=EXPERIMENT["systems"]),
        package("report", "display", "provenance"),
        "medalign_utils/reporting/report.html",
        sorted(map(str, Path("notebooks").glob("[0-9]*.ipynb"))),
    output:
        f"{RUN}/report.html",
    params:
        settings=SETTINGS,
    message:
        "write the report"
    shell:
        REPORT


onerror:
    # Everything that could run has run, unless it was interrupted. What takes all systems is then
    # made of those that have run to their end, and the report names the rest; this run has failed.
    unfinished = [s for s in EXPERIMENT["systems"] if not all(map(os.path.exists, files_of(s)))]
    others = len(EXPERIMENT["systems"]) - len(unfinished)
    interrupted = workflow.scheduler.running or list(workflow.scheduler.open_jobs)
    if not (FAILED or interrupted):
        if unfinished and others >= 2 and not workflow.dag_settings.targets:
            print(f"\nNot finished: {', '.join(unfinished)}; see {RUN}/notebooks/.")
            print(f"Going on with the other {others} systems.\n", flush=True)
            subprocess.run(
                [sys.executable, "-m", "snakemake", *sys.argv[1:], "--nolock"],
                env=os.environ | {"MEDALIGN_FAILED": " ".join(unfinished)},
            )
        shell(f"{REPORT} || true")


rule all:
    default_target: True
    input:
        # Not only the last files, or Snakemake would not miss one on the way that is deleted.
        release_files(),
        comet_files(),
        [file for system in EXPERIMENT["systems"] for file in files_of(system)],
        [] if FAILED else rules.explore.output,
        [] if FAILED else rules.match.output,
        rules.evaluate.output if IS_RATED else [],
        rules.correlate.output if IS_RATED else [],
        rules.audit_fairness.output if IS_RATED else [],
        rules.reproduce_paper.output if IS_RATED else [],
        rules.counterfactuals.output if IS_AUDITED else [],
        [] if FAILED else rules.report.output,
    message:
        "everything is there"
