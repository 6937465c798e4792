"""Groups of patients that may be published: none under 11, and none that follows by subtraction.

Nothing is left blank in a table whose total is known. Small groups are merged instead, until every
group of a grouping has at least 11 patients; where that leaves a single group, the grouping is not
shown at all. So all that can be computed from a grouping's counts are counts of its groups taken
together. A pair of groupings is shown only if each of its cells has at least 11 patients,
merging the groups of either further if need be, and if it closes no ring with the pairs before it:
then a sum or difference of published counts still counts nothing but whole groups and whole cells.
Of a ring it would not: race x gender, race x age and gender x age together tell how many patients
are all of White, male and old or none of them. A cell of none is as small as one of few, for what
is known to be empty lets one pair's table tell what another's does not.

Protected is who the patients are. How many responses to a group were correct is a finding about a
system, and no group is formed by it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.demographics import NOT_GIVEN

# Below this a count may point at persons.
LEAST_PATIENTS = 11
# What small groups are called together: a rare name may itself tell who somebody is.
OTHERS = "(others)"
ORDERED = ("age",)  # whose groups are merged with a neighbour

WHOLE = ""
MERGED = f"groups under {LEAST_PATIENTS} patients are merged"
COARSENED = f"merged until each cell has at least {LEAST_PATIENTS} patients"
NOT_SHOWN = f"not shown: no two groups of at least {LEAST_PATIENTS} patients"
NO_GROUPS = "(not shown)"
N = ["n_patients", "n_instructions"]
NO_PARTS = "not shown: one of the two groupings is not"
NO_PAIR = f"not shown: a cell under {LEAST_PATIENTS} patients remains"
RING = "not shown: with the pairs before it, it could tell of fewer"
NO_CELLS = f"not shown by category: a cell under {LEAST_PATIENTS} patients remains"


class Protected(NamedTuple):
    """The groups that may be published.

    Attributes:
        labels: a column for each grouping that is shown, in the order asked for: each patient's
            group, indexed by person_id.
        suppressed: each grouping asked for -> what was withheld, "" for nothing.
    """

    labels: pd.DataFrame
    suppressed: dict[str, str]


def protect(
    people: pd.DataFrame, groupings: Sequence[str], pairs: Iterable[Sequence[str]] = ()
) -> Protected:
    """Form groups of at least 11 patients each.

    Args:
        people: one row a patient, indexed by person_id; a column of text for each grouping.
        groupings: names of columns.
        pairs: pairs of these, the more important first; a pair's groups are named "White, Female",
            itself "race x gender".

    >>> people = pd.DataFrame({"race": ["White"] * 40 + ["Asian"] * 7 + ["Black"] * 5,
    ...     "gender": ["Female"] * 43 + ["Male"] * 9}, index=map(str, range(52)))
    >>> protected = protect(people, ["race", "gender"])
    >>> protected.labels["race"].value_counts().to_dict()
    {'White': 40, '(others)': 12}
    >>> protected.suppressed["gender"]
    'not shown: no two groups of at least 11 patients'
    """
    labels, suppressed = {}, {}
    for name in groupings:
        merged = merge_small(people[name], ordered=name in ORDERED)
        suppressed[name] = NOT_SHOWN if merged.nunique() < 2 else WHOLE
        if merged.nunique() >= 2:
            labels[name] = merged
            suppressed[name] = WHOLE if (merged == people[name]).all() else MERGED
    linked = {name: {name} for name in labels}  # by the pairs shown so far
    for first, second in pairs:
        name = f"{first} x {second}"
        suppressed[name] = NO_PARTS
        if first in linked and second in linked:
            if linked[first] is linked[second]:
                suppressed[name] = RING
                continue
            suppressed[name] = NO_PAIR
            ordered = (first in ORDERED, second in ORDERED)
            crossed = coarsen(labels[first], labels[second], people.index, ordered=ordered)
            if crossed is not None:
                labels[name] = crossed[0] + ", " + crossed[1]
                both = linked[first] | linked[second]
                linked |= dict.fromkeys(both, both)
                whole = (crossed[0] == people[first]) & (crossed[1] == people[second])
                suppressed[name] = WHOLE if whole.all() else COARSENED
    return Protected(pd.DataFrame(labels, index=people.index), suppressed)


def merge_small(values: pd.Series, *, ordered: bool = False) -> pd.Series:
    """Merge groups under 11 patients: all of them into one, and that with the next larger group.

    Groups of an ordered grouping are merged with the smaller of their neighbours.

    Returns: the group of each patient; one group in all if there are fewer than 22 patients.

    >>> merge_small(pd.Series(["F"] * 30 + ["M"] * 20 + ["X"] * 2)).value_counts().to_dict()
    {'F': 30, 'M + (others)': 22}
    >>> ages = pd.Series(["18–39"] * 5 + ["40–64"] * 30 + ["65–79"] * 12)
    >>> merge_small(ages, ordered=True).value_counts().to_dict()
    {'18–64': 35, '65–79': 12}
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
    """Merge the groups of two groupings until each cell has at least 11 patients.

    Args:
        first: a group each row, of a grouping that `merge_small` gave.
        second: likewise, or something else that rows have, such as an instruction's category.
        patients: the patient of each row; a cell counts each once.
        ordered: whether the groups of `first` and `second` have an order.

    Returns: the two with what is merged renamed; None where a small cell remains of two by two.

    >>> first, second = pd.Series(["a", "b"] * 42), pd.Series(["x"] * 44 + ["y"] * 16 + ["z"] * 24)
    >>> _, merged = coarsen(first, second, range(84))
    >>> merged.unique().tolist()
    ['x', 'y + z']
    """
    axes = [first, second]
    while True:
        rows = pd.DataFrame({"a": axes[0], "b": axes[1], "patient": np.asarray(patients)})
        cells = rows.drop_duplicates().groupby(["a", "b"]).size().unstack(fill_value=0).stack()
        small = cells[cells < LEAST_PATIENTS]
        counts = [rows.groupby(axis)["patient"].nunique() for axis in ("a", "b")]
        if small.empty:
            return axes[0], axes[1]
        longer = int(len(counts[1]) > len(counts[0]))
        if len(counts[longer]) <= 2:
            return None
        smallest = min(small.index, key=lambda cell: (small[cell], cell))[longer]
        axes[longer] = _merge(axes[longer], counts[longer], smallest, ordered[longer])


def audit_unrated(rated: pd.Series, every: pd.Series) -> pd.Series | None:
    """Patients of the whole release by group, where subtracting those rated tells no small count.

    Args:
        rated: patients by group, those with a rated instruction.
        every: all patients of the release by the same groups.

    Returns: `every`, or None.

    >>> audit_unrated(pd.Series({"F": 30}), pd.Series({"F": 33})) is None
    True
    """
    unrated = every.sub(rated, fill_value=0)
    return None if unrated.between(1, LEAST_PATIENTS - 1).any() else every


def sizes(labels: pd.Series, patients: np.ndarray) -> pd.DataFrame:
    """n_patients and n_instructions of each group.

    Args:
        labels: each patient's group, indexed by patient.
        patients: the patient of each instruction.

    >>> sizes(pd.Series(["F", "M"], index=["a", "b"]), np.array(["a", "b", "a"])).values.tolist()
    [[1, 2], [1, 1]]
    """
    of_rows = labels.loc[patients]
    n = of_rows.value_counts()
    return pd.DataFrame({"n_patients": labels.value_counts().loc[n.index], "n_instructions": n})


def with_suppressed(
    rows: list[dict], protected: Protected, patients: np.ndarray, columns: list[str]
) -> pd.DataFrame:
    """Rows as a table that says what was withheld, with one row for a grouping that is not shown.

    >>> protected = Protected(pd.DataFrame(), {"race": "not shown"})
    >>> with_suppressed([], protected, np.array(["a", "a"]), ["grouping", "group", *N])
    ... # doctest: +NORMALIZE_WHITESPACE
      grouping        group  n_patients  n_instructions suppressed
    0     race  (not shown)           1               2  not shown
    """
    total = {"n_patients": len(np.unique(patients)), "n_instructions": len(patients)}
    name = {column: NO_GROUPS for column in ("group", "best", "worst") if column in columns}
    absent = [g for g in protected.suppressed if g not in protected.labels]
    rows = [*rows, *({"grouping": grouping} | name | total for grouping in absent)]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(suppressed=table["grouping"].map(protected.suppressed).fillna(""))


def _merge(values: pd.Series, counts: pd.Series, group: str, ordered: bool) -> pd.Series:
    """Merge one group with its partner: its smaller neighbour, or the smallest of the others."""
    partners = [other for other in counts.index if other != group]
    if ordered:
        order = sorted(counts.index, key=_first_year)
        place = order.index(group)
        partners = order[max(place - 1, 0) : place] + order[place + 1 : place + 2]
    both = [group, min(partners, key=_size_of(counts))]
    return values.mask(values.isin(both), _band(both) if ordered else _either(both))


def _size_of(counts: pd.Series):
    return lambda group: (counts[group], group)


def _either(groups: list[str]) -> str:
    """The parts' names, "(others)" last."""
    parts = sorted({part for group in groups for part in group.split(" + ")})
    return " + ".join(sorted(parts, key=lambda part: part == OTHERS))


def _first_year(band: str) -> float:
    return np.inf if band == NOT_GIVEN else float(band.split("–")[0].rstrip("+").split(" ")[0])


def _band(bands: list[str]) -> str:
    """The band from the lowest year to the highest: "18–39" and "40–64" make "18–64"."""
    bands = sorted((band for each in bands for band in each.split(" + ")), key=_first_year)
    given = [band for band in bands if band != NOT_GIVEN]
    low, high = given[0].split("–")[0].rstrip("+"), given[-1].split("–")[-1]
    whole = f"{low}+" if high.endswith("+") else f"{low}–{high}"
    return " + ".join([whole, *bands[len(given) :]])


def pool_rare(notes: pd.DataFrame, least: int = LEAST_PATIENTS) -> pd.DataFrame:
    """The table of note types with those that few patients have as one row, the last.

    A note's title is free text in the record: one that few patients have may tell who they are.

    Args:
        notes: `Exploration.note_types`.
        least: patients that a type needs to be shown.

    Returns: the same columns; `patients` is 0 in the row of the others.

    >>> table = pd.DataFrame({"note": ["Letter", "Visit"], "notes": [20, 1], "patients": [15, 1]})
    >>> pool_rare(table).values.tolist()
    [['Letter', 20, 15], ['(of fewer than 11 patients each)', 1, 0]]
    """
    rare = notes["patients"] < least
    if not rare.any():
        return notes
    others = [f"(of fewer than {least} patients each)", notes.loc[rare, "notes"].sum(), 0]
    return pd.concat(
        [notes[~rare], pd.DataFrame([others], columns=notes.columns)], ignore_index=True
    )


# What only a row of one patient, instruction, rater or response has.
PERSONAL_COLUMNS = frozenset(
    "evidence filename instruction mrn name patient person prompt question rater reference "
    "response reviewer source_text text".split()
)


# Text that is known to be no patient's: names of systems, metrics, groups, and the like.
TEXT_COLUMNS = frozenset(
    "attribute best best_system category change coefficient comparable comparison group grouping "
    "item kind measure metric metric_a metric_b not_scored of opponent outcome rating reason "
    "setting signature source statistic status subcategory suppressed system table test title "
    "worst".split()
)


def is_personal(column: str) -> bool:
    """Whether a column of this name would tell of one patient, instruction or response.

    >>> is_personal("note_id"), is_personal("question"), is_personal("n_instructions")
    (True, True, False)
    """
    return column.casefold() in PERSONAL_COLUMNS or column.casefold().endswith("_id")


def unknown_text(frame: pd.DataFrame) -> list[str]:
    """The columns of text that are not known to hold no patient's; one without a value holds none.

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


SUPPRESSED = (
    f"groups under {LEAST_PATIENTS} patients, and others from which their figures would follow"
)


def suppress_small_groups(
    table: pd.DataFrame, members: pd.DataFrame, instructions: pd.DataFrame
) -> pd.DataFrame:
    """Blank the figures of groups under 11 patients, so that the table may be published.

    A suppressed group's figures must not follow by subtraction either: from all instructions, or
    from a shown group of another grouping (a category holds its subcategories), less the shown
    groups that lie in it. While that leaves 1 to 10 patients, the smallest of these is suppressed
    too.

    Args:
        table: as `evaluate_groups` returns it.
        members: what it was made from.
        instructions: instruction_id, person_id.

    Returns:
        The same rows, with NA in every figure of a suppressed group, n and n_patients included, and
        a last column, suppressed: `SUPPRESSED` there, else "".

    >>> members = pd.DataFrame({"instruction_id": list(map(str, range(40))),
    ...     "grouping": "category", "group": ["a"] * 15 + ["b"] * 12 + ["c"] * 11 + ["d"] * 2})
    >>> instructions = members.assign(person_id=members["instruction_id"])
    >>> table = pd.DataFrame({"grouping": "category", "group": list("abcd"), "system": "s",
    ...     "n": [15, 12, 11, 2], "correct": 0.5})
    >>> suppress_small_groups(table, members, instructions)["n"].tolist()
    [15, 12, <NA>, <NA>]
    """
    patient = dict(instructions[["instruction_id", "person_id"]].itertuples(index=False))
    shown = {
        key: frozenset(ids) for key, ids in members.groupby(["grouping", "group"])["instruction_id"]
    }

    def n_patients(ids: frozenset) -> int:
        return len({patient[each] for each in ids})

    every = frozenset(members["instruction_id"])
    shown = {key: ids for key, ids in shown.items() if n_patients(ids) >= LEAST_PATIENTS}
    while (gives_away := _gives_away(shown, every, n_patients)) is not None:
        del shown[gives_away]
    keys = zip(table["grouping"], table["group"], strict=True)
    hidden = pd.Series([key not in shown for key in keys], index=table.index, dtype=bool)
    figures = table.columns.drop(["grouping", "group", "system"])
    table = table.astype({name: "Int64" for name in ("n", "n_patients") if name in table})
    table[figures] = table[figures].mask(hidden)
    return table.assign(suppressed=np.where(hidden, SUPPRESSED, ""))


def _gives_away(
    shown: Mapping[tuple, frozenset], every: frozenset, n_patients: Callable[[frozenset], int]
) -> tuple | None:
    """The smallest shown group by which a few patients' figures follow; None if none do."""
    for whole in (every, *shown.values()):
        for grouping in dict.fromkeys(grouping for grouping, _ in shown):
            parts = {k: ids for k, ids in shown.items() if k[0] == grouping and ids <= whole}
            rest = whole.difference(*parts.values())
            if parts and 0 < n_patients(rest) < LEAST_PATIENTS:
                return min(parts, key=lambda key: (n_patients(parts[key]), key))
    return None
