"""What each notebook writes under `runs/<experiment>/`: stems, captions and their order.

Notebooks save by these names, and workflow, report, README and tests read them here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

# The status of published figures that no conclusion may depend on, and the mark beside each.
UNVERIFIED = "transcribed, not re-verified"
DAGGER = "\N{DAGGER}"


class Outputs(NamedTuple):
    """The tables and figures of one notebook: suffix -> caption; "" is the main table."""

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
            "": "How often an instruction's own patient is among the first k by BM25 or at random.",
            "dedup": "Near-duplicate instructions that a ROUGE-L threshold drops.",
        },
        figures={
            "recall": "Share of instructions whose patient is among the first k.",
            "dedup": "What each threshold drops.",
        },
    ),
    "03_generate_responses": Outputs(),
    "04_score_responses": Outputs(),
    "05_evaluate_systems": Outputs(
        tables={
            "": "Systems by mean rank. Win rates leave ties out. Wilson's interval assumes "
            "independent instructions; the others are bootstrapped over patients.",
            "pairs": "Pairs of systems: paired difference in accuracy, McNemar's exact test, a "
            "sign-flip test over patients, and who ranks higher. p_holm is adjusted over pairs.",
            "contexts": "One system at several context lengths: paired difference to the longest.",
            "groups": "Systems by group of instructions, not adjusted for the number of groups.",
        },
        figures={
            "accuracy": "Share of correct responses.",
            "pairs": "Paired differences in accuracy.",
            "groups": "Accuracy by group.",
            "head_to_head": "Win rate of each system against each other one.",
            "contexts": "Accuracy against context length.",
        },
    ),
    "06_correlate_metrics": Outputs(
        tables={
            "": "Kendall's tau-b between a metric's scores and the ratings, per instruction, "
            "averaged; undefined where all scores or all ranks are equal.",
            "systems": "Correlation, over systems, of a metric's mean scores with mean ratings.",
            "pairs": "Pairs of metrics: difference of mean taus on the same instructions; p_holm "
            "is adjusted over pairs.",
            "raters": "Agreement of raters, where several rated the same responses.",
        },
        figures={
            "tau": "Agreement of each metric with the ratings.",
            "pairs": "Differences of the metrics' mean taus, by pair.",
        },
    ),
    "07_audit_fairness": Outputs(
        tables={
            "": "Each group against all other patients, by system and measure. p: groups shuffled "
            "across patients; p_holm is adjusted over all tests of a system on a measure.",
            "ranges": "The best group of a grouping against the worst. The test allows for their "
            "having been picked, the interval does not.",
            "adjusted": "The gap at the same category of instruction and length of record.",
            "agreement": "Each metric's agreement with the ratings, by group.",
            "data": "Who is in the release, and how long the records are.",
            "categories": "Instructions by category and group.",
            "simulation": "False alarms of the audit, and true gaps that it finds, on simulated "
            "releases.",
        },
        figures={
            "systems": "Gap in accuracy of each group to all other patients, by system.",
            "gaps": "Gaps in accuracy of the best system, as they are and adjusted.",
            "agreement": "Gap in each metric's agreement with the ratings.",
            "lengths": "Length of the records by group.",
            "power": "How often the audit finds a gap, by the group's size.",
        },
    ),
    "08_reproduce_paper": Outputs(
        tables={
            "": "The paper's tables and this run's: may they be compared?",
            "categories": "Instructions by category, in the paper and in this run.",
            "human_evaluation": "Human evaluation, in the paper and in this run.",
            "metric_correlation": "Correlation of metrics, in the paper and in this run.",
            "facts": "Sizes of the dataset, in the paper and in this run.",
        },
        figures={
            "human_evaluation": "Human evaluation, in the paper and in this run.",
            "metric_correlation": "Correlation of metrics, in the paper and in this run.",
        },
    ),
    "09_audit_counterfactuals": Outputs(
        tables={
            "": "Responses and verdicts that change when one demographic of the record is "
            "rewritten. relevant: the right answer depends on it."
        },
        figures={"changes": "What changes when one demographic is rewritten."},
    ),
}


def stem(notebook: str, suffix: str = "") -> str:
    """Return the stem of a table or figure.

    >>> stem("05_evaluate_systems", "pairs")
    '05_evaluate_systems-pairs'
    """
    return f"{notebook}-{suffix}" if suffix else notebook
