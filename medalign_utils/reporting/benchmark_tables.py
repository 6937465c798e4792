"""The documentation's tables of benchmarks, which `make figures` writes from `benchmarks/`."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from medalign_utils.fairness.power import PATIENTS
from medalign_utils.metrics.base import metric_labels
from medalign_utils.reporting.prose import percent
from medalign_utils.reporting.results_table import markdown_table
from medalign_utils.stats.rounding import rounded

_NOT_USED = "*not used:*"


def power(root: Path) -> pd.DataFrame:
    """How often the audit of fairness finds a group that a system fails, by design."""
    table = pd.read_csv(root / "benchmarks/fairness_power.csv")
    found = {
        f"accuracy {percent(accuracy)}, correlation {correlation}": rows.set_index("size").apply(
            lambda row: f"{percent(row['share'])} ({_range(100 * row, 'share')})", axis=1
        )
        for (accuracy, correlation), rows in table.groupby(
            ["accuracy", "correlation"], sort=False
        )
    }  # fmt: skip
    rated = table.drop_duplicates("size").set_index("size")["n_patients"]
    shown = pd.DataFrame(found).reindex(rated.sort_values(ascending=False).index)
    shown = shown.loc[shown.index.sort_values(ascending=False, na_position="last")]
    names = [
        "none (false alarm)"
        if pd.isna(size)
        else f"{size:.0f} of {PATIENTS}; {rounded(rated[size], 0)} with ratings"
        for size in shown.index
    ]
    return (
        shown.fillna("")
        .reset_index(drop=True)
        .assign(name=names)[["name", *found]]
        .rename(columns={"name": "Patients whom the system fails"})
    )


def coverage(root: Path) -> pd.DataFrame:
    """How often the intervals of systems contain the true value, by number of patients."""
    return _coverage(
        root,
        {
            "an accuracy": ("share", "wilson, patients"),
            "a difference between two systems": ("difference", "square and add"),
            "all differences between three systems": ("all differences", "square and add"),
            "a win rate": ("win rate", "bootstrap"),
            "a mean rank": ("mean rank", "bootstrap"),
            "a mean tau": ("mean tau", "bootstrap"),
            "a difference between two metrics' tau": ("tau difference", "bootstrap"),
            f"{_NOT_USED} an accuracy by bootstrap": ("share", "bootstrap"),
            f"{_NOT_USED} an accuracy, Clopper-Pearson": ("share", "clopper-pearson, patients"),
            f"{_NOT_USED} an accuracy, instructions independent": ("share", "wilson, instructions"),
            f"{_NOT_USED} a difference by bootstrap": ("difference", "bootstrap"),
        },
    )


def coverage_of_ppi(root: Path) -> pd.DataFrame:
    """How often prediction-powered intervals contain the true accuracy, and their widths."""
    table = pd.read_csv(root / "benchmarks/ppi_coverage.csv")
    rows = []
    for (n_patients, labels), own in table.groupby(["patients", "labels"]):
        shown = dict(
            zip(own["predictor"], zip(own["coverage"], own["width"], strict=True), strict=True)
        )
        alone = own[["classical_coverage", "classical_width"]].mean()
        shown = {"the labels alone": alone} | {
            f"and a {name} judge": v for name, v in shown.items()
        }
        rows.append(
            {"Patients": n_patients, "Labels": labels}
            | {
                name: f"{percent(share)}, {rounded(100 * width, 0)} points"
                for name, (share, width) in shown.items()
            }
        )
    return pd.DataFrame(rows)


def coverage_of_gaps(root: Path) -> pd.DataFrame:
    """How often the intervals of gaps contain the true gap, by number of patients in the group."""
    return _coverage(
        root,
        {
            "a gap": ("gap", "newcombe"),
            "an adjusted gap": ("adjusted gap", "CR2, added patients"),
            f"{_NOT_USED} an adjusted gap, CR2 alone": ("adjusted gap", "CR2"),
            f"{_NOT_USED} an adjusted gap, CR1": ("adjusted gap", "CR1"),
        },
    )


def _coverage(root: Path, intervals: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Return the lowest and the highest coverage of each interval over the simulated settings."""
    table = pd.read_csv(root / "benchmarks/coverage.csv", low_memory=False)
    rows = []
    for name, (statistic, method) in intervals.items():
        own = table[(table["statistic"] == statistic) & (table["method"] == method)]
        cells = {
            f"{n} patients": " to ".join(
                dict.fromkeys(f"{rounded(100 * end, 0)}" for end in (shares.min(), shares.max()))
            )
            for n, shares in own.groupby("patients")["coverage"]
        }
        rows.append({"Interval of": name} | {n: f"{share} %" for n, share in cells.items()})
    return pd.DataFrame(rows)


def steps(root: Path) -> pd.DataFrame:
    """What each step costs in seconds and memory."""
    table = pd.read_csv(root / "benchmarks/scaling.csv").set_index(["grows", "step", "factor"])
    names = {
        ("EHR", "read", 1): ("read an EHR into its table of events", "patient"),
        ("EHR", "pack", 1): (
            "pack it for {instructions:.0f} instructions into {window:,.0f} tokens",
            "patient and system",
        ),
        ("instructions", "generate", 16): (
            "generate: quote the full record by BM25 (`bm25-full`); memory for {instructions:.0f} "
            "instructions",
            "instruction and system",
        ),
        ("instructions", "evaluate", 1): (
            "evaluate: {instructions:.0f} instructions, {systems:.0f} systems, 2,000 resamples",
            "experiment",
        ),
        ("instructions", "correlate", 1): (
            "correlate: the same, {metrics:.0f} metrics",
            "experiment",
        ),
    }
    rows = []
    for name, (step, once_per) in names.items():
        row = table.loc[name]
        n = row["instructions"] if once_per.startswith("instruction") else 1
        rows.append(
            {
                "Step": step.format(window=row["prompt_tokens"] + 256, **row),
                "Once per": once_per,
                "Seconds": f"{rounded(row['seconds'] / n, 2)}",
                "Peak memory (MB)": f"{rounded(row['peak_mb'], 0)}",
            }
        )
    return pd.DataFrame(rows)


def metrics(root: Path) -> pd.DataFrame:
    """What each metric costs."""
    table = pd.read_csv(root / "benchmarks/scaling-metrics.csv").sort_values("ms_a_response")
    notes = {
        "bertscore": " (MiniLM, 22 M parameters)",
        "comet": " (`comet-compact`, the same encoder)",
        "meteor": " (no WordNet)",
    }
    names = metric_labels() | {"comet": "COMET", "meteor": "METEOR"}
    costs = {"Loading, s": ("loading_s", 1), "Peak memory (MB)": ("peak_mb", 0)}
    return pd.DataFrame(
        {
            "Metric": [f"{names.get(m, m)}{notes.get(m, '')}" for m in table["metric"]],
            "Milliseconds per response": [
                f"{rounded(ms, 2 if ms < 1 else 1)}" for ms in table["ms_a_response"]
            ],
            **{
                heading: [f"{rounded(value, decimals)}" for value in table[column]]
                for heading, (column, decimals) in costs.items()
            },
        }
    )


def gpu(root: Path) -> pd.DataFrame:
    """What a language model's prompts cost on a GPU."""
    table = pd.read_csv(root / "benchmarks/gpu_throughput.csv")
    return pd.DataFrame(
        {
            "Prompt tokens": table["prompt_tokens"].map("{:,}".format),
            "Prompts at a time": table["batch_size"].astype(str),
            "Seconds per prompt": [f"{rounded(s, 1)}" for s in table["seconds_a_prompt"]],
            "Peak GPU memory (GB)": [f"{rounded(gb, 1)}" for gb in table["peak_gb"]],
        }
    )


def held_out(root: Path) -> pd.DataFrame:
    """Kendall's tau of comet-compact and its rivals on the held-out fold."""
    table = pd.read_csv(root / "models/comet-compact/held_out.csv")
    return pd.DataFrame(
        {
            "Metric": table["metric"],
            "Mean tau (95 % interval)": [
                f"{rounded(row['mean_tau'], 3)} ({_range(row, 'mean_tau', 3)})"
                for _, row in table.iterrows()
            ],
        }
    )


def _range(row: pd.Series, name: str, decimals: int = 0) -> str:
    return " to ".join(f"{rounded(row[f'{name}_{end}'], decimals)}" for end in ("low", "high"))


# Name on a page -> table.
BENCHMARKS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    "fairness-power": power,
    "coverage": coverage,
    "coverage-of-gaps": coverage_of_gaps,
    "coverage-of-ppi": coverage_of_ppi,
    "scaling-steps": steps,
    "scaling-metrics": metrics,
    "gpu-throughput": gpu,
    "held-out": held_out,
}


def benchmark_table(name: str, root: Path) -> str:
    """Return a table of `BENCHMARKS` in Markdown."""
    table = BENCHMARKS[name](root)
    return markdown_table(table, list(table))
