"""Statistical disclosure control: no table may reveal a count of 1 to 10 patients.

This applies to restricted releases; a synthetic release has no patients to protect.

Small groups of patients are merged until each has at least 11 patients. Leaving them blank would
not protect them, because they follow from the total by subtraction. A grouping with a single
remaining group is not shown.

A pair of groupings is shown on two conditions. After merging groups if necessary, each cell must
have at least 11 patients; an empty cell reveals as much as a small one. And the pair must not close
a ring with pairs shown before it: race x gender, race x age and gender x age together would reveal
the number of patients in cells of all three.

Numbers of correct responses are results about a system and need no protection.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.demographics import NOT_GIVEN

# Smaller counts may identify a patient.
LEAST_PATIENTS = 11
# Name of merged small groups, because a rare name may itself identify a patient.
OTHERS = "(others)"
ORDERED = ("age",)  # whose groups are merged with a neighbour
N = ["n_patients", "n_instructions"]
NO_GROUPS = "(not shown)"

# What was withheld of a grouping; shown to readers.
WHOLE = ""
MERGED = f"groups under {LEAST_PATIENTS} patients are merged"
COARSENED = f"merged until each cell has at least {LEAST_PATIENTS} patients"
ONE_GROUP = "not shown: all patients are in one group"
NOT_SHOWN = f"not shown: no two groups of at least {LEAST_PATIENTS} patients"
NO_PARTS = "not shown: one of the two groupings is not"
NO_PAIR = f"not shown: a cell under {LEAST_PATIENTS} patients remains"
RING = "not shown: with the pairs before it, it could reveal smaller counts"
NO_CELLS = f"not shown by category: a cell under {LEAST_PATIENTS} patients remains"
SUPPRESSED = (
    f"groups under {LEAST_PATIENTS} patients, and others from which their figures would follow"
)

# Columns that occur only in rows about one patient, instruction, rater or response.
PERSONAL_COLUMNS = frozenset(
    "evidence filename instruction mrn name patient person prompt question rater reference "
    "response reviewer source_text text".split()
)
# Columns of text without patient data, such as names of systems, metrics and groups.
TEXT_COLUMNS = frozenset(
    "attribute best best_system category change coefficient comparable comparison device group "
    "grouping item kind limited_to measure metric metric_a metric_b not_scored of opponent outcome "
    "rating reason setting signature source statistic status subcategory suppressed system table "
    "test title unfitted worst".split()
)


class DisclosableGroups(NamedTuple):
    """Groups of patients that may be published.

    - `labels`: each patient's group, indexed by person_id, with one column per grouping shown
    - `suppressed`: what was withheld of each grouping, or ""
    - `least`: the smallest number of patients that a published value may describe; 0 for a
      synthetic release
    """

    labels: pd.DataFrame
    suppressed: dict[str, str]
    least: int = LEAST_PATIENTS


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
    labels, suppressed = {}, dict.fromkeys(groupings, NOT_SHOWN)
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
            labels[name] = crossed[0] + ", " + crossed[1]
            linked |= dict.fromkeys(both := linked[first] | linked[second], both)
            whole = (crossed[0] == people[first]) & (crossed[1] == people[second])
            suppressed[name] = WHOLE if whole.all() else COARSENED
    return DisclosableGroups(pd.DataFrame(labels, index=people.index), suppressed)


def merge_small(values: pd.Series, *, ordered: bool = False) -> pd.Series:
    """Return each patient's group after merging groups of fewer than 11 patients.

    They are merged into one group, and this with the smallest other group if it is still too small.
    An ordered group is merged with its smaller neighbour. Fewer than 22 patients form one group.
    """
    counts = values.value_counts()
    if not ordered:
        small = counts.index[counts < LEAST_PATIENTS]
        values = values.mask(values.isin(small), OTHERS)
        counts = values.value_counts()
    while len(counts) > 1 and counts.min() < LEAST_PATIENTS:
        values = _merge(values, counts, min(counts.index, key=_size_of(counts)), ordered)
        counts = values.value_counts()
    return values


def coarsen(
    first: pd.Series,
    second: pd.Series,
    patients: Sequence[str] | pd.Index,
    *,
    ordered: tuple[bool, bool] = (False, False),
) -> tuple[pd.Series, pd.Series] | None:
    """Return two groupings with groups merged until each cell has at least 11 patients.

    None if even a table of two by two has a small cell. Each row has a group of `first`, a group of
    `second` and a patient; a cell counts a patient once. `ordered` says whether `first` and
    `second` are ordered.
    """
    axes = [first, second]
    while True:
        rows = pd.DataFrame({"a": axes[0], "b": axes[1], "patient": np.asarray(patients)})
        cells = rows.drop_duplicates().groupby(["a", "b"]).size().unstack(fill_value=0).stack()
        small = cells[cells < LEAST_PATIENTS]
        if small.empty:
            return axes[0], axes[1]
        counts = [rows.groupby(axis)["patient"].nunique() for axis in ("a", "b")]
        longer = int(len(counts[1]) > len(counts[0]))
        if len(counts[longer]) <= 2:
            return None
        smallest = min(small.index, key=lambda cell: (small[cell], cell))[longer]
        axes[longer] = _merge(axes[longer], counts[longer], smallest, ordered[longer])


def _merge(values: pd.Series, counts: pd.Series, group: str, ordered: bool) -> pd.Series:
    """Merge a group with its smaller neighbour, or with the smallest other group."""
    partners = [other for other in counts.index if other != group]
    if ordered:
        order = sorted(counts.index, key=_first_year)
        place = order.index(group)
        partners = order[max(place - 1, 0) : place] + order[place + 1 : place + 2]
    both = [group, min(partners, key=_size_of(counts))]
    parts = {part for name in both for part in name.split(" + ")}
    merged = " + ".join(sorted(parts, key=lambda part: (part == OTHERS, part)))
    return values.mask(values.isin(both), _band(parts) if ordered else merged)


def _size_of(counts: pd.Series) -> Callable:
    return lambda group: (counts[group], group)


def _first_year(band: str) -> float:
    return np.inf if band == NOT_GIVEN else float(band.split("–")[0].rstrip("+").split(" ")[0])


def _band(bands: Iterable[str]) -> str:
    """The label of merged age bands: "18–39" and "40–64" become "18–64"."""
    bands = sorted(bands, key=_first_year)
    given = [band for band in bands if band != NOT_GIVEN]
    low, high = given[0].split("–")[0].rstrip("+"), given[-1].split("–")[-1]
    whole = f"{low}+" if high.endswith("+") else f"{low}–{high}"
    return " + ".join([whole, *bands[len(given) :]])


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


def pool_rare(notes: pd.DataFrame) -> pd.DataFrame:
    """Return the table of note types, with types of fewer than 11 patients pooled in the last row.

    A title that few patients have may identify them. Columns: note, notes, and patients, which is 0
    in the last row.

    >>> table = pd.DataFrame({"note": ["Letter", "Visit"], "notes": [20, 1], "patients": [15, 1]})
    >>> pool_rare(table).values.tolist()
    [['Letter', 20, 15], ['(of fewer than 11 patients each)', 1, 0]]
    """
    rare = notes["patients"] < LEAST_PATIENTS
    if not rare.any():
        return notes
    others = [f"(of fewer than {LEAST_PATIENTS} patients each)", notes.loc[rare, "notes"].sum(), 0]
    others = pd.DataFrame([others], columns=notes.columns)
    return pd.concat([notes[~rare], others], ignore_index=True)


def is_personal(column: str) -> bool:
    """Return whether a column with this name describes one patient, instruction or response.

    >>> is_personal("note_id"), is_personal("question"), is_personal("n_instructions")
    (True, True, False)
    """
    return column.casefold() in PERSONAL_COLUMNS or column.casefold().endswith("_id")


def unknown_text(frame: pd.DataFrame) -> list[str]:
    """Return the non-empty columns of free text, which may contain patient data.

    >>> unknown_text(pd.DataFrame({"system": ["a"], "remark": ["?"], "n": [1]}))
    ['remark']
    """
    return [
        name
        for name in frame
        if name not in TEXT_COLUMNS
        and pd.api.types.is_string_dtype(frame[name])
        and frame[name].notna().any()
    ]


def suppress_small_groups(
    table: pd.DataFrame, members: pd.DataFrame, instructions: pd.DataFrame
) -> pd.DataFrame:
    """Return a table by group without the values of small groups; suppressed says why.

    Values of groups with fewer than 11 patients become NA. Nobody may derive them by subtracting
    shown groups from all instructions, or from a shown group of another grouping that contains
    them: while this leaves 1 to 10 patients, the smallest of the subtracted groups becomes NA too.

    `table` has grouping, group, system and the values; `members` has instruction_id, grouping and
    group; `instructions` has instruction_id and person_id.
    """
    patient = dict(instructions[["instruction_id", "person_id"]].itertuples(index=False))

    def n_patients(ids: frozenset) -> int:
        return len({patient[instruction_id] for instruction_id in ids})

    groups = members.groupby(["grouping", "group"])["instruction_id"].agg(frozenset).to_dict()
    shown = {key: ids for key, ids in groups.items() if n_patients(ids) >= LEAST_PATIENTS}
    everything = frozenset(members["instruction_id"])
    while (revealing := _revealing(shown, everything, n_patients)) is not None:
        del shown[revealing]
    keys = zip(table["grouping"], table["group"], strict=True)
    hidden = pd.Series([key not in shown for key in keys], index=table.index, dtype=bool)
    figures = table.columns.drop(["grouping", "group", "system"])
    table = table.astype({name: "Int64" for name in ("n", "n_patients") if name in table})
    table[figures] = table[figures].mask(hidden)
    return table.assign(suppressed=np.where(hidden, SUPPRESSED, ""))


def _revealing(
    shown: Mapping[tuple, frozenset], everything: frozenset, n_patients: Callable
) -> tuple | None:
    """The smallest shown group that helps to reveal values of 1 to 10 patients, or None."""
    for whole in (everything, *shown.values()):
        for grouping in dict.fromkeys(grouping for grouping, _ in shown):
            parts = {k: ids for k, ids in shown.items() if k[0] == grouping and ids <= whole}
            rest = whole.difference(*parts.values())
            if parts and 0 < n_patients(rest) < LEAST_PATIENTS:
                return min(parts, key=lambda key: (n_patients(parts[key]), key))
    return None
