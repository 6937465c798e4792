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

from medalign_utils.dataset import ehr_files as ehr_files_of, load_release
from medalign_utils.errors import MedAlignError
from medalign_utils.generators import GENERATORS
from medalign_utils.params import (
    for_notebook,
    load_comet_compact,
    load_experiment,
    load_system,
)
from medalign_utils.paths import COMET_COMPACT, part, resolve
from medalign_utils.systems import job_resources, shaping_settings
from medalign_utils.terms import check_terms, is_restricted

# Jobs find papermill and python in the environment that runs Snakemake.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

try:
    EXPERIMENT = load_experiment(
        workflow.configfiles[-1] if workflow.configfiles else "params/demo.yaml",
        overrides=workflow.config_settings.config,
    )
    TRAINING = load_comet_compact()
    IS_SYNTHETIC = "synthetic_seed" in EXPERIMENT
    IS_RELEASED = EXPERIMENT["responses"] == "released"
    IS_RESTRICTED = False
    if not IS_SYNTHETIC:
        release = load_release(resolve(EXPERIMENT["release"]), columns=EXPERIMENT["columns"])
        IS_RESTRICTED = is_restricted(release)
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


def with_shards(file):
    """A system's file, and where several jobs each make a part of it, the parts."""
    shards = shards_of(Path(file).stem)
    parts = [str(part(Path(file), k + 1, shards)) for k in range(shards)] if shards > 1 else []
    return [*parts, file]


def files_of(system):
    """All that generating and scoring make of a system."""
    responses = [] if IS_RELEASED else with_shards(f"{RUN}/responses/{system}.jsonl")
    return responses + with_shards(f"{RUN}/scores/{system}.parquet")


# Systems that a run failed to finish; see `onerror`, which goes on without them.
FAILED = os.environ.get("MEDALIGN_FAILED", "").split()
EXPERIMENT["systems"] = [s for s in EXPERIMENT["systems"] if s not in FAILED]

RESPONSES = expand(f"{RUN}/responses/{{system}}.jsonl", system=EXPERIMENT["systems"])
if IS_RELEASED:
    RESPONSES = []
# Responses of this run can be rated by an answer key only.
IS_RATED = IS_RELEASED or IS_SYNTHETIC or (resolve(RELEASE) / "answer-key.jsonl").is_file()
if not IS_RATED:
    print(f"{RELEASE} has no answer key: responses are generated and scored, not rated.")
SCORES = expand(f"{RUN}/scores/{{system}}.parquet", system=EXPERIMENT["systems"])

# What is made from a restricted release is for its owner's eyes.
UMASK = "umask 077; " if IS_RESTRICTED else ""
# Threads are pinned because the order of a parallel sum moves the last digits of a score.
PAPERMILL = (
    UMASK
    # What it says goes beside the executed notebook, and where it fails to the screen as well.
    + "log={log}; OMP_NUM_THREADS={threads} papermill --no-progress-bar --log-level ERROR"
    " {input.notebook} $log -y {params.notebook:q} >${{log%.ipynb}}.log 2>&1"
    " || {{ cat ${{log%.ipynb}}.log >&2; exit 1; }}"
)


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
SCORING = ("encoder", "metrics", "ratings", *READING)


def package(*modules):
    """The modules whose change makes a job run again; a folder stands for all in it."""
    files = []
    for module in modules:
        file = Path("medalign_utils", module)
        files += sorted(file.glob("*.py")) if file.is_dir() else [file.with_suffix(".py")]
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


def parts_of(file):
    """The shards of a system's file, in their order."""
    return lambda wildcards: with_shards(file.format(system=wildcards.system))[:-1]


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
        f"{RUN}/tables/01_explore_release.csv",
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
        parts_of(f"{RUN}/responses/{{system}}.jsonl"),
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
        [] if IS_RELEASED else f"{RUN}/responses/{{system}}.jsonl",
        notebook="notebooks/04_score_responses.ipynb",
    output:
        f"{RUN}/scores/{{system}}.parquet",
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
        f"{RUN}/responses/{{system}}/{{shard}}-of-{{shards}}.jsonl",
        notebook="notebooks/04_score_responses.ipynb",
    output:
        f"{RUN}/scores/{{system}}/{{shard}}-of-{{shards}}.parquet",
    log:
        f"{RUN}/notebooks/04_score_responses-{{system}}-{{shard}}-of-{{shards}}.ipynb",
    wildcard_constraints:
        system=SHARDED,
    message:
        "score the responses of {wildcards.system}, {wildcards.shard} of {wildcards.shards}"


rule join_scores:
    input:
        parts_of(f"{RUN}/scores/{{system}}.parquet"),
    output:
        f"{RUN}/scores/{{system}}.parquet",
    wildcard_constraints:
        system=SHARDED,
    message:
        "join the scores of {wildcards.system}"
    shell:
        UMASK + "python -m medalign_utils join-scores {output} {input}"


rule evaluate:
    input:
        release_files(),
        package("statistics", "evaluation", "plots", "synthetic/check", *READING, *GRADING),
        RESPONSES,
        notebook="notebooks/05_evaluate_systems.ipynb",
    output:
        f"{RUN}/tables/05_evaluate_systems.csv",
        f"{RUN}/tables/05_evaluate_systems-contexts.csv",
        f"{RUN}/figures/05_evaluate_systems-accuracy.png",
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
        RESPONSES,
        SCORES,
        notebook="notebooks/06_correlate_metrics.ipynb",
    output:
        f"{RUN}/tables/06_correlate_metrics.csv",
        f"{RUN}/figures/06_correlate_metrics-tau.png",
    log:
        f"{RUN}/notebooks/06_correlate_metrics.ipynb",
    params:
        notebook=parameters("06_correlate_metrics"),
    message:
        "correlate the metrics with the ratings"
    shell:
        PAPERMILL


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
    message:
        "everything is there"


onerror:
    # Everything that could run has run, unless it was interrupted. What depends on all systems is
    # then made from those that have run to their end; `snakemake` itself has failed all the same.
    unfinished = [s for s in EXPERIMENT["systems"] if not all(map(os.path.exists, files_of(s)))]
    interrupted = workflow.scheduler.running or list(workflow.scheduler.open_jobs)
    others = len(EXPERIMENT["systems"]) - len(unfinished)
    if unfinished and not (FAILED or interrupted or workflow.dag_settings.targets):
        print(f"\nNot finished: {', '.join(unfinished)}. See {RUN}/notebooks/, where each job's")
        print("executed notebook and its log are; another run does only what is missing.")
        if others >= 2:
            print(f"Going on with the other {others} systems.\n", flush=True)
            subprocess.run(
                [sys.executable, "-m", "snakemake", *sys.argv[1:], "--nolock"],
                env=os.environ | {"MEDALIGN_FAILED": " ".join(unfinished)},
            )
