"""How often 95 % intervals contain the true value, in simulated releases.

`python benchmarks/coverage.py` writes benchmarks/coverage.csv. Each row is one setting and one
interval: the share of simulated data sets whose intervals contain the true value, and their mean
width. `--seed` draws other data. About four minutes on one core.

- share: the accuracy of one system, at every number of patients, accuracy and correlation within
  patients (beta-binomial), for 1 to 5 instructions per patient, as in the demo, or mostly 1, as in
  the published release; "wilson, patients" is the interval that is used
- difference, all differences: of several systems that share patients and instructions, singly
  and all pairs at once; "square and add" is used
- gap, adjusted gap: of a group of patients, in 184 patients with 303 instructions; "newcombe" and
  "CR2, added patients" are used
- win rate, mean rank, mean tau, tau difference: by bootstrap over patients
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit, stdtrit
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.evaluation.systems import bootstrap_systems
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means, percentile_levels
from medalign_utils.stats.cluster_robust import fit_coefficient, share_difference
from medalign_utils.stats.proportions import Proportions
from medalign_utils.stats.rank_correlation import kendall_tau_b

PATIENTS = (5, 24, 100, 276)
ACCURACIES = (0.01, 0.05, 0.1, 0.25, 0.65)
CORRELATIONS = (0.0, 0.2, 0.5)  # between two verdicts on one patient
# Accuracies of systems that are compared with each other.
COMPARED = {"low": (0.01, 0.05, 0.1), "middle": (0.15, 0.25, 0.25), "high": (0.3, 0.5, 0.65)}
GROUPS = (5, 11, 15, 30)
# The random parts of a response's quality, as shares of its variance: of the patient, of the
# instruction, of the patient and system; the rest is the response's own.
PARTS = (0.2, 0.2, 0.1)
RESAMPLES = 1000

Bounds = tuple[np.ndarray, np.ndarray]


def sizes(kind: str, n_patients: int, rng: np.random.Generator) -> np.ndarray:
    """Return the number of each patient's instructions."""
    if kind == "1 to 5":
        return rng.integers(1, 6, n_patients)
    return 1 + rng.binomial(1, 0.1, n_patients)


def wilson(share: np.ndarray, n: np.ndarray, t: float) -> Bounds:
    centre, half = share + t**2 / (2 * n), np.sqrt(share * (1 - share) / n + (t / (2 * n)) ** 2)
    return (centre - t * half) / (1 + t**2 / n), (centre + t * half) / (1 + t**2 / n)


def clopper_pearson(share: np.ndarray, n: np.ndarray) -> Bounds:
    right, wrong = share * n, (1 - share) * n
    low = np.nan_to_num(stats.beta.ppf(0.025, right, wrong + 1), nan=0.0)
    return low, np.nan_to_num(stats.beta.ppf(0.975, right + 1, wrong), nan=1.0)


def intervals_of_shares(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, Bounds]]:
    """Yield each method's bounds for D data sets: `sums` has shape (P, D), `counts` (P,)."""
    n_patients, n = len(counts), counts.sum()
    every = np.repeat(counts[:, np.newaxis], sums.shape[1], axis=1)
    shares = Proportions.of_sums(sums, every)
    share, effective = shares.shares, shares.effective_n
    yield "wilson, patients", np.array(shares.intervals())[:, 1:].T
    yield "wilson, instructions", proportion_confint(sums.sum(axis=0), n, method="wilson")
    t = stdtrit(n_patients - 1, 0.975)
    variance = n_patients / (n_patients - 1) * (shares.residuals**2).sum(axis=0) / n**2
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.nan_to_num(variance * n / (share * (1 - share)), nan=1.0)
        yield "wilson, effect as estimated", wilson(share, n / np.maximum(effect, 1), t)
        half = t * np.sqrt(variance) / (share * (1 - share))
        yield "logit, t", (expit(logit(share) - half), expit(logit(share) + half))
        # Korn and Graubard 1998, with the same effective sample size as Wilson's.
        adjusted = effective * (stats.norm.ppf(0.975) / t) ** 2
        yield "clopper-pearson, patients", clopper_pearson(share, adjusted)
    weights = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=RESAMPLES)
    drawn = weights @ sums / (weights @ counts)[:, np.newaxis]
    yield "bootstrap", np.quantile(drawn, percentile_levels(n_patients), axis=0)


def share_rows(data_sets: int, rng: np.random.Generator) -> Iterator[dict]:
    for kind in ("1 to 5", "mostly 1"):
        for n_patients in PATIENTS:
            for accuracy in ACCURACIES:
                for correlation in CORRELATIONS:
                    counts = sizes(kind, n_patients, rng)
                    shape = (n_patients, data_sets)
                    own = np.full(shape, accuracy)
                    if correlation:
                        spread = 1 / correlation - 1
                        own = rng.beta(accuracy * spread, (1 - accuracy) * spread, size=shape)
                    sums = rng.binomial(counts[:, np.newaxis], own).astype(float)
                    setting = {"statistic": "share", "instructions": kind, "patients": n_patients}
                    setting |= {"accuracy": accuracy, "correlation": correlation}
                    for method, bounds in intervals_of_shares(sums, counts, rng):
                        yield setting | {"method": method} | covered(*bounds, accuracy)


def covered(low: np.ndarray, high: np.ndarray, true: np.ndarray | float) -> dict[str, float]:
    """Return the share of intervals that contain the true value, and their mean width."""
    inside = (low <= true + 1e-12) & (true - 1e-12 <= high)
    return {"coverage": inside.mean(), "width": np.nanmean(np.asarray(high) - low)}


def verdicts(
    thresholds: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return quality minus threshold, and verdicts, of K systems: shape (N, K)."""
    n_patients, k = patients.max() + 1, len(thresholds)
    patient, instruction, both = np.sqrt(PARTS)
    quality = patient * rng.normal(size=(n_patients, 1))[patients]
    quality = quality + instruction * rng.normal(size=(len(patients), 1))
    quality = quality + both * rng.normal(size=(n_patients, k))[patients]
    quality += np.sqrt(1 - sum(PARTS)) * rng.normal(size=(len(patients), k))
    return quality - thresholds, (quality > thresholds).astype(float)


def difference_rows(data_sets: int, rng: np.random.Generator) -> Iterator[dict]:
    for n_patients in PATIENTS:
        for name, accuracies in COMPARED.items():
            accuracy = np.array(accuracies)
            first, second = np.triu_indices(len(accuracy), k=1)
            true, found = accuracy[first] - accuracy[second], {}
            for _ in range(data_sets):
                patients = np.repeat(np.arange(n_patients), sizes("1 to 5", n_patients, rng))
                _, correct = verdicts(stats.norm.isf(accuracy), patients, rng)
                names = patients.astype(str)
                shares = Proportions.of(correct, names)
                for statistic, comparisons in (("difference", 1), ("all differences", len(true))):
                    bounds = shares.paired_differences(first, second, comparisons=comparisons)
                    found.setdefault((statistic, "square and add"), []).append(bounds)
                bootstrap = Bootstrap(RESAMPLES, rng)
                pairs = correct[:, first] - correct[:, second]
                bounds = bootstrap_means(pairs, names, bootstrap=bootstrap)
                found.setdefault(("difference", "bootstrap"), []).append(bounds)
            for (statistic, method), bounds in found.items():
                low, high = np.moveaxis(np.array(bounds)[:, :, 1:], 2, 0)
                row = {"statistic": statistic, "instructions": "1 to 5", "patients": n_patients}
                row |= {"accuracy": name, "method": method} | covered(low, high, true)
                if statistic == "all differences":
                    row["coverage"] = ((low <= true) & (true <= high)).all(axis=1).mean()
                yield row


def gap_rows(data_sets: int, rng: np.random.Generator) -> Iterator[dict]:
    systems = 10  # with the same groups and categories
    for size in GROUPS:
        for accuracy in (0.05, 0.1, 0.3, 0.65):
            found = {}
            for _ in range(max(data_sets // systems, 1)):
                patients = np.unique(rng.integers(0, 276, 303), return_inverse=True)[1]
                n_patients, n = patients.max() + 1, len(patients)
                own = np.isin(np.arange(n_patients), rng.permutation(n_patients)[:size])
                inside = own[patients]
                category = np.eye(5)[rng.integers(0, 5, n)][:, 1:]
                length = rng.normal(size=(n_patients, 1))[patients]
                others = np.column_stack([np.ones(n), category, length])
                thresholds = np.full(systems, stats.norm.isf(accuracy))
                _, correct = verdicts(thresholds, patients, rng)
                design = np.column_stack([inside, others]).astype(float)
                fit = fit_coefficient(correct, design, patients)
                half = stdtrit(fit.df, 0.975) * fit.errors
                cr1 = [
                    OLS(y, design)
                    .fit(cov_type="cluster", cov_kwds={"groups": patients}, use_t=True)
                    .conf_int()[0]
                    for y in correct.T
                ]
                group, rest = (
                    Proportions.of(correct[rows], patients[rows]) for rows in (inside, ~inside)
                )
                added = share_difference(correct, inside, others, patients)
                for key, bounds in {
                    ("gap", "newcombe"): np.array(group.differences(rest))[:, 1:],
                    ("adjusted gap", "CR1"): np.array(cr1),
                    ("adjusted gap", "CR2"): np.stack(
                        [fit.estimates - half, fit.estimates + half]
                    ).T,
                    ("adjusted gap", "CR2, added patients"): np.array(added)[:, 1:],
                }.items():
                    found.setdefault(key, []).append(bounds)
            for (statistic, method), bounds in found.items():
                row = {"statistic": statistic, "instructions": "as drawn", "patients": size}
                low, high = np.concatenate(bounds).T
                yield row | {"accuracy": accuracy, "method": method} | covered(low, high, 0.0)


# Standard deviation of two metrics' scores around the quality.
NOISE = {"sharp": 0.4, "blunt": 1.6}


def other_statistics(
    n_patients: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return patients, ranks and taus of three systems' responses, shape (N,), (N, 3), (N, 3).

    The third tau is the difference between the two metrics'.
    """
    patients = np.repeat(np.arange(n_patients), sizes("1 to 5", n_patients, rng))
    quality, _ = verdicts(stats.norm.isf([0.6, 0.5, 0.3]), patients, rng)
    # Rounded, so that about one pair in six ties.
    ranks = stats.rankdata(-np.floor(2.5 * quality), axis=1)
    scores = [quality + noise * rng.normal(size=quality.shape) for noise in NOISE.values()]
    sharp, blunt = (kendall_tau_b(score, -ranks) for score in scores)
    return patients, ranks, np.column_stack([sharp, blunt, sharp - blunt])


def win_rates(ranks: np.ndarray) -> np.ndarray:
    wins = (ranks[:, :, np.newaxis] < ranks[:, np.newaxis, :]).mean(axis=0)
    return (wins / np.where(np.eye(3, dtype=bool), np.inf, wins + wins.T)).sum(axis=1) / 2


def other_rows(data_sets: int, rng: np.random.Generator) -> Iterator[dict]:
    _, ranks, taus = other_statistics(200_000, rng)
    mean = np.nanmean(taus, axis=0)
    true = {"win rate": win_rates(ranks), "mean rank": ranks.mean(axis=0)}
    true |= {"mean tau": mean[:2], "tau difference": mean[2:]}
    for n_patients in PATIENTS:
        found = {name: [] for name in true}
        for _ in range(data_sets):
            patients, ranks, taus = other_statistics(n_patients, rng)
            names, bootstrap = patients.astype(str), Bootstrap(RESAMPLES, rng)
            drawn = bootstrap_systems(ranks, names, bootstrap=bootstrap)
            of_taus = bootstrap_means(taus, names, bootstrap=bootstrap)
            found["win rate"].append(drawn["win_rate"].intervals())
            found["mean rank"].append(drawn["mean_rank"].intervals())
            found["mean tau"].append(of_taus[:2])
            found["tau difference"].append(of_taus[2:])
        for statistic, intervals in found.items():
            row = {"statistic": statistic, "instructions": "1 to 5", "patients": n_patients}
            low, high = np.moveaxis(np.array(intervals)[:, :, 1:], 2, 0)
            yield row | {"method": "bootstrap"} | covered(low, high, true[statistic])


def simulate(data_sets: int, seed: int) -> pd.DataFrame:
    """Return the table of coverage; the shares use five times as many data sets as the rest."""
    rng = np.random.default_rng(seed)
    rows = [*share_rows(5 * data_sets, rng), *difference_rows(data_sets, rng)]
    rows += [*gap_rows(data_sets, rng), *other_rows(data_sets, rng)]
    columns = "statistic method instructions patients accuracy correlation coverage width".split()
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=400, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/coverage.csv"))
    args = parser.parse_args()
    table = simulate(args.data_sets, args.seed)
    table.to_csv(args.out, index=False, float_format="%.4f")
    summary = table.groupby(["statistic", "method", "patients"], sort=False)
    print(summary["coverage"].agg(["min", "mean"]).join(summary["width"].mean()).round(3))


if __name__ == "__main__":
    main()
