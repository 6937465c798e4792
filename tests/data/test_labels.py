import pandas as pd
import pytest

from medalign_utils.data.ehr.event_types import EVENT_TYPES
from medalign_utils.data.ehr.labels import TYPES, name_label, unit_label, value_label


def test_every_type_has_a_clinical_word():
    assert set(TYPES) == set(EVENT_TYPES)
    assert not any("_" in word for word in TYPES.values())


@pytest.mark.parametrize(
    ("unit", "label"),
    [
        ("Cel", "°C"), ("[degF]", "°F"), ("mm[Hg]", "mmHg"), ("{beats}/min", "beats/min"),
        ("10*3/uL", "10³/µL"), ("10*6/uL", "10⁶/µL"), ("mcg", "µg"), ("m[IU]/L", "mIU/L"),
        ("mg/dL", "mg/dL"), ("%", "%"), ("U/L", "U/L"), (None, ""), (float("nan"), ""),
    ],
)  # fmt: skip
def test_units_as_laboratory_reports_print_them(unit, label):
    assert unit_label(unit) == label


def test_names_and_values():
    assert name_label("person", "payerplan") == "Insurance"
    assert name_label("condition", "gender") == "gender" and name_label("note", pd.NA) == ""
    assert value_label("drug_exposure", "start") == "started"
    assert value_label("note", "start") == "start"
