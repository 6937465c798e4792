"""Dates: which of a response's dates is its answer to the instruction."""

import pytest

from medalign_utils.grading import grade


def day(topic, date, precision="day"):
    return {"kind": "date", "topic": topic.split(", "), "date": date, "precision": precision}


CASES = {  # instruction, fact, right responses, wrong ones
    "latest": (
        "When was her last echocardiogram?",
        day("echocardiogram, echo, TTE", "2016-09-27"),
        (
            "27.09.2016",
            "06/30/2012, 07/26/2016, and most recently 09/27/2016",
            "Echocardiograms:\n1. 06/30/2012\n2. 07/26/2016\n3. 09/27/2016 (most recent)",
            "The latest one in the chart is dated 09/27/2016 (ordered 09/20/2016).",
        ),
        (
            "Echocardiograms on 07/26/2016 and 09/27/2016. The most recent echocardiogram is from "
            "07/26/2016.",
            "The last echocardiogram was on 01/10/2017; the one before was on 09/27/2016.",
            "Last echo 07/26/2016; chest CT 09/27/2016.",
            "September 2016",
        ),
    ),
    "first": (
        "Since when does she have knee osteoarthritis?",
        day("knee osteoarthritis, knee OA", "1996-07-06", "month"),
        (
            "Jul 1996",
            "**Knee osteoarthritis**\n- Onset: 07/06/1996\n- Most recent mention: 02/25/2008",
        ),
        ("Knee OA since 1990; an x-ray confirmed the knee OA in July 1996.", "1996"),
    ),
    "start": (
        "When was rivaroxaban started?",
        day("rivaroxaban, Xarelto", "2017-10-18"),
        (
            "Start date: 10/18/2017; stop date: 03/04/2018",
            "Warfarin was stopped and rivaroxaban started on 10/18/2017.",
            "| Drug | Start |\n|---|---|\n| warfarin | 01/02/2015 |\n| rivaroxaban | 10/18/2017 |",
        ),
        (
            "Rivaroxaban was stopped on 10/18/2017.",
            "Warfarin was started on 10/18/2017 and rivaroxaban on 01/02/2018.",
            "| Drug | Start |\n|---|---|\n| warfarin | 10/18/2017 |\n| rivaroxaban | 01/02/2018 |",
        ),
    ),
    "end": (
        "In what year did she quit smoking?",
        day("quit, smoking, smoker, tobacco", "1995-01-01", "year"),
        ("Smoked 1 ppd from 1965 until 1995.", "She gave them up in 1995, after 30 pack-years."),
        ("She started smoking in 1995.", "Smoked from 1995 until 2001.", "1994 or 1995"),
    ),
    "department": (
        "When was he last seen in Primary Care?",
        day("Primary Care", "2003-08-11"),
        (
            "Primary Care: 08/11/2003\nCardiology: 11/02/2003",
            "You asked when he last came to Primary Care. His last visit was on 08/11/2003.",
        ),
        ("Primary Care on 05/05/2003. On 08/11/2003 he was seen in Neurology.",),
    ),
    "next": (
        "When is his next appointment?",
        day("appointment, follow-up, booked", "2018-11-09"),
        ("| | Detail |\n|---|---|\n| **When** | 11/09/2018 |\n| **Booked on** | 10/11/2018 |",),
        ("The next appointment is on 12/01/2018; the one of 11/09/2018 was cancelled.",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_date_that_answers_the_instruction_is_graded(name):
    instruction, fact, right, wrong = CASES[name]
    verdicts = {r: grade(r, [fact], instruction).correct for r in (*right, *wrong)}
    assert verdicts == dict.fromkeys(right, True) | dict.fromkeys(wrong, False)


@pytest.mark.parametrize(
    ("response", "contradictions"), [("05/22/2014", 1), ("Seen on 05/22/2014.", 0)]
)
def test_a_date_of_something_else_is_an_omission(response, contradictions):
    fact = {"kind": "date", "topic": ["TSH"], "date": "2013-01-01", "precision": "day"}
    verdict = grade(response, [fact], "Date of the last TSH?")
    assert (verdict.correct, verdict.contradictions) == (False, contradictions)
