"""Which instructions to rate next: random samples with known probabilities."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import check_table

# The share of a sample that does not depend on uncertainty. It bounds the weights, and with them
# the harm of a predictor that is sure of what is wrong (Zrnic and Candes 2024, "Active Statistical
# Inference").
EVEN_SHARE = 0.5


def uncertainty(predictions: pd.DataFrame) -> pd.Series:
    """Return each instruction's uncertainty: the standard deviation of a verdict, over systems.

    `predictions` has instruction_id, system and prediction, the probability of being correct, which
    is cut to [0, 1]. A NaN counts as 0.5. A judge that only says yes or no is never uncertain;
    give the mean of several judges or readings.
    """
    check_table("uncertainty", predictions, ["instruction_id", "system"], ["prediction"])
    p = predictions["prediction"].astype(float).fillna(0.5).clip(0, 1)
    variance = (p * (1 - p)).groupby(predictions["instruction_id"]).mean()
    return np.sqrt(variance).rename("uncertainty")


def next_instructions(
    instructions: pd.DataFrame,
    n: int,
    *,
    rng: np.random.Generator,
    by: str | None = None,
    uncertain: pd.Series | None = None,
    rated: Collection[str] = (),
) -> pd.DataFrame:
    """Return n random instructions to rate: instruction_id and weight, in random order.

    The weight is how many instructions a sampled one stands for, the inverse of its probability of
    being drawn. `ppi_mean` needs it, and the review plan takes the table as its file of weights.

    Args:
        instructions: all that systems answered: instruction_id, and the column `by`.
        n: how many.
        rng: the source of randomness.
        by: a column, such as category, of which each group gets its share.
        uncertain: instruction_id -> uncertainty (`uncertainty`); half of the sample is drawn in
            proportion to it, so that labels go where the predictor errs most. An instruction
            without a value has the mean.
        rated: instructions that are rated already. They are left out, and the weights stand for the
            others: give rated ones the weight 1, unless both samples are drawn with equal
            probabilities, which makes them one sample without weights.

    Raises:
        MedAlignError: there are fewer than n unrated instructions, or an uncertainty is negative.

    >>> table = pd.DataFrame({"instruction_id": list("abcdef"), "category": list("xxxxyy")})
    >>> sample = next_instructions(table, 3, rng=np.random.default_rng(1), by="category")
    >>> sample["weight"].tolist(), sample["instruction_id"].isin(["e", "f"]).sum()
    ([2.0, 2.0, 2.0], 1)
    """
    check_table("next_instructions", instructions, ["instruction_id"], [] if by is None else [by])
    pool = instructions[~instructions["instruction_id"].isin(list(rated))]
    if not 0 < n <= len(pool):
        raise MedAlignError(
            f"next_instructions: n is {n}, expected 1 to {len(pool)}, the unrated instructions"
        )
    pool = pool.iloc[rng.permutation(len(pool))]
    if by is not None:
        pool = pool.sort_values(by, kind="stable")
    size = np.ones(len(pool))
    if uncertain is not None:
        given = pool["instruction_id"].map(uncertain).astype(float)
        given = given.fillna(given.mean()).fillna(1.0).to_numpy()
        if (given < 0).any() or np.isinf(given).any():
            raise MedAlignError("next_instructions: an uncertainty is negative or infinite")
        if given.sum() > 0:
            size = EVEN_SHARE + (1 - EVEN_SHARE) * given / given.mean()
    probability = _probabilities(size, n)
    # Systematic sampling: equal steps along the cumulative probabilities, so that each group of
    # neighbours gets its share to within one.
    reached = np.round(np.cumsum(probability) - rng.uniform(1e-6, 1 - 1e-6), 9)
    taken = np.diff(np.floor(reached), prepend=-1.0) > 0
    sample = pool.loc[taken, ["instruction_id"]].assign(weight=1 / probability[taken])
    return sample.iloc[rng.permutation(len(sample))].reset_index(drop=True)


def _probabilities(size: np.ndarray, n: int) -> np.ndarray:
    """Probabilities in proportion to size that sum to n; none is above 1."""
    certain = np.zeros(len(size), dtype=bool)
    while True:
        rest = size[~certain].sum()
        left = n - certain.sum()
        probability = np.where(certain, 1.0, left * size / rest if rest else 1.0)
        above = (probability > 1) & ~certain
        if not above.any():
            return probability
        certain |= above
