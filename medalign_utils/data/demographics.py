"""Who the patients of a release are, as their EHRs say, and how long their records are.

One row a patient, so for an audit's memory only: what is published are the groups of
`suppression.protect`.

A release gives no time to an instruction. It is asked at the end of its patient's record, of all
that stands there; so "at the instruction's time" means at the record's last event.
"""

import re
from collections.abc import Iterable

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import Release

# By which patients are grouped, in the order of tables and figures.
GROUPINGS = ("gender", "race", "ethnicity", "age", "payer")
NOT_GIVEN = "(not given)"
# First years of the bands: minors; adults; from 40, when chronic illness begins to be common; from
# 65, Medicare's age; from 80. The last is wide, for high ages tell who somebody is.
AGE_BANDS = {0: "0–17", 18: "18–39", 40: "40–64", 65: "65–79", 80: "80+"}
# What EHRs say where they say nothing, in small letters.
_NOTHING = {"unknown", "no matching concept", "not reported", "unspecified", "declined to state"}
_NOTHING |= {"patient refused", "prefer not to say", "not specified", "none"}
# Class of payer -> what its plans' names hold; the first that fits counts.
_PAYERS = {
    "Medicaid": r"medicaid|medi-?cal\b",
    "Medicare": r"medicare",
    "Other public": r"veteran|\bva\b|tri-?care|champ|military|indian health|government",
    "Uninsured": r"self-?\s?pay|uninsured|no insurance|charity|indigent",
}
COMMERCIAL = "Commercial or other"


def read_people(
    release: Release, person_ids: Iterable[str], *, progress: bool = True
) -> pd.DataFrame:
    """Read these patients' EHRs, once each.

    Of what a record says more than once of its person the last counts, of the payer too.

    Returns: one row a patient, sorted, indexed by person_id: gender, race, ethnicity, age (a label
    of `AGE_BANDS`, at the record's last event), payer (`payer_class`), all `NOT_GIVEN` where the
    record does not say; events and notes, their numbers. What an encounter's header says of the
    person is no event.

    Raises: EHRError where a record cannot be read.
    """
    rows = {}
    for person_id in tqdm(sorted(set(person_ids)), desc="records", disable=not progress):
        rows[person_id] = describe_person(read_events(release.ehr_path(person_id)))
    people = pd.DataFrame.from_dict(rows, orient="index").rename_axis("person_id")
    for grouping in ("gender", "race", "ethnicity"):
        people[grouping] = _one_spelling(people[grouping])
    return people


def describe_person(events: pd.DataFrame) -> dict:
    """What one record says of its person: a row of `read_people`, spelled as the record has it.

    Args:
        events: as `ehr.read_events` returns them.

    >>> events = pd.DataFrame({"timestamp": pd.to_datetime(["2014-08-10"] * 2 + ["2018-01-02"]),
    ...     "type": ["person", "person", "note"], "name": ["birthdate", "payerplan", "Letter"],
    ...     "value": ["1950-03-01", "Medicare Part A", "Dear Ms. Roe"]})
    >>> person = describe_person(events)
    >>> person["age"], person["payer"], person["race"], person["events"], person["notes"]
    ('65–79', 'Medicare', '(not given)', 1, 1)
    """
    is_person = events["type"] == "person"
    about = events[is_person].sort_values("timestamp", kind="stable")
    last_said = about.drop_duplicates("name", keep="last").set_index("name")
    said = last_said["value"].to_dict()
    rest = events[~is_person]
    end = rest["timestamp"].max() if len(rest) else about["timestamp"].max()
    born = pd.to_datetime(said.get("birthdate"), errors="coerce")
    days = pd.to_numeric(said.get("age_days"), errors="coerce")
    if pd.isna(born) and pd.notna(days):
        born = last_said.at["age_days", "timestamp"] - pd.Timedelta(days=days)
    years = (end - born).days / 365.25 if pd.notna(born) and pd.notna(end) else None
    return {
        **{name: _said(said.get(name)) for name in ("gender", "race", "ethnicity")},
        "age": age_band(years),
        "payer": payer_class(said.get("payerplan")),
        "events": len(rest),
        "notes": int((rest["type"] == "note").sum()),
    }


def age_band(years: float | None) -> str:
    """The label of `AGE_BANDS` that an age in years falls into.

    >>> age_band(17.9), age_band(65), age_band(97), age_band(None)
    ('0–17', '65–79', '80+', '(not given)')
    """
    if years is None or years < 0:
        return NOT_GIVEN
    return AGE_BANDS[max(first for first in AGE_BANDS if first <= years)]


def payer_class(plan: str | None) -> str:
    """The class of payer that a plan's name tells: plans are many, and one may name its holder.

    >>> [payer_class(plan) for plan in ("MEDI-CAL MANAGED", "Veterans Affairs", "commercial PPO")]
    ['Medicaid', 'Other public', 'Commercial or other']
    """
    plan = _said(plan)
    if plan == NOT_GIVEN:
        return NOT_GIVEN
    fits = (name for name, words in _PAYERS.items() if re.search(words, plan.lower()))
    return next(fits, COMMERCIAL)


def _said(text: str | None) -> str:
    text = "" if text is None or pd.isna(text) else " ".join(text.split())
    return NOT_GIVEN if text.lower() in _NOTHING | {""} else text


def _one_spelling(values: pd.Series) -> pd.Series:
    """`FEMALE` and `Female` are one group, by its commonest spelling (of as many, the first)."""
    spelled = values.groupby(values.str.lower()).agg(lambda same: sorted(same.mode())[0])
    return values.str.lower().map(spelled)
