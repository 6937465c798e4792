"""How often the audit finds a known gap in simulated systems, and how often it errs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.demographics import GROUPINGS
from medalign_utils.data.disclosure import disclosable_groups
from medalign_utils.errors import MedAlignError
from medalign_utils.stats.permutation import permutation_tests

# The size of the published release, and the accuracy of the paper's best system.
PATIENTS, INSTRUCTIONS, ACCURACY = 276, 303, 0.65
CORRELATION = 0.1  # between two verdicts on one patient
ALPHA = 0.05
# Shares of the patients in each group.
SHARES = {
    "gender": {"Female": 0.55, "Male": 0.45},
    "race": {"White": 0.55, "Asian": 0.2, "Black": 0.1, "(not given)": 0.15},
    "ethnicity": {"Not Hispanic": 0.85, "Hispanic": 0.15},
    "age": {"0–17": 0.04, "18–39": 0.16, "40–64": 0.35, "65–79": 0.3, "80+": 0.15},
    "payer": {"Commercial or other": 0.45, "Medicare": 0.4, "Medicaid": 0.1, "(not given)": 0.05},
}
FAILED = "failed"  # the group that simulated systems fail


def simulate_audits(
    sizes: Sequence[int | None],
    *,
    seeds: int,
    systems: int = 6,
    gap: float = 0.2,
    accuracy: float = ACCURACY,
    correlation: float = CORRELATION,
    permutations: int = 999,
    progress: bool = True,
) -> pd.DataFrame:
    """Return how often the audit finds a group that a system fails, and how often it errs.

    For each size and seed, a release from `simulate_release` is tested like a real one. A size is
    the number of patients in the failed group, or None for systems that fail no group. A gap is
    found if p_holm is at most 0.05.

    One row per size:

    - size, gap, accuracy, correlation: the settings
    - audits: seeds x systems
    - n_patients, n_instructions: mean size of the failed group, or of the release if size is None
    - outcome: "found" (with the right sign), or if size is None "false alarm" (any gap)
    - share: share of the audits with this outcome, with its 95 % Clopper-Pearson interval
    """
    from statsmodels.stats.proportion import proportion_confint

    rows = []
    for size in sizes:
        hits, audits, n = 0, seeds * systems, []
        for seed in tqdm(range(1, seeds + 1), desc="releases", disable=not progress):
            rng = np.random.default_rng([seed, size or 0])
            people, patients, correct = simulate_release(
                rng, size=size, gap=gap, systems=systems, accuracy=accuracy, correlation=correlation
            )
            labels = disclosable_groups(people, GROUPINGS).labels
            tests = permutation_tests(correct, patients, labels, permutations=permutations, rng=rng)
            found = tests[tests["p_holm"] <= ALPHA]
            concerned = people.index[(people["race"] == FAILED) | (size is None)]
            own = np.isin(patients, concerned)
            n.append((len(concerned), own.sum()))
            if size:
                found = found[(found["grouping"] == "race") & (found["group"] == FAILED)]
                worse = np.flatnonzero(correct[own].mean() < correct[~own].mean())
                found = found[found["column"].isin(worse)]
            hits += found["column"].nunique()
        low, high = proportion_confint(hits, audits, method="beta")
        row = {"size": size, "gap": gap if size else 0.0, "accuracy": accuracy}
        row |= {"correlation": correlation, "audits": audits}
        row |= dict(zip(("n_patients", "n_instructions"), np.mean(n, axis=0), strict=True))
        row |= {"outcome": "found" if size else "false alarm", "share": hits / audits}
        rows.append(row | {"share_low": low, "share_high": high})
    return pd.DataFrame(rows).astype({"size": "Int64"})


def simulate_release(
    rng: np.random.Generator,
    *,
    size: int | None,
    gap: float = 0.2,
    systems: int = 6,
    accuracy: float = ACCURACY,
    correlation: float = CORRELATION,
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Return a random release: patients' groups, the patient of each instruction, and verdicts.

    A system's accuracy on a patient is drawn from a beta distribution with mean `accuracy`, minus
    `gap` in the failed group. This group has `size` patients and belongs to the grouping "race".
    `correlation` is that of two verdicts on one patient.

    Raises: MedAlignError if a size or a share is out of range.
    """
    if size is not None and not 1 <= size < PATIENTS:
        raise MedAlignError(f"simulate_release: size {size}, expected 1 to {PATIENTS - 1} patients")
    if not 0 < accuracy - gap <= accuracy < 1 or not 0 < correlation < 1:
        raise MedAlignError(
            f"simulate_release: accuracy {accuracy}, gap {gap}, correlation {correlation}; expected"
            " shares between 0 and 1, and a gap below the accuracy"
        )
    ids = np.array([f"{i:03}" for i in range(PATIENTS)], dtype=object)
    groups = {
        name: rng.choice([*shares], PATIENTS, p=[*shares.values()])
        for name, shares in SHARES.items()
    }
    people = pd.DataFrame(groups, index=ids, dtype=object)
    rate = np.full((PATIENTS, 1), accuracy)
    if size:
        failed = rng.permutation(PATIENTS)[:size]
        people.iloc[failed, people.columns.get_loc("race")] = FAILED
        rate[failed] -= gap
    spread = 1 / correlation - 1  # the sum of the beta distribution's two parameters
    own = rng.beta(rate * spread, (1 - rate) * spread, size=(PATIENTS, systems))
    asked = rng.integers(0, PATIENTS, INSTRUCTIONS)
    correct = pd.DataFrame(rng.random((INSTRUCTIONS, systems)) < own[asked]).astype(np.float64)
    return people.loc[ids[np.unique(asked)]], ids[asked], correct
