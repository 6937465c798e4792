"""Whether systems do better on some instructions than on others: the table of systems by group."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.data.release import Release
from medalign_utils.data.responses import responses_of
from medalign_utils.errors import MedAlignError
from medalign_utils.evaluation.ratings import check_ratings, patients_of, wide
from medalign_utils.evaluation.systems import bootstrap_systems, evaluate_systems
from medalign_utils.stats.bootstrap import CONFIDENCE, Bootstrap

EHR_QUARTILE, CONTEXT_LENGTH = "EHR length quartile", "context length"
# Grouping -> the instructions' column.
_BY_COLUMN = {
    "category": "category",
    "subcategory": "subcategory",
    "specialty": "submitter_specialty",
}
_COLUMNS = [
    *("grouping", "group", "system", "n", "n_patients"),
    *("correct", "correct_low", "correct_high", "wilson_low", "wilson_high"),
    *("win_rate", "win_rate_low", "win_rate_high", "mean_rank", "mean_rank_low", "mean_rank_high"),
]


class EHRLengths(NamedTuple):
    """How long each patient's EHR is.

    Attributes:
        by_patient: person_id -> length.
        unit: what it is counted in.
    """

    by_patient: pd.Series
    unit: str


class Groups(NamedTuple):
    """Instructions by group.

    Attributes:
        members: instruction_id, grouping, group; an instruction is in one group of each grouping.
            Groups stand in the order in which they are shown.
        left_out: grouping -> why it could not be made.
    """

    members: pd.DataFrame
    left_out: dict[str, str]


def ehr_lengths(
    release: Release, experiment: str, systems: Sequence[str], responses: str = "generated"
) -> EHRLengths:
    """Return the length of each rated patient's EHR, in the unit that is at hand.

    Of a run's own responses in "tokens" of the whole record, as the first system's tokenizer and
    format have it; of `released` ones, which say nothing of tokens, in "bytes" of the XML file.
    Only the order of the records by length is used.

    Raises:
        MedAlignError: a run's responses cannot be read.
        ReleaseError: there is no such EHR.
    """
    if responses == "generated":
        table = responses_of(release, experiment, systems[0])
        patients = patients_of(pd.Index(table["instruction_id"]), release.instructions)
        return EHRLengths(table["ehr_tokens_total"].groupby(patients).max(), "tokens")
    people = release.instructions["person_id"].dropna().unique()
    sizes = [release.ehr_path(person).stat().st_size for person in people]
    return EHRLengths(pd.Series(sizes, index=people), "bytes")


def group_instructions(
    instruction_ids: Sequence[str], instructions: pd.DataFrame, lengths: EHRLengths
) -> Groups:
    """Group instructions by category, subcategory, specialty and the length of the EHR.

    Args:
        instruction_ids: the rated ones; each counts once.
        instructions: instruction_id, person_id, category, subcategory, submitter_specialty.
        lengths: of the patients' EHRs.

    Returns:
        The groups, largest first. An instruction without a category (and so on) is in group
        "(none)"; a grouping for which all are without is left out. Quartiles are of the patients,
        each counted once, shortest first, so their numbers of instructions differ; equal lengths
        fall into the lower one. Their bounds, each one record's length, are given to two digits.
        Fewer than four patients have no quartiles.

    Raises:
        MedAlignError: an instruction is unknown, or its patient's EHR has no length.

    >>> instructions = pd.DataFrame({"instruction_id": list("1234"), "person_id": list("pqrs"),
    ...     "category": ["Other", "Other", None, "Other"], "subcategory": None,
    ...     "submitter_specialty": None})
    >>> lengths = EHRLengths(pd.Series({"p": 900, "q": 3000, "r": 50, "s": 700}), "tokens")
    >>> groups = group_instructions(list("1234"), instructions, lengths)
    >>> groups.members["group"].tolist()[:4]
    ['Other', 'Other', 'Other', '(none)']
    >>> groups.members["group"].tolist()[4:6], list(groups.left_out)
    (['1 (shortest): up to 50 tokens', '2: up to 700 tokens'], ['subcategory', 'specialty'])
    """
    ids = pd.Index(instruction_ids).unique()
    patients = patients_of(ids, instructions)
    rated = instructions.set_index("instruction_id").loc[ids]
    groupings, left_out = {}, {}
    for grouping, column in _BY_COLUMN.items():
        if rated[column].isna().all():
            left_out[grouping] = f"the release gives no {grouping} of a rated instruction"
        else:
            named = rated[column].fillna("(none)")
            sizes = named.value_counts(sort=False).sort_index(kind="stable")
            order = sizes.sort_values(ascending=False, kind="stable").index
            groupings[grouping] = pd.Series(pd.Categorical(named, order), index=ids)
    unknown = sorted(set(patients) - set(lengths.by_patient.index))
    if unknown:
        raise MedAlignError(f"group_instructions: no length of the EHR of patient {unknown[0]}")
    if len(set(patients)) < 4:
        left_out[EHR_QUARTILE] = f"{len(set(patients))} patients, expected 4 or more"
    else:
        labels = _quartiles(lengths.by_patient.loc[pd.unique(patients)], lengths.unit)
        groupings[EHR_QUARTILE] = labels.loc[patients].set_axis(ids)
    members = [
        pd.DataFrame({"grouping": grouping, "group": groups.sort_values(kind="stable")})
        for grouping, groups in groupings.items()
    ]
    members = pd.concat(members or [pd.DataFrame(columns=["grouping", "group"], index=ids[:0])])
    members = members.astype({"grouping": "str", "group": "str"})
    return Groups(members.rename_axis("instruction_id").reset_index(), left_out)


def evaluate_groups(
    ratings: pd.DataFrame,
    instructions: pd.DataFrame,
    members: pd.DataFrame,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Evaluate the systems on each group of instructions by itself.

    Args:
        ratings: as `evaluation.check_ratings` describes.
        instructions: instruction_id, person_id.
        members: as `group_instructions` gives them.
        bootstrap: over patients.

    Returns:
        One row a group and system, groups in the order of `members`, systems by their mean rank
        over all ratings: grouping, group, system, n (instructions), n_patients, correct,
        correct_low, correct_high, wilson_low, wilson_high, win_rate, win_rate_low, win_rate_high,
        mean_rank, mean_rank_low, mean_rank_high, all as in `evaluation.evaluate_systems`. However small a
        group is, it has its row; with one patient its bootstrap intervals are NaN. Nothing is
        adjusted for the number of groups, and groups are not compared with each other, nor systems
        in pairs within one. `disclosure.suppress_small_groups` is for releases of real patients.

    Raises:
        MedAlignError: if ratings are incomplete or an instruction is unknown.
    """
    means = wide(ratings, "rank").mean()
    systems = means.sort_values(kind="stable").index
    tables = [pd.DataFrame(columns=_COLUMNS)]
    for (grouping, group), ids in members.groupby(["grouping", "group"], sort=False):
        of_group = ratings[ratings["instruction_id"].isin(ids["instruction_id"])]
        table = evaluate_systems(
            of_group, instructions, dict.fromkeys(systems), bootstrap=bootstrap
        )
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
    """Evaluate the systems by their context length, over all instructions.

    Systems of one length may differ in much else; `comparisons.compare_contexts` compares those
    that do not.

    Args:
        ratings: as `evaluation.check_ratings` describes.
        instructions: instruction_id, person_id.
        contexts: the systems to compare by it, each with its context length in tokens, None for the
            full record; `params.comparable_contexts` gives them, without refinement. Other
            systems count as opponents only.
        bootstrap: over patients.

    Returns:
        The columns of `evaluate_groups`; the group is a context length, shortest first. Each has a
        row a system, and where there are several one for their mean ("mean of 4 systems"), without
        Wilson's interval: the responses to one instruction are not independent.

    Raises:
        MedAlignError: if ratings are incomplete, or a system of `contexts` is not rated.

    >>> ratings = pd.DataFrame({
    ...     "instruction_id": ["1", "1", "2", "2"], "system": ["a", "b"] * 2,
    ...     "correct": [True, False, True, True], "rank": [1.0, 2.0, 1.5, 1.5]})
    >>> instructions = pd.DataFrame({"instruction_id": ["1", "2"], "person_id": ["p", "q"]})
    >>> table = evaluate_context_lengths(ratings, instructions, {"a": 2048, "b": 2048},
    ...     bootstrap=Bootstrap.seeded(100, 1))
    >>> table[["group", "system", "correct"]].values.tolist()[1:]
    [['2,048 tokens', 'b', 0.5], ['2,048 tokens', 'mean of 2 systems', 0.75]]
    """
    correct, ranks = wide(ratings, "correct").astype(float), wide(ratings, "rank")
    ranks = ranks[ranks.mean().sort_values(kind="stable").index]
    correct = correct[ranks.columns]
    if unrated := [system for system in contexts if system not in ranks]:
        raise MedAlignError(
            f"evaluate_context_lengths: no ratings of {unrated[0]}; "
            f"found {', '.join(sorted(ranks))}"
        )
    check_ratings(ratings)
    patients = patients_of(ranks.index, instructions)
    drawn = bootstrap_systems(correct.to_numpy(), ranks.to_numpy(), patients, bootstrap=bootstrap)
    counts = {"n": len(ranks), "n_patients": len(set(patients))}
    rows = []
    for length in sorted(set(contexts.values()), key=lambda n: np.inf if n is None else n):
        systems = [system for system in ranks if system in contexts and contexts[system] == length]
        group = "full record" if length is None else f"{length:,} tokens"
        pooled = {f"mean of {len(systems)} systems": systems} if len(systems) > 1 else {}
        for name, members in ({system: [system] for system in systems} | pooled).items():
            row = {"grouping": CONTEXT_LENGTH, "group": group, "system": name, **counts}
            for figure, of_systems in drawn.items():
                mean = of_systems.mean_of(ranks.columns.get_indexer(members))
                [(estimate, low, high)] = mean.intervals()
                row |= {figure: estimate, f"{figure}_low": low, f"{figure}_high": high}
            if name in ranks:
                n_correct = correct[name].sum()
                bounds = proportion_confint(
                    n_correct, len(correct), alpha=1 - CONFIDENCE, method="wilson"
                )
                row |= {"wilson_low": bounds[0], "wilson_high": bounds[1]}
            rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _quartiles(lengths: pd.Series, unit: str) -> pd.Series:
    """The label of each patient's quartile, ordered."""
    bounds = np.quantile(lengths, [0.25, 0.5, 0.75], method="inverted_cdf")
    ends = [f"{float(f'{bound:.2g}'):,.0f} {unit}" for bound in bounds]
    labels = [
        *(f"1 (shortest): up to {ends[0]}", f"2: up to {ends[1]}", f"3: up to {ends[2]}"),
        f"4 (longest): over {ends[2]}",
    ]
    codes = np.searchsorted(bounds, lengths)
    return pd.Series(pd.Categorical.from_codes(codes, labels, ordered=True), index=lengths.index)
