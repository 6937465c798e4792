import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import load_release
from medalign_utils.errors import IncompleteError, ParamsError, PromptError
from medalign_utils.generation.base import Failure, Generation, Generator
from medalign_utils.generation.registry import GENERATORS
from medalign_utils.generation.runner import run_system
from medalign_utils.prompts.context import (
    check_fits,
    next_prompt,
    pack_ehr,
    pack_prompt,
    refine,
    retrieve,
    truncate,
)
from medalign_utils.prompts.retrieval import Bm25
from medalign_utils.prompts.templates import RESPONSE_TOKENS
from medalign_utils.prompts.tokenizers import Chat, PromptTokenizer, load_tokenizer
from tests.builders.run_folder import kept, stored
from tests.builders.tiny_release import ehr_40, eventstream, note, write_release
from tests.builders.tiny_tokenizers import KINDS, words

MINILM = load_tokenizer("minilm")
TOKENIZERS = {"minilm": MINILM, **{kind: PromptTokenizer(make()) for kind, make in KINDS.items()}}
ALL_KINDS = pytest.mark.parametrize("kind", TOKENIZERS)
QUESTION = "What was the last creatinine?"
SYSTEM = {
    "generator": "recording",
    "strategy": "refine",
    "context_length": 2048,
    "format": "lines",
    "tokenizer": "minilm",
}


def length_of(text, tokenizer):
    return len(tokenizer.prompt_ids(text))


def within(packed, tokenizer):
    """Count the prompt's tokens within its EHR."""
    begin = packed.prompt.text.index("\n\n") + 2
    end = begin + len(packed.prompt.ehr)
    offsets = tokenizer.encode(packed.prompt.text).offsets
    return sum(begin <= start and stop <= end for start, stop in offsets)


def test_template_order():
    text = pack_prompt("Any {pain}?", "2014 {note}", MINILM, 512).prompt.text
    opening = "Use the patient's health record below to answer the question that follows it."
    assert text == f"{opening}\n\n2014 {{note}}\n\nQuestion: Any {{pain}}?\n\nAnswer:"


@ALL_KINDS
@pytest.mark.parametrize("record", [words(400), words(100) + " " * 50_000 + words(3)])
def test_prompt_is_full_and_contains_the_end_of_the_record(kind, record):
    tokenizer = TOKENIZERS[kind]
    packed = pack_prompt("Any chest pain?", record, tokenizer, 600)
    assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer)
    # The character at the cut may have several tokens, such as an emoji's four bytes.
    assert 600 - RESPONSE_TOKENS - 5 <= packed.prompt_tokens <= 600 - RESPONSE_TOKENS
    assert record.endswith(packed.prompt.ehr)
    assert packed.ehr_tokens_kept == pytest.approx(within(packed, tokenizer), abs=1)


@ALL_KINDS
def test_budget_is_exact_at_its_edges(kind):
    tokenizer, record = TOKENIZERS[kind], words(20)
    whole = pack_prompt("Any?", record, tokenizer, None)
    assert whole.prompt.ehr == record
    enough = whole.prompt_tokens + RESPONSE_TOKENS
    assert pack_prompt("Any?", record, tokenizer, enough).prompt == whole.prompt
    assert len(pack_prompt("Any?", record, tokenizer, enough - 1).prompt.ehr) < len(record)
    least = check_fits("Any?", tokenizer, 2048) + RESPONSE_TOKENS
    assert pack_prompt("Any?", "", tokenizer, least).ehr_tokens_kept == 0
    assert pack_prompt("Any?", record, tokenizer, least).prompt.ehr == ""


def test_instruction_too_long_is_reported_with_both_numbers():
    question = "pain " * 300
    # 300 words and the template's 22 tokens, including [CLS] and [SEP].
    with pytest.raises(PromptError, match=r"take 322 tokens.* context of 512 leaves 256 \("):
        pack_prompt(question, "record", MINILM, 512)
    with pytest.raises(PromptError, match="context of 100 leaves -156"):
        check_fits("Any?", MINILM, 100)


@ALL_KINDS
@pytest.mark.parametrize("context_length", [512, 2048])
def test_only_the_end_of_a_long_record_is_tokenized(kind, context_length, monkeypatch):
    encoded = []
    encode = PromptTokenizer.encode
    monkeypatch.setattr(
        PromptTokenizer, "encode", lambda self, text: encoded.append(text) or encode(self, text)
    )
    questions, tokenizer = ["Any chest pain?", "Any?", "Any cough?"], TOKENIZERS[kind]
    record = words(5000)
    packed = [truncate(question, record, tokenizer, context_length) for question in questions]
    # Once for all instructions, with one or two guesses of its length.
    assert len(encoded) <= 2 and sum(map(len, encoded)) <= 12 * context_length
    assert truncate(questions[0], record * 2, tokenizer, context_length) == packed[0]


RECORDS = st.lists(
    st.one_of(
        st.integers(0, 20).map(words),
        st.text(max_size=40),
        st.integers(0, 10**200).map(str),  # digits, which some tokenizers split by threes
        st.text(st.sampled_from("中文病历记录患者否认胸痛"), min_size=1, max_size=40),
        st.text(st.sampled_from("😀👩‍⚕️🇨🇭é̂ﬁ㍿ﷺ"), min_size=1, max_size=10),
        st.text(st.sampled_from("ab \n"), min_size=80, max_size=160),
        st.sampled_from(["[CLS] <s>", "<|endoftext|>", "\r\n", "\0", "x" * 120, "creatinine 1.4 "]),
    ),
    max_size=40,
).map("".join)


@ALL_KINDS
@settings(max_examples=120, deadline=None, derandomize=True)
@given(record=RECORDS, budget=st.integers(0, 900), question=st.text(max_size=12))
def test_any_record_is_packed_within_its_budget(kind, record, budget, question):
    tokenizer = TOKENIZERS[kind]
    context_length = check_fits(question, tokenizer, 4096) + RESPONSE_TOKENS + budget
    limit = context_length - RESPONSE_TOKENS
    packed = pack_prompt(question, record, tokenizer, context_length)
    assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer) <= limit
    assert packed.ehr_tokens_kept == pytest.approx(within(packed, tokenizer), abs=3)
    assert record.endswith(packed.prompt.ehr)
    assert packed.prompt.text.count("\ufffd") == (packed.prompt.ehr + question).count("\ufffd")
    if len(packed.prompt.ehr) < len(record):
        # NFKC may turn one character into 18 letters of several bytes each.
        assert packed.prompt_tokens >= limit - 24


def test_prompts_of_an_ehr_agree_on_its_tokens(tmp_path):
    (tmp_path / "40.xml").write_text(ehr_40(), "utf-8")
    questions = [QUESTION, "Any chest pain, and since when has it been there?"]
    short, long = pack_ehr(tmp_path / "40.xml", questions, "lines", MINILM, 256 + 60)
    assert [short.prompt.instruction, long.prompt.instruction] == questions
    assert long.ehr_tokens_kept < short.ehr_tokens_kept < short.ehr_tokens_total
    for whole in pack_ehr(tmp_path / "40.xml", questions, "lines", MINILM, None):
        assert whole.ehr_tokens_kept == whole.ehr_tokens_total == short.ehr_tokens_total


def line(i, text="Sodium: 139 mmol/L"):
    return f"{2000 + i // 300}-{1 + i % 12:02}-{1 + i % 28:02} 09:12 measurement LOINC/1 {text}"


RECORD = "\n".join(line(i, f"Value {i}: {i % 7} mg/dL") for i in range(3000))


def parts_of(packed):
    return [packed.prompt.ehr, *packed.later]


def chain(packed, tokenizer, context_length, answer="so far"):
    """Yield every prompt of a chain, with the tokens counted for it."""
    yield packed.prompt, packed.prompt_tokens
    for part in packed.later:
        yield next_prompt(packed.prompt.instruction, part, answer, tokenizer, context_length)


@ALL_KINDS
@settings(max_examples=25, deadline=None, derandomize=True)
@given(record=RECORDS, room=st.integers(0, 500), answer=st.text(max_size=400))
def test_parts_make_up_any_record_and_every_prompt_fits(kind, record, room, answer):
    tokenizer, context_length = TOKENIZERS[kind], 1400 + room
    packed = refine("Any pain?", record, tokenizer, context_length)
    assert "".join(parts_of(packed)) == record
    assert all(parts_of(packed)) or record == ""
    for prompt, tokens in chain(packed, tokenizer, context_length, answer):
        assert tokens == length_of(prompt.text, tokenizer) <= context_length - RESPONSE_TOKENS


def test_parts_end_at_lines_and_fill_the_context():
    packed = refine(QUESTION, RECORD, MINILM, 2048)
    answer = "creatinine 1.4 mg/dL, " * 300  # is truncated to its room
    prompt, tokens = next_prompt(QUESTION, packed.later[0], answer, MINILM, 2048)
    assert tokens <= 2048 - RESPONSE_TOKENS and answer.startswith(prompt.previous)
    assert MINILM.count(prompt.previous) >= RESPONSE_TOKENS - 2
    *parts, last = parts_of(packed)
    assert all(part.endswith("\n") for part in parts) and last
    for prompt, tokens in list(chain(packed, MINILM, 2048))[1:-1]:
        room = RESPONSE_TOKENS - MINILM.count(prompt.previous)
        assert 0.9 * (2048 - RESPONSE_TOKENS) < tokens + room <= 2048 - RESPONSE_TOKENS
    assert packed.ehr_tokens_kept == MINILM.count(RECORD)


@pytest.mark.parametrize("record", [line(1), ""])
def test_a_record_that_fits_is_one_prompt(record):
    for strategy in (truncate, refine, retrieve):
        packed = strategy(QUESTION, record, MINILM, 2048)
        assert packed == pack_prompt(QUESTION, record, MINILM, None)
        assert packed.later == () and packed.prompt.previous is None


def test_a_chat_template_counts():
    chat = Chat(tuple(range(5, 25)), "user says: ", " now answer", tuple(range(5, 15)))
    tokenizer = PromptTokenizer(load_tokenizer("minilm").backend, chat)
    for strategy in (truncate, refine, retrieve):
        packed = strategy(QUESTION, RECORD, tokenizer, 2048)
        for prompt, tokens in chain(packed, tokenizer, 2048):
            around = length_of("", tokenizer)
            assert around + MINILM.count(prompt.text) == tokens <= 2048 - RESPONSE_TOKENS


@pytest.mark.parametrize("retriever", ["bm25", "minilm"])
def test_retrieved_passages_are_the_best_in_chronological_order(retriever):
    hidden = line(17, "Creatinine: 1.4 mg/dL")
    rows = RECORD.split("\n")[:600]
    rows[17] = hidden
    packed = retrieve(QUESTION, "\n".join(rows), MINILM, 1024, retriever=retriever)
    passages = packed.prompt.ehr.split("\n")
    assert hidden in passages and len(passages) < 600
    assert [rows.index(row) for row in passages] == sorted(rows.index(row) for row in passages)
    assert 0.9 * (1024 - RESPONSE_TOKENS) < packed.prompt_tokens <= 1024 - RESPONSE_TOKENS
    if retriever == "bm25":
        scores = Bm25(rows).scores(QUESTION)
        best = sorted(range(600), key=lambda i: (-scores[i], -i))[: len(passages)]
        assert sorted(best) == [rows.index(row) for row in passages]  # lines are equally long


@ALL_KINDS
@settings(max_examples=25, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(max_size=120), min_size=1, max_size=60), room=st.integers(0, 400))
def test_retrieved_passages_never_exceed_the_budget(kind, texts, room):
    tokenizer = TOKENIZERS[kind]
    record = "\n".join(line(i, text) for i, text in enumerate(texts))
    for question in (QUESTION, "Any pain?"):
        packed = retrieve(question, record, tokenizer, 512 + room)
        assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer)
        assert packed.prompt_tokens <= 512 + room - RESPONSE_TOKENS


@pytest.mark.parametrize(
    ("strategy", "context_length", "options", "error", "message"),
    [
        (refine, None, {}, ParamsError, "refine needs a context_length"),
        (refine, 640, {}, PromptError, r"an answer to refine take .* lengthen the context"),
        (retrieve, None, {}, ParamsError, "retrieve needs a context_length"),
        (
            retrieve,
            2048,
            {"retriever": "bm52"},
            ParamsError,
            "no retriever 'bm52'; did you mean 'bm25'",
        ),
    ],
)
def test_what_a_strategy_needs_is_reported(strategy, context_length, options, error, message):
    with pytest.raises(error, match=message):
        strategy(QUESTION, RECORD, MINILM, context_length, **options)


@pytest.fixture
def recording(monkeypatch):
    """Return a generator that records prompts; `fail` says which call fails or ends the run."""
    seen, fail = [], {}

    def factory():
        def answer(prompts):
            what = fail.pop(len(seen), None)
            if what is KeyboardInterrupt:
                raise what
            seen.extend(prompts)
            if what is not None:
                return [what]
            return [Generation(f"answer {len(seen)}", "stop", 3)]

        return Generator(answer)

    monkeypatch.setitem(GENERATORS, "recording", factory)
    return seen, fail


@pytest.fixture
def long_release(tmp_path):
    """Write a release in which patient 40's EHR has 150,000 tokens."""
    folder = write_release(tmp_path / "release")
    entries = "".join(
        note(f"20{10 + i // 400:02}-03-{1 + i % 28:02} 10:00", f"Visit {i}. {words(20)}")
        for i in range(300)
    )
    ehr = eventstream("40", f"<encounter><events>{entries}</events></encounter>")
    (folder / "ehrs" / "40.xml").write_text(ehr, "utf-8")
    return load_release(folder)


def test_refinement_reads_every_part_of_a_long_record_once(long_release, tmp_path, recording):
    seen, _ = recording
    path = tmp_path / "mr.jsonl"
    responses = run_system(long_release, SYSTEM, path, progress=False)
    row = responses.set_index("instruction_id").loc["5479314876123"]
    assert row["ehr_tokens_total"] == row["ehr_tokens_kept"] > 150_000
    asked = [prompt for prompt in seen if prompt.instruction == QUESTION]
    assert len(asked) == row["n_prompts"] > 80
    assert "".join(prompt.ehr for prompt in asked) == ehr_text(long_release.ehr_path("40"), "lines")
    assert max(length_of(prompt.text, MINILM) for prompt in asked) == row["prompt_tokens"] <= 1792
    assert asked[0].previous is None
    first = seen.index(asked[0])
    answers = [f"answer {first + i}" for i in range(1, len(asked) + 1)]
    assert [prompt.previous for prompt in asked[1:]] == answers[:-1]
    assert [step["response"] for step in stored(path, "step")] == answers[:-1]
    assert row["response"] == answers[-1]


def test_refinement_resumes_between_two_parts(long_release, tmp_path, recording):
    seen, fail = recording
    whole = run_system(long_release, SYSTEM, tmp_path / "whole" / "mr.jsonl", progress=False)
    expected = [re.sub(r"answer \d+", "answer", prompt.text) for prompt in seen]
    seen.clear()
    path = tmp_path / "mr.jsonl"
    fail.update({20: KeyboardInterrupt, 50: Failure("HTTP 500")})
    with pytest.raises(KeyboardInterrupt):
        run_system(long_release, SYSTEM, path, progress=False)
    with pytest.raises(IncompleteError, match=r"1 of 1 instructions have no .* \(1 x HTTP 500\)"):
        run_system(long_release, SYSTEM, path, progress=False)
    assert [row["reason"] for row in stored(path, "failure")] == ["HTTP 500"]
    responses = run_system(long_release, SYSTEM, path, progress=False)
    assert responses["n_prompts"].tolist() == whole["n_prompts"].tolist()
    asked = [re.sub(r"answer \d+", "answer", prompt.text) for prompt in seen]
    # The prompt that failed was asked twice, every other one once.
    assert asked.count(asked[50]) == 2
    assert asked[:50] + asked[51:] == expected


def test_a_step_counts_only_after_the_prompts_that_it_answered(long_release, tmp_path, recording):
    seen, fail = recording
    path = tmp_path / "mr.jsonl"
    fail[40] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run_system(long_release, SYSTEM, path, progress=False)
    text = kept(path).read_text()
    tenth = [line for line in text.splitlines(keepends=True) if " step " in line][9]
    kept(path).write_text(text.replace(tenth, ""))
    run_system(long_release, SYSTEM, path, progress=False)
    # The tenth part is read again, and so are all that depend on its answer.
    asked = [prompt for prompt in seen if prompt.instruction == QUESTION]
    assert asked[40 - 2].ehr == asked[9].ehr
