"""From ratings to the paper's table of systems: accuracy, win rate and mean rank."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import _TOLERANCE, check_ratings, patients_of, wide
from medalign_utils.stats.bootstrap import (
    CONFIDENCE,
    Bootstrap,
    Interval,
    Resampled,
    resample_means,
)


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
    ranks = wide(ratings, "rank")
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
    ranks = wide(ratings, "rank")[matrix.index]
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


def bootstrap_systems(
    correct: np.ndarray,
    ranks: np.ndarray,
    patients: np.ndarray,
    *,
    bootstrap: Bootstrap,
) -> dict[str, Resampled]:
    """Bootstrap accuracy, win rate and mean rank of K systems over patients, with common draws.

    Args:
        correct: shape (N, K), 1 for a correct response and 0 for another one.
        ranks: shape (N, K), as `check_ratings` describes.
        patients: shape (N,), the patient of each instruction.
        bootstrap: over patients.

    Returns:
        "correct", "win_rate" and "mean_rank", K columns each. A resample's win rate is worked out
        as `win_rates` does it, from the resample's own wins and losses; its n_patients are those
        of the opponent that the system most often differs from, 0 if it ties with all. Without an
        opponent win_rate is NaN.

    >>> ranks = np.array([[1.0, 2.0], [1.5, 1.5], [1.0, 2.0]])
    >>> drawn = bootstrap_systems(ranks < 2, ranks, np.array(["p", "q", "r"]), bootstrap=Bootstrap.seeded(9, 1))
    >>> drawn["win_rate"].means.tolist(), drawn["win_rate"].n_patients.tolist()
    ([1.0, 0.0], [2, 2])
    """
    k = correct.shape[1]
    before = ranks[:, :, np.newaxis] < ranks[:, np.newaxis, :]
    # Per instruction 1 for a win, 0 for a loss, NaN for a tie, which is left out of the mean.
    wins = np.where(before | before.swapaxes(1, 2), before, np.nan).reshape(len(ranks), k * k)
    values = np.hstack([correct, ranks, wins])
    drawn = resample_means(values, patients, bootstrap=bootstrap)

    def columns(first: int, last: int) -> Resampled:
        return Resampled(*(array[..., first:last] for array in drawn))

    won = columns(2 * k, None)
    win_rate = Resampled(
        _over_opponents(won.means.reshape(k, k)),
        _over_opponents(won.resampled.reshape(-1, k, k)),
        won.n_patients.reshape(k, k).max(axis=1),
    )
    return {"correct": columns(0, k), "win_rate": win_rate, "mean_rank": columns(k, 2 * k)}


def evaluate_systems(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None],
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return the paper's main table: one row a system, best mean rank first.

    Args:
        ratings: as `check_ratings` describes.
        instructions: instruction_id, person_id.
        contexts: each rated system's context length in tokens; None for the full record.
        bootstrap: over patients.

    Returns:
        system; context_tokens (Int64, NA for the full record); n, the rated instructions; correct,
        the share of responses marked correct, with its 95 % interval correct_low to correct_high;
        win_rate, win_rate_ties_half, mean_rank as in `win_rates`; n_patients; wilson_low to
        wilson_high, Wilson's 95 % interval of correct; win_rate_low to win_rate_high, and mean_rank_low
        to mean_rank_high of mean_rank.

        Intervals are bootstrapped over patients, and NaN for one patient; that of a win rate also
        for a system without an opponent, or whose ranks differ from no opponent's in two patients
        (where all tie, win_rate is 0.5). Wilson's takes instructions as independent. It stands
        beside the other because it is what most tables give and because it has bounds where the
        bootstrap has none (one patient) or bounds without width (no correct response, or all):
        there correct_low and correct_high only repeat the share. Where a patient's instructions
        resemble each other it is too narrow; the bootstrap's is far too narrow under about 10
        patients.

    Raises:
        MedAlignError: if ratings are incomplete, an instruction is unknown, or `contexts` and
            `ratings` name different systems.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = evaluate_systems(ratings, instructions, {"a": None, "b": 2048},
    ...     bootstrap=Bootstrap.seeded(100, 1))
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
    correct = wide(ratings, "correct")[systems].astype(float)
    patients = patients_of(correct.index, instructions)
    drawn = bootstrap_systems(
        correct.to_numpy(),
        wide(ratings, "rank")[systems].to_numpy(),
        patients,
        bootstrap=bootstrap,
    )
    bounds = {name: interval_columns(name, drawn[name].intervals()) for name in drawn}
    wilson_low, wilson_high = proportion_confint(
        correct.sum().to_numpy(), len(correct), alpha=1 - CONFIDENCE, method="wilson"
    )
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": context_column([contexts[system] for system in systems]),
            "n": len(correct),
            **bounds["correct"],
            **{name: column.to_numpy() for name, column in ranking.items()},
            "n_patients": len(set(patients)),
            "wilson_low": wilson_low,
            "wilson_high": wilson_high,
            "win_rate_low": bounds["win_rate"]["win_rate_low"],
            "win_rate_high": bounds["win_rate"]["win_rate_high"],
            "mean_rank_low": bounds["mean_rank"]["mean_rank_low"],
            "mean_rank_high": bounds["mean_rank"]["mean_rank_high"],
        }
    )


def interval_columns(name: str, intervals: Sequence[Interval]) -> dict[str, list[float]]:
    """A table's three columns of an estimate and its bounds.

    >>> interval_columns("correct", [Interval(0.5, 0.4, 0.6)])
    {'correct': [0.5], 'correct_low': [0.4], 'correct_high': [0.6]}
    """
    return {
        name: [interval.estimate for interval in intervals],
        f"{name}_low": [interval.low for interval in intervals],
        f"{name}_high": [interval.high for interval in intervals],
    }


def context_column(lengths: Sequence[int | None]) -> pd.api.extensions.ExtensionArray:
    """Context lengths in tokens as a table's column; NA for the full record."""
    return pd.array(lengths, dtype="Int64")


def _wins(ranks: pd.DataFrame) -> np.ndarray:
    """How often each system (row) is ranked before each other one (column): shape (n, n)."""
    values = ranks.to_numpy()
    return (values[:, :, np.newaxis] < values[:, np.newaxis, :]).sum(axis=0)


def _over_opponents(rates: np.ndarray) -> np.ndarray:
    """Mean of each row without its diagonal, (..., K, K) to (..., K); an undecided pair is 0.5."""
    k = rates.shape[-1]
    if k == 1:
        return np.full(rates.shape[:-1], np.nan)
    decided = np.where(np.isnan(rates), 0.5, rates)
    return np.where(np.eye(k, dtype=bool), 0.0, decided).sum(axis=-1) / (k - 1)


def _hold(what: str, found: float, expected: float) -> None:
    if not abs(found - expected) < _TOLERANCE:
        raise MedAlignError(f"win_rates: {what} {found}, expected {expected}")
