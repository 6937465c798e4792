"""What each notebook writes under `runs/<experiment>/`: stems, captions and their order.

Notebooks save by these names, and workflow, report, README and tests read them here.
"""

from typing import NamedTuple


class Outputs(NamedTuple):
    """The tables and figures of one notebook: suffix -> caption.

    A file's stem is the notebook's, with a hyphen and the suffix; "" is the notebook's main table.
    """

    tables: dict[str, str]
    figures: dict[str, str]


OUTPUTS = {
    "01_explore_release": Outputs(
        tables={},
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
            "": "Records that BM25 ranks for an instruction: how often its own patient is among the first k, beside random pairing.",
            "dedup": "Near-duplicate instructions that a ROUGE-L threshold drops.",
        },
        figures={
            "recall": "Share of instructions whose patient is among the first k.",
            "dedup": "What each threshold drops.",
        },
    ),
    "03_generate_responses": Outputs(
        tables={},
        figures={},
    ),
    "04_score_responses": Outputs(
        tables={},
        figures={},
    ),
    "05_evaluate_systems": Outputs(
        tables={
            "": "Systems by mean rank. The win rate leaves ties out; Wilson's interval takes instructions as independent, the others are bootstrapped over patients.",
            "pairs": "Each pair of systems: paired difference in accuracy, the instructions that one alone has right, McNemar's exact test and the sign flip of all of a patient's differences together, adjusted over the pairs by Holm's method, and who ranks higher.",
            "contexts": "One system at several context lengths: the paired difference in accuracy to the longest.",
            "groups": "Systems by group of instructions. Nothing is adjusted for the number of groups, and small ones are shown as they are.",
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
            "": "Kendall's tau-b between a metric's scores and the ratings, per instruction, averaged; where all scores or all ranks are equal it is undefined.",
            "systems": "Correlation, over the systems, of a metric's mean scores with the ratings' means, by coefficient.",
            "pairs": "Each pair of metrics: the difference of their mean taus on the same instructions, adjusted over the pairs by Holm's method.",
            "raters": "How far raters agree, where several rated the same responses.",
        },
        figures={
            "tau": "Agreement of each metric with the ratings.",
            "pairs": "Differences of the metrics' mean taus, by pair.",
        },
    ),
    "07_audit_fairness": Outputs(
        tables={
            "": "Each group against all other patients, by system and measure. p is by dealing the groups out anew among the patients, and adjusted by Holm's method over all tests of one system on one measure.",
            "ranges": "The best group of a grouping against the worst. The test allows for their having been picked, the interval does not.",
            "adjusted": "The gap that is left at the same category of instruction and the same length of record.",
            "agreement": "Each metric's agreement with the ratings, by group.",
            "data": "Who is in the release, and how long the records are.",
            "categories": "Instructions by category and group.",
            "simulation": "How often the audit raises a false alarm, and how often it finds a true gap, on simulated releases.",
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
            "": "The paper's tables beside this run's, and whether they may be compared.",
            "categories": "Instructions by category, the paper beside this run. Whether the two compare is said in the first table.",
            "human_evaluation": "Human evaluation, the paper beside this run. Whether the two compare is said in the first table.",
            "metric_correlation": "Correlation of the metrics with the ratings, the paper beside this run. Whether the two compare is said in the first table.",
            "facts": "Sizes of the dataset, the paper beside this run. Whether the two compare is said in the first table.",
        },
        figures={
            "human_evaluation": "Human evaluation, the paper beside this run.",
            "metric_correlation": "Correlation of metrics, the paper beside this run.",
        },
    ),
    "09_audit_counterfactuals": Outputs(
        tables={
            "": "Responses and verdicts that change when one demographic of the record is rewritten; relevant: the right answer rests on it. Left out are instructions of patients of whom it cannot be rewritten."
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
