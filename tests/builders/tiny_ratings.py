"""Small tables of ratings, and runs without files."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import bootstrap_means

COLUMNS = ["instruction_id", "system", "rater", "correct", "rank"]


def run_without_files(systems, source, **release):
    """Return a run with a release that has the given attributes."""
    run = Run("mine", "no/release", systems, source)
    vars(run)["release"] = SimpleNamespace(**release)
    return run


def ratings_of(ranks, correct=None, systems="abcdefgh"):
    """Return ratings from ranks of shape (instructions, systems)."""
    ranks = np.asarray(ranks, dtype=float)
    correct = ranks <= 1 if correct is None else np.asarray(correct, dtype=bool)
    rows = [
        (f"i{i}", systems[j], "test", bool(correct[i, j]), ranks[i, j])
        for i, j in np.ndindex(ranks.shape)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def instructions_of(n, per_patient=1):
    patients = [f"p{i // per_patient}" for i in range(n)]
    return pd.DataFrame({"instruction_id": [f"i{i}" for i in range(n)], "person_id": patients})


def random_ratings(rng, n, systems):
    """Return ratings with many ties, and n instructions, 1 to 4 per patient."""
    correct = rng.random((n, systems)) < np.linspace(0.7, 0.2, systems)
    merit = correct * 10 + rng.integers(0, 3, size=correct.shape)
    instructions = instructions_of(n)
    instructions["person_id"] = [f"p{i}" for i in np.repeat(range(n), rng.integers(1, 5, n))[:n]]
    return ratings_of(rankdata(-merit, axis=1), correct), instructions


def mean_interval(values, patients, bootstrap):
    """Return the interval of one column's mean."""
    [interval] = bootstrap_means(np.reshape(values, (-1, 1)), patients, bootstrap=bootstrap)
    return interval


THREE = ratings_of([[1, 2, 3], [1, 2, 3], [1.5, 1.5, 3], [2, 2, 2]])
