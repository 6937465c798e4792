"""Only the answer counts: reasoning is separated in every format, even when truncated."""

import time

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from medalign_utils.data.release import load_release
from medalign_utils.data.responses import read_responses
from medalign_utils.errors import ParamsError
from medalign_utils.generation.base import Generation
from medalign_utils.generation.huggingface import huggingface
from medalign_utils.generation.openai_api import openai
from medalign_utils.generation.reasoning import Parts, check_pattern, split
from medalign_utils.generation.runner import run_system
from medalign_utils.prompts.templates import fill
from medalign_utils.prompts.tokenizers import load_tokenizer
from tests.builders.chat_server import ChatServer, Reply, chunk, completion, stream
from tests.builders.chat_templates import FAMILIES, THINKING, write_family
from tests.builders.run_folder import stored
from tests.builders.tiny_release import write_release

ANSWER = "It was 1.4."
WHOLE = Parts(THINKING, ANSWER)
CUT = Parts(THINKING, "", is_finished=False)
PROMPT = fill("What was creatinine?", "Creatinine: 1.4 mg/dL")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: write_family(tmp_path_factory.mktemp("family"), name) for name in FAMILIES}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<think>{THINKING}</think>{ANSWER}", WHOLE),
        (f"Well.\n<think>{THINKING}</think>{ANSWER}", Parts(THINKING, f"Well.\n{ANSWER}")),
        (f"<think>a</think>{ANSWER}<think>b</think>", Parts("a\nb", ANSWER)),
        (f"{THINKING}\n</think>{ANSWER}", WHOLE),
        (f"<think>{THINKING}", CUT),
        (f"Well.\n<think>{THINKING}", Parts(f"Well.\n{THINKING}", "", is_finished=False)),
        (f"<think>a <think>b</think> c</think>{ANSWER}", Parts("a <think>b</think> c", ANSWER)),
        (f"<think>\n<think>{THINKING}</think>{ANSWER}", Parts(f"<think>{THINKING}", ANSWER)),
        ("The note says `<think>`.", Parts("", "The note says `<think>`.")),
        ('It ends in "</think>".', Parts("", 'It ends in "</think>".')),
        ("<think>As `</think>`?</think>By `<think>`.", Parts("As `</think>`?", "By `<think>`.")),
        (f"<THINK>{THINKING}</Think>{ANSWER}", WHOLE),
        (f"[think]{THINKING}[/think]{ANSWER}", WHOLE),
        (f"{THINKING}</THINK>{ANSWER}", WHOLE),
        (f"Do I <think> so?\n</think>{ANSWER}", Parts("Do I <think> so?", ANSWER)),
        (f"{ANSWER} <think>{THINKING}</think>", Parts(THINKING, ANSWER)),
        (f"<think></think>\n{ANSWER}", Parts("", ANSWER)),
        (f"<think>{THINKING}</think>", Parts(THINKING, "")),
        (f"[THINK]{THINKING}[/THINK]{ANSWER}", WHOLE),
        (f"<|channel>thought\n{THINKING}<channel|>{ANSWER}", WHOLE),
        (f"<unused94>thought\n{THINKING}<unused95>{ANSWER}", WHOLE),
        (f"<think>{THINKING}</think>\n<answer>\n{ANSWER}\n</answer>", WHOLE),
        (f"<think>{THINKING}</think><response>{ANSWER}", WHOLE),
        (f"<|channel|>analysis<|message|>{THINKING}<|end|>", CUT),
        ("<|channel|>ana", Parts("", "", is_finished=False)),
        (f"<|channel|>final<|message|>{ANSWER}<|return|>", Parts("", ANSWER)),
        (
            f"analysis<|message|>{THINKING}<|end|><|start|>assistant<|channel|>commentary json"
            f"<|message|>b<|call|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
            Parts(f"{THINKING}\nb", ANSWER),
        ),
        (f"analysis{THINKING}assistantfinal{ANSWER}", WHOLE),
        (f"analysis{THINKING}", CUT),
        ("analysis of the urine was normal", Parts("", "analysis of the urine was normal")),
        (" INR < 2 > 1, <b>bold</b> ", Parts("", " INR < 2 > 1, <b>bold</b> ")),
    ],
)
def test_known_formats(text, expected):
    assert split(text) == expected
    assert split(text, "none") == Parts("", text)


def test_a_custom_pattern():
    text = f"## Thinking\n\n{THINKING}\n\n## Final Response\n\n{ANSWER}"
    pattern = r"## Thinking.*?(## Final Response|\Z)"
    assert split(text, pattern).answer == ANSWER
    assert THINKING in split(text, pattern).reasoning
    assert split(ANSWER, pattern) == Parts("", ANSWER)
    assert split(f"## Thinking\n{THINKING}", pattern).answer == ""
    assert split("<think>a</think>b", pattern) == Parts("", "<think>a</think>b")
    with pytest.raises(ParamsError, match=r"reasoning: found '\(', expected auto, none or a reg"):
        check_pattern("(")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    config = LlamaConfig(
        vocab_size=512, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=2048, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("network")
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def write(monkeypatch, network, folders):
    """Return a function that lets a family's model write a text and returns its response."""

    def write(family, text, **options):
        tokenizer = load_tokenizer(folders[family])
        tokenizer.backend.encode_special_tokens = False
        ids = torch.tensor([tokenizer.backend.encode(text, add_special_tokens=False).ids])
        tokenizer.backend.encode_special_tokens = True

        def generate(self, input_ids, logits_processor, **_):
            for _ in ids[0]:
                logits_processor[0](None, torch.arange(512.0)[None])
            return torch.cat([input_ids, ids], 1)

        monkeypatch.setattr(LlamaForCausalLM, "generate", generate)
        [response] = huggingface(tokenizer, model=network, device="cpu", **options).answer([PROMPT])
        assert response.tokens == ids.shape[1]
        return response

    return write


@pytest.mark.parametrize("name", FAMILIES)
def test_a_local_model(name, write):
    family = FAMILIES[name]
    response = write(name, family.written + family.end)
    assert response[:2] == (family.answer, "stop")
    assert response.reasoning == family.reasoning
    assert (response.reasoning_tokens > 5) == bool(family.reasoning)
    # An answer truncated by the limit is kept; truncated reasoning means that there is no answer.
    assert write(name, family.written)[:2] == (family.answer, "length")
    if family.cut:
        for end in ("", family.end):
            cut = write(name, family.cut + end)
            assert (cut.text, cut.finish_reason, cut.reasoning) == ("", "length", THINKING)


def test_without_a_split_special_tokens_are_dropped_as_before(write):
    response = write("magistral", f"[THINK]{THINKING}[/THINK]{ANSWER}</s>", reasoning="none")
    assert response[:2] == (THINKING + ANSWER, "stop") and response.reasoning == ""


@pytest.fixture
def serve():
    with ChatServer(None) as server:

        def ask(reply, tokenizer=None, **options):
            server.reply = lambda _: reply
            generator = openai(tokenizer, model="m", base_url=server.base_url, attempts=1)
            [outcome] = generator.answer([PROMPT])
            return outcome

        yield ask


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_a_server_that_separates_reasoning(serve, key):
    counted = completion(ANSWER, **{key: THINKING})
    counted["usage"]["completion_tokens_details"] = {"reasoning_tokens": 2}
    assert serve(Reply(counted)) == Generation(ANSWER, "stop", 3, THINKING, 2)
    uncounted = Generation(ANSWER, "stop", 3, THINKING, None)
    assert serve(Reply(completion(ANSWER, **{key: THINKING}))) == uncounted
    cut = Generation("", "length", 3, THINKING, None)
    for content in (None, ""):
        assert serve(Reply(completion(content, "length", **{key: THINKING}))) == cut
        # A parser that mistakes an answer for reasoning.
        assert serve(Reply(completion(content, **{key: ANSWER}))) == Generation(ANSWER, "stop", 3)
    streamed = stream(chunk(**{key: THINKING}), chunk(content=ANSWER), chunk("stop"))
    assert serve(streamed) == Generation(ANSWER, "stop", None, THINKING, None)


def test_a_server_that_leaves_reasoning_in_the_text(serve, folders):
    for name, family in FAMILIES.items():
        tokenizer = load_tokenizer(folders[name])
        whole = serve(Reply(completion(family.written)), tokenizer)
        assert (whole.text, whole.reasoning) == (family.answer, family.reasoning)
        if family.cut:
            cut = serve(Reply(completion(family.cut, "length")), tokenizer)
            assert cut[:2] == ("", "length") and cut.reasoning_tokens > 5
        # A server may keep special tokens.
        ended = serve(Reply(completion(family.written + family.end)), tokenizer)
        assert ended.text == family.answer
    # A server may drop the reasoning that its template opens.
    r1 = load_tokenizer(folders["deepseek r1"])
    assert serve(Reply(completion(ANSWER)), r1) == Generation(ANSWER, "stop", 3)
    # A model that reasons and then ends has not answered.
    unanswered = Reply(completion(None, reasoning=THINKING))
    assert serve(unanswered, r1)[:2] == ("", "length")
    separated = completion(ANSWER, "length", reasoning=THINKING)
    assert serve(Reply(separated), r1)[:2] == (ANSWER, "length")


def test_only_the_answer_becomes_the_response_and_is_refined(tmp_path):
    folder = write_release(tmp_path / "release")
    for file in (folder / "ehrs").iterdir():
        file.write_text(file.read_text().replace("1.4", "1.4" + " again" * 600))
    release = load_release(folder)
    path = tmp_path / "m.jsonl"
    system = {
        "generator": "openai", "model": "m", "format": "lines", "tokenizer": "minilm",
        "strategy": "refine", "context_length": 700,
    }  # fmt: skip
    reply = Reply(completion(f"<think>{THINKING}</think>{ANSWER}"))
    with ChatServer(lambda _: reply) as server:
        run_system(release, system | {"base_url": server.base_url}, path, progress=False)
    responses = read_responses(path)
    assert set(responses["response"]) == {ANSWER} and set(responses["reasoning"]) == {THINKING}
    assert (responses["reasoning_tokens"] > 5).all()
    later = [request.prompt for request in server.requests if "so far" in request.prompt]
    assert later and all(f"so far: {ANSWER}\n" in prompt for prompt in later)
    assert {step["reasoning"] for step in stored(path, "step")} == {THINKING}


def test_marks_repeated_by_a_server_are_split_in_linear_time():
    begun = time.monotonic()
    assert split("<think>a</think>b" * 100_000).answer == "b" * 100_000
    assert not split("<think>a</think>" + "<think>" * 300_000).is_finished
    assert time.monotonic() - begun < 10
