"""Systems compared with each other, always on the same instructions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import check_ratings, patients_of, wide
from medalign_utils.evaluation.systems import context_column, interval_columns
from medalign_utils.stats.bootstrap import Bootstrap, Interval, bootstrap_means


def compare_systems(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Every pair of systems: the difference in accuracy, its tests, and who is ranked first.

    Args:
        ratings: as `check_ratings` describes.
        instructions: instruction_id, person_id.
        bootstrap: over patients.

    Returns:
        One row a pair, the better mean rank as system, the other as opponent; no row for one
        system. n and n_patients; difference, accuracy of system minus that of opponent, with its
        95 % interval difference_low to difference_high; only_system and only_opponent, the
        discordant instructions, on which one alone is correct; mcnemar_p, McNemar's exact test of
        these two counts, and sign_flip_p, the exact permutation test that flips a patient's
        differences together (`sign_flip`), with mcnemar_p_holm and sign_flip_p_holm, adjusted over
        all pairs by Holm's method; wins, losses, ties of system's rank, and win_rate, wins / (wins
        + losses), with its interval (0.5 where all tie, as in `head_to_head`).

        Intervals are bootstrapped over patients, and NaN for one patient; that of win_rate where
        fewer than two patients have a decided instruction. McNemar's test takes instructions as
        independent; where a patient's resemble each other its p is too small, and sign_flip_p is
        the one to read. Without a discordant instruction both are 1.

    Raises:
        MedAlignError: if ratings are incomplete or an instruction is unknown.

    Source: McNemar 1947; Holm 1979; Efron and Tibshirani 1993, chapters 13 and 15.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = compare_systems(ratings, instructions, bootstrap=Bootstrap.seeded(100, 1))
    >>> table[["system", "opponent", "difference", "mcnemar_p", "wins", "ties"]].values.tolist()
    [['a', 'b', 0.5, 1.0, 1, 1]]
    """
    check_ratings(ratings)
    ranks = wide(ratings, "rank")
    ranks = ranks[ranks.mean().sort_values(kind="stable").index]
    correct = wide(ratings, "correct")[ranks.columns].to_numpy(dtype=float)
    patients = patients_of(ranks.index, instructions)
    first, second = np.triu_indices(ranks.shape[1], k=1)
    differences = correct[:, first] - correct[:, second]
    steps = ranks.to_numpy()[:, first] - ranks.to_numpy()[:, second]
    wins = np.where(steps == 0, np.nan, steps < 0)
    intervals = bootstrap_means(np.hstack([differences, wins]), patients, bootstrap=bootstrap)
    of_difference, of_wins = intervals[: len(first)], intervals[len(first) :]
    of_wins = [Interval(0.5, np.nan, np.nan) if np.isnan(i.estimate) else i for i in of_wins]
    better, worse = (differences > 0).sum(axis=0), (differences < 0).sum(axis=0)
    mcnemar_p = [mcnemar_exact(b, c) for b, c in zip(better, worse, strict=True)]
    flip_p = [sign_flip(difference, patients) for difference in differences.T]
    return pd.DataFrame(
        {
            "system": ranks.columns[first].to_numpy(),
            "opponent": ranks.columns[second].to_numpy(),
            "n": len(ranks),
            "n_patients": len(set(patients)),
            **interval_columns("difference", of_difference),
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


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """McNemar's exact test, two-sided: are two systems equally often the only correct one?

    Args:
        only_a: the instructions on which the first system alone is correct.
        only_b: those on which the second one alone is.

    Returns:
        p in (0, 1], of a binomial with probability 1/2; 1 without a discordant instruction.
        Instructions are taken as independent.

    >>> mcnemar_exact(5, 0)  # 2 x (1/2)^5
    0.0625
    """
    discordant = int(only_a + only_b)
    return float(binomtest(int(only_a), discordant).pvalue) if discordant else 1.0


def sign_flip(differences: np.ndarray, patients: np.ndarray) -> float:
    """Sign-flip test over patients, exact and two-sided: McNemar's test for clustered instructions.

    If the systems were exchangeable, a patient's differences might as well have the other sign, all
    of them together, since a patient's instructions are not independent. p is the share of all
    flips whose sum is at least as far from 0 as the observed one.

    Args:
        differences: shape (N,), of -1, 0 and 1, one an instruction.
        patients: shape (N,), the patient of each.

    Returns:
        p in (0, 1]; 1 for one patient, or where the differences add up to 0. With one instruction a
        patient it is McNemar's exact test.

    Source: Efron and Tibshirani 1993, chapter 15, on permutation tests.

    >>> sign_flip(np.ones(6), np.array(list("abcdee")))  # 1, 1, 1, 1, 2: 2 of 2^5 flips
    0.0625
    """
    totals = pd.Series(differences).groupby(patients.astype(str)).sum().to_numpy().astype(int)
    chances = np.ones(1)  # of each sum, from the lowest to the highest
    for total in np.abs(totals):
        # Either sign with probability 1/2, 2 x total apart.
        chances = (np.pad(chances, (2 * total, 0)) + np.pad(chances, (0, 2 * total))) / 2
    sums = np.arange(len(chances)) - len(chances) // 2
    return float(min(1.0, chances[np.abs(sums) >= abs(totals.sum())].sum()))


def holm(p: list[float]) -> list[float]:
    """Holm's adjustment: p times the number of hypotheses not yet rejected, smallest first.

    >>> holm([0.01, 0.04, 0.03])  # 3 x 0.01, then 2 x 0.03, then at least that
    [0.03, 0.06, 0.06]
    """
    return multipletests(p, method="holm")[1].tolist() if p else []


def compare_contexts(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None],
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """What a shorter context costs one generator: its accuracy at each context length.

    Args:
        ratings: as `check_ratings` describes; may hold other systems too.
        instructions: instruction_id, person_id.
        contexts: the systems that differ in their context length alone, each with that length in
            tokens, None for the full record.
        bootstrap: over patients.

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
    >>> compare_contexts(ratings, instructions, {"a": None, "b": 2048}, bootstrap=Bootstrap.seeded(100, 1))[["system", "correct", "difference"]].values.tolist()
    [['b', 0.5, -0.5], ['a', 1.0, nan]]
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
            f"compare_contexts: contexts is {dict(contexts)}; expected one system a context length"
        )
    systems = [system for _, system in sorted(zip(lengths, contexts, strict=True))]
    correct = correct[systems]
    # The longest context loses to itself by nothing; NaN there keeps it from reading as a finding.
    differences = correct.sub(correct[systems[-1]], axis=0)
    differences[systems[-1]] = np.nan
    both = np.hstack([correct.to_numpy(), differences.to_numpy()])
    patients = patients_of(correct.index, instructions)
    intervals = bootstrap_means(both, patients, bootstrap=bootstrap)
    return pd.DataFrame(
        {
            "system": systems,
            "context_tokens": context_column([contexts[system] for system in systems]),
            "n": len(correct),
            **interval_columns("correct", intervals[: len(systems)]),
            **interval_columns("difference", intervals[len(systems) :]),
        }
    )
