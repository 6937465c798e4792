"""Statistical disclosure control: nothing published may reveal a group of 1 to 10 patients.

This applies to restricted releases; a synthetic release has no patients to protect. Every table,
figure and sentence about groups of patients or instructions uses these functions:

- Groupings are merged, not blanked (`merging`), until each group has at least 11 patients:
  categories, subcategories within categories, and specialties by `disclosable_instructions`;
  patients by `disclosable_groups`; types and years of events when records are summarized.
- Two groupings are crossed if each cell has at least 11 patients, after merging; an empty cell
  reveals as much as a small one. A pair may not close a ring with pairs before it. The table of
  category by group does, with each pair of groupings; it is merged further, or not shown, while
  `suppression.revealed` finds that their counts reveal a small group.
- Two groupings that are not crossed reveal nothing of each other: any counts of the one agree with
  any counts of the other, and a cell of both may hold from 0 to at least 11 rows.
- A single value is not shown (`spread`), nor how many patients have two of several types or
  categories: groups of instructions have no number of patients.

This is proved for exact totals, by `tests/data/test_attack.py`, which attacks the published counts
of simulated releases by the programme of `suppression`. Three things are outside the proof: what a
reader already knows about single patients; counts of responses by their outcome, which are results
about a system; and how many instructions have a reference, a rating or a response in all.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.merging import LEAST_PATIENTS, OTHERS, coarsen, merge_small

ORDERED = ("age",)  # whose groups are merged with a neighbour
N = ["n_patients", "n_instructions"]
NO_GROUPS = "(not shown)"
NO_VALUE = "(none)"  # the group of instructions without a category, for instance

# What was withheld of a grouping; shown to readers.
WHOLE = ""
MERGED = f"groups under {LEAST_PATIENTS} patients are merged"
COARSENED = f"merged until each cell has at least {LEAST_PATIENTS} patients"
ONE_GROUP = "not shown: all patients are in one group"
NOT_SHOWN = f"not shown: no two groups of at least {LEAST_PATIENTS} patients"
NO_PARTS = "not shown: one of the two groupings is not"
NO_PAIR = f"not shown: a cell under {LEAST_PATIENTS} patients remains"
FEW = f"not shown: fewer than {LEAST_PATIENTS} patients"
RING = "not shown: with the pairs before it, it could reveal smaller counts"
NO_CELLS = f"not shown by category: a cell under {LEAST_PATIENTS} patients remains"

# Columns that occur only in rows about one patient, instruction, rater or response.
PERSONAL_COLUMNS = frozenset(
    "evidence filename instruction mrn name patient person prompt question rater reference "
    "response reviewer source_text text".split()
)
# Columns of text without patient data, such as names of systems, metrics and groups.
TEXT_COLUMNS = frozenset(
    "attribute best best_system category change coefficient comparable comparison device group "
    "fact grouping item kind limited_to measure metric metric_a metric_b not_scored of opponent "
    "outcome published_as rater_code rating reason reasons remark setting signature source "
    "statistic status subcategory suppressed system table test title unfitted unit worst".split()
)


class DisclosableGroups(NamedTuple):
    """Groups of patients that may be published.

    - `labels`: each patient's group, indexed by person_id, with one column per grouping shown
    - `suppressed`: what was withheld of each grouping, or ""
    - `least`: the smallest number of patients that a published value may describe; 0 for a
      synthetic release
    - `axes`: each patient's group in both groupings of a pair, as merged for the pair
    """

    labels: pd.DataFrame
    suppressed: dict[str, str]
    least: int = LEAST_PATIENTS
    axes: Mapping[tuple[str, str], tuple[pd.Series, pd.Series]] = MappingProxyType({})


def all_groups(
    people: pd.DataFrame, groupings: Sequence[str], pairs: Iterable[Sequence[str]] = ()
) -> DisclosableGroups:
    """Return all groups, even small ones, for a synthetic release; see `disclosable_groups`."""
    crossed = {" x ".join(pair): people[pair[0]] + ", " + people[pair[1]] for pair in pairs}
    labels = people[[*groupings]].assign(**crossed)
    shown = [name for name in labels if labels[name].nunique() > 1]
    suppressed = {name: WHOLE if name in shown else ONE_GROUP for name in labels}
    return DisclosableGroups(labels[shown], suppressed, least=0)


def disclosable_groups(
    people: pd.DataFrame, groupings: Sequence[str], pairs: Iterable[Sequence[str]] = ()
) -> DisclosableGroups:
    """Return groups of at least 11 patients each, for a restricted release.

    `people` has one row per patient, indexed by person_id, and a column for each of `groupings`.
    `pairs` of groupings are tried in order, so the most important comes first. The pair "race x
    gender" has groups such as "White, Female".
    """
    labels, axes, suppressed = {}, {}, dict.fromkeys(groupings, NOT_SHOWN)
    for name in groupings:
        merged = merge_small(people[name], ordered=name in ORDERED)
        if merged.nunique() >= 2:
            labels[name] = merged
            suppressed[name] = WHOLE if merged.equals(people[name]) else MERGED
    linked = {name: {name} for name in labels}  # groupings connected by the pairs shown so far
    for first, second in pairs:
        name = f"{first} x {second}"
        if first not in linked or second not in linked:
            suppressed[name] = NO_PARTS
        elif linked[first] is linked[second]:
            suppressed[name] = RING
        else:
            ordered = (first in ORDERED, second in ORDERED)
            crossed = coarsen(labels[first], labels[second], people.index, ordered=ordered)
            if crossed is None:
                suppressed[name] = NO_PAIR
                continue
            labels[name], axes[first, second] = crossed[0] + ", " + crossed[1], crossed
            linked |= dict.fromkeys(both := linked[first] | linked[second], both)
            whole = (crossed[0] == people[first]) & (crossed[1] == people[second])
            suppressed[name] = WHOLE if whole.all() else COARSENED
    return DisclosableGroups(pd.DataFrame(labels, index=people.index), suppressed, axes=axes)


def release_counts(
    rated: pd.Series, release: pd.Series, least: int = LEAST_PATIENTS
) -> pd.Series | None:
    """Return `release`, its patients by group; None if 1 to `least` - 1 of a group are unrated."""
    unrated = release.sub(rated, fill_value=0)
    return None if unrated.between(1, least - 1).any() else release


def sizes(labels: pd.Series, patients: np.ndarray) -> pd.DataFrame:
    """Return n_patients and n_instructions of each group.

    `labels` is indexed by person_id; `patients` has the patient of each instruction.
    """
    n = labels.loc[patients].value_counts()
    return pd.DataFrame({"n_patients": labels.value_counts().loc[n.index], "n_instructions": n})


def with_suppressed(
    rows: list[dict], groups: DisclosableGroups, patients: np.ndarray, columns: list[str]
) -> pd.DataFrame:
    """Return rows as a table with the column suppressed, and one row per grouping not shown."""
    total = {"n_patients": len(np.unique(patients)), "n_instructions": len(patients)}
    name = {column: NO_GROUPS for column in ("group", "best", "worst") if column in columns}
    absent = [grouping for grouping in groups.suppressed if grouping not in groups.labels]
    rows = [*rows, *({"grouping": grouping} | name | total for grouping in absent)]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(suppressed=table["grouping"].map(groups.suppressed).fillna(""))


def disclosable_instructions(
    instructions: pd.DataFrame, references: pd.DataFrame, rated: Collection[str] = ()
) -> pd.DataFrame:
    """Return the instructions with small categories, subcategories and specialties merged.

    Each category and specialty has no patient or at least 11 among the instructions with a
    reference, and among those without; if instructions are `rated`, then also among these, and
    among those with a reference that are not. Subcategories are merged within their category and
    have at least 11 patients among those rated, or in all; those of merged categories are one
    group, because they would add up to each. A column without any value stays so.
    """
    table = instructions.copy()
    patients = table["person_id"].fillna("").to_numpy()
    has_reference = table["instruction_id"].isin(references["instruction_id"])
    is_rated = table["instruction_id"].isin(list(rated))
    for column in ("category", "submitter_specialty"):
        if table[column].notna().any():
            # First as without ratings: the groups of both must agree.
            merged = merge_small(table[column].fillna(NO_VALUE), patients, parts=has_reference)
            parts = 2 * has_reference + is_rated
            table[column] = merge_small(merged, patients, parts=parts)
    if table["subcategory"].notna().any():
        own = is_rated.to_numpy() | (not is_rated.any())
        within = table["category"].fillna(NO_VALUE)
        is_merged = within != instructions["category"].fillna(NO_VALUE)
        named = table["subcategory"].fillna(NO_VALUE).mask(is_merged, OTHERS)
        table["subcategory"] = merge_small(named[own], patients[own], within=within[own])
        table["subcategory"] = table["subcategory"].fillna(OTHERS)
    return table


def may_be_counted(*groups: Iterable) -> bool:
    """Return whether each group has no patient or at least 11; with a group comes its rest."""
    return not any(0 < len(set(group)) < LEAST_PATIENTS for group in groups)


def spread(values: pd.DataFrame, *, is_restricted: bool) -> pd.DataFrame:
    """Return the smallest, median and largest value of each column, one row per column.

    These may be values of single patients. If the release is restricted, there are quartiles to two
    digits instead, missing if fewer than 44 rows have a value. Whole numbers stay whole.

    >>> spread(pd.DataFrame({"tokens": range(1000, 1100)}), is_restricted=True).values.tolist()
    [[1000, 1000, 1100]]
    """
    are_whole = all(map(pd.api.types.is_integer_dtype, values.dtypes))
    if not is_restricted:
        table = values.agg(["min", "median", "max"]).T
        return table.round().astype("Int64") if are_whole else table
    quartiles = values.astype(float).quantile([0.25, 0.5, 0.75]).T
    quartiles = quartiles.map(lambda value: value if pd.isna(value) else float(f"{value:.2g}"))
    quartiles = quartiles[values.count() >= 4 * LEAST_PATIENTS].reindex(quartiles.index)
    table = quartiles.set_axis(["25%", "50%", "75%"], axis=1)
    return table.round().astype("Int64") if are_whole else table


def shares_only(table: pd.DataFrame, keys: Collection[str]) -> pd.DataFrame:
    """Return a table of shares, to two decimals, without counts and groups under 11 patients.

    Without counts, nothing follows from several tables. It is for groups that depend on a system or
    on what its prompts contained. Columns: `keys`, n, n_patients, others with shares; the column
    suppressed is added.
    """
    few = table["n_patients"] < LEAST_PATIENTS
    shares = table.columns.difference([*keys, "n", "n_patients"], sort=False)
    table = table.assign(n=pd.NA, n_patients=pd.NA)
    table[shares] = table[shares].astype(float).round(2).mask(few)
    return table.assign(suppressed=np.where(few, FEW, ""))


def is_personal(column: str) -> bool:
    """Return whether a column with this name describes one patient, instruction or response.

    >>> is_personal("note_id"), is_personal("question"), is_personal("n_instructions")
    (True, True, False)
    """
    return column.casefold() in PERSONAL_COLUMNS or column.casefold().endswith("_id")


def unknown_text(frame: pd.DataFrame) -> list[str]:
    """Return the non-empty columns of free text, which may contain patient data.

    >>> unknown_text(pd.DataFrame({"system": ["a"], "advice": ["?"], "n": [1]}))
    ['advice']
    """
    return [
        name
        for name in frame
        if name not in TEXT_COLUMNS
        and pd.api.types.is_string_dtype(frame[name])
        and frame[name].notna().any()
    ]
