"""Numbers in the documentation's prose and tables, which `make figures` fills in from files.

On a page, a value is between two comments, `<!--=paper.records-->276<!--/-->`, and never begins a
line, because Markdown takes a line that begins with a comment for HTML. Values are rounded by
`stats.rounding.rounded`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.reporting.findings import best_metric, best_system, context_cost
from medalign_utils.reporting.results_table import read_table
from medalign_utils.stats.rounding import rounded

_VALUE = re.compile(r"<!--=(?P<name>[\w.]+)-->.*?<!--/-->", re.DOTALL)


def with_values(page: str, root: Path) -> str:
    """Return a page with its values from the files below the project's root.

    Raises:
        MedAlignError: no value has the name that a page asks for.
    """
    known: dict[str, str] = {}

    def filled(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in known:
            known.update(_values(name.partition(".")[0], root))
        if name not in known:
            raise MedAlignError(f"no value {name}; reporting/prose.py has {', '.join(known)}")
        return f"<!--={name}-->{known[name]}<!--/-->"

    return _VALUE.sub(filled, page)


def percent(share: float, decimals: int = 0) -> str:
    """Return a share as a percentage.

    >>> percent(0.175), percent(0.3125, 1)
    ('18 %', '31.3 %')
    """
    return f"{rounded(100 * share, decimals)} %"


def _values(group: str, root: Path) -> dict[str, str]:
    compute = VALUES.get(group)
    return {f"{group}.{name}": text for name, text in compute(root).items()} if compute else {}


def _demo(root: Path) -> dict[str, str]:
    """The demo's size, and the findings that its report begins with."""
    names = {"systems": "05_evaluate_systems", "metrics": "06_correlate_metrics"}
    systems, metrics, pairs, metric_pairs, contexts = (
        read_table(root / f"figures/{name}.csv")
        for name in (*names.values(), *(f"{name}-pairs" for name in names.values()),
                     "05_evaluate_systems-contexts")
    )  # fmt: skip
    return {
        "patients": f"{systems['n_patients'].max()}",
        "instructions": f"{systems['n'].max()}",
        "best_system": best_system(systems, pairs),
        "context_cost": context_cost(contexts),
        "best_metric": best_metric(metrics, metric_pairs, "the answer key"),
    }


def _paper(root: Path) -> dict[str, str]:
    """The sizes of the dataset, and the accuracy of the paper's systems by their release names."""
    facts = pd.read_csv(root / "data/paper/facts.csv").set_index("fact")["value"]
    names = {
        "submitted": "instructions submitted",
        "instructions": "instructions after ROUGE-L deduplication",
        "references": "instructions with a clinician-written reference response",
        "records": "longitudinal EHRs (paper)",
        "records_released": "longitudinal EHRs (release)",
        "clinicians": "clinicians",
        "specialties": "specialties",
    }
    systems = pd.read_csv(root / "data/paper/table_human_evaluation.csv")
    shares = systems.set_index("release_model_name")["correct"]
    values = {name: f"{facts[fact]:,.0f}" for name, fact in names.items()}
    values["size"] = (
        f"{values['instructions']} instructions, {values['records']} records, "
        f"{values['references']} reference responses"
    )
    correct = {re.sub(r"\W", "_", name): percent(share, 1) for name, share in shares.items()}
    return values | correct


def _grader(root: Path) -> dict[str, str]:
    """Right answers that the grader loses and wrong ones that it passes, in the last blind set."""
    every = pd.read_csv(root / "benchmarks/grader.csv").iloc[0]
    lost = percent(every["lost"] / every["n_right"], 1)
    passed = percent(every["passed"] / every["n_wrong"], 1)
    return {"errors": f"lose {lost} of right answers and pass {passed} of wrong ones"}


def _context_cost(root: Path) -> dict[str, str]:
    """What a short context costs the demo's extractor, over releases with many seeds."""
    table = pd.read_csv(root / "benchmarks/context_cost.csv")
    values = {"releases": f"{len(table)}"}
    for system in ("bm25-2k", "bm25-8k"):
        name = system.replace("-", "_")
        lost = -table[f"{system} - bm25-full"].mean()
        values[f"{name}_points"] = f"{rounded(100 * lost, 1)} points"
        values[f"{name}_excluded"] = f"{(table[f'{system} high'] < 0).sum()}"
    return values


def _scaling(root: Path) -> dict[str, str]:
    """How much longer steps take for 16 times the EHR, systems or metrics."""
    table = (
        pd.read_csv(root / "benchmarks/scaling.csv")
        .set_index(["grows", "step", "factor"])
        .sort_index()
    )
    read, generate, pack = (table.loc[("EHR", step)] for step in ("read", "generate", "pack"))
    tokens = (pack["ehr_tokens"] / 1e6).map(lambda n: f"{rounded(n, 1)} million")
    systems, metrics = (
        table.loc[("systems", "evaluate", 16)],
        table.loc[("metrics", "correlate", 16)],
    )
    return {
        "read_ratio": f"{rounded(read.loc[16, 'seconds'] / read.loc[1, 'seconds'], 0)} times",
        "generate_ratio": (
            f"{rounded(generate.loc[16, 'seconds'] / generate.loc[1, 'seconds'], 0)} times"
        ),
        "generate_gb": f"{rounded(generate.loc[16, 'peak_mb'] / 1000, 1)} GB",
        "markup_mb": f"{rounded(generate.loc[16, 'bytes'] / 1e6, 0)} MB",
        "shortest": tokens.loc[1],
        "longest": tokens.loc[16],
        "evaluate_96": (
            f"{rounded(systems['seconds'], 0)} s and {rounded(systems['peak_mb'], 0)} MB"
        ),
        "correlate_64": f"{rounded(metrics['seconds'], 0)} s",
    }


def _held_out(root: Path) -> dict[str, str]:
    """The held-out instructions of comet-compact."""
    table = pd.read_csv(root / "models/comet-compact/held_out.csv").iloc[0]
    n, undefined = table["n"], table["n_undefined"]
    return {"n": f"{n}", "undefined": f"{undefined}", "instructions": f"{n + undefined}"}


# First part of a name -> function that returns the values, by the rest of the name.
VALUES: Mapping[str, Callable[[Path], dict[str, str]]] = {
    "demo": _demo,
    "paper": _paper,
    "grader": _grader,
    "context_cost": _context_cost,
    "scaling": _scaling,
    "held_out": _held_out,
}
