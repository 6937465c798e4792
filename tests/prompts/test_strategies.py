import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import load_release
from medalign_utils.errors import IncompleteError, ParamsError, PromptError
from medalign_utils.generation.registry import GENERATORS, Failure, Generation, Generator
from medalign_utils.generation.runner import run_system
from medalign_utils.prompts.chat import Chat, prompt_ids
from medalign_utils.prompts.retrieval import Bm25
from medalign_utils.prompts.strategies import next_prompt, refine, retrieve
from medalign_utils.prompts.templates import RESPONSE_TOKENS, count_tokens, load_tokenizer
from tests.builders.run_folder import kept, stored
from tests.builders.tiny_release import eventstream, note, write_release
from tests.prompts.test_templates import KINDS, length_of, words

MINILM = load_tokenizer("minilm")
QUESTION = "What was the last creatinine?"
SYSTEM = {
    "generator": "recording",
    "strategy": "refine",
    "context_length": 2048,
    "format": "lines",
    "tokenizer": "minilm",
}


def line(i, text="Sodium: 139 mmol/L"):
    return f"{2000 + i // 300}-{1 + i % 12:02}-{1 + i % 28:02} 09:12 measurement LOINC/1 {text}"


RECORD = "\n".join(line(i, f"Value {i}: {i % 7} mg/dL") for i in range(3000))


def parts_of(packed):
    return [packed.prompt.ehr, *packed.later]


def steps(packed, tokenizer, context_length, chat=None, answer="so far"):
    """Every prompt of a chain, with the tokens that were counted for it."""
    yield packed.prompt, packed.prompt_tokens
    for part in packed.later:
        yield next_prompt(packed.prompt.instruction, part, answer, tokenizer, context_length, chat)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    record=st.lists(
        st.one_of(
            st.integers(0, 40).map(words),
            st.text(max_size=60),
            st.sampled_from(
                ["中文病历" * 60, "😀👩‍⚕️" * 30, "\n" * 50, "x" * 400, "12" * 200, "ﷺ" * 30]
            ),
        ),
        max_size=30,
    ).map("".join),
    room=st.integers(0, 500),
    answer=st.text(max_size=400),
)
def test_parts_make_up_any_record_and_every_prompt_fits(kind, record, room, answer):
    tokenizer = MAKERS[kind]
    context_length = 1400 + room
    [packed] = refine(["Any pain?"], record, tokenizer, context_length, None)
    assert "".join(parts_of(packed)) == record
    assert all(parts_of(packed)) or record == ""
    for prompt, tokens in steps(packed, tokenizer, context_length, answer=answer):
        assert tokens == length_of(prompt.text, tokenizer) <= context_length - RESPONSE_TOKENS


MAKERS = {kind: make() for kind, make in KINDS.items()}


def test_parts_end_at_lines_and_fill_the_context():
    [packed] = refine([QUESTION], RECORD, MINILM, 2048, None)
    *parts, last = parts_of(packed)
    assert all(part.endswith("\n") for part in parts) and last
    for prompt, tokens in list(steps(packed, MINILM, 2048))[1:-1]:
        room = RESPONSE_TOKENS - count_tokens(prompt.previous, MINILM)
        assert 0.9 * (2048 - RESPONSE_TOKENS) < tokens + room <= 2048 - RESPONSE_TOKENS
    assert packed.ehr_tokens_kept == count_tokens(RECORD, MINILM)


def test_a_record_that_fits_is_asked_about_once():
    [short] = refine([QUESTION], line(1), MINILM, 2048, None)
    assert short.later == () and short.prompt.ehr == line(1) and short.prompt.previous is None
    [empty] = refine([QUESTION], "", MINILM, 2048, None)
    assert empty.later == () and empty.prompt.ehr == ""


def test_a_long_answer_to_refine_is_cut_to_its_room():
    answer = "creatinine 1.4 mg/dL, " * 300
    [packed] = refine([QUESTION], RECORD, MINILM, 2048, None)
    prompt, tokens = next_prompt(QUESTION, packed.later[0], answer, MINILM, 2048, None)
    assert tokens <= 2048 - RESPONSE_TOKENS and answer.startswith(prompt.previous)
    assert count_tokens(prompt.previous, MINILM) >= RESPONSE_TOKENS - 2


def test_what_refinement_needs_is_said():
    with pytest.raises(ParamsError, match="refine needs a context_length"):
        list(refine([QUESTION], RECORD, MINILM, None, None))
    with pytest.raises(PromptError, match=r"an answer to refine take .* lengthen the context"):
        list(refine([QUESTION], RECORD, MINILM, 640, None))


def test_a_chat_template_counts():
    chat = Chat(tuple(range(5, 25)), "user says: ", " now answer", tuple(range(5, 15)))
    for strategy in (refine, retrieve):
        [packed] = strategy([QUESTION], RECORD, MINILM, 2048, chat)
        for prompt, tokens in steps(packed, MINILM, 2048, chat):
            assert tokens == len(prompt_ids(prompt.text, MINILM, chat)) <= 2048 - RESPONSE_TOKENS


@pytest.mark.parametrize("retriever", ["bm25", "minilm"])
def test_retrieved_passages_are_the_best_in_the_order_of_time(retriever):
    hidden = line(17, "Creatinine: 1.4 mg/dL")
    rows = RECORD.split("\n")[:600]
    rows[17] = hidden
    [packed] = retrieve([QUESTION], "\n".join(rows), MINILM, 1024, None, retriever=retriever)
    kept = packed.prompt.ehr.split("\n")
    assert hidden in kept and len(kept) < 600
    assert [rows.index(row) for row in kept] == sorted(rows.index(row) for row in kept)
    assert 0.9 * (1024 - RESPONSE_TOKENS) < packed.prompt_tokens <= 1024 - RESPONSE_TOKENS
    if retriever == "bm25":
        scores = Bm25(rows).scores(QUESTION)
        best = sorted(range(600), key=lambda i: (-scores[i], -i))[: len(kept)]
        assert sorted(best) == [rows.index(row) for row in kept]  # lines are equally long


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(max_size=120), min_size=1, max_size=60), room=st.integers(0, 400))
def test_retrieved_passages_never_exceed_the_budget(kind, texts, room):
    tokenizer = MAKERS[kind]
    record = "\n".join(line(i, text) for i, text in enumerate(texts))
    for packed in retrieve([QUESTION, "Any pain?"], record, tokenizer, 512 + room, None):
        assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer)
        assert packed.prompt_tokens <= 512 + room - RESPONSE_TOKENS


def test_what_retrieval_needs_is_said():
    with pytest.raises(ParamsError, match="retrieve needs a context_length"):
        list(retrieve([QUESTION], RECORD, MINILM, None, None))
    with pytest.raises(ParamsError, match="no 'bm52'; there are bm25, minilm"):
        list(retrieve([QUESTION], RECORD, MINILM, 2048, None, retriever="bm52"))


@pytest.fixture
def recording(monkeypatch):
    """A generator that keeps what it was given; `fail` says which call fails or ends the run."""
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
    """Patient 40's EHR has 150,000 tokens."""
    folder = write_release(tmp_path / "release")
    entries = "".join(
        note(f"20{10 + i // 400:02}-03-{1 + i % 28:02} 10:00", f"Visit {i}. {words(20)}")
        for i in range(300)
    )
    (folder / "ehrs" / "40.xml").write_text(eventstream("40", f"<encounter><events>{entries}"
        "</events></encounter>"), "utf-8")  # fmt: skip
    return folder


def test_refinement_reads_every_part_of_a_long_record_once(long_release, tmp_path, recording):
    seen, _ = recording
    release = load_release(long_release)
    path = tmp_path / "mr.jsonl"
    responses = run_system(release, SYSTEM, path, progress=False)
    row = responses.set_index("instruction_id").loc["5479314876123"]
    assert row["ehr_tokens_total"] == row["ehr_tokens_kept"] > 150_000
    chain = [prompt for prompt in seen if prompt.instruction == QUESTION]
    assert len(chain) == row["n_prompts"] > 80
    assert "".join(prompt.ehr for prompt in chain) == ehr_text(release.ehr_path("40"), "lines")
    assert max(length_of(prompt.text, MINILM) for prompt in chain) == row["prompt_tokens"] <= 1792
    assert chain[0].previous is None
    first = seen.index(chain[0])
    assert [prompt.previous for prompt in chain[1:]] == [
        f"answer {first + i}" for i in range(1, len(chain))
    ]
    assert [row["response"] for row in stored(path, "step")] == [
        f"answer {first + i + 1}" for i in range(len(chain) - 1)
    ]
    assert row["response"] == f"answer {first + len(chain)}"


def test_refinement_goes_on_between_two_parts(long_release, tmp_path, recording):
    seen, fail = recording
    release = load_release(long_release)
    whole = run_system(release, SYSTEM, tmp_path / "whole" / "mr.jsonl", progress=False)
    expected = [re.sub(r"answer \d+", "answer", prompt.text) for prompt in seen]
    seen.clear()
    path = tmp_path / "mr.jsonl"
    fail.update({20: KeyboardInterrupt, 50: Failure("HTTP 500")})
    with pytest.raises(KeyboardInterrupt):
        run_system(release, SYSTEM, path, progress=False)
    with pytest.raises(IncompleteError, match=r"1 of 1 instructions have no .* \(1 x HTTP 500\)"):
        run_system(release, SYSTEM, path, progress=False)
    assert [row["reason"] for row in stored(path, "failure")] == ["HTTP 500"]
    responses = run_system(release, SYSTEM, path, progress=False)
    assert responses["n_prompts"].tolist() == whole["n_prompts"].tolist()
    asked = [re.sub(r"answer \d+", "answer", prompt.text) for prompt in seen]
    # The prompt that failed was asked twice, every other one once.
    assert asked.count(asked[50]) == 2
    assert asked[:50] + asked[51:] == expected


def test_a_step_counts_only_behind_the_prompts_that_it_answered(long_release, tmp_path, recording):
    seen, fail = recording
    release = load_release(long_release)
    path = tmp_path / "mr.jsonl"
    fail[40] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run_system(release, SYSTEM, path, progress=False)
    text = kept(path).read_text()
    tenth = [line for line in text.splitlines(keepends=True) if " step " in line][9]
    kept(path).write_text(text.replace(tenth, ""))
    run_system(release, SYSTEM, path, progress=False)
    # The tenth part is read again, and with it all that was built on the answer to it.
    chain = [prompt for prompt in seen if prompt.instruction == QUESTION]
    assert chain[40 - 2].ehr == chain[9].ehr
    assert "".join(p.ehr for p in chain[:9] + chain[38:]) == ehr_text(
        release.ehr_path("40"), "lines"
    )
