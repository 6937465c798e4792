"""Demographics and record lengths of patients, read from their EHRs.

Do not publish rows about single patients; `disclosure.disclosable_groups` forms groups that may be
published. Instructions in a release have no date, so age is the age at the end of the record.
"""

import re
from collections.abc import Iterable

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import Release

# In the order in which tables and figures show them.
GROUPINGS = ("gender", "race", "ethnicity", "age", "payer")
NOT_GIVEN = "(not given)"
# First year -> band: minors; adults; from 40, as chronic illness becomes common; from 65, the age
# of Medicare; from 80, one wide band because high ages identify patients.
AGE_BANDS = {0: "0–17", 18: "18–39", 40: "40–64", 65: "65–79", 80: "80+"}
_UNKNOWN = (
    "|unknown|no matching concept|not reported|unspecified|declined to state|patient refused|"
    "prefer not to say|not specified|none"
).split("|")
# Payer class -> pattern in the names of its plans; the first match counts.
_PAYERS = {
    "Medicaid": r"medicaid|medi-?cal\b",
    "Medicare": r"medicare",
    "Other public": r"veteran|\bva\b|tri-?care|champ|military|indian health|government",
    "Uninsured": r"self-?\s?pay|uninsured|no insurance|charity|indigent",
    "Commercial or other": "",
}


def read_people(
    release: Release, person_ids: Iterable[str], *, progress: bool = True
) -> pd.DataFrame:
    """Return the demographics of patients, reading each EHR once.

    One row per patient, indexed by person_id and sorted:

    - gender, race, ethnicity: the last value in the record, or `NOT_GIVEN`
    - age: the label in `AGE_BANDS` at the last event, or `NOT_GIVEN`
    - payer: the `payer_class` of the last insurance plan
    - events, notes: their numbers in the record
    """
    rows = {}
    for person_id in tqdm(sorted(set(person_ids)), desc="records", disable=not progress):
        rows[person_id] = describe_person(read_events(release.ehr_path(person_id)))
    people = pd.DataFrame.from_dict(rows, orient="index").rename_axis("person_id")
    for grouping in ("gender", "race", "ethnicity"):
        # `FEMALE` and `Female` are one group, named by the more frequent spelling.
        lower = people[grouping].str.lower()
        spelling = people[grouping].groupby(lower).agg(lambda same: same.mode().min())
        people[grouping] = lower.map(spelling)
    return people


def describe_person(events: pd.DataFrame) -> dict:
    """Return a patient's row of `read_people`, with values spelled as in the record."""
    is_person = events["type"] == "person"
    facts = events[is_person].sort_values("timestamp", kind="stable")
    facts = facts.drop_duplicates("name", keep="last").set_index("name")
    values = facts["value"].to_dict()
    rest = events[~is_person]
    end = (rest if len(rest) else events)["timestamp"].max()
    birth = pd.to_datetime(values.get("birthdate"), errors="coerce")
    days = pd.to_numeric(values.get("age_days"), errors="coerce")
    if pd.isna(birth) and pd.notna(days):
        birth = facts.at["age_days", "timestamp"] - pd.Timedelta(days=days)
    years = (end - birth).days / 365.25 if pd.notna(birth) and pd.notna(end) else None
    return {name: _given(values.get(name)) for name in ("gender", "race", "ethnicity")} | {
        "age": age_band(years),
        "payer": payer_class(values.get("payerplan")),
        "events": len(rest),
        "notes": int((rest["type"] == "note").sum()),
    }


def age_band(years: float | None) -> str:
    """Return the label of `AGE_BANDS` for an age in years.

    >>> age_band(17.9), age_band(65), age_band(97), age_band(None)
    ('0–17', '65–79', '80+', '(not given)')
    """
    if years is None or years < 0:
        return NOT_GIVEN
    return AGE_BANDS[max(first for first in AGE_BANDS if first <= years)]


def payer_class(plan: str | None) -> str:
    """Return the payer class of an insurance plan, because a plan's name may identify its holder.

    >>> [payer_class(plan) for plan in ("MEDI-CAL MANAGED", "Veterans Affairs", "commercial PPO")]
    ['Medicaid', 'Other public', 'Commercial or other']
    """
    plan = _given(plan)
    if plan == NOT_GIVEN:
        return NOT_GIVEN
    return next(name for name, words in _PAYERS.items() if re.search(words, plan.lower()))


def is_given(value: str | None) -> bool:
    """Return whether a value says something, other than "Unknown" or the like."""
    return _given(value) != NOT_GIVEN


def _given(text: str | None) -> str:
    text = "" if text is None or pd.isna(text) else " ".join(text.split())
    return NOT_GIVEN if text.lower() in _UNKNOWN else text
