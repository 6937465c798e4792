import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medalign_utils import minilm as encoder
from medalign_utils.generation import extractive
from medalign_utils.generation.base import Generation
from medalign_utils.generation.registry import GENERATORS
from medalign_utils.prompts import retrieval
from medalign_utils.prompts.retrieval import last_note, split_passages
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt
from medalign_utils.prompts.tokenizers import load_tokenizer

LAB = "2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL"
LATER_LAB = "2015-01-02 08:00 measurement LOINC/2160-0 Creatinine: 1.1 mg/dL"
NOTE = "2014-08-10 10:00 note STANFORD_NOTE/1 Progress note:"
DRUG = "2014-08-11 10:00 drug_exposure RxNorm/83367 atorvastatin: start"
TEXT = "Denies chest pain. Walks well.\nPlan:\n1. Statin 40 mg b.i.d. daily\n2. Return in 2 weeks."
RECORD = "\n".join([LAB, NOTE, TEXT, DRUG, LATER_LAB])


def make(name):
    return GENERATORS[name](**({"seed": 1} if name == "random_passage" else {}))


def ask(name, instruction, ehr):
    [generation] = make(name).answer([Prompt(instruction, ehr, f"{ehr}\n\n{instruction}")])
    return generation


def test_passages_are_events_and_windows_with_their_notes_first_line():
    windows = [
        "Denies chest pain. Walks well.\nPlan:",
        "Walks well.\nPlan:\n1. Statin 40 mg b.i.d.",
        "Plan:\n1. Statin 40 mg b.i.d. daily",
        "1. Statin 40 mg b.i.d. daily\n2. Return in 2 weeks.",
    ]
    notes = [f"{NOTE}\n{window}" for window in windows]
    assert split_passages(RECORD) == [LAB, *notes, DRUG, LATER_LAB]


def test_passages_of_a_short_note_and_of_one_truncated_at_its_start():
    assert split_passages(f"{NOTE}\nNo pain.") == [f"{NOTE}\nNo pain."]
    assert split_passages(f"s well. Eats well.\n{LAB}") == ["s well. Eats well.", LAB]
    assert split_passages(f"nine: 1.4 mg/dL\n{LAB}") == ["nine: 1.4 mg/dL", LAB]
    assert split_passages("") == split_passages(" \n\n ") == []
    assert split_passages(f"{LAB}\n{DRUG}") == [LAB, DRUG]
    # Lines of a note that look like events are written with a dash.
    note = f"{NOTE}\n- 2014-08-09 11:00 seen at home.\n- 2014-08-09 measurement due."
    assert split_passages(f"{note}\n{LAB}") == [note, LAB]


def test_last_note():
    later = "2016-01-01 09:00 note N/2 Discharge summary:\nWent home."
    assert last_note(f"{RECORD}\n{later}\n{LAB}") == later
    assert last_note(RECORD) == ask("recent_note", "Any?", RECORD).text == f"{NOTE}\n{TEXT}"
    assert last_note(f"end of a note.\n{LAB}") == "end of a note."
    assert last_note(f"{LAB}\n{DRUG}") == ""


@pytest.mark.parametrize(
    "name", ["bm25_passage", "minilm_passage", "random_passage", "recent_note"]
)
def test_every_generator_answers_in_order_reproducibly_and_within_the_limit(name):
    assert ask(name, "Any pain?", "") == Generation("", "stop", 0)
    records = [f"2014-08-10 10:00 note N/{i} Note {i}:\nSeen {i} times." for i in range(3)]
    answers = make(name).answer([Prompt("How often?", record, record) for record in records])
    assert all(f"Seen {i} times." in answer.text for i, answer in enumerate(answers))
    earlier = "2013-01-01 10:00 measurement LOINC/2160-0 Creatinine: 1.1 mg/dL"
    refined = Prompt("Last creatinine?", "", "", earlier)
    assert make(name).answer([refined])[0].text == earlier
    note = f"{NOTE}\n" + "atorvastatin, " * 400
    answer = ask(name, "Which statin?", note)
    assert answer.finish_reason == "length" and note.startswith(answer.text)
    assert minilm.count(answer.text) == RESPONSE_TOKENS


PARTS = ["é̂", "病", "😀", "x" * 99, "x" * 101, "LOINC/2160-0 ", "ﬁ", "\n"]
minilm = load_tokenizer("minilm")
recent_note = make("recent_note")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PARTS)))
def test_no_answer_exceeds_256_tokens(parts):
    [answer] = recent_note.answer([Prompt("", f"{NOTE}\n" + "".join(parts * 30), "")])
    tokens = minilm.count(answer.text)
    assert tokens <= RESPONSE_TOKENS
    assert answer.finish_reason == "stop" or tokens == RESPONSE_TOKENS


def test_bm25_quotes_the_passage_with_the_answer():
    assert ask("bm25_passage", "Is the patient on atorvastatin?", RECORD).text == DRUG
    answer = ask("bm25_passage", "Any chest pain?", RECORD)
    assert answer.text == f"{NOTE}\nDenies chest pain. Walks well.\nPlan:"
    assert answer.tokens == minilm.count(answer.text)


@pytest.mark.parametrize("instruction", ["creatinine", "", "is it the?", "zzz", "?"])
def test_bm25_prefers_the_most_recent_of_tied_passages(instruction):
    assert ask("bm25_passage", instruction, f"{LAB}\n{LATER_LAB}").text == LATER_LAB
    assert ask("bm25_passage", instruction, "? !\n. .").text == "? !\n. ."
    refined = Prompt(instruction, LATER_LAB, "", LAB)
    assert make("bm25_passage").answer([refined])[0].text == LATER_LAB


def test_bm25_scores_follow_the_formula():
    passages = ["chest pain pain", "chest clear bilaterally on exam", "eats well"]
    record = "\n".join(f"2014-08-1{i} 10:00 visit {text}" for i, text in enumerate(passages))
    words = [re.findall(r"\b\w\w+\b", passage.lower()) for passage in split_passages(record)]
    words = [[word for word in passage if word != "on"] for passage in words]  # a stop word
    k1, b, n = 1.5, 0.75, len(words)
    mean_length = np.mean([len(passage) for passage in words])
    expected = np.zeros(n)
    for word in ("chest", "pain"):
        df = sum(word in passage for passage in words)
        idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
        for i, passage in enumerate(words):
            tf = passage.count(word)
            expected[i] += idf * tf / (tf + k1 * (1 - b + b * len(passage) / mean_length))
    scores = retrieval.Bm25(split_passages(record)).scores("Any chest pain?")
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


PERSON = "\n".join(
    f"2013-01-01 09:00 person {fact}"
    for fact in ("birthdate: 1950-12-31", "gender: FEMALE", "race: White", "ethnicity: Hispanic")
)


def test_describe_patient_is_of_the_last_event_and_of_what_the_text_says():
    # The record ends on 2 January 2015, before the 65th birthday.
    assert retrieval.describe_patient(f"{PERSON}\n{RECORD}") == "64-year-old White FEMALE"
    later = PERSON.replace("race: White", "race: Asian")
    assert retrieval.describe_patient(f"{PERSON}\n{later}") == "62-year-old Asian FEMALE"
    assert retrieval.describe_patient(PERSON.replace("1950-12-31", "12/31/1950")) == "White FEMALE"
    assert retrieval.describe_patient(RECORD) == retrieval.describe_patient("") == ""


@pytest.mark.parametrize("name", ["bm25_passage", "minilm_passage"])
def test_a_patient_prefix_is_scored_with_the_instruction(name):
    prefixed = GENERATORS[name](patient_prefix=True)
    record = f"{PERSON}\n{RECORD}"
    [answer] = prefixed.answer([Prompt("Any pain?", record, "")])
    assert answer.text == ask(name, "64-year-old White FEMALE: Any pain?", record).text
    assert answer.text != ask(name, "Any pain?", record).text
    assert prefixed.answer([Prompt("Any pain?", RECORD, "")])[0] == ask(name, "Any pain?", RECORD)


def test_bm25_indexes_a_shared_record_once(monkeypatch):
    split = []
    monkeypatch.setattr(
        extractive, "split_passages", lambda ehr: split.append(ehr) or split_passages(ehr)
    )
    other = f"{RECORD}\n{LAB}"
    prompts = [Prompt(question, RECORD, "") for question in ("a", "b", "c")]
    GENERATORS["bm25_passage"]().answer([*prompts, Prompt("d", other, "")])
    assert split == [RECORD, other]


def test_minilm_quotes_the_nearest_passage_and_the_most_recent_of_tied_ones():
    passages = split_passages(RECORD)
    cosines = encoder.embed(passages) @ encoder.embed(["Does she take a statin?"])[0]
    answer = ask("minilm_passage", "Does she take a statin?", RECORD)
    assert answer.text == passages[int(np.argmax(cosines))]
    record = f"{RECORD}\n2016-01-01 09:00 measurement LOINC/8867-4 Heart rate: 72 /min"
    assert "Heart rate" in ask("minilm_passage", "How fast is the pulse?", record).text
    repeated = f"{NOTE}\nPulse 72.\n{LAB}\n{NOTE}\nPulse 72."
    assert ask("minilm_passage", "pulse?", repeated).text == f"{NOTE}\nPulse 72."


def test_minilm_embeds_each_distinct_passage_once(monkeypatch):
    embedded = []
    embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda texts: embedded.extend(texts) or embed(texts))
    record = f"{RECORD}\n{LAB}"
    prompts = [Prompt("a?", record, ""), Prompt("b?", record[5:], ""), Prompt("c?", record, "")]
    GENERATORS["minilm_passage"]().answer(prompts)
    # The second record begins within its first line, which is a new passage; it also ends with LAB,
    # so the third has nothing new.
    assert len(embedded) == len(set(embedded))
    assert set(embedded) == {*split_passages(record), *split_passages(record[5:]), "a?", "b?", "c?"}


def test_random_passage_depends_only_on_seed_and_prompt():
    record = "\n".join(LAB.replace("1.4", str(i)) for i in range(50))
    prompts = [Prompt(f"Question {i}?", record, f"{record} {i}") for i in range(400)]
    first = make("random_passage").answer(prompts)
    other = GENERATORS["random_passage"](seed=2).answer(prompts)
    assert first == make("random_passage").answer(prompts[::-1])[::-1]
    # Two seeds agree on about 1 in 50.
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 40
    assert len(set(first)) == 50
