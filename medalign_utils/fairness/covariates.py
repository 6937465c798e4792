"""Other differences between groups of patients, and how much of a gap in accuracy they explain."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from medalign_utils.data.disclosure import (
    COARSENED,
    NO_CELLS,
    ORDERED,
    RING,
    DisclosableGroups,
    N,
    release_counts,
    sizes,
    with_suppressed,
)
from medalign_utils.data.merging import coarsen, merge_smallest
from medalign_utils.data.suppression import revealed
from medalign_utils.fairness.audit import ALL
from medalign_utils.stats.bootstrap import (
    LEAST_INTERVAL,
    Bootstrap,
    Interval,
    bootstrap_means,
)
from medalign_utils.stats.cluster_robust import share_difference
from medalign_utils.stats.permutation import code_groups


def describe_groups(
    people: pd.DataFrame,
    patients: np.ndarray,
    disclosable: DisclosableGroups,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return the numbers of patients and the lengths of their records, by group.

    `people` has all patients of the release; `patients` has the patient of each rated instruction.

    One row for `ALL`, and one per grouping and group:

    - n_patients, n_instructions: those rated
    - patients_in_release: missing if this would reveal a small number of patients without a rating
    - events: geometric mean of the number of events per EHR, with bounds
    - notes: mean number of notes per EHR, with bounds
    - suppressed: what was withheld of the grouping
    """
    rated = people.loc[np.unique(patients)]
    everyone = pd.Series(ALL, index=rated.index)
    labels = pd.concat([everyone.rename(ALL), disclosable.labels], axis=1)
    lengths = np.column_stack([np.log(np.maximum(rated["events"], 1)), rated["notes"]])
    rows = []
    for grouping in labels:
        own = labels[grouping]
        in_release = _patients_in_release(people, own, disclosable.least)
        for group in code_groups(own)[1]:
            inside = (own == group).to_numpy()
            values = np.where(inside[:, np.newaxis], lengths, np.nan)
            if inside.sum() < disclosable.least:  # possible only for ALL, in a very small release
                values = np.full_like(values, np.nan)
            events, notes = bootstrap_means(values, own.index, bootstrap=bootstrap)
            if inside.sum() < LEAST_INTERVAL:
                events, notes = (Interval(mean, np.nan, np.nan) for mean, *_ in (events, notes))
            row = {"grouping": grouping, "group": group}
            row |= sizes(own, patients).loc[group].to_dict()
            row["patients_in_release"] = None if in_release is None else in_release[group]
            row |= dict(zip(("events", "events_low", "events_high"), np.exp(events), strict=True))
            row |= dict(zip(("notes", "notes_low", "notes_high"), notes, strict=True))
            rows.append(row)
    table = with_suppressed(rows, disclosable, patients, [*rows[0]])
    return table.astype({"patients_in_release": "Int64"})


def count_categories_by_group(
    patients: np.ndarray, disclosable: DisclosableGroups, category: np.ndarray
) -> pd.DataFrame:
    """Return the number of instructions by group and category; small cells are merged.

    Categories are merged further while the table, with the pairs of groupings in `disclosable` and
    with the tables before it, reveals a small group; see `suppression.revealed`.

    n_instructions counts the cell's instructions, and share is its share of the group's. n_patients
    counts the patients of the whole group: counts by cell would reveal how many patients have
    instructions in two categories.
    """
    simple = [grouping for grouping in disclosable.suppressed if " x " not in grouping]
    suppressed = {grouping: disclosable.suppressed[grouping] for grouping in simple}
    rows, shown, axes = [], [], {}
    for grouping in disclosable.labels.columns.intersection(simple):
        own = disclosable.labels.loc[patients, grouping].reset_index(drop=True)
        merged, reason = (own, pd.Series(category)), NO_CELLS
        if disclosable.least:
            merged = coarsen(*merged, patients, ordered=(grouping in ORDERED, False))
            reason = RING if merged else NO_CELLS
            while merged and _closes_ring(grouping, merged, axes, patients, disclosable, category):
                merged = merge_smallest(*merged)
        axes[grouping] = merged
        if merged is None:
            suppressed[grouping] = reason
            continue
        shown.append(grouping)
        table = pd.DataFrame({"group": merged[0], "category": merged[1], "patient": patients})
        if not (table["group"] == own).all() or not (table["category"] == category).all():
            suppressed[grouping] = COARSENED
        of_group = table.groupby("group")["patient"].agg(["nunique", "size"])
        cells = table.groupby(["group", "category"]).size()
        for group in code_groups(table["group"])[1]:
            n_patients, total = of_group.loc[group]
            for name, n in cells[group].items():
                row = {"grouping": grouping, "group": group, "category": name}
                rows.append(row | dict(zip(N, (n_patients, n), strict=True)) | {"share": n / total})
    columns = ["grouping", "group", "category", *N, "share"]
    groups = disclosable._replace(labels=disclosable.labels[shown], suppressed=suppressed)
    return with_suppressed(rows, groups, patients, columns)


def _closes_ring(
    grouping: str,
    merged: tuple[pd.Series, pd.Series],
    axes: Mapping[str, tuple[pd.Series, pd.Series] | None],
    patients: np.ndarray,
    disclosable: DisclosableGroups,
    category: np.ndarray,
) -> bool:
    """Return whether a table by category reveals a small group, with the tables in `axes`.

    This takes a pair of groupings of patients that is shown, and the tables of both by category.
    Longer rings need no look: they consist of such triangles, which share only tables shown.
    """
    for pair, crossed in disclosable.axes.items():
        other = next((name for name in pair if name != grouping), "")
        if grouping not in pair or axes.get(other) is None:
            continue
        rows = disclosable.labels.loc[patients, list(pair)].reset_index(drop=True)
        rows["category"] = category
        by_patient = disclosable.labels[list(pair)]
        tables = [
            {name: _map(by_patient[name], axis) for name, axis in zip(pair, crossed, strict=True)}
        ]
        for name, (groups, categories) in ((grouping, merged), (other, axes[other])):
            tables.append(
                {name: _map(rows[name], groups), "category": _map(rows["category"], categories)}
            )
        tables += [{name: _map(rows[name], rows[name])} for name in rows]
        if revealed(rows, patients, tables, least=disclosable.least) is not None:
            return True
    return False


def _map(values: pd.Series, groups: pd.Series) -> dict[str, str]:
    return dict(zip(values, groups, strict=True))


def adjusted_gaps(
    correct: pd.DataFrame,
    patients: np.ndarray,
    disclosable: DisclosableGroups,
    category: np.ndarray,
    events: np.ndarray,
) -> pd.DataFrame:
    """Return each group's gap in accuracy to the rest, adjusted for category and EHR length.

    The adjusted gap is the group's coefficient in a linear probability model of one system's
    verdicts. A logit has no estimate if all answers in a category are right or all are wrong.
    Bounds are those of `share_difference`. `correct` has one row per instruction and one column per
    system; `events` and `category` have one value per row.

    One row per system, grouping and group:

    - n_patients, n_instructions
    - gap: not adjusted
    - adjusted_gap, with bounds
    - unfitted: why adjusted_gap is NaN, otherwise ""
    - suppressed: what was withheld of the grouping
    """
    rows = []
    others = pd.get_dummies(pd.Series(category), drop_first=True).to_numpy(dtype=np.float64)
    length = np.log(np.maximum(np.asarray(events, dtype=np.float64), 1))
    others = np.column_stack([np.ones(len(correct)), others, length])
    for grouping, labels in disclosable.labels.items():
        of_rows = labels.loc[patients].to_numpy()
        n = sizes(labels, patients)
        for group in code_groups(labels)[1]:
            inside = of_rows == group
            verdicts = correct.to_numpy(dtype=np.float64)
            adjusted = _adjusted(verdicts, inside, others, patients)
            gaps = verdicts[inside].mean(axis=0) - verdicts[~inside].mean(axis=0)
            for system, gap, of_system in zip(correct, gaps, adjusted, strict=True):
                row = {"system": system, "grouping": grouping, "group": group}
                rows.append(row | n.loc[group].to_dict() | {"gap": gap} | of_system)
    columns = ["system", "grouping", "group", *N, "gap", "adjusted_gap", "adjusted_gap_low"]
    columns += ["adjusted_gap_high", "unfitted"]
    return with_suppressed(rows, disclosable, patients, columns)


def _patients_in_release(people: pd.DataFrame, labels: pd.Series, least: int) -> pd.Series | None:
    if labels.name == ALL:
        return pd.Series({ALL: len(people)})
    if labels.name not in people:
        return None
    group_of = dict(zip(people.loc[labels.index, labels.name], labels, strict=True))
    groups = people[labels.name].map(group_of).fillna("(only among those not rated)")
    return release_counts(labels.value_counts(), groups.value_counts(), least)


def _adjusted(
    verdicts: np.ndarray, inside: np.ndarray, others: np.ndarray, patients: np.ndarray
) -> list[dict[str, float | str]]:
    """Return each system's adjusted gap with its bounds, or why there is none."""
    design = others[:, others.any(axis=0)]
    n_coefficients, n_patients = 1 + design.shape[1], len(np.unique(patients))
    unfitted = ""
    if min(len(np.unique(patients[rows])) for rows in (inside, ~inside)) < LEAST_INTERVAL:
        unfitted = f"fewer than {LEAST_INTERVAL} patients in the group or the rest"
    elif n_patients <= n_coefficients:
        unfitted = f"only {n_patients} patients for {n_coefficients} coefficients"
    elif np.linalg.matrix_rank(np.column_stack([inside, design])) < n_coefficients:
        unfitted = "group, category and EHR length are collinear"
    nothing = Interval(np.nan, np.nan, np.nan)
    gaps = [nothing] * verdicts.shape[1]
    if not unfitted:
        gaps = share_difference(verdicts, inside, design, patients)
    rows = []
    for gap, y in zip(gaps, verdicts.T, strict=True):
        reason = "all responses have the same verdict" if np.ptp(y) == 0 else unfitted
        estimate, low, high = nothing if reason else gap
        row = {"adjusted_gap": estimate, "adjusted_gap_low": low, "adjusted_gap_high": high}
        rows.append(row | {"unfitted": reason})
    return rows
