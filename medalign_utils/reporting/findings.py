"""A run's main findings as sentences, computed from its tables."""

from collections.abc import Callable, Mapping

import pandas as pd

from medalign_utils.metrics.base import metric_labels
from medalign_utils.stats.rounding import rounded

SYSTEMS, METRICS = "05_evaluate_systems", "06_correlate_metrics"
# Intervals over fewer patients are too narrow; see docs/metrics_and_statistics.md.
_ENOUGH_PATIENTS = 10


def findings(tables: Mapping[str, pd.DataFrame], rater: str) -> list[str]:
    """Return sentences: the best system, a short context's cost, the best metric, few patients.

    Systems or metrics whose values are equal to the digits shown are a tie. A sentence is left out
    if its tables are missing or have nothing to say.

    Args:
        tables: stem -> table; see `results_table.read_table`.
        rater: who rated the responses, such as "the answer key".
    """
    systems, pairs, contexts, metrics, metric_pairs = (
        tables.get(stem, pd.DataFrame())
        for stem in (SYSTEMS, f"{SYSTEMS}-pairs", f"{SYSTEMS}-contexts", METRICS,
                     f"{METRICS}-pairs")
    )  # fmt: skip
    sentences = (
        best_system(systems, pairs),
        context_cost(contexts),
        best_metric(metrics, metric_pairs, rater),
        few_patients(systems),
    )
    return [sentence for sentence in sentences if sentence]


def best_system(systems: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Return which system is correct most often, and a test against the next.

    >>> systems = pd.DataFrame({"system": ["a", "b"], "n": 80, "correct": [0.1375, 0.25]})
    >>> pairs = pd.DataFrame({"system": ["a"], "opponent": ["b"], "sign_flip_p_holm": [0.3]})
    >>> print(best_system(systems, pairs))
    b is correct most often, in 25 % of 80 instructions; a follows with 14 % (not significant: \
p = 0.300).
    """
    if systems.empty:
        return ""
    (first, *equals), others = _ranked(systems, "correct", share_text)
    share = f"in {share_text(first['correct'])} of {first['n']} instructions"
    if equals:
        names = _listed([row["system"] for row in (first, *equals)])
        return f"{names} are correct most often, {_each(equals)} {share}."
    if not others:
        return f"{first['system']} is correct {share}."
    second = others[0]
    test = _test(pairs, ("system", "opponent"), first["system"], second["system"])
    follows = f"{second['system']} follows with {share_text(second['correct'])}"
    return f"{first['system']} is correct most often, {share}; {follows} ({test})."


def context_cost(contexts: pd.DataFrame) -> str:
    """Return what the shortest context costs a system, compared with the longest.

    >>> contexts = pd.DataFrame({"system": ["a-2k", "a"], "context_tokens": [2048, pd.NA],
    ...     "difference": [-0.1125, None], "sign_flip_p_holm": [0.3, None]})
    >>> print(context_cost(contexts))
    With 2,048 tokens of context, a-2k is 11 points less accurate than a with the full record \
(not significant: p = 0.300).
    """
    if len(contexts) < 2:
        return ""
    shortest, longest = contexts.iloc[0], contexts.iloc[-1]
    change, tokens = shortest["difference"], longest["context_tokens"]
    points = rounded(100 * abs(change), 0)
    how = "less" if change < 0 else "more"
    by = f"{points} point{'s' * (points != 1)}"
    than = f"{by} {how} accurate than" if points else "as accurate as"
    full = "the full record" if pd.isna(tokens) else f"{tokens:,} tokens"
    test = _p(shortest["sign_flip_p_holm"], len(contexts) - 1)
    short = f"With {shortest['context_tokens']:,} tokens of context"
    return f"{short}, {shortest['system']} is {than} {longest['system']} with {full} ({test})."


def best_metric(metrics: pd.DataFrame, pairs: pd.DataFrame, rater: str) -> str:
    """Return which metric follows the ratings best, and a test against the next.

    >>> metrics = pd.DataFrame({"metric": ["chrf", "rouge_l"], "n": 38, "n_undefined": 42,
    ...     "mean_tau": [0.4, 0.475]})
    >>> pairs = pd.DataFrame({"metric_a": ["rouge_l"], "metric_b": ["chrf"], "p_holm": [0.0001]})
    >>> print(best_metric(metrics, pairs, "the answer key"))
    ROUGE-L follows the answer key best, with a mean tau of 0.48 over 38 of 80 instructions; chrF \
follows with 0.40 (significant: p < 0.001).
    """
    known = metrics.dropna(subset="mean_tau") if len(metrics) else metrics
    if known.empty:
        return ""
    labels = metric_labels()
    known = known.assign(label=known["metric"].map(lambda name: labels.get(name, name)))
    (first, *equals), others = _ranked(known, "mean_tau", _tau_text)
    ns = sorted({row["n"] for row in (first, *equals)})
    n = f"{ns[0]} to {ns[-1]}" if len(ns) > 1 else ns[0]
    of = f"{n} of {first['n'] + first['n_undefined']} instructions"
    tau = f"with a mean tau of {_tau_text(first['mean_tau'])} over {of}"
    if equals:
        names = _listed([row["label"] for row in (first, *equals)])
        return f"{names} follow {rater} best, {_each(equals)} {tau}."
    best = first["label"]
    if not others:
        return f"{best} follows {rater} {tau}."
    second = others[0]
    test = _test(pairs, ("metric_a", "metric_b"), first["metric"], second["metric"])
    follows = f"{second['label']} follows with {_tau_text(second['mean_tau'])}"
    return f"{best} follows {rater} best, {tau}; {follows} ({test})."


def few_patients(systems: pd.DataFrame) -> str:
    """Return a warning if the systems are compared on too few patients for their intervals.

    >>> few_patients(pd.DataFrame({"n_patients": [9]}))
    'With fewer than 10 patients, all intervals are too narrow.'
    """
    if "n_patients" not in systems or not systems["n_patients"].lt(_ENOUGH_PATIENTS).any():
        return ""
    return f"With fewer than {_ENOUGH_PATIENTS} patients, all intervals are too narrow."


def share_text(share: float) -> str:
    """Return a share as a percentage in prose.

    >>> share_text(0.1375), share_text(0.004)
    ('14 %', '0 %')
    """
    return f"{rounded(100 * share, 0)} %"


def _tau_text(tau: float) -> str:
    return str(rounded(tau, 2))


def _ranked(table: pd.DataFrame, by: str, shown: Callable[[float], str]) -> tuple[list, list]:
    """Return the rows of the highest value, to the digits shown, and the others in order."""
    rows = table.sort_values(by, ascending=False, kind="stable").to_dict("records")
    n_first = sum(shown(row[by]) == shown(rows[0][by]) for row in rows)
    return rows[:n_first], rows[n_first:]


def _listed(names: list[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]])


def _each(equals: list) -> str:
    return "both" if len(equals) == 1 else "each"


def _test(pairs: pd.DataFrame, names: tuple[str, str], first: str, second: str) -> str:
    """Return the adjusted p-value of a pair, whichever of the two comes first."""
    if pairs.empty:  # its table may be missing
        return _p(pd.NA, 0)
    both = pairs[list(names)].isin([first, second]).all(axis=1)
    adjusted = "p_holm" if "p_holm" in pairs else "sign_flip_p_holm"
    return _p(pairs.loc[both, adjusted].iloc[0], len(pairs))


def _p(p: float, n_tests: int) -> str:
    if pd.isna(p):
        return "not tested"
    verdict = "significant" if p < 0.05 else "not significant"
    text = f"{verdict}: {'p < 0.001' if p < 0.001 else f'p = {rounded(p, 3)}'}"
    return f"{text}, adjusted for {n_tests} comparisons" if n_tests > 1 else text
