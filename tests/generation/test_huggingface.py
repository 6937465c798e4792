import functools
import hashlib
import re

import pytest
import torch
import transformers
from transformers import AutoTokenizer, GenerationConfig, LlamaForCausalLM

from medalign_utils.errors import ParamsError
from medalign_utils.generation.base import Failure, Generation
from medalign_utils.generation.huggingface import _Model, huggingface
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt, fill
from medalign_utils.prompts.tokenizers import load_tokenizer
from tests.builders.tiny_models import TRAINING, write_tiny_gpt2, write_tiny_llama, write_tiny_t5

WRITERS = {"llama": write_tiny_llama, "gpt2": write_tiny_gpt2, "t5": write_tiny_t5}
# Of several lengths, so that a batch needs padding.
PROMPTS = [
    fill(f"Any {word}?", " ".join(TRAINING[i % 3] for i in range(parts)))
    for word, parts in [
        ("pain", 1), ("cough", 5), ("糖尿病", 9), ("fever", 0), ("Größe", 3), ("😀", 7)
    ]
]  # fmt: skip
LONGEST = PROMPTS[2]
# The tiny Llama's answers to these are short.
QUICK = [PROMPTS[i] for i in (0, 1, 4, 5)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: str(write(tmp_path_factory.mktemp(kind))) for kind, write in WRITERS.items()}


@pytest.fixture
def llama(folders):
    return folders["llama"]


def answers(folder, prompts=PROMPTS, **options):
    options = {"device": "cpu", **options}
    tokenizer = load_tokenizer(options.pop("tokenizer", folder))
    return huggingface(tokenizer, **{"model": folder, **options}).answer(prompts)


def by_generate_alone(folder):
    """Return what `generate` gives for one prompt at a time, decoded by transformers."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    kind = getattr(transformers, config.architectures[0])
    network = kind.from_pretrained(folder)
    for prompt in PROMPTS:
        if tokenizer.chat_template:
            message = [{"role": "user", "content": prompt.text}]
            ids = tokenizer.apply_chat_template(
                message, add_generation_prompt=True, return_tensors="pt"
            )
        else:
            ids = tokenizer(prompt.text, return_tensors="pt")["input_ids"]
        [new] = network.generate(ids, do_sample=False, max_new_tokens=RESPONSE_TOKENS)
        new = new[1 if config.is_encoder_decoder else ids.shape[1] :]
        yield tokenizer.decode(new, skip_special_tokens=True), len(new)


@pytest.fixture(scope="module")
def alone(folders):
    return {kind: list(by_generate_alone(folder)) for kind, folder in folders.items()}


def digest(prompt):
    return hashlib.sha256(prompt.text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_any_batch_size_gives_what_generate_gives_alone(folders, alone, kind, batch_size, caplog):
    assert len(set(alone[kind])) >= (4 if kind == "t5" else len(PROMPTS))
    assert min(tokens for _, tokens in alone[kind]) < 16
    found = answers(folders[kind], batch_size=batch_size)
    near = set(re.findall(r"near tie: prompt (\w{12}), token \d+ of", caplog.text))
    assert len(near) <= 2
    for prompt, answer, (text, tokens) in zip(PROMPTS, found, alone[kind], strict=True):
        if digest(prompt) not in near:
            assert (answer.text, answer.tokens) == (text, tokens)
            # None of these answers ends with exactly its 256th token.
            assert answer.finish_reason == ("stop" if tokens < RESPONSE_TOKENS else "length")


def test_a_checkpoints_own_settings_have_no_effect(llama, tmp_path):
    write_tiny_llama(tmp_path)
    plain = answers(llama, QUICK)
    # Saved by a version that fills up the settings `generate` is given from these.
    GenerationConfig(
        do_sample=True, temperature=3.0, top_k=5, repetition_penalty=4.0, num_beams=3,
        no_repeat_ngram_size=1, min_new_tokens=50, max_new_tokens=3, eos_token_id=[1, 4],
    ).save_pretrained(tmp_path)  # fmt: skip
    assert answers(str(tmp_path), QUICK) == plain


def test_a_model_without_an_end_answers_to_the_limit(tmp_path):
    write_tiny_gpt2(tmp_path)
    GenerationConfig().save_pretrained(tmp_path)
    [answer] = answers(str(tmp_path), PROMPTS[:1])
    assert (answer.finish_reason, answer.tokens) == ("length", RESPONSE_TOKENS)


def test_a_response_may_have_another_length(llama):
    [short] = answers(llama, [LONGEST], max_new_tokens=5)
    [long] = answers(llama, [LONGEST])
    assert (short.finish_reason, short.tokens) == ("length", 5)
    assert long.tokens > 5 and long.text.startswith(short.text)


def test_a_sample_depends_on_seed_and_prompt_alone(llama):
    hot = {"temperature": 1.0, "top_p": 0.9, "top_k": 40, "seed": 1}
    found = answers(llama, QUICK, generation=hot, batch_size=4)
    assert answers(llama, QUICK[::-1], generation=hot, batch_size=1)[::-1] == found
    assert answers(llama, QUICK, generation=hot | {"seed": 2}) != found
    greedy = answers(llama, QUICK)
    assert answers(llama, QUICK, generation={"temperature": 0}) == greedy != found
    assert answers(llama, QUICK, generation={"temperature": 1.0, "top_k": 1}) == greedy


def test_samples_follow_the_models_probabilities(llama):
    loaded = _Model(
        llama, load_tokenizer(llama), "auto", "cpu", None, 1, {"temperature": 0.7}, 1, False
    )
    scores, n = torch.randn(1, 50, generator=torch.Generator().manual_seed(1)), 4000
    drawn = torch.zeros(50)
    for seed in range(n):
        loaded._sampling["seed"] = seed
        warped = scores
        for warp in loaded._warpers(PROMPTS[:1]):
            warped = warp(None, warped)
        drawn[warped.argmax()] += 1
    expected = (scores[0] / 0.7).softmax(0)
    error = (expected * (1 - expected) / n).sqrt()
    assert ((drawn / n - expected).abs() < 4.5 * error + 1e-3).all()


def refusing(monkeypatch, refuse, error=torch.OutOfMemoryError):
    """Let `generate` raise an error for some inputs; return all inputs that it gets."""
    generate, inputs = LlamaForCausalLM.generate, []

    def limited(self, input_ids, **options):
        inputs.append(input_ids)
        if refuse(input_ids):
            raise error()
        return generate(self, input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "generate", limited)
    return inputs


def cpu_allocator_error():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55)
    return caught.value


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, cpu_allocator_error])
def test_out_of_memory_halves_the_batch_and_loses_nothing(llama, monkeypatch, caplog, error):
    prompts = [QUICK[2], QUICK[3], QUICK[3], QUICK[2]] * 2
    expected = answers(llama, prompts, batch_size=2)
    caplog.clear()
    inputs = refusing(monkeypatch, lambda ids: len(ids) > 2, error)
    generator = huggingface(load_tokenizer(llama), model=llama, device="cpu", batch_size=8)
    assert generator.answer(prompts) == expected
    assert generator.answer(prompts[:3]) == expected[:3]
    assert list(map(len, inputs)) == [8, 4, 2, 2, 2, 2, 2, 1]
    halved = [m for m in caplog.messages if "out of memory" in m]
    assert halved == [f"out of memory; from here on {n} prompts at a time" for n in (4, 2)]


def test_a_prompt_that_does_not_fit_alone_is_a_failure(llama, monkeypatch):
    first, last = QUICK[0], QUICK[2]
    expected = answers(llama, [first, last], batch_size=1)
    refusing(monkeypatch, lambda ids: ids.shape[1] > 200)
    before, failure, after = answers(llama, [first, LONGEST, last])
    assert [before, after] == expected
    assert re.fullmatch(r"out of memory with this prompt alone \(\d+ tokens\)", failure.reason)


def test_other_errors_of_a_model_are_not_mistaken_for_lack_of_memory(llama, monkeypatch):
    first, last = QUICK[0], QUICK[2]
    expected = answers(llama, [first, last], batch_size=1)
    refuse = functools.partial(refusing, monkeypatch, lambda ids: ids.shape[1] > 200)
    inputs = refuse(lambda: RuntimeError(f"shapes of {LONGEST.text} do not match"))
    before, failure, after = answers(llama, [first, LONGEST, last])
    assert [before, after] == expected
    assert failure == Failure("the model failed on the prompt (RuntimeError)", "permanent")
    assert list(map(len, inputs)) == [3, 1, 1, 1]
    refuse(lambda: torch.AcceleratorError("CUDA error: device-side assert triggered"))
    assert answers(llama, [LONGEST])[0].kind == "systemic"


def test_a_prompt_beyond_the_models_positions_is_a_failure(tmp_path):
    folder = str(write_tiny_gpt2(tmp_path, context=300))
    text = "x y " * 11
    assert len(load_tokenizer(folder).prompt_ids(text)) == 44
    fits, exceeds = Prompt("", "", text), Prompt("", "", text + "x")
    found = answers(folder, [exceeds, fits])
    assert found[0] == Failure(
        "the prompt takes 45 tokens and the response up to 256, but the model has 300 positions",
        "permanent",
    )
    assert isinstance(found[1], Generation)
    assert answers(folder, [exceeds]) == found[:1]


def test_special_tokens_in_a_prompt_are_text(llama, monkeypatch):
    inputs = refusing(monkeypatch, lambda ids: False)
    [answer] = answers(llama, [fill("Any <|eot_id|>?", "<|begin_of_text|> <|end_of_text|>")])
    assert isinstance(answer, Generation)
    [ids] = inputs[0].tolist()
    # <|begin_of_text|>, <|start_header_id|>user<|end_header_id|>, <|eot_id|>, and the answer's.
    assert [id for id in ids if id < 5] == [0, 2, 3, 4, 2, 3]


def changed_llama(folder, change):
    network = LlamaForCausalLM.from_pretrained(write_tiny_llama(folder))
    with torch.no_grad():
        change(network.lm_head.weight)
    network.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_near_ties_are_logged_in_float32_without_the_prompts_text(tmp_path, caplog, capfd, dtype):
    folder = changed_llama(tmp_path, lambda weight: weight.zero_())  # all tokens tie
    GenerationConfig(eos_token_id=0).save_pretrained(folder)  # and the first of them ends
    found = answers(folder, PROMPTS[:2], dtype=dtype)
    assert found == [Generation("", "stop", 1, device="cpu")] * 2
    assert caplog.messages == [
        f"near tie: prompt {digest(prompt)}, token 1 of the response; "
        "it may change with the batch's size"
        for prompt in PROMPTS[: 2 if dtype == "float32" else 0]
    ]
    assert capfd.readouterr() == ("", "")


def test_a_model_that_overflows_fails(tmp_path):
    folder = changed_llama(tmp_path, lambda weight: weight.fill_(float("nan")))
    GenerationConfig(eos_token_id=0).save_pretrained(folder)
    [failure] = answers(folder, PROMPTS[:1])
    assert failure.reason.startswith("the model's logits are not numbers in float32; `dtype:`")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "abacus"}, "no device 'abacus' here"),
        ({"device": "cuda:99"}, "no device 'cuda:99' here"),
        ({"model": "no-such-owner/none"}, "repository that can be loaded .*huggingface-cli"),
        ({"model": "/no/such/folder"}, "'/no/such/folder' is neither a folder with a language"),
        ({"tokenizer": "minilm"}, r"tokenizer is another model's: .* token \d+, and the model has"),
        ({"model": "body"}, r"is not a whole language model: it lacks lm_head\.weight"),
        ({"context_length": 10**6}, "positions, fewer than the system's context_length of 1000000"),
    ],
)
def test_what_is_not_available_is_said_in_one_line(llama, options, message, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if options.get("model") == "body":
        LlamaForCausalLM.from_pretrained(llama).model.save_pretrained(tmp_path)
        options = {"model": str(tmp_path)}
    with pytest.raises(ParamsError, match=f"^huggingface: [^\n]*{message}[^\n]*$"):
        answers(llama, **{"device": None, **options})


def test_the_model_is_loaded_at_the_first_prompt_and_once(llama, monkeypatch):
    loads = []
    load = LlamaForCausalLM.from_pretrained
    monkeypatch.setattr(
        LlamaForCausalLM, "from_pretrained", lambda *a, **k: (loads.append(1), load(*a, **k))[1]
    )
    generator = huggingface(model=llama, tokenizer=llama, device="cpu", batch_size=5)
    assert (loads, generator.batch_size, generator.concurrency) == ([], 5, 1)
    assert generator.answer(QUICK[2:3]) == generator.answer(QUICK[2:3])
    assert loads == [1]
