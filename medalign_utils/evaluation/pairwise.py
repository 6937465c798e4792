"""Systems compared with each other, always on the same instructions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import check_ratings, patients_of, wide, wide_ranks
from medalign_utils.stats.bootstrap import Bootstrap, Interval, bootstrap_means, interval_columns
from medalign_utils.stats.permutation import holm, sign_flip


def compare_systems(
    ratings: pd.DataFrame, instructions: pd.DataFrame, *, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Return every pair of systems: their difference in accuracy, its tests, and who ranks first.

    One row per pair, the better mean rank as system, the other as opponent: n and n_patients;
    difference in accuracy; only_system and only_opponent, the instructions on which one alone is
    correct; mcnemar_p, McNemar's exact test of these two, and sign_flip_p, `sign_flip` over
    patients, both also adjusted over all pairs (_holm); wins, losses, ties of system's rank, and
    win_rate as in `head_to_head`. Bounds of difference and win_rate are NaN if fewer than two
    patients have a value.

    McNemar's test assumes that instructions are independent; if a patient's resemble each other its
    p is too small, and sign_flip_p is the one to read.

    Source: McNemar 1947; Holm 1979; Efron and Tibshirani 1993, chapters 13 and 15.
    """
    ranks = wide_ranks(ratings)
    correct = wide(ratings, "correct")[ranks.columns].to_numpy(dtype=float)
    patients = patients_of(ranks.index, instructions)
    first, second = np.triu_indices(ranks.shape[1], k=1)
    differences = correct[:, first] - correct[:, second]
    steps = ranks.to_numpy()[:, first] - ranks.to_numpy()[:, second]
    wins = np.where(steps == 0, np.nan, steps < 0)
    intervals = bootstrap_means(np.hstack([differences, wins]), patients, bootstrap=bootstrap)
    of_wins = [
        Interval(0.5, np.nan, np.nan) if np.isnan(interval.estimate) else interval
        for interval in intervals[len(first) :]
    ]
    better, worse = (differences > 0).sum(axis=0), (differences < 0).sum(axis=0)
    mcnemar_p = np.array(
        [mcnemar([[0, b], [c, 0]], exact=True).pvalue for b, c in zip(better, worse, strict=True)]
    )
    flip_p = sign_flip(differences, patients, bootstrap.rng)
    return pd.DataFrame(
        {
            "system": ranks.columns[first].to_numpy(),
            "opponent": ranks.columns[second].to_numpy(),
            "n": len(ranks),
            "n_patients": len(set(patients)),
            **interval_columns("difference", intervals[: len(first)]),
            "only_system": better,
            "only_opponent": worse,
            "mcnemar_p": mcnemar_p,
            "mcnemar_p_holm": holm(mcnemar_p),
            "sign_flip_p": flip_p,
            "sign_flip_p_holm": holm(flip_p),
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
    """Return what a shorter context costs one generator: its accuracy at each context length.

    `contexts` are the systems that differ in context length alone, each with that length in tokens,
    None for the full record; no two with one length. One row per system, shortest first: system,
    context_tokens (Int64, NA for the full record), n, correct; difference, the paired difference in
    accuracy to the last row, where it is NaN; and bounds of both.
    """
    check_ratings(ratings)
    correct = wide(ratings, "correct").astype(float)
    unrated = [system for system in contexts if system not in correct.columns]
    if unrated:
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
    differences = correct.sub(correct[systems[-1]], axis=0)
    differences[systems[-1]] = np.nan  # 0 would read as a finding
    both = np.hstack([correct.to_numpy(), differences.to_numpy()])
    patients = patients_of(correct.index, instructions)
    intervals = bootstrap_means(both, patients, bootstrap=bootstrap)
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": pd.array([contexts[system] for system in systems], dtype="Int64"),
            "n": len(correct),
            **interval_columns("correct", intervals[: len(systems)]),
            **interval_columns("difference", intervals[len(systems) :]),
        }
    )
