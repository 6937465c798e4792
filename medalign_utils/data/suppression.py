"""What follows from published totals: the attack that published tables have to withstand.

A reader who knows some totals of a table knows linear equations of its cells, which are whole
numbers from 0. A set of cells is revealed if these equations prove that it has 1 to 10 rows, or
give its total exactly while its rows are of 1 to 10 patients. The bounds of each cell, by integer
programmes, leave the cells that may be in such a set; then one integer programme searches all sets
of these at once, with the duals of linear bounds as variables (Fischetti and Salazar 2000;
Hundepool et al. 2012, chapter 4).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_array, csr_array, eye_array

from medalign_utils.errors import MedAlignError

# A table: attribute -> the group that each of its values belongs to; without attributes, the total.
Margins = Mapping[str, Mapping[str, str]]
_LARGEST = 1e3  # multiplier of an equation
_FAILED = "it could not be computed what published counts reveal: {}"


def revealed(
    rows: pd.DataFrame, patients: Sequence | np.ndarray, tables: Sequence[Margins], *, least: int
) -> pd.DataFrame | None:
    """Return the cells of a set of 1 to `least` - 1 patients that tables reveal, or None.

    `rows` has one row per counted thing, of the patient in `patients`, and a column per attribute;
    each combination of their values is a cell. `tables` are those published, of numbers of rows.
    Values that belong to no group (NaN) are not published.

    >>> rows = pd.DataFrame({"sub": ["a"] * 30 + ["b"] * 12 + ["c"] * 5})
    >>> parent, shown = {"a": "A", "b": "B", "c": "B"}, {"a": "a", "b": "b", "c": np.nan}
    >>> revealed(rows, range(47), [{"sub": parent}], least=11) is None
    True
    >>> revealed(rows, range(47), [{"sub": parent}, {"sub": shown}], least=11)["sub"].tolist()
    ['c']
    """
    values = [sorted(rows[name].unique()) for name in rows]
    cells = pd.MultiIndex.from_product(values, names=list(rows)).to_frame(index=False)
    of_row = pd.MultiIndex.from_frame(cells).get_indexer(pd.MultiIndex.from_frame(rows))
    equations = _equations(cells, tables)
    # Cells with the same equations: they can be told apart by none of the totals.
    _, first, alike = np.unique(equations, axis=1, return_index=True, return_inverse=True)
    alike = alike.reshape(-1)
    equations, of_row = _independent(equations[:, first]), alike[of_row]
    n = np.bincount(of_row, minlength=len(first))
    chosen = _proved_small(equations, n, least)
    if chosen is None:
        own = pd.crosstab(np.asarray(patients), of_row) > 0  # patient x cell
        chosen = _determined(equations, n, own.reindex(columns=range(len(first))), least)
    return None if chosen is None else cells[chosen[alike]]


def _equations(cells: pd.DataFrame, tables: Sequence[Margins]) -> np.ndarray:
    """Return a row of zeros and ones per published total."""
    found = [np.ones((1, len(cells)))]
    for margins in tables:
        groups = [cells[name].map(groups) for name, groups in margins.items()]
        if groups:
            keys = pd.concat(groups, axis=1)
            codes = keys.groupby(list(keys), dropna=False, sort=False).ngroup().to_numpy()
            published = np.unique(codes[keys.notna().all(axis=1)])
            found.append((codes == published[:, np.newaxis]).astype(float))
    return np.vstack(found)


def _independent(equations: np.ndarray) -> np.ndarray:
    """Return the equations without those that follow from the others."""
    kept: list[np.ndarray] = []
    basis = np.empty((0, equations.shape[1]))
    for row in equations:
        rest = row - row @ basis.T @ basis
        if (size := np.linalg.norm(rest)) > 1e-9:
            kept.append(row)
            basis = np.vstack([basis, rest / size])
            basis[-1] -= basis[-1] @ basis[:-1].T @ basis[:-1]
            basis[-1] /= np.linalg.norm(basis[-1])
    return np.array(kept)


def _proved_small(equations: np.ndarray, n: np.ndarray, least: int) -> np.ndarray | None:
    """Return a set of cells whose bounds are within 1 to `least` - 1, or None.

    By duality, a total is at most `upper @ b` if `upper` times the equations covers the set, and
    at least `lower @ b` if `lower` times the equations is inside it, where b are the totals.
    """
    (m, k), covers = equations.shape, csr_array(equations.T)
    no_set, no_bound = csr_array((1, k)), csr_array((1, m))
    totals = equations @ n
    largest = np.array([_bound(cell, equations, totals, largest=True) for cell in np.eye(k)])
    small = largest < least
    for i in small.nonzero()[0]:
        if _bound(np.eye(k)[i], equations, totals, largest=False) >= 1:
            return np.arange(k) == i
    if not small.any():
        return None
    b = csr_array(totals[np.newaxis])
    # Variables: the set as zeros and ones, upper, lower.
    upper = block_array([[-eye_array(k), covers, csr_array((k, m))]])
    lower = block_array([[eye_array(k), csr_array((k, m)), -covers]])
    constraints = [
        LinearConstraint(upper, lb=0),
        LinearConstraint(lower, lb=0),
        LinearConstraint(block_array([[no_set, b, no_bound]]), ub=least - 0.01),
        LinearConstraint(block_array([[no_set, no_bound, b]]), lb=0.01),
    ]
    return _find(constraints, small, free=2 * m)


def _bound(cell: np.ndarray, equations: np.ndarray, totals: np.ndarray, *, largest: bool) -> float:
    """Return the smallest or largest number of rows that a cell may have."""
    sign = -1 if largest else 1
    known = LinearConstraint(equations, totals, totals)
    found = milp(sign * cell, constraints=known, bounds=Bounds(0, np.inf), integrality=1)
    if found.status != 0:
        raise MedAlignError(_FAILED.format(found.message))
    return round(sign * found.fun)


def _determined(
    equations: np.ndarray, n: np.ndarray, own: pd.DataFrame, least: int
) -> np.ndarray | None:
    """Return a set of cells of 1 to `least` - 1 patients whose total follows exactly, or None.

    `own` says which cells each patient has.
    """
    patterns = own.fillna(False).astype(float).value_counts()  # many patients have the same cells
    has = np.array(patterns.index.to_list())
    of_pattern, of_cell = has.nonzero()
    (m, k), (p, _) = equations.shape, has.shape
    pairs = np.arange(len(of_cell))
    cell = csr_array((np.ones(len(pairs)), (pairs, of_cell)), (len(pairs), k))
    pattern = csr_array((np.ones(len(pairs)), (pairs, of_pattern)), (len(pairs), p))
    free, no_set, no_pattern = csr_array((1, m)), csr_array((1, k)), csr_array((1, p))
    size, rows = csr_array(patterns.to_numpy(float)[np.newaxis]), csr_array(n[np.newaxis] * 1.0)
    # Variables: the set, the patterns with a cell in it, multipliers of the equations.
    span = block_array([[eye_array(k), csr_array((k, p)), -csr_array(equations.T)]])
    constraints = [
        LinearConstraint(span, 0, 0),
        LinearConstraint(block_array([[-cell, pattern, csr_array((len(pairs), m))]]), lb=0),
        LinearConstraint(block_array([[no_set, size, free]]), ub=least - 1),
        LinearConstraint(block_array([[rows, no_pattern, free]]), lb=1),
    ]
    few = patterns.to_numpy() @ has < least
    return _find(constraints, few, between=p, free=m)


def _find(
    constraints: list[LinearConstraint], allowed: np.ndarray, *, free: int, between: int = 0
) -> np.ndarray | None:
    """Return a set of allowed cells that meets the constraints, or None if there is none."""
    bounds = Bounds(
        np.repeat([0.0, -_LARGEST], [len(allowed) + between, free]),
        np.concatenate([allowed, np.repeat([1.0, _LARGEST], [between, free])]),
    )
    integral = np.repeat([1, 0], [len(allowed), between + free])
    objective = np.zeros(len(integral))
    found = milp(objective, constraints=constraints, bounds=bounds, integrality=integral)
    if found.status not in (0, 2):  # neither solved nor infeasible
        raise MedAlignError(_FAILED.format(found.message))
    return None if found.x is None else found.x[: len(allowed)] > 0.5
