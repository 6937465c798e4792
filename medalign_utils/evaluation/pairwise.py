"""Compare systems with each other on the same instructions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import check_ratings, patients_of, wide, wide_ranks
from medalign_utils.stats.bootstrap import Bootstrap, Interval, bootstrap_means, interval_columns
from medalign_utils.stats.permutation import holm, least_sign_flip_p, sign_flip
from medalign_utils.stats.proportions import Proportions


def compare_systems(
    ratings: pd.DataFrame, instructions: pd.DataFrame, *, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Return each pair of systems with their difference in accuracy, its tests and win rate.

    One row per pair; system is the one with the better mean rank, opponent the other. only_system
    and only_opponent count instructions on which only that system is correct; win_rate is as in
    `head_to_head`. difference_low and difference_high hold for all pairs at once in 95 % of samples
    (`Proportions.paired_differences`), and columns ending in _holm are adjusted over all pairs;
    win_rate_low and win_rate_high are for each pair by itself. With fewer than two patients, bounds
    are NaN.

    Rely on sign_flip_p, which flips signs by patient; sign_flip_p_least is the smallest that so
    many patients could give. mcnemar_p, from McNemar's exact test, assumes
    that instructions are independent; it is too small if a patient's instructions are alike.
    """
    ranks = wide_ranks(ratings)
    correct = wide(ratings, "correct")[ranks.columns].to_numpy(dtype=float)
    patients = patients_of(ranks.index, instructions)
    first, second = np.triu_indices(ranks.shape[1], k=1)
    differences = correct[:, first] - correct[:, second]
    steps = ranks.to_numpy()[:, first] - ranks.to_numpy()[:, second]
    wins = np.where(steps == 0, np.nan, steps < 0)
    intervals = Proportions.of(correct, patients).paired_differences(
        first, second, comparisons=len(first)
    )
    of_wins = [
        Interval(0.5, np.nan, np.nan) if np.isnan(interval.estimate) else interval
        for interval in bootstrap_means(wins, patients, bootstrap=bootstrap)
    ]
    better, worse = (differences > 0).sum(axis=0), (differences < 0).sum(axis=0)
    tables = [[[0, b], [c, 0]] for b, c in zip(better, worse, strict=True)]
    mcnemar_p = np.array([mcnemar(table, exact=True).pvalue for table in tables])
    flip_p = sign_flip(differences, patients, bootstrap.rng)
    return pd.DataFrame(
        {
            "system": ranks.columns[first].to_numpy(),
            "opponent": ranks.columns[second].to_numpy(),
            "n": len(ranks),
            "n_patients": len(set(patients)),
            **interval_columns("difference", intervals),
            "only_system": better,
            "only_opponent": worse,
            "mcnemar_p": mcnemar_p,
            "mcnemar_p_holm": holm(mcnemar_p),
            "sign_flip_p": flip_p,
            "sign_flip_p_holm": holm(flip_p),
            "sign_flip_p_least": least_sign_flip_p(differences, patients),
            "wins": (steps < 0).sum(axis=0),
            "losses": (steps > 0).sum(axis=0),
            "ties": (steps == 0).sum(axis=0),
            **interval_columns("win_rate", of_wins),
        }
    )


def compare_contexts(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None],
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return accuracy by context length, for systems that differ in nothing else.

    `contexts` maps systems to their context lengths in tokens, each length once; None (NA in the
    table) is the full record. One row per system, shortest context first:

    - correct, with bounds for each system by itself
    - difference: the paired difference in accuracy from the longest context, with bounds that hold
      for all contexts at once in 95 % of samples; NaN in the last row
    - sign_flip_p, sign_flip_p_holm and sign_flip_p_least: as in `compare_systems`, adjusted over
      the contexts
    """
    check_ratings(ratings)
    correct = wide(ratings, "correct").astype(float)
    if unrated := [system for system in contexts if system not in correct]:
        raise MedAlignError(
            f"compare_contexts: no ratings of {unrated[0]}; found {', '.join(correct.columns)}"
        )
    lengths = [np.inf if tokens is None else tokens for tokens in contexts.values()]
    if not lengths or len(set(lengths)) < len(lengths):
        raise MedAlignError(
            f"compare_contexts: contexts is {dict(contexts)}; expected one system per length"
        )
    systems = [system for _, system in sorted(zip(lengths, contexts, strict=True))]
    correct = correct[systems]
    differences = correct.sub(correct[systems[-1]], axis=0).iloc[:, :-1].to_numpy()
    patients = patients_of(correct.index, instructions)
    shares = Proportions.of(correct.to_numpy(), patients)
    shorter, longest = np.arange(len(systems) - 1), np.full(len(systems) - 1, len(systems) - 1)
    intervals = shares.paired_differences(shorter, longest, comparisons=len(shorter))
    p = sign_flip(differences, patients, bootstrap.rng)
    compared = {"sign_flip_p": p, "sign_flip_p_holm": holm(p)}
    compared["sign_flip_p_least"] = least_sign_flip_p(differences, patients)
    compared = pd.DataFrame(interval_columns("difference", intervals) | compared)
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": pd.array([contexts[system] for system in systems], dtype="Int64"),
            "n": len(correct),
            **interval_columns("correct", shares.intervals()),
        }
    ).join(compared)  # the longest context is compared with nothing
