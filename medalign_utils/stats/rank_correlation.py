"""Kendall's tau-b and agreement on order, one value per row."""

import numpy as np

from medalign_utils.errors import MedAlignError


def kendall_tau_b(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each row of `x` with the same row of `y`.

    Args:
        x: float, shape (N, K).
        y: float, shape (N, K).

    Returns:
        float64, shape (N,), in [-1, 1]; NaN where tau is undefined: a row with all values tied,
        with any NaN, or with fewer than two columns.

    Raises:
        MedAlignError: if the shapes differ or are not two-dimensional.

    Source: Kendall 1945, "The treatment of ties in ranking problems".

    >>> kendall_tau_b(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])).round(3).tolist()
    [0.333]
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise MedAlignError(f"kendall_tau_b: shapes {x.shape} and {y.shape}, expected (N, K) twice")
    first, second = np.triu_indices(x.shape[1], k=1)
    # Compared, not subtracted: infinities subtract to NaN.
    order_x = (x[:, first] > x[:, second]).astype(int) - (x[:, first] < x[:, second])
    order_y = (y[:, first] > y[:, second]).astype(int) - (y[:, first] < y[:, second])
    concordant = (order_x * order_y > 0).sum(axis=1)
    discordant = (order_x * order_y < 0).sum(axis=1)
    untied_x = np.abs(order_x).sum(axis=1)
    untied_y = np.abs(order_y).sum(axis=1)
    undefined = (untied_x * untied_y == 0) | np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1)
    tau_b = (concordant - discordant) / np.sqrt(np.where(undefined, 1, untied_x * untied_y))
    return np.where(undefined, np.nan, tau_b)


def order_pairs(scores: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Whether each pair of responses to an instruction is ordered by scores as by ranks.

    Args:
        scores: float, shape (N, S), higher is better.
        ranks: float, shape (N, S), 1 is best.

    Returns:
        float64, shape (N, S (S - 1) / 2): 1 where the better ranked has the higher score, 0 where
        it has the lower one, 0.5 where both have the same; NaN where the ranks are equal or a score
        is NaN. Scores without information give 0.5 on average.

    >>> order_pairs(np.array([[0.9, 0.1, 0.1]]), np.array([[1.0, 2.5, 2.5]])).tolist()
    [[1.0, 1.0, nan]]
    """
    first, second = np.triu_indices(ranks.shape[1], k=1)
    a, b = scores[:, first], scores[:, second]
    better = ranks[:, first] < ranks[:, second]
    alike = np.where(better, a > b, a < b) + 0.5 * (a == b)
    undefined = (ranks[:, first] == ranks[:, second]) | np.isnan(a) | np.isnan(b)
    return np.where(undefined, np.nan, alike)


def same_best(scores: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How surely the response that scores highest is one of those ranked best.

    Args:
        scores: float, shape (N, S), higher is better.
        ranks: float, shape (N, S), 1 is best.

    Returns:
        Two of float64, shape (N,), in [0, 1]: the share of the highest scoring responses that are
        ranked best (1 or 0 where one scores highest), and the share of all responses that are,
        which is what picking one at random gives. Both are NaN where all ranks are equal, so that
        no pick is wrong, or a score is NaN.

    >>> picked, chance = same_best(np.array([[0.9, 0.9, 0.1]]), np.array([[1.0, 2.0, 3.0]]))
    >>> picked.tolist(), chance.round(3).tolist()
    ([0.5], [0.333])
    """
    highest = scores == scores.max(axis=1, keepdims=True)
    best = ranks == ranks.min(axis=1, keepdims=True)
    undefined = best.all(axis=1) | np.isnan(scores).any(axis=1)
    picked = (highest & best).sum(axis=1) / np.maximum(highest.sum(axis=1), 1)
    return np.where(undefined, np.nan, picked), np.where(undefined, np.nan, best.mean(axis=1))
