"""Evaluate systems on subgroups of instructions, and by context length."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.data.disclosure import NO_VALUE
from medalign_utils.data.merging import LEAST_PATIENTS, merge_small
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import patients_of, wide, wide_ranks
from medalign_utils.evaluation.systems import bootstrap_systems, evaluate_systems
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import Bootstrap, interval_columns
from medalign_utils.stats.proportions import proportions

EHR_QUARTILE, CONTEXT_LENGTH = "EHR length quartile", "context length"
# Grouping -> column of the table of instructions.
_BY_COLUMN = {
    "category": "category",
    "subcategory": "subcategory",
    "specialty": "submitter_specialty",
}
_COLUMNS = (
    "grouping group system n n_patients correct correct_low correct_high win_rate win_rate_low "
    "win_rate_high mean_rank mean_rank_low mean_rank_high"
).split()


class Subgroups(NamedTuple):
    """The subgroup of each instruction in each grouping."""

    members: pd.DataFrame  # instruction_id, grouping, group; in display order
    left_out: dict[str, str]  # grouping -> why it is missing


def ehr_lengths(run: Run) -> pd.Series:
    """Return the length of each patient's EHR; the name of the series is the unit.

    The unit is "tokens" of the whole record, as the first system's tokenizer counts them, or for
    released responses "bytes" of the XML file.
    """
    instructions = run.release.instructions
    if run.source == "generated":
        responses = run.responses(run.systems[0])
        patients = patients_of(pd.Index(responses["instruction_id"]), instructions)
        return responses["ehr_tokens_total"].groupby(patients).max().rename("tokens")
    people = instructions["person_id"].dropna().unique()
    sizes = [run.release.ehr_path(person).stat().st_size for person in people]
    return pd.Series(sizes, index=people, name="bytes")


def find_subgroups(
    instruction_ids: Sequence[str],
    instructions: pd.DataFrame,
    lengths: pd.Series,
    *,
    merge: bool = False,
) -> Subgroups:
    """Return subgroups by category, subcategory, specialty and quartile of EHR length.

    Subgroups of a column are sorted by size, the largest first; "(none)" has the instructions
    without a value. Quartiles divide the rated patients by `lengths` (see `ehr_lengths`) and need
    at least four patients. Equal lengths are in the same quartile. Labels give the bounds to two
    digits, so that they do not reveal the length of one patient's record.

    With `merge`, for restricted releases, quartiles of fewer than 11 patients are merged, and
    groupings with one group are left out; `instructions` then come from
    `disclosure.disclosable_instructions`.
    """
    ids = pd.Index(instruction_ids).unique()
    patients = patients_of(ids, instructions)
    rated = instructions.set_index("instruction_id").loc[ids]
    groupings, left_out = {}, {}
    for grouping, column in _BY_COLUMN.items():
        if rated[column].isna().all():
            left_out[grouping] = f"the rated instructions have no {grouping}"
        else:
            named = rated[column].fillna(NO_VALUE)
            order = named.sort_values().value_counts().index
            groupings[grouping] = pd.Series(pd.Categorical(named, order), index=ids)
    unknown = sorted(set(patients) - set(lengths.index))
    if unknown:
        raise MedAlignError(f"find_subgroups: no EHR length for patient {unknown[0]}")
    if len(set(patients)) < 4:
        left_out[EHR_QUARTILE] = "quartiles of EHR length need 4 patients"
    else:
        labels = _quartiles(lengths.loc[pd.unique(patients)])
        labels = merge_small(labels.astype("str")) if merge else labels
        groupings[EHR_QUARTILE] = labels.loc[patients].set_axis(ids)
    for grouping in [name for name in groupings if merge and groupings[name].nunique() == 1]:
        left_out[grouping] = f"no two groups by {grouping} have {LEAST_PATIENTS} patients"
        del groupings[grouping]
    members = [pd.DataFrame({"grouping": [], "group": []}, index=ids[:0], dtype="str")]
    for grouping, groups in groupings.items():
        groups = groups.sort_values(kind="stable").astype("str")
        members.append(pd.DataFrame({"grouping": grouping, "group": groups}))
    return Subgroups(pd.concat(members).rename_axis("instruction_id").reset_index(), left_out)


def evaluate_subgroups(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    members: pd.DataFrame,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return `evaluate_systems` for each subgroup of instructions.

    One row per subgroup of `members` and system; systems are sorted by their mean rank over all
    ratings. Small subgroups are included; for releases of real patients, `find_subgroups` merges
    them, and the numbers of patients must be dropped (see `disclosure`).
    """
    systems = wide_ranks(ratings).columns
    tables = [pd.DataFrame(columns=_COLUMNS)]
    for (grouping, group), ids in members.groupby(["grouping", "group"], sort=False):
        of_group = ratings[ratings["instruction_id"].isin(ids["instruction_id"])]
        table = evaluate_systems(of_group, instructions, bootstrap=bootstrap)
        table = table.set_index("system").loc[systems].reset_index()
        tables.append(table.assign(grouping=grouping, group=group)[_COLUMNS])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def evaluate_context_lengths(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    contexts: Mapping[str, int | None],
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Return the systems' table by context length, over all instructions.

    `contexts` maps the systems to compare to their context lengths in tokens, None for the full
    record; other systems count only as opponents. The table has the columns of `evaluate_subgroups`
    and one group per length, shortest first. If several systems have the same length, a further row
    has their mean; its accuracy is the share of all their responses.
    """
    ranks = wide_ranks(ratings)
    correct = wide(ratings, "correct")[ranks.columns].astype(float)
    if unrated := [system for system in contexts if system not in ranks]:
        raise MedAlignError(
            f"evaluate_context_lengths: no ratings of {unrated[0]}; "
            f"found {', '.join(sorted(ranks))}"
        )
    patients = patients_of(ranks.index, instructions)
    drawn = bootstrap_systems(ranks.to_numpy(), patients, bootstrap=bootstrap)
    tables = [pd.DataFrame(columns=_COLUMNS)]
    for length in sorted(set(contexts.values()), key=lambda n: np.inf if n is None else n):
        systems = [system for system in ranks if system in contexts and contexts[system] == length]
        rows = {system: [system] for system in systems}
        if len(systems) > 1:
            rows[f"mean of {len(systems)} systems"] = systems
        parts = [ranks.columns.get_indexer(part) for part in rows.values()]
        table = pd.DataFrame(
            {"system": list(rows), "n": len(ranks), "n_patients": len(set(patients))}
        )
        verdicts = [correct[part].to_numpy() for part in rows.values()]
        shares = [
            proportions(own.reshape(-1, 1), np.repeat(patients, own.shape[1]))[0]
            for own in verdicts
        ]
        table = table.assign(**interval_columns("correct", shares))
        for name, resampled in drawn.items():
            intervals = [resampled.mean_of(part).intervals()[0] for part in parts]
            table = table.assign(**interval_columns(name, intervals))
        group = "full record" if length is None else f"{length:,} tokens"
        table = table.assign(grouping=CONTEXT_LENGTH, group=group)
        tables.append(table[_COLUMNS])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _quartiles(lengths: pd.Series) -> pd.Series:
    """The label of each patient's quartile, ordered."""
    bounds = np.quantile(lengths, [0.25, 0.5, 0.75], method="inverted_cdf")
    first, second, third = (f"{float(f'{bound:.2g}'):,.0f} {lengths.name}" for bound in bounds)
    labels = [f"1 (shortest): up to {first}", f"2: up to {second}", f"3: up to {third}"]
    labels.append(f"4 (longest): over {third}")
    codes = np.searchsorted(bounds, lengths)
    return pd.Series(pd.Categorical.from_codes(codes, labels, ordered=True), index=lengths.index)
