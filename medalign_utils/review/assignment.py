"""Which instructions are judged, and by whom: whole patients, so that a record is read once."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

# How much an even share of each category counts, beside an even share of the work.
CATEGORY_WEIGHT = 0.25
_TOO_MANY = 1e6  # counts more than all work


def choose(
    instructions: pd.DataFrame, n: int, rng: np.random.Generator, *, per_patient: int | None = None
) -> list[str]:
    """Return the ids of n instructions, each category in proportion, patients in random order.

    `instructions` has instruction_id, person_id, category and weight: a patient comes early, and a
    category gets many, in proportion to the sum of its weights; weights of 0 are left out. All of a
    patient's instructions are taken, or, as long as there are others, at most `per_patient`.
    """
    rows = instructions[instructions["weight"] > 0]
    room = _quotas(rows.groupby("category")["weight"].agg(["sum", "size"]), n)
    # The smallest of exponential times come in proportion to their rates.
    weights = rows.groupby("person_id")["weight"].sum()
    time = (pd.Series(rng.exponential(size=len(weights)), weights.index) / weights).to_dict()
    own = rng.exponential(size=len(rows)) / rows["weight"]
    rows = rows.assign(time=rows["person_id"].map(time), own=own).sort_values(["time", "own"])
    chosen: list[str] = []
    for most in {per_patient: 0, None: 1}:
        taken: dict[str, int] = {}
        for row in rows.itertuples():
            is_enough = most is not None and taken.get(row.person_id, 0) >= most
            if room[row.category] and not is_enough and row.instruction_id not in chosen:
                chosen.append(row.instruction_id)
                room[row.category] -= 1
                taken[row.person_id] = taken.get(row.person_id, 0) + 1
    return chosen


def _quotas(categories: pd.DataFrame, n: int) -> dict[str, int]:
    """Return n places shared among categories in proportion to `sum`, at most `size` each."""
    share = categories["sum"] / categories["sum"].sum()
    given = pd.Series(0, categories.index)
    for k in range(1, min(n, int(categories["size"].sum())) + 1):
        lacking = (k * share - given).where(given < categories["size"], -np.inf)
        given[lacking.idxmax()] += 1
    return given.to_dict()


def assign(
    instructions: pd.DataFrame,
    raters: Sequence[str],
    overlap: Collection[str],
    raters_per_overlap: int,
    record_sizes: Mapping[str, float],
    per_rater: int | None = None,
) -> dict[str, list[str]]:
    """Return the ids of the instructions that each rater judges.

    All instructions about a patient go to one rater; those of the `overlap` also go to
    `raters_per_overlap` - 1 others. Half of what counts as work is the number of responses. The
    other half is the square root of the records' lengths, because raters search a long record, and
    do not read all of it: an assumption. Each unit goes to whoever has least work and fewest of its
    categories, the largest units first.

    Args:
        instructions: instruction_id, person_id, category, n_responses.
        raters: their codes.
        overlap: ids of instructions that several judge.
        raters_per_overlap: how many.
        record_sizes: the length of each patient's record, in any unit.
        per_rater: a rater gets more only where a patient's instructions fit with nobody.
    """
    shares = pd.get_dummies(instructions["category"], dtype=float)
    shares = shares / shares.sum() * CATEGORY_WEIGHT
    shares.insert(0, "work", instructions["n_responses"] / instructions["n_responses"].sum())
    patients = instructions["person_id"]
    reading = {patient: math.sqrt(record_sizes[patient]) for patient in patients.unique()}
    all_reading = sum(reading.values())
    is_overlap = instructions["instruction_id"].isin(overlap)

    def unit(patient: str, rows: pd.Series) -> np.ndarray:
        total = shares[rows].sum().to_numpy(copy=True)
        total[0] += reading[patient] / all_reading
        return total

    units = {patient: unit(patient, patients == patient) for patient in patients.unique()}
    given = np.zeros((len(raters), shares.shape[1]))
    ids: dict[str, list[str]] = {rater: [] for rater in raters}
    for patient in sorted(units, key=lambda patient: -units[patient][0]):
        rows, readers = patients == patient, []
        for turn in range(raters_per_overlap):
            if turn:
                rows = (patients == patient) & is_overlap
            if not rows.any():
                break
            vector = unit(patient, rows)
            burden = given @ vector
            if per_rater is not None:
                n = np.array([len(own) for own in ids.values()]) + rows.sum()
                burden += np.maximum(n - per_rater, 0) * _TOO_MANY
            burden[readers] = np.inf
            reader = int(burden.argmin())
            readers.append(reader)
            given[reader] += vector
            ids[raters[reader]] += instructions.loc[rows, "instruction_id"].tolist()
    return ids
