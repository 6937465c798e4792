import shutil

import pytest

from medalign_utils.review.folder import review_folder
from medalign_utils.review.journal import Journal
from medalign_utils.review.state import submissions
from medalign_utils.review_app.open import open_review
from medalign_utils.review_app.submit import SubmissionPage
from tests.builders.review_folder import EXPERIMENT, write_review

ASKED = {"specialty": "Cardiology", "instruction": "Which statin?"}


@pytest.fixture
def review(review):
    shutil.rmtree(review)
    return write_review(review.parents[1], raters=("R1", "R2"), mode="submit")


@pytest.fixture
def talk(review):
    page, sent = open_review(EXPERIMENT, "R1"), []
    assert isinstance(page, SubmissionPage)
    page.panel.send = sent.append

    def do(action, value=None, item="R1-a"):
        action = {"item": item, "action": action, "response": None, "value": value}
        page.answer({"kind": "do", "actions": [action | {"id": str(len(sent))}]})
        return sent[-1]

    return do


def submitted():
    return submissions(Journal(review_folder(EXPERIMENT), "R1").lines)


def test_a_draft_is_saved_and_submitted_when_it_is_done(talk):
    assert talk("submission", ASKED)["items"][0]["state"] == "begun"
    assert not submitted()
    assert talk("done")["items"][0]["written"] == ASKED | {"done": True}
    assert submitted() == [{"item": "R1-a"} | ASKED]


def test_an_instruction_can_be_changed_withdrawn_and_brought_back(talk):
    talk("submission", ASKED)
    talk("done")
    better = ASKED | {"instruction": "Which statin, and since when?"}
    for action in (("reopen",), ("submission", better), ("done",)):
        talk(*action)
    assert submitted() == [{"item": "R1-a"} | better]
    assert talk("submission", None)["items"] == []
    assert not submitted()
    assert talk("undo")["items"][0]["written"]["instruction"] == better["instruction"]
    assert submitted() == [{"item": "R1-a"} | better]
    lines = Journal(review_folder(EXPERIMENT), "R1").lines
    assert [line["n"] for line in lines] == [*range(1, 8)]  # nothing is rewritten


def test_an_item_of_another_rater_is_refused(talk):
    assert talk("submission", ASKED, item="R2-a")["kind"] == "failed"
