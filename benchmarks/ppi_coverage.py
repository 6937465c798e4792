"""How often prediction-powered 95 % intervals contain the true accuracy, in simulated releases.

`python benchmarks/ppi_coverage.py` writes benchmarks/ppi_coverage.csv: one row per number of
patients and of labels and predictor, with the share of simulated data sets whose intervals contain
the true accuracy, and their mean width, beside the classical interval from the labels alone.
`--seed` draws other data. About a minute on one core.

Patients have 1 to 5 instructions, 3 on average, and their verdicts are correlated by 0.1. The true
accuracy is 0.35, 0.5 or 0.6. Labels are verdicts on a random sample of the instructions.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from medalign_utils.evaluation.ppi import ppi_mean

SETTINGS = [(p, n) for p in (24, 100, 276) for n in (10, 20, 50, 100) if n < 3 * p]
ACCURACIES = (0.35, 0.5, 0.6)
CORRELATION = 0.1  # between two verdicts on one patient
# How often a judge calls a correct response correct, and a wrong one.
PREDICTORS = {"good": (0.9, 0.1), "useless": (0.5, 0.5), "biased": (0.95, 0.5)}


def judge(verdicts: np.ndarray, predictor: str, rng: np.random.Generator) -> np.ndarray:
    """Return a judge's verdicts (0 or 1) on responses with these verdicts."""
    return (rng.random(len(verdicts)) < np.where(verdicts == 1, *PREDICTORS[predictor])).astype(
        float
    )


def simulate_setting(
    n_patients: int, n_labels: int, predictor: str, data_sets: int, rng: np.random.Generator
) -> dict:
    """Return one row of the table."""
    bounds, truths = [], []
    spread = 1 / CORRELATION - 1
    for i in range(data_sets):
        accuracy = ACCURACIES[i % len(ACCURACIES)]
        sizes = rng.integers(1, 6, n_patients)
        patients = np.repeat(np.arange(n_patients), sizes)
        own = rng.beta(accuracy * spread, (1 - accuracy) * spread, n_patients)
        verdicts = (rng.random(len(patients)) < own[patients]).astype(float)
        labels = np.full(len(patients), np.nan)
        sample = rng.permutation(len(patients))[:n_labels]
        labels[sample] = verdicts[sample]
        estimate = ppi_mean(labels, judge(verdicts, predictor, rng), patients)
        bounds.append([*estimate.interval[1:], *estimate.classical[1:]])
        truths.append(accuracy)
    low, high, classical_low, classical_high = np.array(bounds).T
    true = np.array(truths)
    return {
        "patients": n_patients,
        "labels": n_labels,
        "predictor": predictor,
        "coverage": ((low <= true) & (true <= high)).mean(),
        "width": (high - low).mean(),
        "classical_coverage": ((classical_low <= true) & (true <= classical_high)).mean(),
        "classical_width": (classical_high - classical_low).mean(),
    }


def simulate(data_sets: int, seed: int) -> pd.DataFrame:
    """Return the table of coverage."""
    rng = np.random.default_rng(seed)
    rows = [
        simulate_setting(n_patients, n_labels, predictor, data_sets, rng)
        for n_patients, n_labels in SETTINGS
        for predictor in PREDICTORS
    ]
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=3000, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/ppi_coverage.csv"))
    args = parser.parse_args()
    table = simulate(args.data_sets, args.seed)
    table.to_csv(args.out, index=False, float_format="%.4f")
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
