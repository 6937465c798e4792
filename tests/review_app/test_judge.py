import json
import uuid

import ipywidgets as widgets
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.review.journal import Journal
from medalign_utils.review_app.judge import JudgingPage
from medalign_utils.review_app.open import open_review, raters_of
from tests.builders.explorer_release import PATIENT
from tests.builders.review_folder import EXPERIMENT, items_of, write_review

TRAINING, FIRST, SECOND, REPEAT = "R1-001", "R1-002", "R1-003", "R1-005"


class Tab:
    """A tab of a rater's browser: sends messages, and keeps the answers."""

    def __init__(self, rater="R1"):
        self.page = JudgingPage(EXPERIMENT, rater)
        self.answers = []
        self.page.panel.send = self.answers.append

    def ask(self, kind, **message):
        before = len(self.answers)
        self.page.answer({"kind": kind} | message)
        return self.answers[before:]

    def do(self, action, response=None, value=None, item=FIRST, name=None):
        name = name or uuid.uuid4().hex
        action = {"action": action, "item": item, "response": response, "value": value, "id": name}
        return self.ask("do", actions=[action])


@pytest.fixture
def tab(review):
    return Tab()


def lines_of(review, rater="R1"):
    return Journal(review, rater).lines


def judge_all(tab, item):
    for letter in "ABCDEF":
        tab.do("verdict", letter, "correct", item)
    tab.do("rank", None, [[letter] for letter in "ABCDEF"], item)
    return tab.do("done", item=item)


def test_an_action_is_on_the_disk_before_the_page_hears_that_it_is_saved(tab, review):
    said = []
    tab.page.panel.send = lambda message: said.append((message["kind"], len(lines_of(review))))
    tab.do("verdict", "C", "incorrect")
    assert said == [("saved", 1)]
    assert lines_of(review)[0]["value"] == "incorrect"


def test_an_action_sent_again_is_saved_once_and_acknowledged_again(tab, review):
    for _ in range(2):
        (answer,) = tab.do("verdict", "A", "correct", name="same")
        assert answer["ids"] == ["same"]
    assert len(lines_of(review)) == 1


def test_no_action_overtakes_one_that_could_not_be_saved(tab, review, monkeypatch):
    def full(action):
        raise MedAlignError("not saved: journal.jsonl: No space left on device")

    actions = [
        {"id": f"{n}", "action": "verdict", "item": FIRST, "response": "A", "value": value}
        for n, value in enumerate(("correct", "incorrect"))
    ]
    with monkeypatch.context() as patch:
        patch.setattr(tab.page.journal, "append", full)
        (answer,) = tab.ask("do", actions=actions)
    assert answer == {"kind": "failed", "why": "not saved: journal.jsonl: No space left on device"}
    (answer,) = tab.ask("do", actions=actions)
    assert answer["ids"] == ["0", "1"] and answer["states"][FIRST]["state"] == "begun"
    assert [line["value"] for line in lines_of(review)] == ["correct", "incorrect"]


def test_the_reference_comes_after_a_first_verdict(tab):
    assert tab.ask("show", item=FIRST)[0]["reference"] is None
    (answer,) = tab.do("verdict", "A", "correct")
    assert "reference" not in answer
    (answer,) = tab.do("show_reference")
    assert answer["reference"] == "1.1 mg/dL"


@pytest.mark.parametrize(("rule", "shown"), [("before", "1.1 mg/dL"), ("never", None)])
def test_the_plan_says_whether_a_reference_is_shown(tmp_path, monkeypatch, rule, shown):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    write_review(tmp_path, reference=rule)
    tab = Tab()
    assert tab.ask("show", item=FIRST)[0]["reference"] == shown
    tab.do("verdict", "A", "correct")
    tab.do("show_reference")
    assert tab.ask("show", item=FIRST)[0]["reference"] == shown


def test_a_training_item_has_feedback_when_it_is_done(tab):
    assert tab.ask("show", item=TRAINING)[0]["feedback"] is None
    (answer,) = judge_all(tab, TRAINING)
    assert answer["feedback"]["B"] == {"correct": True}
    assert tab.ask("show", item=TRAINING)[0]["feedback"]["A"] == {"correct": False}


def test_nothing_tells_a_repeat_from_another_item(tab):
    tab.ask("hello")
    tab.ask("show", item=REPEAT)
    judge_all(tab, REPEAT)
    assert "repeat" not in json.dumps(tab.answers)


def test_undo_names_what_it_undoes_and_does_not_do_it_twice(tab, review):
    tab.ask("show", item=FIRST)
    tab.do("verdict", "A", "correct")
    tab.do("verdict", "A", "incorrect")
    for _ in range(2):  # the second is the same, sent again
        (answer,) = tab.do("undo", name="undo")
    assert answer["judgement"]["verdicts"] == {"A": "correct"}
    assert [line["value"] for line in lines_of(review)] == ["correct", "incorrect", 2]
    tab.do("undo")
    (answer,) = tab.do("undo")
    assert answer["undone"]["text"] == "Nothing to undo in this item." and answer["ids"]


def test_a_second_tab_shows_what_the_first_has_done(tab):
    other = Tab()
    other.ask("show", item=FIRST)
    tab.do("verdict", "B", "unsure")
    beat, changed = other.ask("beat")
    assert beat == {"kind": "beat"} and changed["elsewhere"]
    assert changed["judgement"]["verdicts"] == {"B": "unsure"}
    assert [answer["kind"] for answer in other.ask("beat")] == ["beat"]
    tab.do("verdict", "C", "correct")
    saved, changed = other.do("verdict", "D", "correct")
    assert saved["kind"] == "saved" and changed["elsewhere"]
    assert changed["judgement"]["verdicts"] == {"B": "unsure", "C": "correct", "D": "correct"}


def test_a_page_opened_again_has_the_judgements(tab):
    judge_all(tab, FIRST)
    tab.do("comment", "A", "Said “no”.", SECOND)
    tab.do("flag", None, "", SECOND)
    other = Tab()
    states = {item["item"]: item for item in other.ask("hello")[0]["items"]}
    assert states[FIRST]["state"] == "done" and states[SECOND]["flag"]
    assert other.ask("show", item=SECOND)[0]["judgement"]["comments"] == {"A": "Said “no”."}


def test_a_page_reads_neither_the_key_nor_another_raters_work(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    folder = write_review(tmp_path, raters=("R1", "R2"))
    (folder / "key.json").unlink()
    for table in (tmp_path / "data/demo").glob("*.tsv"):
        table.unlink()  # the release's reviews name systems
    (folder / "raters/R2/items.jsonl").unlink()
    tab = Tab()
    tab.ask("hello")
    assert tab.ask("show", item=FIRST)[0]["kind"] == "item"
    assert "Creatinine" in tab.page.record.table.value


def test_a_sentence_of_a_response_is_located_in_the_record(tab):
    (shown,) = tab.ask("show", item=FIRST)
    letter = next(x for x, r in shown["responses"].items() if "denies chest pain" in r["html"])
    (found,) = tab.ask("locate", item=FIRST, response=letter, sentence=0)
    assert found["kind"] == "found" and found["text"].startswith("Found")
    assert "Denies" in tab.page.record.note.value


def test_a_record_that_cannot_be_read_is_a_sentence_on_the_page(tab, tmp_path):
    (tmp_path / "data/demo/ehrs" / f"{PATIENT}.xml").write_text("<eventstream")
    item, problem = tab.ask("show", item=FIRST)
    assert item["kind"] == "item" and problem["kind"] == "problem"
    assert f"{PATIENT}.xml" in problem["text"]


def test_an_item_of_another_rater_is_refused(tab, review):
    (answer,) = tab.do("verdict", "A", "correct", item="R2-001")
    assert answer["kind"] == "failed" and lines_of(review) == []


def states_of(page):
    found, waiting = [], [page]
    while waiting:
        widget = waiting.pop()
        found.append(widget.get_state())
        waiting += [w for w in getattr(widget, "children", ()) if isinstance(w, widgets.Widget)]
    return json.dumps(found, default=str)


def test_no_widget_has_text_of_an_item_before_start(tab):
    tab.ask("hello")
    state = states_of(tab.page)
    for item in items_of("R1"):
        texts = [item["question"], item["reference"], *item["responses"].values()]
        assert not [text for text in texts if text in state]
    assert "Male" not in state and "Denies" not in state


def test_the_panel_never_has_text_in_its_state(tab):
    tab.ask("show", item=FIRST)
    tab.do("comment", "A", "Marker of a comment")
    state = json.dumps(tab.page.panel.get_state(), default=str)
    assert "Marker" not in state and "creatinine" not in state.lower()


def test_without_a_plan_a_sentence_names_the_command(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    assert "review plan params/demo.yaml --raters 3" in open_review("demo").data
    assert raters_of("demo") == []


def test_without_a_rater_a_sentence_lists_them(review, monkeypatch):
    assert "one of: R1." in open_review(EXPERIMENT).data
    assert "R9 is no rater" in open_review(EXPERIMENT, "R9").data
    monkeypatch.setenv("MEDALIGN_REVIEW", EXPERIMENT)
    monkeypatch.setenv("MEDALIGN_RATER", "R1")
    assert isinstance(open_review("demo"), JudgingPage)


def test_a_damaged_plan_is_a_sentence(review):
    (review / "plan.json").write_text("[]")
    assert "expected a JSON object" in open_review(EXPERIMENT, "R1").data
