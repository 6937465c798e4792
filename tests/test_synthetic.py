import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medalign_utils import dataset, ehr, grading, prompts
from medalign_utils.errors import MedAlignError
from medalign_utils.synthetic import check, write_release
from medalign_utils.synthetic.instructions import SHARES, plan_subcategories
from medalign_utils.synthetic.templates import SUBCATEGORIES, TEMPLATES

OFFICIAL = Path(__file__).parents[2] / "shared" / "official" / "instruction-taxonomy.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    write_release(out)
    return out


@pytest.fixture(scope="module")
def release(folder):
    return dataset.load_release(folder)


@pytest.fixture(scope="module")
def key(folder):
    return grading.load_answer_key(folder / "answer-key.jsonl")


@pytest.fixture(scope="module")
def texts(release):
    people = release.instructions["person_id"].unique()
    return {p: ehr.ehr_text(release.ehr_path(p), "lines") for p in people}


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_one_seed_gives_the_same_bytes_in_another_process(folder, tmp_path):
    command = [sys.executable, "-m", "medalign_utils", "synthesize", str(tmp_path / "again")]
    subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": "7"})
    assert digests(tmp_path / "again") == digests(folder)


def test_another_seed_gives_another_release(folder, tmp_path):
    write_release(tmp_path, patients=3, instructions=6, seed=2)
    write_release(tmp_path / "b", patients=3, instructions=6, seed=3)
    assert digests(tmp_path)["answer-key.jsonl"] != digests(tmp_path / "b")["answer-key.jsonl"]


def test_manifest_names_every_file_with_its_digest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    found = digests(folder)
    del found["manifest.json"]
    assert manifest["synthetic"] is True and manifest["files"] == found


def test_demo_has_the_size_and_shares_it_promises(release):
    assert release.instructions["person_id"].nunique() == 24
    assert len(release.instructions) == 120
    assert release.references["instruction_id"].nunique() >= 72
    counts = Counter(release.instructions["category"])
    assert len(counts) == 6 and release.instructions["subcategory"].nunique() >= 18
    # The paper's 667, 136, 70, 33, 2, 75 of 983, as shares; 120 instructions round each by 1 %.
    paper = {"Retrieve & Summarize": 667, "Care Planning": 136, "Calculation & Scoring": 70,
             "Diagnosis Support": 33, "Translation": 2, "Other": 75}  # fmt: skip
    for category, n in paper.items():
        assert abs(counts[category] / 120 - n / 983) < 0.02


def test_records_span_two_orders_of_magnitude(texts):
    tokenizer = prompts.load_tokenizer("minilm")
    tokens = [prompts.count_tokens(text, tokenizer) for text in texts.values()]
    assert 2_000 < min(tokens) < 5_000 and 150_000 < max(tokens) < 250_000
    assert np.median(tokens) > 20_000


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the authors' sample files are not here")
def test_subcategories_are_the_taxonomy_s():
    rows = OFFICIAL.read_text("utf-8").splitlines()[1:]
    names = {tuple(row.split(",", 2)[:2]) for row in rows}
    ours = {(c.replace("Retrieve & Summarize", "information retrieval").lower(), s)
            for s, c in SUBCATEGORIES.items()}  # fmt: skip
    assert ours == names


def test_templates_are_many_and_the_splits_are_apart():
    demo = {t.name for t in TEMPLATES.values() if t.split == "demo"}
    train = {t.name for t in TEMPLATES.values() if t.split == "train"}
    assert len(demo) >= 40 and len(train) >= 12 and not demo & train
    assert all(len(set(t.phrasings)) >= 3 for t in TEMPLATES.values())
    assert all(t.subcategory in SUBCATEGORIES for t in TEMPLATES.values())


def test_shares_follow_the_plan():
    plan = plan_subcategories(120, "demo")
    assert sum(n for n, _ in SHARES.values()) == len(plan) == 120
    assert Counter(s for s, _ in plan) == {s: n for s, (n, _) in SHARES.items()}
    # 12 patients' worth: largest remainders fill up to exactly the number asked for.
    assert len(plan_subcategories(37, "demo")) == 37


def test_every_reference_grades_correct(key):
    wrong = [
        k["template"] for k in key.values() if not grading.grade(k["reference"], k["facts"])[0]
    ]
    assert wrong == []


def test_references_do_not_answer_other_instructions(key):
    assert check.swapped_references(key) < 0.05


def test_constant_answers_do_not_pass(key, release):
    table = check.constant_answers(release, key)
    assert list(table["answer"])[-1] == "the whole prompt"
    assert (table["n"] == sum(k["where"] != "nowhere" for k in key.values())).all()
    assert (table["correct"] <= 0.10).all()


def test_answers_stand_where_the_key_says(key, texts):
    """A value that stands in notes only is in no coded line, and one in codes only in no note."""
    checked = 0
    for line in key.values():
        fact = line["facts"][0]
        if fact["kind"] != "number" or not fact.get("date") or line["where"] not in ("codes",):
            continue
        text = texts[line["person_id"]]
        value = fact["value"]
        shown = f"{value:.10g}"
        days = [row for row in text.splitlines() if row.startswith(fact["date"])]
        assert any(" measurement " in row and shown in row for row in days), line
        checked += 1
    assert checked >= 3


def test_where_and_position_go_together(key):
    for line in key.values():
        assert (line["where"] == "nowhere") == (line["position"] is None)
        assert line["position"] is None or 0 < line["position"] <= 1
    assert {line["where"] for line in key.values()} == {"codes", "notes", "both", "nowhere"}


@pytest.mark.parametrize("split", ["demo", "train"])
def test_releases_of_other_seeds_hold_together(tmp_path, split):
    for seed in (11, 12):
        out = tmp_path / f"{seed}"
        write_release(out, patients=12, instructions=60, seed=seed, split=split)
        for line in grading.load_answer_key(out / "answer-key.jsonl").values():
            assert grading.grade(line["reference"], line["facts"]).correct, line
            assert TEMPLATES[line["template"]].split == split


def test_bad_arguments_end_in_one_line(tmp_path, capsys):
    with pytest.raises(MedAlignError, match="0 patients, 5 instructions; expected at least 1"):
        write_release(tmp_path, patients=0, instructions=5)
    with pytest.raises(MedAlignError, match="split 'x', expected one of demo, train"):
        write_release(tmp_path, split="x")
    with pytest.raises(MedAlignError, match="ask for fewer or add patients"):
        write_release(tmp_path, patients=1, instructions=2000)
    assert not any(tmp_path.iterdir())
