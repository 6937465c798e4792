"""Tables of accuracy and errors, with intervals of proportions over patients."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medalign_utils.data.disclosure import may_be_counted, shares_only
from medalign_utils.data.merging import merge_small
from medalign_utils.error_analysis.outcomes import CONTRADICTED, OMISSIONS, OUTCOMES
from medalign_utils.stats.bootstrap import LEAST_INTERVAL, Interval, interval_columns
from medalign_utils.stats.proportions import Proportions

# Upper bounds of positions, and their names. Questions prefer the newest part of a record.
_POSITIONS = {
    0.5: "position 0–50%, oldest",
    0.75: "position 50–75%",
    0.9: "position 75–90%",
    1.0: "position 90–100%, newest",
}
# Upper bounds of the record's tokens in a prompt.
_TOKENS = (1_000, 4_000, 16_000, 64_000, 256_000, np.inf)
PLACES = {
    "codes": "in codes only",
    "notes": "in notes only",
    "both": "in codes and notes",
    "nowhere": "not documented",
}
SHOWN, NOT_SHOWN = "in the prompt", "not in the prompt"
NOT_KNOWN = "(not known)"
_OF_SYSTEM = ("prompt", "tokens")  # groupings of what a system was shown
KINDS = {
    "number": "number",
    "date": "date",
    "term": "term",
    "set": "set of terms",
    "yes_no": "yes or no",
    "not_documented": "not documented",
    "several kinds": "several kinds",
}
_COLUMNS = "grouping group system n n_patients correct correct_low correct_high".split()


_OUTCOME_COLUMNS = (
    "system n n_patients correct correct_low correct_high contradicted contradicted_low "
    "contradicted_high omission omission_low omission_high abstained partly_found nothing_found "
    "no_text"
).split()
_ABSTENTION_COLUMNS = (
    "system n n_absent n_abstained n_both precision precision_low precision_high recall recall_low "
    "recall_high"
).split()


def position_groups(position: pd.Series) -> pd.Series:
    """Return the part of the record that each position is in, as ordered categories.

    >>> position_groups(pd.Series([0.1, 0.75, 0.95, None])).tolist()
    ['position 0–50%, oldest', 'position 50–75%', 'position 90–100%, newest', nan]
    """
    return pd.cut(position, [-0.01, *_POSITIONS], labels=list(_POSITIONS.values()))


def with_groups(
    responses: pd.DataFrame, places: pd.DataFrame, exposures: pd.DataFrame
) -> pd.DataFrame:
    """Return responses with the groups that they are compared by.

    The groups are ordered categories, or missing: place, position, prompt (whether it contains the
    place of the answer), kind (of fact), and tokens (of the record in the prompts).
    """
    table = responses.merge(places, on="instruction_id", how="left")
    table = table.merge(exposures, on=["instruction_id", "system"], how="left")
    shown = table["shown"].map({True: SHOWN, False: NOT_SHOWN})
    table["prompt"] = pd.Categorical(shown, [SHOWN, NOT_SHOWN], ordered=True)
    table["place"] = pd.Categorical(table["where"].map(PLACES), list(PLACES.values()), ordered=True)
    table["position"] = position_groups(table["position"])
    if "kind" in table:
        kind = table["kind"].map(KINDS)
        table["kind"] = pd.Categorical(kind, list(KINDS.values()), ordered=True)
    if "ehr_tokens_kept" in table:
        names = [f"up to {bound:,.0f}" for bound in _TOKENS[:-1]] + ["more"]
        table["tokens"] = pd.cut(table["ehr_tokens_kept"], [-1, *_TOKENS], labels=names)
    return table


def accuracy_by(
    responses: pd.DataFrame,
    groupings: Sequence[str],
    *,
    is_restricted: bool = False,
) -> pd.DataFrame:
    """Return each system's accuracy by group, one row per grouping, group and system.

    `responses` comes from `with_groups`; a response without a rating or a group is left out. If the
    release is restricted, groups of fewer than 11 patients are merged, and there are no numbers of
    patients; groups by what a system was shown have shares only, see `shares_only`. With fewer than
    `LEAST_INTERVAL` patients there is no interval. There are no rows without ratings.
    """
    tables = [pd.DataFrame(columns=_COLUMNS)]
    for grouping in [name for name in groupings if name in responses]:
        rated = responses.dropna(subset=["correct", "person_id"])
        is_merged = is_restricted and grouping not in _OF_SYSTEM and len(rated)
        rated = _merged(rated, grouping) if is_merged else rated.dropna(subset=grouping)
        rated = rated.assign(system=pd.Categorical(rated["system"], responses["system"].unique()))
        rows = [
            {"grouping": grouping, "group": str(group), "system": system} | _accuracy(own)
            for (group, system), own in rated.groupby([grouping, "system"], observed=True)
        ]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        if is_merged:
            table = table.assign(n_patients=pd.NA)
        elif is_restricted:
            table = shares_only(table, ["grouping", "group", "system"])
        tables.append(table)
    return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


def count_outcomes(responses: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each outcome by system.

    Columns: system, n, n_patients, each of `OUTCOMES` (spaces as underscores), contradicted and
    omission with intervals; contradicted, omission and correct add up to 1.
    """
    rows = []
    for system, own in _judged(responses).groupby("system", sort=False):
        outcomes = own["outcome"].to_numpy()
        measures = {
            "correct": outcomes == OUTCOMES[0],
            "contradicted": outcomes == CONTRADICTED,
            "omission": np.isin(outcomes, OMISSIONS),
        }
        row = {"system": system, "n": len(own), "n_patients": own["person_id"].nunique()}
        row |= _shares(measures, own["person_id"])
        shares = {name.replace(" ", "_"): np.mean(outcomes == name) for name in OMISSIONS}
        rows.append(row | shares)
    return pd.DataFrame(rows, columns=_OUTCOME_COLUMNS)


def abstention(responses: pd.DataFrame, *, is_restricted: bool = False) -> pd.DataFrame:
    """Return how well each system says "not documented".

    Columns: system, n, n_absent (instructions that the record does not answer), n_abstained
    (responses that say so), n_both; precision, the share of n_abstained that is right, and recall,
    the share of n_absent that is noticed, with intervals; NaN if undefined. If the release is
    restricted, there are no rows if 1 to 10 patients have such instructions, or others.
    """
    rows, judged = [], _judged(responses)
    if is_restricted and len(judged):
        absent = judged.loc[judged["is_absent"], "person_id"]
        others = judged.loc[~judged["is_absent"].astype(bool), "person_id"]
        judged = judged if may_be_counted(absent, others) else judged[:0]
    for system, own in judged.groupby("system", sort=False):
        absent, abstained = (own[name].to_numpy(dtype=bool) for name in ("is_absent", "abstained"))
        measures = {
            "precision": np.where(abstained, absent, np.nan),
            "recall": np.where(absent, abstained, np.nan),
        }
        row = {"system": system, "n": len(own), "n_absent": absent.sum()}
        row |= {"n_abstained": abstained.sum(), "n_both": (absent & abstained).sum()}
        rows.append(row | _shares(measures, own["person_id"]))
    return pd.DataFrame(rows, columns=_ABSTENTION_COLUMNS)


def accuracy_by_tokens(responses: pd.DataFrame, *, is_restricted: bool = False) -> pd.DataFrame:
    """Return `accuracy_by` the number of the record's tokens in a system's prompts.

    The column tokens has the median of a group, to two digits if the release is restricted.
    """
    table = accuracy_by(responses, ["tokens"], is_restricted=is_restricted)
    if table.empty:
        return table.assign(tokens=[])
    keys = [responses["system"], responses["tokens"].astype("str")]
    median = responses["ehr_tokens_kept"].groupby(keys).median().rename("tokens")
    if is_restricted:
        median = median.map(lambda tokens: float(f"{tokens:.2g}"))
    median = median.rename_axis(["system", "group"]).reset_index()
    table = table.merge(median, how="left")
    return table.assign(tokens=table["tokens"].where(table["correct"].notna()))


def split_errors(responses: pd.DataFrame, *, is_restricted: bool = False) -> pd.DataFrame:
    """Return, by system, how many errors there are with the answer's place in the prompt or not.

    Columns: system; n, the number of responses; in_prompt and not_in_prompt, those whose prompt
    contains the answer's place or does not; errors; and of these, not_shown (the place was not in
    the prompt), not_used (it was), not_documented (the record has no answer) and unknown. Without
    ratings, the last five are missing. If the release is restricted, in_prompt and not_in_prompt
    are, and the last four if they would count 1 to 10 patients.
    """
    rows, are_counted = [], True
    for system, own in responses.groupby("system", sort=False):
        is_in, is_out = own["prompt"] == SHOWN, own["prompt"] == NOT_SHOWN
        row = {"system": system, "n": len(own)}
        if not is_restricted:
            row |= {"in_prompt": is_in.sum(), "not_in_prompt": is_out.sum()}
        wrong = own["correct"].eq(False).fillna(False).astype(bool)
        absent = own["place"] == PLACES["nowhere"]
        if own["correct"].notna().any():
            kinds = {"not_shown": is_out, "not_used": is_in, "not_documented": absent}
            kinds["unknown"] = ~(is_in | is_out | absent)
            row["errors"] = wrong.sum()
            row |= {name: (wrong & is_kind).sum() for name, is_kind in kinds.items()}
            if is_restricted:
                counted = [own.loc[wrong & is_kind, "person_id"] for is_kind in kinds.values()]
                are_counted &= may_be_counted(*counted)
        rows.append(row)
    columns = "system n in_prompt not_in_prompt errors not_shown not_used not_documented unknown"
    table = pd.DataFrame(rows, columns=columns.split())
    return table if are_counted else table.assign(**dict.fromkeys(columns.split()[-4:], pd.NA))


def _judged(responses: pd.DataFrame) -> pd.DataFrame:
    """Return the responses that an answer key judged."""
    return responses if "outcome" in responses else responses[:0]


def _accuracy(own: pd.DataFrame) -> dict:
    row = {"n": len(own), "n_patients": own["person_id"].nunique()}
    return row | _shares({"correct": own["correct"].to_numpy()}, own["person_id"])


def _shares(measures: Mapping[str, np.ndarray], patients: pd.Series) -> dict[str, float]:
    """Return the share of each measure with its bounds, NaN if too few patients have a value."""
    values = np.column_stack([np.asarray(v, dtype=float) for v in measures.values()])
    shares = Proportions.of(values, patients.to_numpy())
    row = {}
    for name, interval, n in zip(measures, shares.intervals(), shares.n_patients, strict=True):
        if n < LEAST_INTERVAL:
            interval = Interval(interval.estimate, np.nan, np.nan)
        row |= {column: value for column, [value] in interval_columns(name, [interval]).items()}
    return row


def _merged(rated: pd.DataFrame, grouping: str) -> pd.DataFrame:
    """Return the rows with groups under 11 patients merged, alike for all systems.

    What is not documented is a group in several groupings, so it is merged in all or in none.
    """
    patients, systems = (rated[name].astype("str").to_numpy() for name in ("person_id", "system"))
    is_absent = _is_absent(rated).astype("str")
    within = merge_small(is_absent, patients, parts=systems)
    names = rated[grouping].astype("str").where(rated[grouping].notna(), NOT_KNOWN)
    merged = merge_small(names, patients, parts=systems, within=within)
    codes = pd.Categorical(rated[grouping]).codes
    in_order = merged.iloc[np.argsort(np.where(codes < 0, len(codes), codes), kind="stable")]
    return rated.assign(**{grouping: pd.Categorical(merged, in_order.unique())})


def _is_absent(responses: pd.DataFrame) -> pd.Series:
    """Return whether the record does not answer the instruction."""
    absent = responses["place"] == PLACES["nowhere"]
    return absent | responses["is_absent"].eq(True) if "is_absent" in responses else absent
