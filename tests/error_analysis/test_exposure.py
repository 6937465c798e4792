import json
import re

import pandas as pd
import pytest

from medalign_utils import paths
from medalign_utils.data.release import load_release
from medalign_utils.error_analysis import exposure
from medalign_utils.error_analysis.exposure import cut_time, find_exposures
from medalign_utils.error_analysis.places import answer_places
from medalign_utils.generation.runner import packed_instructions, run_system
from medalign_utils.generation.system import system_tokenizer
from medalign_utils.run import Run
from medalign_utils.synthetic import write_release

BM25 = {"generator": "bm25_passage", "tokenizer": "minilm", "format": "lines"}
SYSTEMS = {
    "short": BM25 | {"context_length": 2048},
    "markup": BM25 | {"context_length": 8192, "format": "markup"},
    "full": BM25 | {"context_length": None},
    "refine": BM25 | {"context_length": 2048, "strategy": "refine"},
    "retrieve": BM25 | {"context_length": 2048, "strategy": "retrieve"},
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exposure")
    write_release(folder / "data/tiny", patients=4, instructions=24, seed=2)
    release = load_release(folder / "data/tiny")
    for name, system in SYSTEMS.items():
        run_system(release, system, folder / f"runs/tiny/responses/{name}.jsonl", progress=False)
    return folder


@pytest.fixture
def run(ran, monkeypatch):
    monkeypatch.chdir(ran)
    return Run("tiny", "data/tiny", list(SYSTEMS))


def exposures_of(run, *systems):
    table = find_exposures(run, answer_places(run.release), SYSTEMS)
    return table[table["system"].isin(systems)]


@pytest.mark.parametrize(
    ("system", "pattern"),
    [("short", r"^(\d{4}-\d\d-\d\d \d\d:\d\d) "), ("markup", r'<entry timestamp="(.{16})"')],
)
def test_an_answer_is_shown_if_the_prompt_contains_its_time(run, system, pattern):
    release, settings = run.release, SYSTEMS[system]
    tokenizer = system_tokenizer(settings)
    asked = release.instructions
    prompts = packed_instructions(release, asked, settings, tokenizer)
    times = {task.instruction_id: set(re.findall(pattern, task.prompt.ehr, re.MULTILINE))
             for task in prompts}  # fmt: skip
    time_of = answer_places(release).set_index("instruction_id")["timestamp"]
    known = exposures_of(run, system).dropna(subset="shown")
    assert set(known["shown"]) == {True, False}
    for row in known.itertuples():
        is_in = f"{time_of[row.instruction_id]:%Y-%m-%d %H:%M}" in times[row.instruction_id]
        assert is_in == row.shown


def test_without_a_limit_and_in_refinement_everything_is_shown(run):
    whole = exposures_of(run, "full", "refine")
    nowhere = whole["unknown"] == exposure.NOWHERE
    assert whole.loc[~nowhere, "shown"].all() and whole.loc[nowhere, "shown"].isna().all()


def test_what_is_not_known_has_a_reason(run):
    table = exposures_of(run, *SYSTEMS)
    assert (table["unknown"] != "").equals(table["shown"].isna())
    kept = run.responses("retrieve")
    cut = set(kept.loc[kept["ehr_tokens_kept"] < kept["ehr_tokens_total"], "instruction_id"])
    of_cut = table[table["system"].eq("retrieve") & table["instruction_id"].isin(cut)]
    assert len(of_cut) and set(of_cut["unknown"]) <= {exposure.RETRIEVED, exposure.NOWHERE}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt_tokens_read": 900}, exposure.SERVER_CUT),
        ({"prompt_sha256": "0" * 64}, exposure.REBUILT),
    ],
)
def test_another_prompt_than_the_one_sent_is_not_trusted(
    run, tmp_path, monkeypatch, change, reason
):
    lines = paths.responses("tiny", "short").read_text().splitlines()
    rows = [json.loads(line) | change for line in lines]
    release = run.release.path.resolve()
    monkeypatch.chdir(tmp_path)
    file = paths.responses("tiny", "short")
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = Run("tiny", release, ["short"])
    table = find_exposures(other, answer_places(other.release), SYSTEMS)
    assert reason in set(table["unknown"]) and table["shown"].isna().sum() > 0


def test_the_cut_may_be_before_any_event_or_in_the_paper_s_markup():
    assert cut_time("", "lines") is None and cut_time("<eventstream>", "markup") is None
    days = '<visit type="x" start="01/02/2014"><day start="01/02/2014 09:30"><note>'
    assert cut_time(days, "markup") == pd.Timestamp("2014-01-02 09:30")
