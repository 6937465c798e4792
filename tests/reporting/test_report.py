"""The report of a run: what it shows, what it names as missing, and what it never shows."""

import hashlib
import json
import re
import shutil
import stat
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import pyplot as plt

from medalign_utils import paths
from medalign_utils.__main__ import main
from medalign_utils.config import SYNTHETIC_KEYS, load_experiment
from medalign_utils.data.release import load_release
from medalign_utils.data.responses import RESPONSE_COLUMNS
from medalign_utils.errors import MedAlignError
from medalign_utils.reporting import provenance
from medalign_utils.reporting.report import FIGURES, TABLES, write_report
from medalign_utils.run import write_figure
from medalign_utils.synthetic import write_release as synthesize
from tests.builders.tiny_release import write_release

ROOT = Path(__file__).parents[2]
SNAKEFILE = (ROOT / "Snakefile").read_text()
MARKER = "Zyxwomab"
SYSTEMS = ["bm25-full", "bm25-2k"]
NOT_SYNTHETIC = dict.fromkeys(SYNTHETIC_KEYS)


class Page(HTMLParser):
    """What of a page matters here: its text, its tables, its links, and whether all tags close."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    @property
    def rows(self):
        return [row for table in self.tables for row in table]

    def handle_starttag(self, tag, attributes):
        self.attributes.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
            if {"th", "td"} & set(self.open):
                self.tables[-1][-1][-1] += data


def page(experiment):
    return Page(write_report(experiment).read_text("utf-8"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(**changes):
    """Write params/mine.yaml, the demo with changes."""
    demo = yaml.safe_load(Path("params/demo.yaml").read_text())
    content = demo | {"release": "data/mine", "systems": SYSTEMS, "metrics": ["chrf"]}
    content |= {"counterfactual_systems": []} | changes
    Path("params/mine.yaml").write_text(
        yaml.safe_dump({key: value for key, value in content.items() if value is not None})
    )
    return load_experiment("params/mine.yaml")


def respond(system, instruction_ids):
    """A system's file of responses, all of them the marker."""
    row = dict.fromkeys(RESPONSE_COLUMNS, 1) | {"system": system, "response": f"On {MARKER}."}
    file = paths.responses("mine", system)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row | {"instruction_id": each}) + "\n" for each in instruction_ids]
    file.write_text("".join(lines))


def run_everything(instruction_ids):
    """Files of a run as its notebooks write them, of made-up numbers."""
    for i, system in enumerate(SYSTEMS):
        respond(system, instruction_ids)
        scores = pd.DataFrame({"instruction_id": [MARKER, "2"], "system": system, "metric": "chrf",
                               "score": [0.25 * i, np.nan], "signature": "chrF2|v:1"})  # fmt: skip
        paths.write_scores(scores, paths.scores("mine", system), private=False)
    systems = pd.DataFrame({"system": SYSTEMS, "n": 80, "correct": [0.3125, 0.1625],
                            "correct_low": [0.21, 0.07], "correct_high": [0.41, 0.26]})  # fmt: skip
    paths.write_table(systems, paths.table("mine", "05_evaluate_systems"))
    _, ax = plt.subplots(figsize=(2, 1))
    write_figure(ax, paths.figure("mine", "05_evaluate_systems-accuracy"))


def answered():
    return sorted(load_release("data/mine").references["instruction_id"])


@pytest.fixture
def run(project):
    """A finished run on a synthetic release."""
    synthesize(project / "data/mine", patients=2, instructions=6, seed=1)
    run_everything(answered())
    return written()


@pytest.fixture
def restricted_run(project):
    """A finished run on a release without a manifest, with a marker in every name, note and id."""
    folder = write_release(project / "data/mine")
    for file in folder.rglob("*.*ml"):
        file.write_text(re.sub(r"(Creatinine was|Denies|Progress note)", rf"{MARKER} \1",
                               file.read_text()))  # fmt: skip
    for file in folder.glob("*.tsv"):
        file.write_text(file.read_text().replace("?", f" {MARKER}?"))
    reviews = ["instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\trank"]
    for system in SYSTEMS:
        reviews.append(f"02\t{system}\t1\tyes\tOn {MARKER}.\t1")
        reviews.append(f"3\t{system}\t1\tno\tOn {MARKER}.\t1")
    reviews.append(f"4\t{SYSTEMS[0]}\t0\tyes\tOn {MARKER}.\t1")
    table = "\n".join(reviews) + "\n"
    (folder / "clinician-reviewed-model-responses.tsv").write_text(table)
    run_everything(["02"])
    return written(responses="released", **NOT_SYNTHETIC)


def test_shows_each_table_with_its_caption_and_nothing_rounded_before(run):
    report = page(run)
    [table] = [table for table in report.tables if "System" in table[0]]
    assert table == [
        ["System", "n", "Correct95 % interval"],
        ["bm25-full", "80", "0.31 (0.21\xa0to\xa00.41)"],
        ["bm25-2k", "80", "0.16 (0.07\xa0to\xa00.26)"],
    ]
    assert "Which system answers best?" in report.text
    assert "Systems by mean rank." in report.text and "05_evaluate_systems.csv" in report.text


def test_needs_no_other_file_and_no_script(run):
    report = page(run)
    tags = {tag for tag, _ in report.attributes}
    assert not tags & {"script", "iframe", "object", "embed", "base", "form"}
    links = [
        attributes[name]
        for _, attributes in report.attributes
        for name in ("src", "href", "srcset", "data")
        if name in attributes
    ]
    ids = {attributes.get("id") for _, attributes in report.attributes}
    assert any(link.startswith("data:image/png;base64,") for link in links)
    for link in links:
        assert link.startswith("data:") or link.removeprefix("#") in ids, link
    style = write_report(run).read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_the_same_run_gives_the_same_bytes(run):
    before = write_report(run).read_bytes()
    for file in Path("runs/mine").rglob("*"):
        file.touch()
    assert write_report(run).read_bytes() == before


def test_says_what_the_run_is_and_what_it_cannot_be_compared_with(run):
    text = page(run).text
    assert "synthetic release (6 instructions" in text
    assert "rated by the release's answer key, a program, not by clinicians" in text
    assert "may be read as a repetition of the paper's" in text


def test_settings_signatures_versions_and_digests(run):
    report = page(run)
    rows = report.rows
    assert ["bertscore_layer", "6"] in rows and ["systems", "[bm25-full, bm25-2k]"] in rows
    assert ["chrf", "chrF2|v:1", "4", "2"] in rows  # 2 of 4 scores are undefined
    assert "generator: bm25_passage" in report.text
    assert "When this report was written" in report.text
    for name, module in (("numpy", np), ("pandas", pd)):
        assert re.search(rf"{name}\s*{re.escape(module.__version__)}", report.text)
    for file in ("data/mine/manifest.json", "data/mine/answer-key.jsonl",
                 "runs/mine/responses/bm25-2k.jsonl", "runs/mine/scores/bm25-2k.parquet",
                 "runs/mine/tables/05_evaluate_systems.csv"):  # fmt: skip
        assert [Path(file).name, hashlib.sha256(Path(file).read_bytes()).hexdigest()] in rows
    assert not any(row[0].endswith(".xml") for row in rows)


def test_a_table_it_has_no_caption_for_is_shown_under_its_stem(run):
    table = pd.DataFrame({"remark": ["all of it"], "share": [0.5]})
    paths.write_table(table, paths.table("mine", "09_go_on-more"))
    report = page(run)
    assert [["Remark", "Share"], ["all of it", "0.500"]] in report.tables
    assert "09_go_on-more.csv" in report.text


def test_a_long_table_is_folded_away_on_a_screen(run):
    assert "details" not in {tag for tag, _ in page(run).attributes}
    table = pd.DataFrame({"metric": [f"m{i}" for i in range(16)], "n": 1})
    paths.write_table(table, paths.table("mine", "06_correlate_metrics"))
    assert "details" in {tag for tag, _ in page(run).attributes}


@pytest.mark.parametrize("column", ["instruction_id", "person_id", "response", "question"])
def test_a_table_of_single_rows_is_refused_and_no_page_written(run, column):
    table = pd.DataFrame({column: ["1"], "n": [1]})
    paths.write_table(table, paths.table("mine", "05_evaluate_systems-rows"))
    with pytest.raises(MedAlignError, match=rf"05_evaluate_systems-rows\.csv: column {column}"):
        write_report(run)
    assert not paths.report("mine").exists()


def test_a_system_that_failed_is_named_with_its_error(run):
    paths.responses("mine", "bm25-2k").unlink()
    paths.scores("mine", "bm25-2k").unlink()
    paths.scores("mine", "bm25-full").unlink()
    notebook = Path("runs/mine/notebooks/03_generate_responses-bm25-2k.ipynb")
    notebook.parent.mkdir()
    error = {"output_type": "error", "ename": "OutOfMemoryError", "evalue": "of 8 GB\nmore",
             "traceback": []}  # fmt: skip
    cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [error]}]
    notebook.write_text(json.dumps({"cells": cells}))
    Path("runs/mine/notebooks/04_score_responses-bm25-full.ipynb").write_text("")  # killed
    notebook.rename(notebook.with_stem(f"{notebook.stem}-2-of-3"))  # one shard of three
    assert [gap[:2] for gap in provenance.missing_systems(run, restricted=False)] == [
        ("system bm25-full: no scores", "it ended early, without an error of its own "
         "(notebooks/04_score_responses-bm25-full.ipynb)"),
        ("system bm25-2k: no responses", "OutOfMemoryError: of 8 GB "
         "(notebooks/03_generate_responses-bm25-2k-2-of-3.ipynb)"),
    ]  # fmt: skip
    [_, failed] = provenance.missing_systems(run, restricted=True)
    assert failed.why.startswith("OutOfMemoryError (notebooks/")
    text = page(run).text
    assert "This run is not complete." in text
    assert "system bm25-2k: no responses: OutOfMemoryError: of 8 GB" in text


def test_a_run_that_has_nothing_yet_has_a_report_of_what_is_missing(project):
    synthesize(project / "data/mine", patients=2, instructions=6, seed=1)
    text = page(written()).text
    assert "system bm25-full: no responses: it has not run" in text
    assert re.search(r"table 05_evaluate_systems, .*-contexts.*: it has not run", text)


def test_skipped_metrics_are_named_with_their_reason_and_systems(run):
    for system in SYSTEMS:
        rows = {"metric": ["bleurt"], "reason": ["no weights are named"]}
        if system == "bm25-2k":
            rows = {"metric": ["bleurt", "lens"], "reason": [*rows["reason"], "no network"]}
        pd.DataFrame(rows).to_csv(paths.skipped("mine", system), index=False)
    assert [gap[:2] for gap in provenance.missing_metrics(run)] == [
        ("metric bleurt", "no weights are named"),
        ("metric lens of bm25-2k", "no network"),
    ]
    assert "metric bleurt" in page(run).text


def test_instructions_that_a_system_has_not_answered_are_counted(run):
    assert list(provenance.unused_ratings(run, load_release("data/mine"), restricted=False)) == []
    respond("bm25-2k", answered()[1:])
    [gap] = provenance.unused_ratings(run, load_release("data/mine"), restricted=False)
    assert gap.what == "1 rated instructions" and gap.why.endswith("bm25-2k lacks 1")
    respond("bm25-2k", [])
    paths.responses("mine", "bm25-2k").write_text("{}\n")
    [gap] = provenance.unused_ratings(run, load_release("data/mine"), restricted=False)
    assert gap.is_failure and "line 1: not a response" in gap.why
    [gap] = provenance.unused_ratings(run, load_release("data/mine"), restricted=True)
    assert gap.why == "MedAlignError"


def test_suppressed_groups_are_named_with_their_reason_once(run):
    why = "not shown: no two groups of at least 11 patients"
    table = pd.DataFrame({"grouping": ["race", "race", "age"], "suppressed": [why, why, None]})
    for stem in ("07_audit_fairness", "07_audit_fairness-data"):
        paths.write_table(table, paths.table("mine", stem))
    assert page(run).rows.count(["groups by race", why]) == 1


def test_of_a_restricted_release_aggregates_only(restricted_run):
    table = pd.DataFrame({"system": ["a"], "remark": [MARKER], "n": [1]})
    paths.write_table(table, paths.table("mine", "05_evaluate_systems-contexts"))
    file = write_report(restricted_run)
    assert MARKER not in file.read_text()
    report = Page(file.read_text())
    for person_id in ("40.xml", "007.xml"):
        assert person_id not in report.text
    assert [["System", "n"], ["a", "1"]] in report.tables
    assert "05_evaluate_systems-contexts: column remark" in report.text
    assert "restrict it" in report.text
    rows = report.rows
    # Rows of instruction 3; of 4 the second system has no rating.
    assert ["2 reviews", "the release marks them as not used for the evaluation"] in rows
    assert ["1 rated instructions", "1 of 2 instructions have a rating and a rank of every system; "
            "1 left out: bm25-2k lacks 1"] in rows  # fmt: skip
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_of_a_restricted_release_what_is_not_known_is_withheld_and_named(restricted_run):
    # A number identifies as well as a name, and a figure may show anything.
    table = pd.DataFrame({"who": [4711004], "n": [1]})
    paths.write_table(table, paths.table("mine", "05_evaluate_systems-more"))
    paths.write_table(table.rename(columns={"who": "mrn"}), paths.table("mine", "mine"))
    _, ax = plt.subplots()
    write_figure(ax, paths.figure("mine", "05_evaluate_systems"))  # known as a table only
    report = page(restricted_run)
    assert "4711004" not in report.text
    assert [tag for tag, _ in report.attributes].count("img") == 1  # that of run_everything
    why = "not known to hold aggregates alone, of a restricted release"
    for file in ("tables/05_evaluate_systems-more.csv", "tables/mine.csv",
                 "figures/05_evaluate_systems.png"):  # fmt: skip
        assert [file, why] in report.rows
    assert ["bm25-full", "80", "0.31 (0.21\xa0to\xa00.41)"] in report.rows


def test_of_the_releases_responses_what_compares_with_the_paper_is_what_08_says(restricted_run):
    assert "compares with the paper has not been worked out" in page(restricted_run).text
    titles = [
        "Sizes. Comparable.",
        "Evaluation. Comparable with reserve: 1 instructions are rated.",
    ]
    summary = pd.DataFrame({"table": ["facts", "table_human_evaluation"], "title": titles,
                            "comparable": ["yes", "with reserve"]})  # fmt: skip
    paths.write_table(summary, paths.table("mine", "08_reproduce_paper"))
    table = pd.DataFrame({"item": ["a"], "run": [0.5]})
    paths.write_table(table, paths.table("mine", "08_reproduce_paper-human_evaluation"))
    text = page(restricted_run).text
    assert "with the paper: yes for facts; with reserve for human evaluation. The reasons" in text
    # As the caption of the table, beside its row in the summary.
    assert text.count(titles[1]) == 2
    assert "Whether the two compare is said in the first table." not in text


def test_every_table_and_figure_of_the_workflow_has_a_caption():
    outputs = re.findall(r"\{RUN\}/(tables|figures)/([\w-]+)\.(?:csv|png)", SNAKEFILE)
    tables = {stem for kind, stem in outputs if kind == "tables"}
    figures = {stem for kind, stem in outputs if kind == "figures"}
    assert len(tables) > 10 and len(figures) > 10
    assert tables - TABLES.keys() == figures - FIGURES.keys() == set()


def test_responses_that_nobody_rated_leave_no_failure(project):
    write_release(project / "data/mine")
    run_everything(["02"])
    for name in ("02_match_instructions", "02_match_instructions-dedup"):
        paths.write_table(pd.DataFrame({"n": [1]}), paths.table("mine", name))
    report = page(written(**NOT_SYNTHETIC))
    assert "scored and not rated" in report.text and "not complete" not in report.text
    [row] = [row for row in report.rows if row[0].startswith("table 06_correlate_metrics, ")]
    assert row[1] == "the responses are not rated"


def git(*arguments):
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_commit_is_the_projects_own(project, monkeypatch):
    assert provenance.commit() is None  # no checkout
    git("init")
    git("add", "Snakefile", "params")
    git("commit", "-m", "all")
    Path(".git/info/exclude").write_text("notebooks\n")
    assert provenance.commit() == git("rev-parse", "HEAD")
    Path("Snakefile").write_text("")
    assert provenance.commit() == git("rev-parse", "HEAD") + ", with uncommitted changes"
    Path("copy").mkdir()
    Path("copy/Snakefile").write_text("")
    monkeypatch.chdir("copy")
    assert provenance.commit() is None  # somebody else's checkout


def test_the_command_writes_the_page_with_the_parameters_of_the_run(run, capsys):
    assert main(["report", "params/mine.yaml", "-y", "resamples: 77"]) == 0
    assert capsys.readouterr().out.strip() == str(paths.report("mine"))
    assert ["resamples", "77"] in Page(paths.report("mine").read_text()).rows
    assert main(["report", "params/none.yaml"]) == 2


def test_markup_in_a_table_is_shown_as_it_is(run):
    table = pd.DataFrame({"system": ["<b>a</b> & b"], "n": [1]})
    paths.write_table(table, paths.table("mine", "05_evaluate_systems-markup"))
    assert [["System", "n"], ["<b>a</b> & b", "1"]] in page(run).tables


def test_only_the_releases_tables_are_digested(restricted_run):
    release = load_release("data/mine")
    digests = provenance.digests(restricted_run, release)
    assert {name for name, _ in digests["Release"]} == {
        "all-instructions-rouge.tsv", "clinician-instruction-responses.tsv",
        "clinician-reviewed-model-responses.tsv",
    }  # fmt: skip
