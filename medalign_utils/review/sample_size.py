"""How many instructions must be judged for an interval of a wanted width."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.errors import MedAlignError
from medalign_utils.stats.proportions import Proportions

SHARE = 0.5  # the accuracy whose interval is the widest
# How alike the verdicts on one patient's instructions are (intraclass): assumed, and two others.
CORRELATION = 0.1
CORRELATIONS = (0.0, CORRELATION, 0.3)
SIMULATIONS = 400


class SampleSize(NamedTuple):
    """The number of instructions that is enough, and how the width depends on it.

    Attributes:
        n: the smallest number whose mean width is at most the one wanted; None if none is enough.
        table: one row per number of instructions: instructions, patients (mean), and the mean width
            of the interval for each of `CORRELATIONS`, in columns named by it.
    """

    n: int | None
    table: pd.DataFrame


def sample_size(cluster_sizes: Sequence[int], width: float, *, seed: int = 1) -> SampleSize:
    """Return how many instructions give a 95 % interval of an accuracy of 50 % a width.

    It is simulated: patients are drawn whole, in random order, as a plan draws them; the verdicts
    on one patient's instructions are correlated by `CORRELATION`; and the interval is that of
    `stats.proportions`, with which notebook 05 shows accuracies.

    Args:
        cluster_sizes: the number of instructions of each patient of the release.
        width: between 0 and 1, from the lower to the upper bound.
        seed: of the simulation.
    """
    if not 0 < width < 1:
        raise MedAlignError(f"sample size: width {width:g}, expected between 0 and 1, such as 0.1")
    sizes = np.asarray(cluster_sizes)
    total, low = int(sizes.sum()), 1  # one is never enough: it has no interval
    n = None
    if _width(sizes, total, CORRELATION, seed)[1] <= width:
        n = total
        while n - low > 1:
            middle = (low + n) // 2
            if _width(sizes, middle, CORRELATION, seed)[1] <= width:
                n = middle
            else:
                low = middle
    shown = {round(share * (n or total)) for share in (0.25, 0.5, 0.75, 1, 1.5)} | {total}
    rows = []
    for k in sorted(k for k in shown if 2 <= k <= total):
        simulated = [_width(sizes, k, correlation, seed) for correlation in CORRELATIONS]
        widths = {str(c): mean for c, (_, mean) in zip(CORRELATIONS, simulated, strict=True)}
        rows.append({"instructions": k, "patients": simulated[0][0]} | widths)
    return SampleSize(n, pd.DataFrame(rows))


def _width(sizes: np.ndarray, n: int, correlation: float, seed: int) -> tuple[float, float]:
    """Return the mean number of patients of n instructions, and the mean width."""
    rng = np.random.default_rng(seed)
    counts = rng.permuted(np.tile(sizes[:, None], SIMULATIONS), axis=0)
    before = counts.cumsum(axis=0) - counts
    counts = np.clip(n - before, 0, counts)  # of the last patient, as many as are still needed
    shares = np.full(counts.shape, SHARE)
    if correlation:  # beta-binomial
        spread = SHARE * (1 - correlation) / correlation
        shares = rng.beta(spread, spread, counts.shape)
    sums = rng.binomial(counts, shares).astype(float)
    intervals = Proportions.of_sums(sums, counts.astype(float)).intervals()
    widths = np.array([interval.high - interval.low for interval in intervals])
    # A single patient has no interval.
    mean = float(np.where(np.isnan(widths), 1.0, widths).mean())
    return float(np.count_nonzero(counts, axis=0).mean()), mean
