"""The paper's main table, computed from ratings: accuracy, win rate and mean rank of systems."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import patients_of, rate_in_common, wide, wide_ranks
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import (
    Bootstrap,
    Resampled,
    interval_columns,
    resample_means,
)
from medalign_utils.stats.proportions import proportions

# What may be wrong with a response: the prompt cannot be answered, a server withheld the response,
# the length limit cut it, the server read only a part of the prompt, or there is no text.
OUTCOMES = ("no_response", "filtered", "cut", "prompt_cut", "empty")


def evaluate(run: Run, contexts: Mapping[str, int | None] | None = None) -> pd.DataFrame:
    """Return accuracy, win rate and mean rank of each system of a run, as `evaluate_systems`.

    A run is, for instance, `Run("demo", "data/demo", ["bm25-full", "bm25-2k"])`. The systems are
    compared on their `common_ratings`. Further columns are those of `count_outcomes`.
    """
    ratings, instructions = rate_in_common(run), run.release.instructions
    table = evaluate_systems(ratings, instructions, contexts, bootstrap=run.bootstrap)
    return table.merge(count_outcomes(run), on="system")


def evaluate_systems(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None] | None = None,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return the paper's main table: one row per system, best mean rank first.

    `contexts` maps all rated systems to their context lengths in tokens; None (NA in the table) is
    the full record.

    - win_rate: the mean of a system's `head_to_head` row, as in the paper (data/paper/README.md)
    - win_rate_ties_half: (wins + ties / 2) / comparisons; like win_rate, NaN for a single system
    - bounds of correct: from `stats.proportions`; NaN with a single patient
    - bounds of win_rate and mean_rank: by bootstrap; NaN with a single patient, and of no width if
      all values are equal

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = evaluate_systems(ratings, instructions, {"a": None, "b": 2048},
    ...     bootstrap=Bootstrap.seeded(100))
    >>> table[["system", "context_tokens", "n", "correct"]].to_csv(index=False).splitlines()
    ['system,context_tokens,n,correct', 'a,,2,1.0', 'b,2048,2,0.5']
    """
    ranks = wide_ranks(ratings)
    systems, n = list(ranks), len(ranks)
    contexts = dict.fromkeys(systems) if contexts is None else contexts
    if set(contexts) != set(systems):
        raise MedAlignError(
            f"evaluate_systems: contexts names {', '.join(sorted(contexts))}; "
            f"ratings has {', '.join(sorted(systems))}"
        )
    correct = wide(ratings, "correct")[systems].astype(float)
    patients = patients_of(ranks.index, instructions)
    drawn = bootstrap_systems(ranks.to_numpy(), patients, bootstrap=bootstrap)
    win_rate_columns, mean_rank_columns = (
        interval_columns(name, resampled.intervals()) for name, resampled in drawn.items()
    )
    # Summed over the opponents, wins + ties / 2 is the number of systems minus the rank.
    ties_half = (len(systems) - ranks).sum() / (n * (len(systems) - 1))
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": pd.array([contexts[system] for system in systems], dtype="Int64"),
            "n": n,
            **interval_columns("correct", proportions(correct.to_numpy(), patients)),
            "win_rate": win_rate_columns["win_rate"],
            "win_rate_ties_half": ties_half.to_numpy(),
            "mean_rank": mean_rank_columns["mean_rank"],
            "n_patients": len(set(patients)),
            **win_rate_columns,
            **mean_rank_columns,
        }
    )


def count_outcomes(run: Run) -> pd.DataFrame:
    """Return how many of each system's responses have one of `OUTCOMES`, with the column system.

    Each response counts once, as the first that applies. There are only those columns that some
    system needs, and none for responses that a release contains.
    """
    if run.source != "generated":
        return pd.DataFrame({"system": list(run.systems)})
    responses = pd.concat([run.responses(system) for system in run.systems], ignore_index=True)
    counts = pd.crosstab(responses["system"], outcomes_of(responses).to_numpy())
    counts = counts.reindex(columns=[name for name in OUTCOMES if name in counts])
    return counts.reindex(run.systems).rename_axis(columns=None).reset_index()


def outcomes_of(responses: pd.DataFrame) -> pd.Series:
    """Return which of `OUTCOMES` applies first to each response, or "whole".

    Columns other than response may be absent; then nothing is known about what they say.
    """
    missing = pd.Series(None, responses.index, dtype="str")
    reason = responses.get("finish_reason", missing)
    kinds = {
        "no_response": (reason == "failed") | responses.get("failure", missing).fillna("").ne(""),
        "filtered": reason == "content_filter",
        "cut": reason == "length",
        "prompt_cut": responses.get("prompt_tokens_read", missing).notna(),
        "empty": responses["response"].str.strip() == "",
    }
    kinds = {name: is_kind.fillna(False).to_numpy(dtype=bool) for name, is_kind in kinds.items()}
    return pd.Series(np.select(list(kinds.values()), list(kinds), "whole"), responses.index)


def head_to_head(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return the win rate of each system (row) against each other (column), best mean rank first.

    A win rate is wins / (wins + losses), without ties; 0.5 if two systems always tie, and NaN on
    the diagonal.
    """
    ranks = wide_ranks(ratings)
    systems, values = ranks.columns, ranks.to_numpy()
    wins = (values[:, :, np.newaxis] < values[:, np.newaxis, :]).sum(axis=0)
    decided = wins + wins.T
    rates = np.where(decided > 0, wins / np.maximum(decided, 1), 0.5)
    np.fill_diagonal(rates, np.nan)
    return pd.DataFrame(rates, index=systems.rename("system"), columns=systems.rename("opponent"))


def bootstrap_systems(
    ranks: np.ndarray, patients: np.ndarray, *, bootstrap: Bootstrap
) -> dict[str, Resampled]:
    """Return win rate and mean rank of K systems under the same resamples of patients.

    `ranks` has shape (N, K), `patients` has shape (N,). The keys are "win_rate" and "mean_rank",
    each with K columns. For a win rate, n_patients is the largest number of patients in whose
    instructions the system and one opponent differ.
    """
    k = ranks.shape[1]
    before = ranks[:, :, np.newaxis] < ranks[:, np.newaxis, :]
    # Per instruction: 1 for a win, 0 for a loss, NaN for a tie, so that means ignore ties.
    wins = np.where(before | before.swapaxes(1, 2), before, np.nan).reshape(len(ranks), k * k)
    drawn = resample_means(np.hstack([ranks, wins]), patients, bootstrap=bootstrap)
    of_rank, of_wins = drawn.part(slice(k)), drawn.part(slice(k, None))
    win_rate = Resampled(
        _over_opponents(of_wins.means.reshape(k, k)),
        _over_opponents(of_wins.resampled.reshape(-1, k, k)),
        of_wins.n_patients.reshape(k, k).max(axis=1),
    )
    return {"win_rate": win_rate, "mean_rank": of_rank}


def _over_opponents(rates: np.ndarray) -> np.ndarray:
    """Mean of each row without its diagonal, (..., K, K) to (..., K); a NaN counts as 0.5."""
    k = rates.shape[-1]
    decided = np.where(np.isnan(rates), 0.5, rates)
    with np.errstate(invalid="ignore"):  # a single system has no opponent: 0 / 0
        return np.where(np.eye(k, dtype=bool), 0.0, decided).sum(axis=-1) / np.float64(k - 1)
