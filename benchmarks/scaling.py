"""How the cost of each step grows; the source of `docs/scaling.md`.

    python benchmarks/scaling.py     # a few minutes on 2 cores

Four things grow in turn to 4 and 16 times their size: the EHR, the instructions (with their
patients), the systems, the metrics. Each measurement runs in a separate process, so its peak memory
is its own; its seconds include loading models but not imports. Writes benchmarks/scaling.csv,
benchmarks/scaling-metrics.csv and docs/scaling.png.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from scipy.stats import rankdata
from tqdm import tqdm

from medalign_utils.config import load_experiment, load_system
from medalign_utils.data.ehr import ehr_text, read_events
from medalign_utils.data.release import Release
from medalign_utils.evaluation import metric_correlation, pairwise, systems
from medalign_utils.generation import runner
from medalign_utils.metrics.scoring import score_responses
from medalign_utils.plots import style
from medalign_utils.prompts.context import truncate
from medalign_utils.prompts.tokenizers import load_tokenizer
from medalign_utils.run import write_figure
from medalign_utils.stats.bootstrap import Bootstrap
from medalign_utils.synthetic import write_release

HERE = Path(__file__).parent
FACTORS = (1, 4, 16)
# Size 1: an EHR of the published release's mean size with 8 instructions; the published numbers of
# references and systems; as many metrics as the demo scores.
EHR_BYTES, PER_EHR, REFERENCES, SYSTEMS, METRICS = 1_500_000, 8, 303, 6, 4
CONTEXT, RESAMPLES = 32_768, 2000
METRIC_NAMES = ("rouge_l", "chrf", "google_bleu", "meteor", "bertscore", "comet")
# What grows -> the steps that take longer. Each system is generated and scored in separate jobs.
STEPS = {
    "EHR": ("read", "pack", "generate"),
    "instructions": ("generate", "score", "evaluate", "correlate"),
    "systems": ("evaluate", "correlate"),
    "metrics": ("correlate",),
}


def grown_ehr(files: list[Path], factor: int, person: int = 1) -> str:
    """Return `factor` EHRs of about the mean size joined into one patient's."""
    nearest = sorted(files, key=lambda file: abs(file.stat().st_size - EHR_BYTES))[:factor]
    texts = [file.read_text().partition("<eventstream")[2] for file in nearest]
    bodies = [text.partition(">")[2].rpartition("</eventstream>")[0] for text in texts]
    return f'<eventstream person_id="{person}">{"".join(bodies)}</eventstream>'


def release_of(folder: Path, ehrs: list[str]) -> Release:
    """Return a release of these EHRs with `PER_EHR` instructions each."""
    (folder / "ehrs").mkdir()
    persons = [str(1 + i) for i in range(len(ehrs))]
    for person, ehr in zip(persons, ehrs, strict=True):
        (folder / f"ehrs/{person}.xml").write_text(ehr)
    ids = [f"{person}-{i}" for person in persons for i in range(PER_EHR)]
    years = [2000 + i for _ in persons for i in range(PER_EHR)]
    instructions = pd.DataFrame({"instruction_id": ids}).assign(
        person_id=np.repeat(persons, PER_EHR),
        question=[f"What was the last creatinine in {year}?" for year in years],
        category=None, subcategory=None, submitter_specialty=None,
    )  # fmt: skip
    references = pd.DataFrame({"instruction_id": ids}).assign(
        annotator="Annotator_1",
        reference=[f"It was 1.{year % 10} mg/dL in {year}, as before." for year in years],
        evidence=None,
    )
    return Release(folder, instructions, references, "Annotator_1", {}, None, None, None)


def random_results(
    n: int, systems: int, metrics: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return random ratings, scores and instructions of this size."""
    rng = np.random.default_rng(1)
    pairs = pd.MultiIndex.from_product(
        [[f"i{i}" for i in range(n)], [f"s{i}" for i in range(systems)]],
        names=["instruction_id", "system"],
    ).to_frame(index=False)
    correct = rng.random((n, systems)) < 0.4
    ranks = rankdata(-(correct * 10 + rng.integers(0, 3, correct.shape)), axis=1)
    ratings = pairs.assign(rater="random", correct=correct.ravel(), rank=ranks.ravel())
    scores = pd.concat(
        [pairs.assign(metric=f"m{i}", signature="random", score=rng.random(len(pairs)))
         for i in range(metrics)], ignore_index=True,
    )  # fmt: skip
    persons = [f"p{i // 1.1:.0f}" for i in range(n)]  # 303 instructions of 276 patients
    instructions = pd.DataFrame({"instruction_id": [f"i{i}" for i in range(n)]})
    return ratings, scores, instructions.assign(person_id=persons)


def measure(grows: str, step: str, factor: int, ehrs: Path, folder: Path) -> dict:
    """Return the time and memory of one step, run once; its input is prepared beforehand."""
    files = sorted(ehrs.iterdir())
    about = {}
    if step in ("evaluate", "correlate"):
        n, systems, metrics = (
            size * (factor if grows == what else 1)
            for what, size in (
                ("instructions", REFERENCES), ("systems", SYSTEMS), ("metrics", METRICS)
            )
        )  # fmt: skip
        ratings, scores, instructions = random_results(n, systems, metrics)
        about = {"instructions": n, "systems": systems, "metrics": metrics}
        began = time.perf_counter()
        (_evaluate if step == "evaluate" else _correlate)(ratings, scores, instructions)
    else:
        texts = [grown_ehr(files, factor)]
        if grows == "instructions":
            texts = [grown_ehr(files[i:], 1, 1 + i) for i in range(factor)]
        release = release_of(folder, texts)
        about = {"instructions": len(release.instructions), "bytes": sum(map(len, texts))}
        ehr = folder / "ehrs/1.xml"
        responses = release.references.rename(columns={"reference": "response"})
        responses = responses.assign(system="s", response=responses["response"].str[:-11])
        began = time.perf_counter()
        if step == "read":
            about["events"] = len(read_events(ehr))
        elif step == "pack":
            tokenizer = load_tokenizer("minilm")
            questions = release.instructions["question"].tolist()
            text = ehr_text(ehr, "markup")
            packed = [truncate(question, text, tokenizer, CONTEXT) for question in questions]
            about["prompt_tokens"] = packed[0].prompt_tokens
        elif step == "generate":
            system = load_system("bm25-full")
            runner.run_system(release, system, folder / "bm25-full.jsonl", progress=False)
        else:
            _score(release, responses, load_experiment("params/demo.yaml")["metrics"])
    took = {"seconds": time.perf_counter() - began, "peak_mb": peak()}
    if step == "pack":  # outside the measurement, since packing does not count them
        about["ehr_tokens"] = tokenizer.count(ehr_text(ehr, "markup"))
    return about | took


def measure_metric(metric: str, folder: Path) -> dict:
    """Return a metric's time per response, its loading time and its peak memory."""
    release = release_of(folder, ["<eventstream/>"] * FACTORS[-1])
    rows = release.references.rename(columns={"reference": "response"}).assign(system="s")
    rows["response"] = rows["response"].str[:-11] + [f" ({i})" for i in range(len(rows))]
    took = []
    for responses in (rows.head(1), rows):
        began = time.perf_counter()
        _score(release, responses, [metric])
        took.append(time.perf_counter() - began)
    per_response = took[1] / len(rows)
    loading = took[0] - per_response
    return {"ms_a_response": 1000 * per_response, "loading_s": loading, "peak_mb": peak()}


def _score(release: Release, responses: pd.DataFrame, metrics: list[str]) -> None:
    demo = load_experiment("params/demo.yaml")
    score_responses(
        responses, release.instructions, release.references, metrics,
        comet_checkpoint=demo["comet_checkpoint"], bertscore_layer=demo["bertscore_layer"],
        weights=demo["weights"], progress=False,
    )  # fmt: skip


def _evaluate(ratings: pd.DataFrame, scores: pd.DataFrame, instructions: pd.DataFrame) -> None:
    draws = {"bootstrap": Bootstrap.seeded(RESAMPLES, 1)}
    contexts = dict.fromkeys(ratings["system"].unique(), CONTEXT)
    systems.evaluate_systems(ratings, instructions, contexts, **draws)
    pairwise.compare_systems(ratings, instructions, **draws)
    systems.head_to_head(ratings)


def _correlate(ratings: pd.DataFrame, scores: pd.DataFrame, instructions: pd.DataFrame) -> None:
    draws = {"bootstrap": Bootstrap.seeded(RESAMPLES, 1)}
    metric_correlation.correlate_metrics(scores, ratings, instructions, **draws)
    metric_correlation.correlate_systems(scores, ratings, instructions, **draws)
    metric_correlation.compare_metrics(scores, ratings, instructions, **draws)


def peak() -> float:
    """Return this process's peak memory in MB (getrusage would include the parent's)."""
    [line] = [ln for ln in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in ln]
    return int(line.split()[1]) / 1024


def in_a_process(*arguments: str | int | Path) -> dict:
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{arguments}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


@style.styled
def draw(table: pd.DataFrame, to: Path) -> None:
    """Draw seconds above and memory below, with one column per thing that grows."""
    figure, axes = plt.subplots(
        2,
        len(STEPS),
        figsize=(style.PAGE_WIDTH, 4),
        layout="constrained",
        sharex=True,
        sharey="row",
    )
    colours = sns.color_palette("colorblind")
    looks = dict(zip(table["step"].unique(), zip(colours, "osD^vP", strict=False), strict=False))
    for column, (grows, steps) in zip(axes.T, STEPS.items(), strict=True):
        column[0].set_title(grows)
        for step in steps:
            colour, marker = looks[step]
            own = table[(table["grows"] == grows) & (table["step"] == step)]
            for ax, value in zip(column, ("seconds", "peak_mb"), strict=True):
                ax.plot("factor", value, "-", data=own, c=colour, marker=marker, ms=4, label=step)
        column[0].legend(borderpad=0)
        for ax in column:
            ax.set(xscale="log", yscale="log", xticks=FACTORS, xticklabels=FACTORS)
            ax.minorticks_off()
            sns.despine(ax=ax)
    axes[0, 0].set_ylabel("Seconds")
    axes[0, 0].yaxis.set_major_formatter(style.COUNT)
    megabytes = (200, 400, 800, 1600, 3200)
    labels = [f"{n:,}" for n in megabytes]
    axes[1, 0].set(ylabel="Peak memory (MB)", yticks=megabytes, yticklabels=labels)
    style.add_notes(figure, "Times the size at 1, both axes logarithmic; one run each (n = 1)")
    write_figure(figure, to)


def main() -> None:
    rows, metrics = [], []
    with tempfile.TemporaryDirectory() as temporary:
        write_release(Path(temporary, "release"), scale="release", progress=True)
        ehrs = Path(temporary, "release/ehrs")
        cells = [(g, s, f) for g, steps in STEPS.items() for s in steps for f in FACTORS]
        for grows, step, factor in tqdm(cells, "steps"):
            found = in_a_process(grows, step, factor, ehrs)
            rows.append({"grows": grows, "step": step, "factor": factor} | found)
        for metric in tqdm(METRIC_NAMES, "metrics"):
            metrics.append({"metric": metric} | in_a_process(metric))
    table = pd.DataFrame(rows)
    table.round(3).to_csv(HERE / "scaling.csv", index=False)
    pd.DataFrame(metrics).round(2).to_csv(HERE / "scaling-metrics.csv", index=False)
    draw(table, HERE.parent / "docs/scaling.png")
    for shown in (table, pd.DataFrame(metrics)):
        print(shown.round(2).to_string(), end="\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    measurement = parser.parse_args().measure
    if measurement is None:
        main()
    else:
        with tempfile.TemporaryDirectory() as temporary:
            here = Path(temporary)
            if len(measurement) == 1:
                print(json.dumps(measure_metric(measurement[0], here)))
            else:
                grows, step, factor, ehrs = measurement
                print(json.dumps(measure(grows, step, int(factor), Path(ehrs), here)))
