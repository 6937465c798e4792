import errno
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medalign_utils import grading
from medalign_utils.__main__ import main
from medalign_utils.curation import answer_key_checks
from medalign_utils.data import ehr
from medalign_utils.data.release import load_release
from medalign_utils.data.taxonomy import SUBCATEGORIES
from medalign_utils.errors import MedAlignError, TermsError
from medalign_utils.prompts.tokenizers import load_tokenizer
from medalign_utils.synthetic import release as releases
from medalign_utils.synthetic import write_release
from medalign_utils.synthetic.instructions import (
    CATEGORIES,
    SHARES,
    plan_categories,
    plan_subcategories,
)
from medalign_utils.synthetic.templates import TEMPLATES
from tools.comet_compact.templates import TRAINING

OFFICIAL = Path(__file__).parents[3] / "shared" / "official" / "instruction-taxonomy.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    write_release(out)
    return out


@pytest.fixture(scope="module")
def release(folder):
    return load_release(folder)


@pytest.fixture(scope="module")
def key(folder):
    return grading.load_answer_key(folder / "answer-key.jsonl")


@pytest.fixture(scope="module")
def texts(release):
    people = release.instructions["person_id"].unique()
    return {p: ehr.ehr_text(release.ehr_path(p), "lines") for p in people}


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    """Write a small release with the settings of scale `release`."""
    out = tmp_path_factory.mktemp("monitored")
    with pytest.MonkeyPatch.context() as patch:
        small = releases.SCALES["release"]._replace(patients=12, instructions=60, references=20)
        patch.setitem(releases.SCALES, "release", small)
        write_release(out, scale="release")
    return load_release(out)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_one_seed_gives_the_same_bytes_in_another_process(folder, tmp_path):
    command = [sys.executable, "-m", "medalign_utils", "synthesize", str(tmp_path / "again")]
    subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": "7"})
    assert digests(tmp_path / "again") == digests(folder)


def test_manifest_names_every_file_with_its_digest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    found = digests(folder)
    del found["manifest.json"]
    assert manifest["synthetic"] is True and manifest["files"] == found


def test_the_demo_has_the_promised_size_and_shares(release):
    assert release.instructions["person_id"].nunique() == 24
    assert len(release.instructions) == 120
    assert release.references["instruction_id"].nunique() >= 72
    counts = Counter(release.instructions["category"])
    assert len(counts) == 6 and release.instructions["subcategory"].nunique() >= 18
    # With 120 instructions, the paper's shares are rounded to about 1 %.
    for category, (n, _) in CATEGORIES.items():
        assert abs(counts[category] / 120 - n / 983) < 0.02


def test_records_span_two_orders_of_magnitude(texts):
    tokens = [*map(load_tokenizer("minilm").count, texts.values())]
    assert 2_000 < min(tokens) < 5_000 and 150_000 < max(tokens) < 250_000
    assert np.median(tokens) > 20_000


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the authors' sample files are not here")
def test_subcategories_equal_the_taxonomys():
    rows = OFFICIAL.read_text("utf-8").splitlines()[1:]
    names = {tuple(row.split(",", 2)[:2]) for row in rows}
    ours = {(c.replace("Retrieve & Summarize", "information retrieval").lower(), s)
            for s, c in SUBCATEGORIES.items()}  # fmt: skip
    assert ours == names


def test_templates_are_numerous_and_separate_from_those_for_training():
    assert len(TEMPLATES) >= 40 and len(TRAINING) >= 12 and not TEMPLATES.keys() & TRAINING.keys()
    for template in [*TEMPLATES.values(), *TRAINING.values()]:
        assert len(set(template.phrasings)) >= 3 and template.subcategory in SUBCATEGORIES


def test_shares_follow_the_plan():
    plan = plan_subcategories(120)
    assert sum(n for n, _ in SHARES.values()) == len(plan) == 120
    assert Counter(s for s, _ in plan) == {s: n for s, (n, _) in SHARES.items()}
    # Largest remainders give exactly the requested number.
    assert len(plan_subcategories(37)) == 37


def test_references_pass_and_uninformed_answers_do_not(key, release):
    for i, line in key.items():
        assert grading.grade(line["reference"], line["facts"], release.questions[i]).correct, line
        assert grading.grade(line["reference"], line["facts"]).correct, line
    table = answer_key_checks.uninformed_answers(release).set_index("answer")
    swapped = table.loc[answer_key_checks.SWAPPED]
    assert swapped["n"] == len(key) * (len(key) - 1) and swapped["correct"] < 0.05
    others = table.drop(answer_key_checks.SWAPPED)
    assert list(others.index)[-1] == "the whole prompt"
    assert (others["n"] == sum(k["where"] != "nowhere" for k in key.values())).all()
    assert (others["correct"] <= 0.10).all()


def test_coded_values_are_in_that_days_coded_lines(key, texts):
    checked = 0
    for line in key.values():
        fact = line["facts"][0]
        if fact["kind"] == "number" and fact.get("date") and line["where"] == "codes":
            rows = texts[line["person_id"]].splitlines()
            days = [row for row in rows if row.startswith(fact["date"]) and " measurement " in row]
            if "two units" not in line["difficulties"]:
                assert any(f"{fact['value']:.10g}" in row for row in days), line
            checked += 1
    assert checked >= 3


def test_where_and_position_go_together(key):
    for line in key.values():
        assert (line["where"] == "nowhere") == (line["position"] is None)
        assert line["position"] is None or 0 < line["position"] <= 1
    assert {line["where"] for line in key.values()} == {"codes", "notes", "both", "nowhere"}


@pytest.mark.parametrize("asked", [TEMPLATES, TRAINING])
def test_releases_of_other_seeds_differ_and_are_consistent(tmp_path, asked):
    written = set()
    for seed in (11, 12):
        out = tmp_path / f"{seed}"
        write_release(out, patients=12, instructions=60, seed=seed, templates=asked)
        asked_for = load_release(out).questions
        for i, line in grading.load_answer_key(out / "answer-key.jsonl").items():
            assert grading.grade(line["reference"], line["facts"], asked_for[i]).correct, line
            assert line["template"] in asked
        written.add((out / "answer-key.jsonl").read_bytes())
    assert len(written) == 2


# A change here changes every published figure.
DEMO_DIGEST = "dac965cfc9c341dd097512642b0ff76622759de522ed0bec4414e2da765af512"


def test_the_demo_is_unchanged_to_the_byte(folder):
    found = repr(sorted(digests(folder).items()))
    assert hashlib.sha256(found.encode()).hexdigest() == DEMO_DIGEST


def test_submissions_are_the_instructions_and_later_rewordings_of_some(folder, release):
    table = pd.read_csv(folder / "submitted-instructions.tsv", sep="\t", dtype=str).fillna("")
    rows = table.to_dict("records")
    ids = [row["instruction_id"] for row in rows]
    originals = [row for row in rows if not row["duplicate_of"]]
    assert len(set(ids)) == len(ids) == 160  # 120 plus 40, the ratio of 983 plus 331
    questions = release.instructions.set_index("instruction_id")["question"].to_dict()
    assert {row["instruction_id"]: row["question"] for row in originals} == questions
    by_id = {row["instruction_id"]: row for row in originals}
    for row in rows:
        original = by_id[row["duplicate_of"] or row["instruction_id"]]
        assert (row["request"], row["person_id"]) == (original["request"], original["person_id"])
        if row["duplicate_of"]:
            assert row["question"] != original["question"]
            assert ids.index(row["duplicate_of"]) < ids.index(row["instruction_id"])
    # A question makes one request for any patient, and some requests concern several patients.
    assert (table.groupby("question")["request"].nunique() == 1).all()
    assert (table.groupby("request")["person_id"].nunique() > 1).any()


def test_the_plan_of_the_published_size_equals_the_papers():
    plan = plan_categories(983, 303)
    assert Counter(SUBCATEGORIES[s] for s, _ in plan) == {c: n for c, (n, _) in CATEGORIES.items()}
    referenced = Counter(SUBCATEGORIES[s] for s, has_reference in plan if has_reference)
    assert referenced == {c: n for c, (_, n) in CATEGORIES.items() if n}
    size = releases.SCALES["release"]
    assert (size.patients, size.instructions, size.references) == (276, 983, 303)
    assert round(983 * releases.DUPLICATES) == 331


def test_numbers_of_visits_at_the_published_size_are_very_uneven():
    counts = releases.SCALES["release"].visit_counts(276)
    assert min(counts) >= 3 and max(counts) <= 800
    assert np.median(counts) < np.mean(counts) / 2 and max(counts) > 7 * np.mean(counts)


def test_stays_at_the_published_size_are_dense_and_their_answers_true(monitored):
    key = grading.load_answer_key(monitored.answer_key_path)
    assert len(key) == 60 and monitored.references["instruction_id"].nunique() == 20
    assert monitored.manifest["scale"] == "release" and monitored.manifest["submitted"] == 80
    for i, line in key.items():
        assert grading.grade(line["reference"], line["facts"], monitored.questions[i]).correct, line
    checked = set()
    for person in {line["person_id"] for line in key.values()}:
        lines = [line for line in key.values() if line["person_id"] == person]
        events = ehr.read_events(monitored.ehr_path(person))
        stays = events[events["name"].eq("Inpatient Visit") & events["value"].eq("start")]
        for line in lines:
            fact = line["facts"][0]
            if line["template"] == "highest_temperature":
                day = events["timestamp"].dt.strftime("%Y-%m-%d") == fact["date"]
                readings = events[events["code"] == "LOINC/8310-5"]
                [stay] = readings[day & readings["value"].eq(str(fact["value"]))]["encounter"]
                assert stay in set(stays["encounter"])
                within = readings[readings["encounter"] == stay]
                assert within["value"].astype(float).max() == fact["value"]
                checked.add(line["template"])
            if line["template"] == "latest_weight":
                weights = events[events["code"] == "LOINC/29463-7"]
                assert float(weights["value"].iloc[-1]) == fact["value"]
        hours = events[events["code"] == "LOINC/9269-2"].groupby("encounter").size()
        assert len(hours) == len(stays) and (hours >= 48).all()
        # Drugs given during a stay were started before it and not stopped.
        taken = set()
        for event in events[events["type"] == "drug_exposure"].itertuples():
            if event.value == "administered":
                assert event.code in taken
            else:
                (taken.add if event.value == "start" else taken.discard)(event.code)
    assert checked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "x"}, "scale 'x', expected one of demo, release"),
        ({"scale": "release", "patients": 3}, "scale 'release' sets patients"),
        ({"scale": "release", "instructions": 5}, "scale 'release' sets patients"),
        ({"scale": "release", "templates": TRAINING}, "scale 'release' sets patients"),
        ({"patients": 0, "instructions": 5}, "0 patients, 5 instructions; expected at least 1"),
        ({"patients": 1, "instructions": 2000}, "ask for fewer or add patients"),
    ],
)
def test_errors_name_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(MedAlignError, match=message):
        write_release(tmp_path, **arguments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["all-instructions-rouge.tsv", "ehrs/1.xml", "mine.csv"])
@pytest.mark.parametrize("manifest", [None, "{}", "{", '{"synthetic": true, "files": {}}'])
def test_a_release_that_its_manifest_does_not_prove_synthetic_is_kept(tmp_path, name, manifest):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("real")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    before = {*tmp_path.rglob("*")}
    with pytest.raises(TermsError, match=r"that may be a real release \(.*manifest\.json"):
        write_release(tmp_path, patients=1, instructions=4)
    assert file.read_text() == "real" and {*tmp_path.rglob("*")} == before


def test_a_synthetic_release_is_replaced_as_a_whole(tmp_path):
    first = write_release(tmp_path, patients=2, instructions=6, seed=7)
    write_release(tmp_path, patients=1, instructions=4, seed=8)
    release = load_release(tmp_path)
    assert len(release.instructions) == 4 and not release.is_restricted
    assert not any((tmp_path / name).exists() for name in first["files"] if "ehrs/" in name)
    edited = next((tmp_path / "ehrs").iterdir())
    edited.write_text(edited.read_text() + "\n")
    with pytest.raises(TermsError, match="does not match its digest"):
        write_release(tmp_path, patients=1, instructions=4, seed=8)


def test_a_killed_run_leaves_a_folder_that_can_be_written_again(tmp_path, monkeypatch):
    write_release(tmp_path, patients=1, instructions=4, seed=7)
    for failing in ("unlink", "write_bytes"):
        with monkeypatch.context() as patch:
            calls = []
            real = getattr(Path, failing)

            def killed(path, *arguments, calls=calls, real=real):
                calls.append(path)
                if len(calls) == 3:
                    raise KeyboardInterrupt
                return real(path, *arguments)

            patch.setattr(Path, failing, killed)
            with pytest.raises(KeyboardInterrupt):
                write_release(tmp_path, patients=1, instructions=4, seed=8)
    write_release(tmp_path, patients=1, instructions=4, seed=8)
    assert not load_release(tmp_path).is_restricted


def test_a_full_disk_is_named_with_the_file(tmp_path, monkeypatch, capsys):
    def write(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # no file name, as write(2)

    monkeypatch.setattr(Path, "write_bytes", write)
    assert (
        main(["synthesize", str(tmp_path / "new"), "--patients", "2", "--instructions", "4"]) == 2
    )
    message = capsys.readouterr().err
    assert str(tmp_path / "new") in message and "cannot be written (No space left" in message


def test_bad_arguments_of_the_command_give_one_line(tmp_path, capsys):
    assert main(["synthesize", str(tmp_path), "--scale", "release", "--patients", "3"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "scale 'release' sets patients, instructions and templates itself" in line
