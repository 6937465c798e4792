"""From ratings to the paper's table of systems: accuracy, win rate and mean rank."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import common_ratings, patients_of, rate, wide, wide_ranks
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import (
    CONFIDENCE,
    Bootstrap,
    Resampled,
    interval_columns,
    resample_means,
)


def evaluate(run: Run, contexts: Mapping[str, int | None] | None = None) -> pd.DataFrame:
    """Return the table of a run's systems, as `evaluate_systems`, over the `common_ratings`."""
    ratings = common_ratings(rate(run)).ratings
    return evaluate_systems(ratings, run.release.instructions, contexts, bootstrap=run.bootstrap)


def evaluate_systems(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None] | None = None,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return the paper's main table: one row per system, best mean rank first.

    `contexts` are the rated systems' context lengths in tokens, None for the full record. Columns:
    system; context_tokens (Int64, NA for the full record); n, the rated instructions; correct, the
    share of correct responses; win_rate, win_rate_ties_half, mean_rank as in `win_rates`;
    n_patients; and bounds of correct, win_rate and mean_rank, NaN for one patient and without width
    if no response is correct or all are. wilson_low and wilson_high assume that instructions are
    independent; they are too narrow if a patient's resemble each other, but always there.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = evaluate_systems(ratings, instructions, {"a": None, "b": 2048},
    ...     bootstrap=Bootstrap.seeded(100))
    >>> table[["system", "context_tokens", "n", "correct"]].to_csv(index=False).splitlines()
    ['system,context_tokens,n,correct', 'a,,2,1.0', 'b,2048,2,0.5']
    """
    ranking = win_rates(ratings)
    systems = list(ranking.index)
    contexts = dict.fromkeys(systems) if contexts is None else contexts
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
    correct_columns, win_rate_columns, mean_rank_columns = (
        interval_columns(name, resampled.intervals()) for name, resampled in drawn.items()
    )
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": pd.array([contexts[system] for system in systems], dtype="Int64"),
            "n": len(correct),
            **correct_columns,
            **ranking.reset_index(drop=True),
            "n_patients": len(set(patients)),
            **wilson_interval(correct.sum().to_numpy(), len(correct)),
            **win_rate_columns,
            **mean_rank_columns,
        }
    )


def head_to_head(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return the win rate of each system (row) against each other (column), best mean rank first.

    It is wins / (wins + losses) over the instructions on which the two ranks differ; 0.5 for a pair
    that never differs; NaN on the diagonal.
    """
    ranks = wide_ranks(ratings)
    wins = _wins(ranks)
    decided = wins + wins.T
    rates = np.where(decided > 0, wins / np.maximum(decided, 1), 0.5)
    np.fill_diagonal(rates, np.nan)
    systems = ranks.columns
    return pd.DataFrame(rates, index=systems.rename("system"), columns=systems.rename("opponent"))


def win_rates(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return win rates without ties and with ties counted half, and mean ranks, best first.

    win_rate is the mean of a system's `head_to_head` row; win_rate_ties_half is (wins + ties / 2) /
    comparisons, for which mean_rank = n - (n - 1) x win_rate_ties_half. Both sum to n / 2 over n
    systems, and are NaN for a single one. The published table fits win_rate (data/paper/README.md).

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
    table = {
        "win_rate": matrix.mean(axis=1),
        "win_rate_ties_half": half,
        "mean_rank": ranks.mean().rename_axis("system"),
    }
    return pd.DataFrame(table, index=matrix.index)


def bootstrap_systems(
    correct: np.ndarray, ranks: np.ndarray, patients: np.ndarray, *, bootstrap: Bootstrap
) -> dict[str, Resampled]:
    """Return accuracy, win rate and mean rank of K systems under the same resamples of patients.

    `correct` (1 or 0) and `ranks` have shape (N, K), `patients` (N,). Of "correct", "win_rate" and
    "mean_rank", K columns each, n_patients of a win rate are those of the opponent that the system
    most often differs from, 0 if it ties with all.
    """
    k = correct.shape[1]
    before = ranks[:, :, np.newaxis] < ranks[:, np.newaxis, :]
    # Per instruction 1 for a win, 0 for a loss, NaN for a tie, which is left out of the mean.
    wins = np.where(before | before.swapaxes(1, 2), before, np.nan).reshape(len(ranks), k * k)
    drawn = resample_means(np.hstack([correct, ranks, wins]), patients, bootstrap=bootstrap)
    of_correct, of_rank, of_wins = (
        Resampled(*(array[..., columns] for array in drawn))
        for columns in (slice(k), slice(k, 2 * k), slice(2 * k, None))
    )
    win_rate = Resampled(
        _over_opponents(of_wins.means.reshape(k, k)),
        _over_opponents(of_wins.resampled.reshape(-1, k, k)),
        of_wins.n_patients.reshape(k, k).max(axis=1),
    )
    return {"correct": of_correct, "win_rate": win_rate, "mean_rank": of_rank}


def wilson_interval(n_correct: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Return Wilson's 95 % interval of a share as the columns wilson_low and wilson_high."""
    low, high = proportion_confint(n_correct, n, alpha=1 - CONFIDENCE, method="wilson")
    return {"wilson_low": low, "wilson_high": high}


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
