"""The tables and figures that each notebook writes to `runs/<experiment>/`, with captions.

Notebooks, the workflow, the report and tests take the names from here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

# The status of published values on which no conclusion may depend, and their mark in tables.
UNVERIFIED = "transcribed, not re-verified"
DAGGER = "\N{DAGGER}"


class Outputs(NamedTuple):
    """A notebook's tables and figures: suffix -> caption. The main table has the suffix ""."""

    tables: Mapping[str, str] = MappingProxyType({})
    figures: Mapping[str, str] = MappingProxyType({})


OUTPUTS = {
    "01_explore_release": Outputs(
        figures={
            "categories": "Instructions by category.",
            "specialties": "Instructions by the submitter's specialty.",
            "ehr_lengths": "Lengths of the records, in tokens.",
            "event_years": "Events by calendar year.",
            "note_types": "Notes by type.",
        },
    ),
    "02_match_instructions": Outputs(
        tables={
            "": "How often BM25, or chance, ranks an instruction's own patient among the first k.",
            "dedup": "Near-duplicate instructions dropped at each ROUGE-L threshold.",
        },
        figures={
            "recall": "Share of instructions whose patient is among the first k.",
            "dedup": "Instructions dropped at each threshold.",
        },
    ),
    "03_generate_responses": Outputs(),
    "04_score_responses": Outputs(),
    "05_evaluate_systems": Outputs(
        tables={
            "": "Systems by mean rank. Win rates leave ties out. Intervals are over patients.",
            "pairs": "Pairs of systems: paired difference in accuracy, McNemar's exact test, a "
            "sign-flip test over patients, and which system ranks higher. p_holm is Holm-adjusted "
            "over the pairs, and the intervals of the differences hold for all pairs at once.",
            "contexts": "One system at several context lengths, each compared with the longest; "
            "p_holm is Holm-adjusted over the comparisons, and their intervals hold for all at "
            "once.",
            "cost": "What the responses cost. Uncounted responses, whose tokens are not known, are "
            "left out of sums and dollars. No other system is as good as one on the Pareto front "
            "for less, or better for the same. Seconds are those of all calls, divided by the "
            "number of calls at a time.",
            "groups": "Systems by group of instructions, not adjusted for the number of groups.",
        },
        figures={
            "accuracy": "Share of correct responses.",
            "pairs": "Paired differences in accuracy.",
            "groups": "Accuracy by group.",
            "head_to_head": "Win rate of each system against every other system.",
            "contexts": "Accuracy against context length.",
            "cost": "Accuracy against cost, with the Pareto front.",
        },
    ),
    "06_correlate_metrics": Outputs(
        tables={
            "": "Kendall's tau-b between a metric's scores and the ratings of an instruction's "
            "responses, averaged over instructions; undefined if all scores or ranks are equal.",
            "systems": "Correlation between a metric's mean score and the mean rating, over "
            "systems.",
            "pairs": "Pairs of metrics: difference in mean tau on the same instructions; p_holm is "
            "Holm-adjusted over the pairs.",
            "raters": "Agreement between raters of the same responses.",
        },
        figures={
            "tau": "Agreement of each metric with the ratings.",
            "pairs": "Differences in mean tau between pairs of metrics.",
        },
    ),
    "07_audit_fairness": Outputs(
        tables={
            "": "Each group against all other patients, by system and measure. p is from shuffling "
            "group labels across patients; p_holm is Holm-adjusted over all tests of a system on "
            "a measure.",
            "ranges": "The best group of a grouping against the worst. The test accounts for "
            "their selection by results; the interval does not.",
            "adjusted": "The gap after adjustment for category of instruction and record length.",
            "agreement": "Each metric's agreement with the ratings, by group.",
            "data": "Patients in the release and the length of their records, by group.",
            "categories": "Instructions by category and group.",
            "simulation": "How often the audit raises a false alarm, or finds a true gap, in "
            "simulated releases.",
        },
        figures={
            "systems": "Gap in accuracy between each group and all other patients, by system.",
            "gaps": "Gaps in accuracy of the best system, raw and adjusted.",
            "agreement": "Gap in each metric's agreement with the ratings.",
            "lengths": "Length of the records by group.",
            "power": "How often the audit finds a gap, by group size.",
        },
    ),
    "08_reproduce_paper": Outputs(
        tables={
            "": "Which of the paper's tables can be compared with this run.",
            "categories": "Instructions by category, in the paper and in this run.",
            "human_evaluation": "Human evaluation, in the paper and in this run.",
            "metric_correlation": "Correlation of metrics with ratings, in the paper and in this "
            "run.",
            "facts": "Sizes of the dataset, in the paper and in this run.",
        },
        figures={
            "human_evaluation": "Human evaluation, in the paper and in this run.",
            "metric_correlation": "Correlation of metrics with ratings, in the paper and in this "
            "run.",
        },
    ),
    "09_audit_counterfactuals": Outputs(
        tables={
            "": "Responses and verdicts that change when one demographic in the record is "
            "rewritten. relevant: the correct answer depends on this demographic."
        },
        figures={"changes": "What changes when one demographic is rewritten."},
    ),
    "12_analyze_errors": Outputs(
        tables={
            "": "Systems by place of the answer in the record, by whether the prompt contains it, "
            "and by kind of fact; not adjusted for the number of groups.",
            "outcomes": "What the responses do: they are correct, contradict a fact, or omit "
            "something (abstained, partly found, nothing found, no text).",
            "prompt": "Errors with the place of the answer outside the prompt (not shown) or in it "
            "(not used).",
            "abstention": "Of the responses that say “not documented”, those that are right "
            "(precision); of the instructions that the record does not answer, those noticed "
            "(recall).",
            "rewording": "How often a verdict is the same for two wordings of a request.",
            "tokens": "Accuracy by the number of the record's tokens in the prompts.",
        },
        figures={
            "outcomes": "Correct responses, contradictions and omissions.",
            "places": "Accuracy by place of the answer in the record.",
            "prompt": "Accuracy with and without the place of the answer in the prompt.",
            "kinds": "Accuracy by kind of fact.",
            "tokens": "Accuracy against tokens of the record in the prompts.",
        },
    ),
}


def stem(notebook: str, suffix: str = "") -> str:
    """Return the stem of a table's or figure's file name.

    >>> stem("05_evaluate_systems", "pairs")
    '05_evaluate_systems-pairs'
    """
    return f"{notebook}-{suffix}" if suffix else notebook
