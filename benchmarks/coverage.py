"""How often the 95 % intervals contain the true value, over 500 seeded data sets.

`python benchmarks/coverage.py` writes benchmarks/coverage.csv: for 100 patients, 24 (the demo's
number) and 5 (the smallest group with an interval in the fairness audit), the share of each
statistic's intervals that contain the true value, and their mean width. The nominal share is 0.95;
over 500 data sets its standard error is 0.01. Wilson's interval, which assumes that instructions
are independent, is included for comparison. About a minute.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.evaluation.systems import bootstrap_systems
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means
from medalign_utils.stats.rank_correlation import kendall_tau_b

# A response's quality is the system's mean plus three random terms with these standard deviations:
# one per patient, one per patient and system, and one per response.
QUALITY = np.array([0.4, 0.0, -0.6])
PATIENT_SD, PATIENT_SYSTEM_SD, RESPONSE_SD = 0.7, 0.5, 1.0
# Standard deviation of two metrics' scores around the quality.
NOISE = {"sharp": 0.5, "blunt": 2.0}
SYSTEMS, PAIRS = ("a", "b", "c"), ("a - b", "a - c", "b - c")


class Sample(NamedTuple):
    """Simulated ratings of N instructions, and the metrics' agreement with them."""

    correct: np.ndarray  # (N, 3)
    ranks: np.ndarray  # (N, 3), with ties
    patients: np.ndarray  # (N,)
    taus: np.ndarray  # (N, 2), each metric's Kendall tau with the ranks, NaN if all are equal


def simulate(n_patients: int, rng: np.random.Generator) -> Sample:
    """Return ratings of three systems on 1 to 5 instructions per patient."""
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 6, size=n_patients))
    quality = QUALITY + PATIENT_SD * rng.normal(size=(n_patients, 1))[patients]
    quality = quality + PATIENT_SYSTEM_SD * rng.normal(size=(n_patients, 3))[patients]
    quality = quality + RESPONSE_SD * rng.normal(size=quality.shape)
    # Rounded to halves of a standard deviation, so that about one pair in six ties.
    ranks = rankdata(-np.floor(2 * quality), axis=1)
    scores = [quality + noise * rng.normal(size=quality.shape) for noise in NOISE.values()]
    taus = np.column_stack([kendall_tau_b(score, -ranks) for score in scores])
    return Sample(quality > 0, ranks, patients.astype(str), taus)


def truth(rng: np.random.Generator, n_patients: int = 300_000) -> dict[str, pd.Series]:
    """Return the statistics' values in a population so large that its error is negligible."""
    correct, ranks, _, taus = simulate(n_patients, rng)
    before = ranks[:, :, np.newaxis] < ranks[:, np.newaxis, :]
    wins = before.mean(axis=0)
    rates = wins / np.where(np.eye(3, dtype=bool), np.inf, wins + wins.T)
    share = correct.mean(axis=0)
    difference = np.diff(taus[:, ::-1], axis=1)
    return {
        "correct": pd.Series(share, SYSTEMS),
        "wilson": pd.Series(share, SYSTEMS),
        "difference": pd.Series(share[[0, 0, 1]] - share[[1, 2, 2]], PAIRS),
        "win_rate": pd.Series(rates.sum(axis=1) / 2, SYSTEMS),
        "mean_rank": pd.Series(ranks.mean(axis=0), SYSTEMS),
        "mean_tau": pd.Series(np.nanmean(taus, axis=0), list(NOISE)),
        "tau_difference": pd.Series(np.nanmean(difference), [" - ".join(NOISE)]),
    }


def intervals(sample: Sample, bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """Return the bounds of each statistic's intervals, shape (systems, pairs or metrics, 2)."""
    correct, ranks, patients, taus = sample
    drawn = bootstrap_systems(correct.astype(float), ranks, patients, bootstrap=bootstrap)
    found = {name: [interval[1:] for interval in r.intervals()] for name, r in drawn.items()}
    pairs = correct[:, [0, 0, 1]].astype(float) - correct[:, [1, 2, 2]]
    differences = bootstrap_means(pairs, patients, bootstrap=bootstrap)
    found["difference"] = [interval[1:] for interval in differences]
    taus = np.column_stack([taus, taus[:, 0] - taus[:, 1]])
    means = bootstrap_means(taus, patients, bootstrap=bootstrap)
    found["mean_tau"] = [interval[1:] for interval in means[:2]]
    found["tau_difference"] = [interval[1:] for interval in means[2:]]
    found["wilson"] = np.transpose(
        proportion_confint(correct.sum(axis=0), len(correct), method="wilson")
    )
    return {name: np.array(bounds) for name, bounds in found.items()}


def coverage(n_patients: int, *, data_sets: int, resamples: int, seed: int) -> pd.DataFrame:
    """Return how often each interval contained the true value, one row per statistic and item."""
    rng = np.random.default_rng(seed)
    true = truth(rng)
    bootstrap = Bootstrap(resamples, rng)
    samples = [intervals(simulate(n_patients, rng), bootstrap) for _ in range(data_sets)]
    rows = []
    for name, values in true.items():
        bounds = np.array([sample[name] for sample in samples])  # (data sets, values, 2)
        covered = (bounds[..., 0] <= values.to_numpy()) & (values.to_numpy() <= bounds[..., 1])
        widths = (bounds[..., 1] - bounds[..., 0]).mean(axis=0)
        for item, *row in zip(values.index, values, covered.mean(axis=0), widths, strict=True):
            rows.append((n_patients, name, item, *row))
    return pd.DataFrame(rows, columns=["patients", "statistic", "of", "truth", "coverage", "width"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=500, help="default %(default)s")
    parser.add_argument("--resamples", type=int, default=2000, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/coverage.csv"))
    args = parser.parse_args()
    options = {"data_sets": args.data_sets, "resamples": args.resamples, "seed": args.seed}
    table = pd.concat([coverage(n, **options) for n in (100, 24, 5)], ignore_index=True)
    table.to_csv(args.out, index=False, float_format="%.4f")
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
