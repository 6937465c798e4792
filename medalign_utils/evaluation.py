"""From ratings to the paper's table of systems: accuracy, win rate and mean rank."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medalign_utils.errors import MedAlignError
from medalign_utils.statistics import Interval, bootstrap_mean, bootstrap_means

_TOLERANCE = 1e-9


def check_ratings(ratings: pd.DataFrame) -> None:
    """Hold that ratings are complete: every instruction has every system exactly once.

    Args:
        ratings: instruction_id, system, correct (bool), rank (1 is best, equal ones share the
            average of their places, so an instruction's n ranks sum to n (n + 1) / 2).

    Raises:
        MedAlignError: naming the first instruction and system at fault.

    >>> check_ratings(pd.DataFrame({
    ...     "instruction_id": ["1", "1"], "system": ["a", "b"],
    ...     "correct": [True, False], "rank": [1.0, 1.0]}))
    Traceback (most recent call last):
    medalign_utils.errors.MedAlignError: check_ratings: instruction 1 has ranks a 1, b 1; expected\
 a 1.5, b 1.5 (1 is best, equal ones share the average)
    """
    missing = {"instruction_id", "system", "correct", "rank"} - set(ratings.columns)
    if missing:
        raise MedAlignError(
            f"check_ratings: no column {', '.join(sorted(missing))}; "
            f"found {', '.join(map(str, ratings.columns))}"
        )
    if ratings.empty:
        raise MedAlignError("check_ratings: no ratings; expected one a response")
    key = ["instruction_id", "system"]
    if ratings[key].isna().any(axis=None):
        raise MedAlignError("check_ratings: a rating has no instruction_id or no system")
    repeated = ratings[ratings.duplicated(key, keep=False)]
    if len(repeated):
        instruction_id, system = repeated.iloc[0][key]
        rows = ((repeated[key] == (instruction_id, system)).all(axis=1)).sum()
        raise MedAlignError(
            f"check_ratings: {rows} ratings of (instruction {instruction_id}, {system}); "
            "expected 1 (several raters? keep one)"
        )
    if not pd.api.types.is_bool_dtype(ratings["correct"]) or ratings["correct"].isna().any():
        raise MedAlignError(
            f"check_ratings: column correct is {ratings['correct'].dtype}; "
            "expected True or False in every row"
        )
    ranks = ratings.pivot(index="instruction_id", columns="system", values="rank")
    rated = pd.crosstab(ratings["instruction_id"], ratings["system"]).to_numpy()
    for row, column in np.argwhere(rated == 0)[:1]:
        raise MedAlignError(
            f"check_ratings: no rating of (instruction {ranks.index[row]}, {ranks.columns[column]})"
            f"; expected {len(ranks)} instructions x {len(ranks.columns)} systems"
        )
    if not pd.api.types.is_numeric_dtype(ratings["rank"]):
        raise MedAlignError(
            f"check_ratings: column rank is {ratings['rank'].dtype}; expected numbers"
        )
    given = ranks.to_numpy(dtype=np.float64, na_value=np.nan)
    for row, column in np.argwhere(np.isnan(given))[:1]:
        raise MedAlignError(
            f"check_ratings: no rank of (instruction {ranks.index[row]}, {ranks.columns[column]})"
        )
    expected = rankdata(given, axis=1)
    for row in np.flatnonzero(~(np.abs(given - expected) < _TOLERANCE).all(axis=1))[:1]:
        raise MedAlignError(
            f"check_ratings: instruction {ranks.index[row]} has ranks "
            f"{_listed(ranks.columns, given[row])}; expected "
            f"{_listed(ranks.columns, expected[row])} (1 is best, equal ones share the average)"
        )


def patients_of(instruction_ids: pd.Index, instructions: pd.DataFrame) -> np.ndarray:
    """Return the person_id of each instruction, shape (N,).

    Raises:
        MedAlignError: if an instruction is not in the table, or is in it twice.

    >>> table = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> patients_of(pd.Index(["2", "1"]), table).tolist()
    ['q', 'p']
    """
    repeated = instructions.loc[instructions["instruction_id"].duplicated(), "instruction_id"]
    if len(repeated):
        raise MedAlignError(f"patients_of: instruction {repeated.iloc[0]} is in the table twice")
    person_id = instructions.set_index("instruction_id")["person_id"]
    unknown = instruction_ids[~instruction_ids.isin(person_id.index)]
    if len(unknown):
        raise MedAlignError(
            f"patients_of: instruction {unknown[0]} is rated but not among the "
            f"{len(person_id)} instructions ({len(unknown)} such)"
        )
    return person_id.loc[instruction_ids].to_numpy(dtype=object)


def head_to_head(ratings: pd.DataFrame) -> pd.DataFrame:
    """Win rate of each system (row) against each other one (column), best mean rank first.

    Returns:
        float64, systems x systems, in [0, 1]: wins / (wins + losses) over the instructions on
        which the two ranks differ; 0.5 for a pair that never differs; the diagonal is NaN. A cell
        and its mirror image sum to 1.

    Raises:
        MedAlignError: if the ratings are not complete (`check_ratings`).

    >>> head_to_head(pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": True, "rank": [1.0, 2.0, 1.5, 1.5]})).loc["a"].tolist()
    [nan, 1.0]
    """
    check_ratings(ratings)
    ranks = _wide(ratings, "rank")
    ranks = ranks[ranks.mean().sort_values(kind="stable").index]
    wins = _wins(ranks)
    decided = wins + wins.T
    rates = np.where(decided > 0, wins / np.maximum(decided, 1), 0.5)
    np.fill_diagonal(rates, np.nan)
    systems = ranks.columns
    return pd.DataFrame(rates, index=systems.rename("system"), columns=systems.rename("opponent"))


def win_rates(ratings: pd.DataFrame) -> pd.DataFrame:
    """Win rate of each system, with ties left out and with ties counted half, and its mean rank.

    Returns:
        One row a system (the index), best mean rank first. win_rate: the mean of a system's
        `head_to_head` row. win_rate_ties_half: (wins + ties / 2) / comparisons, for which
        mean_rank = n - (n - 1) x win_rate_ties_half. Both lie in [0, 1] and sum to n / 2 over n
        systems; a single system has no opponent and gets NaN.

    Raises:
        MedAlignError: if the ratings are not complete, or one of these sums does not hold.

    Source: the published table fits win_rate and not win_rate_ties_half (data/paper/README.md).

    >>> win_rates(pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": True, "rank": [1.0, 2.0, 1.5, 1.5]})).loc["a"].tolist()
    [1.0, 0.75, 1.25]
    """
    matrix = head_to_head(ratings)
    ranks = _wide(ratings, "rank")[matrix.index]
    wins = _wins(ranks)
    instructions, n = ranks.shape
    ties = instructions - wins - wins.T
    np.fill_diagonal(ties, 0)
    half = (wins + ties / 2).sum(axis=1) / (instructions * (n - 1)) if n > 1 else np.nan
    table = pd.DataFrame(
        {
            "win_rate": matrix.mean(axis=1),
            "win_rate_ties_half": half,
            "mean_rank": ranks.mean().rename_axis("system"),
        },
        index=matrix.index,
    )
    _hold("mean ranks sum to", table["mean_rank"].sum(), n * (n + 1) / 2)
    if n > 1:
        _hold("win rates sum to", table["win_rate"].sum(), n / 2)
        _hold("win rates with ties half sum to", table["win_rate_ties_half"].sum(), n / 2)
        for system, row in table.iterrows():
            by_rate = n - (n - 1) * row["win_rate_ties_half"]
            _hold(f"mean rank of {system} is", row["mean_rank"], by_rate)
    return table


def evaluate_systems(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return the paper's main table: one row a system, best mean rank first.

    Args:
        ratings: as `check_ratings` describes.
        instructions: instruction_id, person_id.
        contexts: each rated system's context length in tokens; None for the full record.
        resamples: number of bootstrap resamples over patients.
        rng: the source of the resamples, which all systems share.

    Returns:
        system; context_tokens (Int64, NA for the full record); n, the rated instructions; correct,
        the share of responses marked correct, with its 95 % interval correct_low to correct_high
        (NaN for one patient); win_rate, win_rate_ties_half, mean_rank as in `win_rates`.

    Raises:
        MedAlignError: if ratings are incomplete, an instruction is unknown, or `contexts` and
            `ratings` name different systems.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = evaluate_systems(ratings, instructions, {"a": None, "b": 2048},
    ...     resamples=100, rng=np.random.default_rng(1))
    >>> table[["system", "context_tokens", "n", "correct"]].to_csv(index=False).splitlines()
    ['system,context_tokens,n,correct', 'a,,2,1.0', 'b,2048,2,0.5']
    """
    ranking = win_rates(ratings)
    systems = list(ranking.index)
    if set(contexts) != set(systems):
        raise MedAlignError(
            f"evaluate_systems: contexts names {', '.join(sorted(contexts))}; "
            f"ratings has {', '.join(sorted(systems))}"
        )
    correct = _wide(ratings, "correct")[systems]
    patients = patients_of(correct.index, instructions)
    shares = bootstrap_means(correct.to_numpy(float), patients, resamples=resamples, rng=rng)
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": _context_column([contexts[system] for system in systems]),
            "n": len(correct),
            **_interval_columns("correct", shares),
            **{name: column.to_numpy() for name, column in ranking.items()},
        }
    )


def paired_difference(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    a: str,
    b: str,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Interval:
    """Accuracy of system `a` minus that of system `b` on the same instructions, in [-1, 1].

    Returns:
        The difference with its 95 % interval, bootstrapped over patients (NaN for one patient).

    Raises:
        MedAlignError: if ratings are incomplete, or `a` or `b` is not rated.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> paired_difference(ratings, instructions, "a", "b",
    ...     resamples=100, rng=np.random.default_rng(1))
    Interval(estimate=0.5, low=0.0, high=1.0)
    """
    check_ratings(ratings)
    correct = _wide(ratings, "correct").astype(float)
    for system in (a, b):
        if system not in correct.columns:
            raise MedAlignError(
                f"paired_difference: no ratings of {system}; found {', '.join(correct.columns)}"
            )
    patients = patients_of(correct.index, instructions)
    return bootstrap_mean(correct[a] - correct[b], patients, resamples=resamples, rng=rng)


def compare_contexts(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """What a shorter context costs one generator: its accuracy at each context length.

    Args:
        ratings: as `check_ratings` describes; may hold other systems too.
        instructions: instruction_id, person_id.
        contexts: the systems that differ in their context length alone, each with that length in
            tokens, None for the full record.
        resamples: number of bootstrap resamples over patients.
        rng: the source of the resamples.

    Returns:
        One row a system, shortest context first: system, context_tokens (Int64, NA for the full
        record), n, correct, correct_low, correct_high, and difference, difference_low,
        difference_high: the paired difference in accuracy to the last row (below 0 where the
        shorter context does worse), NaN in the last row itself.

    Raises:
        MedAlignError: if ratings are incomplete, a system is not rated, or two have one length.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> compare_contexts(ratings, instructions, {"a": None, "b": 2048}, resamples=100,
    ...     rng=np.random.default_rng(1))[["system", "correct", "difference"]].values.tolist()
    [['b', 0.5, -0.5], ['a', 1.0, nan]]
    """
    check_ratings(ratings)
    correct = _wide(ratings, "correct").astype(float)
    unrated = [system for system in contexts if system not in correct.columns]
    if unrated:
        raise MedAlignError(
            f"compare_contexts: no ratings of {unrated[0]}; found {', '.join(correct.columns)}"
        )
    lengths = [np.inf if tokens is None else tokens for tokens in contexts.values()]
    if not lengths or len(set(lengths)) < len(lengths):
        raise MedAlignError(
            f"compare_contexts: contexts is {dict(contexts)}; expected one system a context length"
        )
    systems = [system for _, system in sorted(zip(lengths, contexts, strict=True))]
    correct = correct[systems]
    # The longest context loses to itself by nothing; NaN there keeps it from reading as a finding.
    differences = correct.sub(correct[systems[-1]], axis=0)
    differences[systems[-1]] = np.nan
    both = np.hstack([correct.to_numpy(), differences.to_numpy()])
    patients = patients_of(correct.index, instructions)
    intervals = bootstrap_means(both, patients, resamples=resamples, rng=rng)
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": _context_column([contexts[system] for system in systems]),
            "n": len(correct),
            **_interval_columns("correct", intervals[: len(systems)]),
            **_interval_columns("difference", intervals[len(systems) :]),
        }
    )


def _wide(ratings: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column as instructions x systems, both sorted."""
    return ratings.pivot(index="instruction_id", columns="system", values=column)


def _wins(ranks: pd.DataFrame) -> np.ndarray:
    """How often each system (row) is ranked before each other one (column): shape (n, n)."""
    values = ranks.to_numpy()
    return (values[:, :, np.newaxis] < values[:, np.newaxis, :]).sum(axis=0)


def _context_column(lengths: list[int | None]) -> pd.api.extensions.ExtensionArray:
    return pd.array(lengths, dtype="Int64")


def _interval_columns(name: str, intervals: list[Interval]) -> dict[str, list[float]]:
    return {
        name: [interval.estimate for interval in intervals],
        f"{name}_low": [interval.low for interval in intervals],
        f"{name}_high": [interval.high for interval in intervals],
    }


def _hold(what: str, found: float, expected: float) -> None:
    if not abs(found - expected) < _TOLERANCE:
        raise MedAlignError(f"win_rates: {what} {found}, expected {expected}")


def _listed(systems: pd.Index, ranks: np.ndarray) -> str:
    return ", ".join(f"{system} {rank:g}" for system, rank in zip(systems, ranks, strict=True))
