import shutil

import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.review.folder import review_folder
from medalign_utils.review.journal import Journal
from medalign_utils.review.state import replay
from medalign_utils.review_app.open import open_review
from medalign_utils.review_app.reference import ReferencePage
from tests.builders.review_folder import EXPERIMENT, write_review

ITEM = "R1-002"  # about the last creatinine


@pytest.fixture
def review(review):
    shutil.rmtree(review)
    return write_review(review.parents[1], mode="reference")


class Talk:
    """A page, and what it sends to its panel."""

    def __init__(self):
        self.page = ReferencePage(EXPERIMENT, "R1")
        self.sent = []
        self.page.panel.send = self.sent.append

    def __call__(self, kind, **message):
        """Send a message as the panel does, and return the last answer."""
        self.page.answer({"kind": kind} | message)
        return self.sent[-1]

    def do(self, action, value=None, id="", item=ITEM):
        action = {"item": item, "action": action, "response": None, "value": value}
        return self("do", actions=[action | {"id": id or f"{len(self.sent)}"}])


@pytest.fixture
def talk(review):
    talk = Talk()
    talk("show", item=ITEM)
    return talk


def written(item=ITEM):
    return replay(Journal(review_folder(EXPERIMENT), "R1").lines)[item]


def test_the_plans_mode_opens_the_page(review):
    assert isinstance(open_review(EXPERIMENT, "R1"), ReferencePage)


def test_a_text_is_on_the_disk_before_it_is_called_saved(talk):
    answer = talk.do("reference", "It was 1.1 mg/dL.", id="a")
    assert answer["kind"] == "saved" and answer["ids"] == ["a"]
    assert answer["written"]["reference"] == written().reference == "It was 1.1 mg/dL."
    assert talk.do("reference", "It was 1.1 mg/dL.", id="a")["ids"] == ["a"]
    assert written().n_actions == 1  # sent twice, kept once


def test_a_full_disk_is_said_and_nothing_is_lost(talk, monkeypatch):
    def full(*_):
        raise MedAlignError("not saved: No space left on device")

    monkeypatch.setattr(talk.page.journal, "append", full)
    answer = talk.do("reference", "It was 1.1 mg/dL.", id="a")
    assert answer == {"kind": "failed", "why": "not saved: No space left on device"}
    monkeypatch.undo()
    assert talk.do("reference", "It was 1.1 mg/dL.", id="a")["ids"] == ["a"]


def test_selected_text_of_a_note_becomes_evidence(talk):
    assert talk.page.record.notes.value == talk.page.record.row
    answer = talk("cite", item=ITEM, quote="Home with $5", place=None)
    assert answer["kind"] == "cited"
    evidence = answer["evidence"]
    assert evidence["text"] == "Discharge summary of 01/02/2015: Home with $5"
    assert evidence["note"].startswith("2015-01-02 09:00")
    assert talk.do("evidence", [evidence])["written"]["evidence"] == [evidence]
    assert talk("locate", item=ITEM, text=evidence["text"])["text"].startswith("Found")


def test_an_event_beside_which_the_button_is_pressed_becomes_evidence(talk):
    talk.page.record.tabs.selected_index = 1
    place = talk.page.record.selected["name"].tolist().index("Creatinine")
    answer = talk("cite", item=ITEM, quote="", place=place)
    assert answer["evidence"]["text"] == "Creatinine 1.1 mg/dL on 01/02/2015"
    assert talk("cite", item=ITEM, quote="", place=999)["kind"] == "problem"


def test_undo_takes_back_the_last_text(talk):
    talk.do("reference", "Yes.")
    talk.do("reference", "No.")
    answer = talk.do("undo")
    assert answer["undone"] == {"text": "Undone: reference."}
    assert answer["written"]["reference"] == "Yes."
    talk.do("undo")
    assert talk.do("undo")["undone"] == {"text": "Nothing to undo."}


def test_an_undo_that_is_sent_twice_undoes_once(talk):
    talk.do("reference", "Yes.")
    talk.do("reference", "No.")
    talk.do("undo", id="u")
    talk.do("undo", id="u")
    assert written().reference == "Yes."


def test_a_second_tab_sees_what_the_first_one_wrote(talk):
    other = Talk()
    other("show", item=ITEM)
    talk.do("reference", "Yes.")
    talk.do("unanswerable", True)
    other("beat")
    changed = other.sent[-1]
    assert changed["kind"] == "changed" and changed["elsewhere"]
    assert changed["written"]["reference"] == "Yes." and changed["written"]["unanswerable"]
    assert changed["states"][ITEM]["state"] == "begun"


def test_an_item_of_another_rater_is_refused(talk):
    assert talk.do("reference", "x", item="R2-001")["kind"] == "failed"


def test_the_page_names_no_system_and_shows_no_other_reference(talk):
    talk("hello")
    assert "system-" not in str(talk.sent)
    assert "Creatinine: 1.1 mg/dL" not in str(talk.sent)  # another clinician's evidence
