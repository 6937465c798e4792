"""Merge small groups of patients, so that each has at least 11.

Blanks would not protect a small group, because its count follows from the total by subtraction.
Here nothing is left out, and every sum or difference of a grouping's counts is a sum of its groups.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from medalign_utils.data.demographics import NOT_GIVEN

# Smaller counts may identify a patient.
LEAST_PATIENTS = 11
# Name of merged small groups, because a rare name may itself identify a patient.
OTHERS = "(others)"


def merge_small(
    values: pd.Series,
    patients: Sequence[str] | np.ndarray | None = None,
    *,
    ordered: bool = False,
    parts: Sequence[str] | np.ndarray | None = None,
    within: Sequence[str] | np.ndarray | None = None,
) -> pd.Series:
    """Return each row's group after merging groups of fewer than 11 patients.

    They are merged into one group, and this with the smallest other group if it is still too small.
    An ordered group is merged with its smaller neighbour. Fewer than 22 patients form one group.

    Args:
        values: each row's group.
        patients: each row's patient; by default, every row is another one.
        ordered: whether the groups are age bands.
        parts: if given, the groups of each part are counted by themselves, as those of the
            instructions with and without a reference; a group may have none of a part.
        within: if given, only groups inside the same group of this grouping are merged.

    >>> values = pd.Series(["a"] * 30 + ["b"] * 12 + ["c"] * 5)
    >>> merge_small(values).value_counts().to_dict()
    {'a': 30, 'b + (others)': 17}
    >>> parents = ["A"] * 30 + ["B"] * 12 + ["A"] * 5
    >>> merge_small(values, within=parents).value_counts().to_dict()
    {'a + (others)': 35, 'b': 12}
    """
    patients = np.arange(len(values)) if patients is None else np.asarray(patients)
    parts = np.zeros(len(values)) if parts is None else np.asarray(parts)
    if within is not None:
        merged = values.copy()
        for inside in pd.Series(np.arange(len(values))).groupby(np.asarray(within)).groups.values():
            own = values.iloc[inside]
            own = merge_small(own, patients[inside], ordered=ordered, parts=parts[inside])
            merged.iloc[inside] = own
        return merged
    counts = _fewest(values, patients, parts)
    if not ordered:
        small = counts.index[counts < LEAST_PATIENTS]
        values = values.mask(values.isin(small), OTHERS)
        counts = _fewest(values, patients, parts)
    while len(counts) > 1 and counts.min() < LEAST_PATIENTS:
        values = _merge(values, counts, min(counts.index, key=_size_of(counts)), ordered)
        counts = _fewest(values, patients, parts)
    return values


def _fewest(values: pd.Series, patients: np.ndarray, parts: np.ndarray) -> pd.Series:
    """Return each group's number of patients, in the part that has fewest but some."""
    rows = pd.DataFrame({"group": values.to_numpy(), "part": parts, "patient": patients})
    return rows.drop_duplicates().groupby(["group", "part"]).size().groupby("group").min()


def merge_bins(bins: pd.Series, patients: Sequence[str] | np.ndarray) -> pd.Series:
    """Return the first bin of each row's band, after merging ordered bins into bands.

    Bins are merged from the first on until 11 patients are reached, and what is left with the last
    band. So the bounds of the first bands do not depend on the last bins.

    >>> bins = pd.Series([1] * 3 + [2] * 9 + [3] * 20 + [5] * 4)
    >>> merge_bins(bins, range(36)).value_counts().to_dict()
    {3: 24, 1: 12}
    """
    patients, bands, band, first = np.asarray(patients), {}, set(), None
    for bin_ in sorted(bins.unique()):
        first = first if band else bin_
        band |= set(patients[(bins == bin_).to_numpy()])
        bands[bin_] = first
        if len(band) >= LEAST_PATIENTS:
            band = set()
    if band and first != min(bands.values()):
        before = max(other for other in bands.values() if other < first)
        bands = {bin_: before if other == first else other for bin_, other in bands.items()}
    return bins.map(bands)


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


def merge_smallest(first: pd.Series, second: pd.Series) -> tuple[pd.Series, pd.Series] | None:
    """Return two groupings with the smallest group of `second` merged; None if it has only two."""
    counts = second.value_counts()
    if len(counts) <= 2:
        return None
    smallest = min(counts.index, key=_size_of(counts))
    return first, _merge(second, counts, smallest, ordered=False)


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
