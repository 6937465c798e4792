import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medalign_utils import paths
from medalign_utils.data import ehr
from medalign_utils.data.release import load_release
from medalign_utils.errors import EHRError, MedAlignError, ReleaseError
from medalign_utils.fairness import counterfactual, perturbation
from medalign_utils.generation.base import Failure, Generation, Generator
from medalign_utils.generation.registry import GENERATORS
from medalign_utils.generation.runner import run_system
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import Bootstrap
from medalign_utils.synthetic import write_release
from tests.builders.tiny_release import (
    INSTRUCTIONS_HEADER,
    REFERENCES_HEADER,
    encounter,
    entry,
    event,
    eventstream,
    note,
)

HEADER = (
    "<person><birthdate>{born}</birthdate><age><days>{days}</days><years>{years}</years></age>"
    "<demographics><ethnicity>Hispanic or Latino</ethnicity><gender>{gender}</gender>"
    "<race>{race}</race></demographics><payerplan>Medicare</payerplan></person>"
)
ROE = {"born": "1950-03-02", "days": "23172", "years": "63", "gender": "FEMALE", "race": "White"}
DOE = ROE | {"gender": "MALE", "race": "Asian"}


def record(person_id: str, text: str, **header: str) -> str:
    coded = entry("2013-08-10 09:30", event("observation", "X/1", "Partner", "she"))
    inside = note("2013-08-10 10:00", text) + coded
    return eventstream(person_id, encounter(inside, HEADER.format(**header), "2013-08-10 09:00"))


QUESTIONS = {  # instruction -> patient, question, correct answer, mark
    "1": ("10", "Did she ever have a stroke?", True, []),
    "2": ("10", "Does her gout hurt?", False, []),
    "3": ("20", "Has he got gout?", True, []),
    "4": ("20", "Is he known for gout?", False, ["sex"]),
}
SYSTEM = {"context_length": None, "format": "lines", "tokenizer": "minilm"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Create a separate project with a release of a woman and a man."""
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").touch()
    folder = Path("data/mine")
    (folder / "ehrs").mkdir(parents=True)
    notes = {"10": ("She is a 63 yo woman &amp; she is well.", ROE), "20": ("He is 63 yo.", DOE)}
    for person, (text, header) in notes.items():
        (folder / f"ehrs/{person}.xml").write_text(record(person, text, **header))
    asked, answered, key = INSTRUCTIONS_HEADER, REFERENCES_HEADER, ""
    for i, (person, question, answer, mark) in QUESTIONS.items():
        asked += f"{i}\t{question}\tCardiology\t{person}\n"
        answered += f"{i}\t{question}\t{person}\t\tAnnotator_1\tYes.\t\t\tother\n"
        topic = ["stroke" if "stroke" in question else "gout"]
        facts = [{"kind": "yes_no", "topic": topic, "answer": answer}]
        key += json.dumps({"instruction_id": i, "facts": facts, counterfactual.MARK: mark}) + "\n"
    (folder / "all-instructions-rouge.tsv").write_text(asked)
    (folder / "clinician-instruction-responses.tsv").write_text(answered)
    (folder / "answer-key.jsonl").write_text(key)
    return folder


def rewrite_each(release, *changes) -> dict:
    folders = {change: paths.counterfactual("mine", change) for change in changes}
    return {c: counterfactual.rewrite_release(release, c, folder) for c, folder in folders.items()}


def pairs_of(folder, name: str, *changes, **options) -> tuple:
    """Return a system's answers to the original and the rewritten records."""
    run = Run("mine", folder)
    system = SYSTEM | {"system": name} | options
    run_system(run.release, system, paths.responses("mine", name), progress=False)
    releases = rewrite_each(run.release, *changes)
    pairs = counterfactual.answer_pairs(run, releases, {name: system}, progress=False)
    return pairs, {change: release.n_left_out for change, release in releases.items()}


@pytest.fixture
def by_gender(monkeypatch):
    """Register a generator that answers by the header's gender."""

    def answer(prompts):
        is_female = ["gender: FEMALE" in prompt.ehr for prompt in prompts]
        return [Generation("Yes." if female else "No.", "stop", 1) for female in is_female]

    monkeypatch.setitem(GENERATORS, "by_gender", lambda: Generator(answer))


def test_a_system_that_answers_by_gender_is_found(project, by_gender):
    changes = ("nothing", "gender", "race")
    pairs, left_out = pairs_of(project, "mine", *changes, generator="by_gender")
    # The man's race is not one that is swapped, so his 2 instructions are left out.
    assert left_out == {"nothing": 0, "gender": 0, "race": 2}
    table = counterfactual.summarise(pairs, left_out, bootstrap=Bootstrap.seeded(200, 1))
    table = table.set_index(["change", "relevant"])
    # The woman's answers change from Yes to No: 1 was right and is lost, 2 was wrong and is gained.
    # The man's change from No to Yes: 3 was wrong and is gained; 4, which depends on sex, is lost.
    gender = table.loc[("gender", False)]
    assert (gender["n"], gender["n_patients"]) == (3, 2)
    assert gender[["changed", "changed_beyond", "flipped"]].tolist() == [1, 1, 1]
    assert gender[["lost", "gained", "net"]].tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    # In resamples, the woman alone has a net change of (1 - 1)/2 = 0, the man alone of 1.
    assert gender[["net_low", "net_high"]].tolist() == [0, 1]
    relevant = table.loc[("gender", True)]
    assert relevant[["n", "n_patients", "lost", "net"]].tolist() == [1, 1, 1, -1]
    assert np.isnan(relevant[["lost_low", "lost_high"]].astype(float)).all()
    for change, n in (("nothing", 4), ("race", 2)):
        row = table.loc[(change, False)]
        assert row["n"] == n and (row[list(counterfactual.MEASURES)] == 0).all()


def test_without_an_answer_key_answers_are_compared_but_not_graded(project, by_gender):
    (project / "answer-key.jsonl").unlink()
    pairs, left_out = pairs_of(project, "mine", "nothing", "gender", generator="by_gender")
    table = counterfactual.summarise(pairs, left_out, bootstrap=Bootstrap.seeded(9, 1))
    assert table[["n", "changed"]].values.tolist() == [[4, 0], [4, 1]]
    assert table[["flipped", "lost", "gained", "net"]].isna().all(axis=None)


def test_quoting_a_rewritten_word_changes_only_the_text(project):
    pairs, _ = pairs_of(project, "mine", "nothing", "gender", "age", generator="recent_note")
    shares = pairs.groupby("change")[["changed", "changed_beyond"]].mean()
    assert shares.T.to_dict("list") == {"nothing": [0, 0], "gender": [1, 0], "age": [1, 0]}
    assert (pairs["before"] == pairs["after"]).all()


def test_truncated_answers_are_compared_up_to_the_shorter(project, monkeypatch):
    def answer(prompts):
        texts = ["She " if "gender: FEMALE" in prompt.ehr else "He i" for prompt in prompts]
        return [Generation(text, "length", 1) for text in texts]

    monkeypatch.setitem(GENERATORS, "cut", lambda: Generator(answer))
    pairs, _ = pairs_of(project, "mine", "gender", generator="cut")
    # "She " becomes "He ", up to the shorter one; "He i" becomes "She i".
    assert pairs["changed"].all() and not pairs["changed_beyond"].any()


def test_a_prompt_without_a_response_is_not_compared(project, monkeypatch):
    def answer(prompts):
        failure = Failure("HTTP 400", "permanent")
        found = ["gender: FEMALE" in prompt.ehr for prompt in prompts]
        return [Generation("Yes.", "stop", 1) if female else failure for female in found]

    monkeypatch.setitem(GENERATORS, "of_women", lambda: Generator(answer))
    pairs, _ = pairs_of(project, "mine", "nothing", "gender", generator="of_women")
    assert pairs["change"].tolist() == ["nothing", "nothing"] and not pairs["changed"].any()


def test_header_notes_and_instructions_agree_and_the_rest_stays(project):
    release = load_release(project)
    releases = rewrite_each(release, "gender", "age", "ethnicity")
    before = ehr.read_events(release.ehr_path("10"))
    for change, expected in {
        "gender": {"gender": "MALE", "Progress note": "He is a 63 yo man & he is well."},
        # 20 years with 5 leap days: 7,305 days.
        "age": {"birthdate": "1930-03-02", "age_days": "30477", "age_years": "83",
                "Progress note": "She is a 83 yo woman & she is well."},
        "ethnicity": {"ethnicity": "Not Hispanic or Latino"},
    }.items():  # fmt: skip
        events = ehr.read_events(releases[change].release.ehr_path("10"))
        differ = events["source_text"].ne(before["source_text"])
        assert events[differ].set_index("name")["value"].to_dict() == expected
        others = [column for column in events if column not in ("value", "source_text")]
        pd.testing.assert_frame_equal(events[others], before[others])
    assert releases["gender"].release.instructions["question"].tolist() == [
        "Did he ever have a stroke?", "Does his gout hurt?",
        "Has she got gout?", "Is she known for gout?",
    ]  # fmt: skip


def test_every_replacement_is_listed_with_its_place(project):
    release = load_release(project)
    releases = rewrite_each(release, "gender", "age")
    listed = releases["gender"].replacements
    file = paths.counterfactual("mine", "gender") / "replacements.csv"
    assert pd.read_csv(file, dtype="str")["before"].tolist() == listed["before"].tolist()
    notes = listed[listed["place"].eq("note") & listed["person_id"].eq("10")]
    events = ehr.read_events(release.ehr_path("10"))
    [text] = events.loc[events["type"] == "note", "source_text"]
    assert notes["before"].tolist() == ["She", "woman", "she"]
    for row in notes.itertuples():  # the offset counts &amp; as one character
        assert text[row.offset : row.offset + len(row.before)] == row.before
        assert (row.encounter, row.event, row.item) == (0, 0, "9")
    headers = listed[listed["place"] == "header"]
    assert headers[["item", "before", "after"]].values.tolist() == [
        ["gender", "FEMALE", "MALE"], ["gender", "MALE", "FEMALE"],
    ]  # fmt: skip
    counts = counterfactual.count_replacements(releases).set_index(["change", "place", "before"])
    # "She" and "she" in her note; "he" in his note and two of his questions.
    assert counts.loc[("gender", "note", "she"), ["after", "n", "n_patients"]].tolist() == [
        "he", 2, 1,
    ]  # fmt: skip
    assert counts.loc[("gender", "instruction", "he"), "n"] == 2
    # Counts reveal no age and no date.
    assert set(counts.loc["age"].index.get_level_values("before")) == {"##", "#####", "####-##-##"}
    assert counterfactual.count_replacements(rewrite_each(release, "nothing")).empty
    told = counterfactual.count_replacements(releases, least=2)
    assert "n_patients" not in told and "header" not in set(told["place"])
    assert set(told["before"]) < set(counts.reset_index()["before"])


def test_only_the_owner_can_read_files_made_from_a_restricted_release(project):
    counterpart = rewrite_each(load_release(project), "gender")["gender"]
    folder = paths.counterfactual("mine", "gender")
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert "no manifest.json" in counterpart.release.why_restricted


def test_errors_say_what_is_wrong(project):
    release = load_release(project)

    def assert_refused(error, match, change="gender"):
        with pytest.raises(error, match=match):
            counterfactual.rewrite_release(release, change, Path("x"))

    assert_refused(MedAlignError, "change 'sex', expected one of nothing, gender, race", "sex")
    file = project / "answer-key.jsonl"
    file.write_text(file.read_text().replace(counterfactual.MARK, "mark"))
    with pytest.raises(ReleaseError, match=r"relevant_demographics missing for instruction 1 \(4 "):
        counterfactual.answer_pairs(Run("mine", project), {}, {})
    (project / "ehrs/10.xml").write_bytes(record("10", "\xe9", **ROE).encode("latin-1"))
    assert_refused(EHRError, r"10\.xml, line \d+: not well-formed XML: .*encoding")
    (project / "ehrs/10.xml").write_text("<record><visit/></record>")
    assert_refused(EHRError, r"10\.xml: root element <record>; only <eventstream>")
    for person in ("10", "20"):
        (project / f"ehrs/{person}.xml").write_text(record(person, "Well.", **DOE))
    assert_refused(MedAlignError, "no record has a race that can be rewritten", "race")


def test_a_restricted_release_has_no_counts_of_who_is_left_out():
    sizes = {("nothing", False): 40, ("gender", False): 29, ("gender", True): 5}
    pairs = pd.concat(
        pd.DataFrame({"change": change, "relevant": relevant, "person_id": range(n)})
        for (change, relevant), n in sizes.items()
    ).assign(system="a", changed=True, changed_beyond=False, before=True)
    pairs["after"] = pairs["person_id"] < 10
    left_out = {"nothing": 0, "gender": 6}
    table = counterfactual.summarise(pairs, left_out, bootstrap=Bootstrap.seeded(9, 1))
    shown = counterfactual.without_small_groups(table)
    counts = shown[["n", "n_patients", "n_left_out"]].fillna(-1)
    assert counts.values.tolist() == [[40, 40, 0], [-1, -1, -1], [-1, -1, -1]]
    assert shown["lost"].fillna(-1).tolist() == [0.75, 0.66, -1]  # 19 of 29, to two decimals
    assert shown["suppressed"].tolist() == ["", "", "not shown: fewer than 11 patients"]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    write_release(folder / "original", patients=3, instructions=30)
    release = load_release(folder / "original")
    changes = (perturbation.NOTHING, *perturbation.CHANGES)
    return release, {c: counterfactual.rewrite_release(release, c, folder / c) for c in changes}


def events_of(release, people) -> pd.DataFrame:
    records = [ehr.read_events(release.ehr_path(person)) for person in sorted(people)]
    return pd.concat(records, ignore_index=True)


def questions_of(release) -> pd.Series:
    return release.instructions.set_index("instruction_id")["question"].sort_index()


@pytest.mark.parametrize("change", ["nothing", "gender", "race", "ethnicity"])
def test_rewriting_twice_restores_the_original(synthetic, tmp_path, change):
    release, counterparts = synthetic
    once = counterparts[change]
    twice = counterfactual.rewrite_release(once.release, change, tmp_path)
    assert bool(len(once.replacements)) == (change != "nothing") and twice.n_left_out == 0
    restored = events_of(twice.release, once.people)
    assert events_of(once.release, once.people).equals(restored) == (change == "nothing")
    pd.testing.assert_frame_equal(restored, events_of(release, once.people))
    questions = questions_of(twice.release)
    assert questions.equals(questions_of(release)[questions.index])
    order, ids = (r.instructions["instruction_id"] for r in (release, once.release))
    assert ids.tolist() == order[order.isin(ids)].tolist()
    assert not once.release.is_restricted and once.release.manifest["rewritten"] == change


def test_notes_and_headers_agree_in_the_synthetic_release(synthetic):
    release, counterparts = synthetic
    words = {"FEMALE": {"she", "her", "woman"}, "MALE": {"he", "his", "man"}}
    for person in release.instructions["person_id"].unique():
        events = ehr.read_events(counterparts["gender"].release.ehr_path(person))
        text = "\n".join(events.loc[events["type"] == "note", "value"])
        text = re.sub(r"^FH:.*$", "", text, flags=re.MULTILINE)  # about relatives
        [header] = events.loc[events["name"] == "gender", "value"].unique()
        found = set(re.findall(r"\w+", text.lower()))
        assert [gender for gender in words if words[gender] & found] == [header]


def test_the_answer_key_marks_where_sex_or_age_matters(synthetic):
    release, _ = synthetic
    by_age = ("age_at_diagnosis", "lung_screening", "one_liner", "d_dimer_cutoff", "stroke_risk")
    marks = []
    for line in map(json.loads, release.answer_key_path.read_text().splitlines()):
        by_sex = line["template"] == "stroke_risk" or re.search("PSA|hyster", line["reference"])
        expected = ["sex"] * bool(by_sex) + ["age"] * (line["template"] in by_age)
        assert line[counterfactual.MARK] == expected, line
        marks += expected
    assert marks
