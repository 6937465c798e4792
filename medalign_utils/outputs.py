"""The tables and figures that each notebook writes to `runs/<experiment>/`, with captions.

A figure's caption says what n counts, which interval is drawn and which test was done.

Notebooks, the workflow, the report and tests take the names from here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

# The status of published values on which no conclusion may depend, and their mark in tables.
UNVERIFIED = "transcribed, not re-verified"
DAGGER = "\N{DAGGER}"
# Of each figure, one for screens and two for journals.
FIGURE_KINDS = ("png", "pdf", "svg")


class Outputs(NamedTuple):
    """A notebook's tables and figures: suffix -> caption. The main table has the suffix ""."""

    tables: Mapping[str, str] = MappingProxyType({})
    figures: Mapping[str, str] = MappingProxyType({})


OUTPUTS = {
    "01_explore_release": Outputs(
        figures={
            "categories": "Instructions by category, with and without a reference, and the paper's "
            "numbers; n is in the figure. Counts of the whole release, with no interval and no "
            "test.",
            "specialties": "Instructions by the submitter's specialty, with and without a "
            "reference; n is in the figure. Counts of the whole release, with no interval and no "
            "test.",
            "ehr_lengths": "Lengths of the n records, in tokens, against context lengths. Counts "
            "of the whole release, with no interval and no test.",
            "event_years": "Events by calendar year; n counts the events of all records. No "
            "interval and no test.",
            "note_types": "Notes by type, and patients who have any; n counts the notes of all "
            "records. No interval and no test.",
        },
    ),
    "02_match_instructions": Outputs(
        tables={
            "": "How often BM25, or chance, ranks an instruction's own patient among the first k.",
            "dedup": "Near-duplicate instructions dropped at each ROUGE-L threshold.",
        },
        figures={
            "recall": "Share of n instructions whose patient is among the first k records that "
            "BM25 finds, with 95% intervals over patients, beside a random order. No test.",
            "dedup": "Share of n submitted instructions dropped at each ROUGE-L threshold, and how "
            "many of these are duplicates (precision) and of the duplicates are dropped (recall). "
            "No interval and no test.",
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
            "accuracy": "Share of correct responses to the same n instructions by system, with 95% "
            "intervals over patients. The next figure has the test of the differences.",
            "pairs": "Paired differences in accuracy on the same n instructions, with 95% "
            "intervals that hold for all pairs at once. p of a sign-flip test over patients and of "
            "McNemar's test, both after Holm.",
            "groups": "Accuracy by group of n instructions, with 95% intervals over patients. No "
            "test; not adjusted for the number of groups.",
            "head_to_head": "Win rate of each system against every other on n instructions, "
            "without ties. No interval; the table of pairs has it, and the test.",
            "contexts": "Accuracy of one system on the same n instructions by context length, with "
            "95% intervals over patients. Differences have 95% intervals that hold for all at "
            "once, and p of a sign-flip test over patients after Holm.",
            "cost": "Accuracy on n instructions against cost, with the Pareto front and its 95% "
            "intervals over patients. No test.",
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
            "categories": "Agreement between the raters of a review, by category of instruction.",
            "review": "The raters of a review: verdicts, time per item, agreement with themselves "
            "and others, and what to look into. Nothing is left out because of it.",
        },
        figures={
            "tau": "Mean Kendall's tau-b of each metric with the ratings over n instructions, with "
            "95% intervals over patients. The next figure has the test of the differences.",
            "pairs": "Differences in mean tau-b between pairs of metrics on the same n "
            "instructions, and p of a sign-flip test over patients after Holm. The table of pairs "
            "has each 95% interval.",
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
            "systems": "Gap in accuracy between each group and all other patients, by system; n of "
            "patients and instructions is in the figure. A star marks p ≤ 0.05 of a permutation "
            "test over patients, after Holm; the table has the 95% intervals.",
            "gaps": "Gaps in accuracy of the best system, raw and adjusted for category and record "
            "length, with 95% intervals over patients; n of patients and instructions is in the "
            "figure. The figure of all systems has the test.",
            "agreement": "Gap in each metric's mean tau with the ratings between each group and "
            "all other patients; n is in the figure. A star marks p ≤ 0.05 of a permutation test "
            "over patients, after Holm; the table has the 95% intervals.",
            "lengths": "Events per record by group, geometric mean with 95% intervals over "
            "patients; n of patients and instructions is in the figure. No test.",
            "power": "How often the audit's permutation test finds a gap, by the gap and the "
            "number of rated patients in the group, with 95% intervals; n of simulated systems is "
            "in the figure.",
        },
    ),
    "08_reproduce_paper": Outputs(
        tables={
            "": "Which of the paper's tables can be compared with this run.",
            "human_evaluation": "Human evaluation, in the paper and in this run. The cost of the "
            "context is the accuracy minus that of the same model with its longest context.",
            "metric_correlation": "Correlation of metrics with ratings, in the paper and in this "
            f"run. {DAGGER} {UNVERIFIED}.",
            "categories": "Instructions by category, in the paper and in this run.",
            "facts": "Sizes of the dataset, in the paper and in this run.",
        },
        figures={
            "human_evaluation": "Accuracy, win rate and mean rank in the paper and in this run, "
            "each on its n instructions, this run's with 95% intervals over patients. No test "
            "between the two, whose systems differ.",
            "metric_correlation": "Mean Kendall's tau of metrics with ratings in the paper (†, not "
            "re-verified) and in this run over n instructions, each with its 95% interval. No test "
            "between the two.",
        },
    ),
    "09_audit_counterfactuals": Outputs(
        tables={
            "": "Responses and verdicts that change when one demographic in the record is "
            "rewritten. relevant: the correct answer depends on this demographic."
        },
        figures={
            "changes": "Share of responses and verdicts to n instructions that change when one "
            "demographic is rewritten, with 95% intervals over patients, beside a control. No "
            "test.",
        },
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
            "rewording": "How often a verdict is the same for two wordings of a request, and how "
            "often both are correct.",
            "tokens": "Accuracy by the number of the record's tokens in the prompts.",
        },
        figures={
            "outcomes": "Shares of correct responses, contradictions and omissions among n "
            "responses of each system, with 95% intervals over patients. No test.",
            "places": "Accuracy by place of the answer in the record, on n instructions, with 95% "
            "intervals over patients. No test; not adjusted for the number of groups.",
            "prompt": "Accuracy with the place of the answer in the prompt and without, on n "
            "instructions, with 95% intervals over patients. No test.",
            "kinds": "Accuracy by kind of fact, on n instructions, with 95% intervals over "
            "patients. No test; not adjusted for the number of groups.",
            "tokens": "Accuracy on n instructions against tokens of the record in the prompts, "
            "with 95% intervals over patients. No test.",
        },
    ),
}


def stem(notebook: str, suffix: str = "") -> str:
    """Return the stem of a table's or figure's file name.

    >>> stem("05_evaluate_systems", "pairs")
    '05_evaluate_systems-pairs'
    """
    return f"{notebook}-{suffix}" if suffix else notebook
