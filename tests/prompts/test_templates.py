"""The wording of prompts is a setting."""

import pytest

from medalign_utils.errors import ParamsError
from medalign_utils.generation.system import check_system, shaping_settings, system_tokenizer
from medalign_utils.prompts.context import next_prompt, pack_prompt
from medalign_utils.prompts.templates import DEFAULT, Wording, fill, read_wording
from medalign_utils.prompts.tokenizers import load_tokenizer

RECORD = "2013-01-05 09:00 note: cough."
PROMPT = {
    "answer": "{record} {{A}} Q: {instruction}",
    "refine": "{record} {instruction} {previous}",
    "system": "Be brief.",
}
SYSTEM = {"generator": "bm25_passage", "format": "lines", "context_length": 2048}
SYSTEM |= {"tokenizer": "minilm"}


def test_the_default_has_the_order_of_the_paper():
    assert read_wording(None) == read_wording({}) == DEFAULT
    text = fill("Any cough?", RECORD).text
    places = [text.index(part) for part in ("Use the", RECORD, "Question: Any cough?", "Answer:")]
    assert places == sorted(places) and text.endswith("\n\nAnswer:")


def test_a_wording_shapes_all_prompts_and_their_lengths():
    tokenizer = load_tokenizer("minilm", wording=read_wording(PROMPT))
    packed = pack_prompt("Any cough?", RECORD, tokenizer, 2048)
    assert packed.prompt.text == f"{RECORD} {{A}} Q: Any cough?"
    # [CLS] and [SEP], and the system message, which comes before a prompt without chat template.
    assert packed.prompt_tokens == tokenizer.count(f"Be brief.\n\n{packed.prompt.text}") + 2
    prompt, tokens = next_prompt("Any cough?", RECORD, "Yes.", tokenizer, 2048)
    assert prompt.text == f"{RECORD} Any cough? Yes."
    assert tokens == tokenizer.count(f"Be brief.\n\n{prompt.text}") + 2


def test_a_prompt_fits_the_context_in_any_wording():
    record = "\n".join(f"2013-01-{day:02} 09:00 note: cough {day}." for day in range(1, 29))
    for answer in (
        "{record}{instruction}",
        "{instruction}{record}",
        "x{record}y {instruction}",
    ):
        tokenizer = load_tokenizer("minilm", wording=Wording(answer=answer, system="Be brief."))
        packed = pack_prompt("Any cough?", record, tokenizer, 256 + 100)
        assert 90 < packed.prompt_tokens <= 100 and record.endswith(packed.prompt.ehr)


def test_a_system_has_its_wording_among_its_settings():
    system = SYSTEM | {"prompt": PROMPT}
    check_system(system)
    assert shaping_settings(system)["prompt"] == PROMPT
    assert system_tokenizer(system).wording == Wording(**read_wording(PROMPT)._asdict())
    assert system_tokenizer(SYSTEM).wording == DEFAULT


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"anser": "x"}, r"prompt: unknown key 'anser'; did you mean 'answer'\?"),
        ({"system": " "}, "prompt: system: ' ', expected text"),
        ({"answer": "{record}"}, r"found \{record\}, expected \{record\}, \{instruction\}, each"),
        ({"answer": "{record} {record} {instruction}"}, "each once"),
        ({"answer": "{record} {instruction!r}"}, r"found \{record\}, \{instruction!\}"),
        ({"answer": "{record} {instruction} {x"}, "found a single brace"),
        ({"refine": "{record} {instruction}"}, r"expected .*\{previous\}, each once"),
        ({"answer": "none"}, "found no field"),
    ],
)
def test_a_wrong_wording_is_named(prompt, message):
    with pytest.raises(ParamsError, match=message):
        check_system(SYSTEM | {"prompt": prompt})
