import json

import numpy as np
import pandas as pd
import pytest

from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import load_release
from medalign_utils.error_analysis.places import answer_places, text_shares
from medalign_utils.grading import load_answer_key
from medalign_utils.synthetic import write_release
from tests.builders import explorer_release
from tests.builders.explorer_release import CREATININE, MARKUP, UNANSWERED


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places") / "release"
    write_release(folder, patients=4, instructions=30, seed=3)
    return load_release(folder)


def test_every_position_of_the_answer_key_is_a_time_of_the_record(synthetic):
    key = load_answer_key(synthetic.answer_key_path)
    places = answer_places(synthetic)
    assert places["instruction_id"].tolist() == synthetic.instructions["instruction_id"].tolist()
    n_known = 0
    for place in places.itertuples():
        line = key[place.instruction_id]
        assert place.where == line["where"]
        if line["position"] is None:
            assert pd.isna(place.position) and pd.isna(place.timestamp)
            continue
        shares = text_shares(read_events(synthetic.ehr_path(line["person_id"])))
        # The key rounds to four decimals.
        assert abs(shares[place.timestamp] - line["position"]) <= 5.1e-5
        n_known += 1
    assert n_known > 20


def test_shares_rise_to_one(synthetic):
    person_id = synthetic.instructions["person_id"].iloc[0]
    shares = text_shares(read_events(synthetic.ehr_path(person_id)))
    assert shares.index.is_monotonic_increasing and (np.diff(shares) > 0).all()
    assert shares.iloc[-1] == 1


def test_without_a_key_the_reference_s_evidence_gives_the_place(tmp_path):
    release = load_release(explorer_release.write_release(tmp_path / "release"))
    places = answer_places(release).set_index("instruction_id")
    creatinine, pain = places.loc[CREATININE], places.loc[MARKUP]
    assert creatinine["where"] == "codes" and pain["where"] == "notes"
    assert creatinine["timestamp"] == pd.Timestamp("2015-01-02 08:00")
    assert pain["timestamp"] == pd.Timestamp("2014-08-10 10:00")
    assert 0 < pain["position"] < creatinine["position"] < 1
    assert places.loc[[UNANSWERED, "4"]].isna().all(axis=None)  # no evidence; not in the record


def test_a_key_without_places_is_completed_by_the_evidence(tmp_path):
    folder = explorer_release.write_release(tmp_path / "release")
    fact = {"kind": "term", "accepted": ["1.1"]}
    line = {"instruction_id": CREATININE, "facts": [fact]}
    (folder / "answer-key.jsonl").write_text(json.dumps(line) + "\n")
    places = answer_places(load_release(folder)).set_index("instruction_id")
    assert places.loc[CREATININE, "where"] == "codes" and places.loc[MARKUP, "where"] == "notes"
