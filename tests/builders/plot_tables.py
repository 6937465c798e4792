"""A table for each function that draws a figure."""

import numpy as np
import pandas as pd

from medalign_utils import plots
from medalign_utils.stats.bootstrap import Interval

LONG = "a-generator-with-a-very-long-name-32k"


def with_intervals(table, **estimates):
    table = pd.DataFrame(table).assign(**estimates)
    for name in estimates:
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.1, table[name] + 0.1
    return table


SYSTEMS = with_intervals({"system": [LONG, "b"], "n": 72}, correct=[0.2, 0.4])
COSTS = SYSTEMS.assign(
    tokens_per_response=[1800.0, 1801.0], dollars_per_response=np.nan, on_front=[False, True]
)
CONTEXTS = with_intervals(
    {"context_tokens": pd.array([2048, 8192, None], "Int64"), "n": 72},
    correct=[0.2, 0.3, 0.4],
    difference=[-0.2, -0.1, np.nan],
).assign(sign_flip_p_holm=[0.0001, 0.3, np.nan])
METRICS = with_intervals(
    {"metric": ["comet-compact", "rouge_l"], "n": [70, 68], "n_undefined": [2, 4]},
    mean_tau=[0.4, 0.1],
)
LENS = pd.DataFrame({"metric": ["lens"], "n": 0, "n_undefined": 0, "not_scored": "no weights"})
SKIPPED = pd.concat([METRICS.assign(not_scored=""), LENS], ignore_index=True)
METRIC_PAIRS = pd.DataFrame(
    [
        (f"metric-{i:02}", f"metric-{j:02}", 40, 0.07 * (j - i) - 0.1, 0.01 * (10 - j + i))
        for i in range(13)
        for j in range(i + 1, 13)
    ],
    columns=["metric_a", "metric_b", "n", "difference", "p_holm"],
)
CATEGORIES = pd.DataFrame(
    {"category": ["Other", "Retrieve & Summarize"], "with_reference": [4, 20], "all": [8, 60]}
)
PUBLISHED = CATEGORIES.assign(published_with_reference=[41, 223], published_all=[75, 667])
DEDUPLICATION = pd.DataFrame(
    {"threshold": [0.6, 0.7, 0.8], "submitted": 1314, "duplicates": 765,
     "dropped": [1000, 900, 700], "precision": [0.4, 0.5, 0.6], "recall": [0.5, 0.6, 0.55]}
)  # fmt: skip
RECALL = with_intervals(
    {"k": [1, 5, 20], "n": 411, "pool": 276, "random": [1 / 276, 5 / 276, 20 / 276]},
    recall=[0.1, 0.2, 0.5],
)
YEARS = pd.DataFrame({"year": range(1996, 2020), "events": [4000 * i for i in range(24)]})
NOTES = ["Progress note", *(f"A note that costs ${i}" for i in range(14))]
NOTE_TYPES = pd.DataFrame({"note": NOTES, "notes": [46252, *range(14, 0, -1)], "patients": 276})
HUMAN = pd.DataFrame(
    {"system": ["GPT-4 (32k)", LONG], "n": 303, "correct": [0.601, 0.65],
     "win_rate": [0.676, 0.658], "mean_rank": [2.75, 2.8]}
)  # fmt: skip
TRANSCRIBED = pd.DataFrame(
    {"metric": ["chrF", "ROUGE-L", "Inter-rater reliability (clinicians)"],
     "mean_kendall_tau": [0.2, 0.25, 0.4], "ci_low": [0.1, 0.2, 0.3], "ci_high": [0.3, 0.3, 0.5]}
)  # fmt: skip
MATRIX = pd.DataFrame([[np.nan, 0.7], [0.3, np.nan]], index=["a", "b"], columns=["a", "b"])
PAIRS = with_intervals(
    {"system": [LONG, "b"], "opponent": ["b", "c"], "n": 72,
     "mcnemar_p_holm": [0.0001, 0.04], "sign_flip_p_holm": [0.0002, 0.05]},
    difference=[0.2, -0.1],
)  # fmt: skip
GROUPS = with_intervals(
    {"grouping": ["category"] * 10 + ["EHR length quartile"] * 2,
     "group": [*(f"Kind {i // 2} of $" for i in range(10)), *["1: up to 900 tokens"] * 2],
     "system": [LONG, "b"] * 6, "n": [40] * 10 + [1] * 2, "n_patients": [9] * 10 + [1] * 2},
    correct=[0.2, 0.4] * 5 + [0.0, 1.0],
)  # fmt: skip
CHANGES = pd.DataFrame(
    {"change": ["nothing", "age", "age"], "system": "a", "relevant": [False, False, True],
     "n": [80, 74, pd.NA], "n_patients": [24, 24, pd.NA]}
)  # fmt: skip
for i, measure in enumerate(("changed", "changed_beyond", "flipped", "lost", "gained")):
    CHANGES[measure] = [0, 0.1 + 0.1 * i, 0.5]  # no intervals, as with one patient
GAPS = pd.DataFrame(
    [
        (LONG, "gender", "Female", 90, 0.1, 0.01, ""),
        (LONG, "gender", "Male", 80, -0.1, 0.01, ""),
        ("b", "gender", "Female", 90, 0.02, 0.4, ""),
        ("b", "gender", "Male", 80, np.nan, np.nan, ""),
        ("b", "race", "Black or African American + (others)", 23, -0.25, 0.06, "merged"),
        (None, "payer", "(not shown)", 170, np.nan, np.nan, "not shown: no two groups"),
    ],
    columns=["system", "grouping", "group", "n_patients", "gap", "p_holm", "suppressed"],
)
GAPS = with_intervals(GAPS, gap=GAPS["gap"], adjusted_gap=0.03)
GAPS["n_instructions"] = GAPS["n_patients"] + 10
NO_GROUPS = GAPS[GAPS["group"] == "(not shown)"]
LENGTHS = GAPS[2:].assign(events=4000.0, events_low=3000.0, events_high=5500.0)
SIMULATION = with_intervals(
    {"size": pd.array([None, 138, 30], "Int64"), "gap": [0, 0.2, 0.2], "audits": [300, 120, 120],
     "n_patients": [184.3, 92.2, 19.1], "n_instructions": [303, 152.4, 31.6]},
    share=[0.04, 0.6, 0.1],
)  # fmt: skip
PROMPTS = with_intervals(
    {"group": ["in the prompt", "in the prompt", "not in the prompt"], "system": [LONG, "b", "b"],
     "n": [72, 40, 32]},
    correct=[0.3, 0.4, 0.1],
)  # fmt: skip
TOKENS = with_intervals(
    {"system": ["b", "b", "$ its own $", LONG], "tokens": [900, 90_000, 1_800, 1_800],
     "n": [40, 32, 72, 72]},
    correct=[0.3, 0.5, 0.2, 0.1],
)  # fmt: skip
OUTCOMES = with_intervals(
    {"system": [LONG, "b"], "n": 72}, correct=[0.3, 0.4], contradicted=[0.2, 0.1], omission=0.5
)
LABELS = pd.DataFrame(
    [
        (n, name, width / n**0.5, 0.4 + shift, 0.4 + shift - width / n**0.5 / 2)
        for n in (20, 30, 50, 75, 100, 150, 200)
        for name, width, shift in (("labels alone", 1.9, 0.1), ("a $ judge", 1.4, -0.05))
    ],
    columns=["labels", "predictor", "width", "estimate", "low"],
).assign(truth=0.42, n=303, coverage=0.95)
LABELS["high"] = LABELS["low"] + LABELS["width"]
# Name of the function (and case) -> its arguments.
CASES = {
    "gaps_by_group": ([GAPS[2:]], {}),
    "gap_matrix": ([GAPS, "system"], {}),
    "lengths_by_group": ([LENGTHS], {}),
    "audit_power": ([SIMULATION], {}),
    "accuracy_by_system": ([SYSTEMS], {}),
    "accuracy_by_cost": ([COSTS], {}),
    "head_to_head": ([MATRIX], {"n": 72}),
    "accuracy_by_context": ([CONTEXTS], {}),
    "accuracy_by_prompt": ([PROMPTS], {}),
    "paired_differences": ([PAIRS], {}),
    "metric_correlation": ([METRICS], {}),
    "metric_correlation, ceiling": ([SKIPPED], {"ceiling": Interval(0.65, 0.55, 0.74)}),
    "metric_differences": ([METRIC_PAIRS], {}),
    "human_evaluation": ([HUMAN], {}),
    "correlation_with_paper": ([TRANSCRIBED, METRICS], {}),
    "ehr_lengths": ([[3000, 9000, 70000]], {"contexts": [8192]}),
    "instructions_by": ([CATEGORIES, "category"], {}),
    "instructions_by, published": ([PUBLISHED, "category"], {}),
    "deduplication": ([DEDUPLICATION], {"threshold": 0.7}),
    "match_recall": ([RECALL], {}),
    "event_years": ([YEARS], {}),
    "note_types": ([NOTE_TYPES], {}),
}
PANELS = {  # return figures
    "accuracy_by_group": ([GROUPS], {}),
    "accuracy_by_labels": ([LABELS], {}),
    "accuracy_by_tokens": ([TOKENS], {}),
    "counterfactual_changes": ([CHANGES], {}),
    "outcome_shares": ([OUTCOMES], {}),
    "side_by_side": (
        [
            (plots.human_evaluation, HUMAN, "The paper, as published"),
            (plots.human_evaluation, with_intervals(HUMAN, correct=[0.1, 0.2]), "This run"),
        ],
        {},
    ),
}
# Cases that are harder to draw: many systems, long names, few or small values.
MANY = [f"system-{i:02}-with-a-longer-name-{'$x' * (i % 2)}" for i in range(12)]
SHARES = np.linspace(0.001, 0.013, 12)
HARD = {
    "accuracy_by_system": ([with_intervals({"system": MANY, "n": 9}, correct=SHARES)], {}),
    "accuracy_by_cost": (
        [
            with_intervals(
                {
                    "system": MANY,
                    "n": 9,
                    "on_front": [True] + [False] * 11,
                    "dollars_per_response": np.nan,
                    "tokens_per_response": 1800.0 + np.arange(12),
                },
                correct=SHARES,
            )
        ],
        {},
    ),
    "head_to_head": (
        [pd.DataFrame(np.linspace(0, 1, 144).reshape(12, 12), index=MANY, columns=MANY)],
        {"n": 9},
    ),
    "accuracy_by_context": (
        [
            with_intervals(
                {
                    "context_tokens": [1024, 2048, 4096, 8192],
                    "n": 9,
                    "sign_flip_p_holm": [0.0001, 0.02, 1, np.nan],
                },
                correct=[0.001, 0.002, 0.003, 0.004],
                difference=[-0.003, -0.002, -0.001, np.nan],
            )
        ],
        {},
    ),
    "accuracy_by_tokens": (
        [
            with_intervals(
                {"system": MANY, "n": 9, "tokens": 1500.0 + np.arange(12)}, correct=SHARES
            )
        ],
        {},
    ),
    "accuracy_by_labels": (
        [pd.concat(LABELS[i % 2 :: 2].assign(predictor=MANY[i]) for i in range(7))],
        {},
    ),
    "counterfactual_changes": (
        [pd.concat(CHANGES.assign(system=name) for name in MANY[:4])],
        {},
    ),
    "paired_differences": (
        [
            with_intervals(
                {
                    "system": np.repeat(MANY, 12),
                    "opponent": MANY * 12,
                    "n": 9,
                    "mcnemar_p_holm": 1.0,
                    "sign_flip_p_holm": np.linspace(0, 1, 144),
                },
                difference=np.linspace(-1, 1, 144),
            )
        ],
        {},
    ),
    "ehr_lengths": ([[3000, 3100]], {"contexts": [2048, 32768]}),
    "instructions_by": ([CATEGORIES.assign(all=[1, 2], with_reference=[0, 1]), "category"], {}),
    "note_types": ([NOTE_TYPES[1:3]], {}),
    "event_years": ([pd.DataFrame({"year": [2019, 2020], "events": [1, 2]})], {}),
    "metric_differences": ([METRIC_PAIRS[METRIC_PAIRS["metric_b"] < "metric-04"][:3]], {}),
    "outcome_shares": (
        [OUTCOMES.assign(correct=0.0, contradicted=1.0, omission=0.0)],
        {},
    ),
    "gap_matrix": (
        [pd.concat(GAPS[:2].assign(system=name) for name in MANY), "system"],
        {},
    ),
}
