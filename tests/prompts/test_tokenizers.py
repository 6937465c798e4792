import io
import json
import shutil

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AddedToken, AutoTokenizer, LlamaTokenizerFast

from medalign_utils.errors import ParamsError
from medalign_utils.minilm import minilm_path
from medalign_utils.prompts.context import pack_prompt
from medalign_utils.prompts.templates import Wording
from medalign_utils.prompts.tokenizers import Chat, load_tokenizer
from tests.builders import chat_templates
from tests.builders.tiny_models import (
    LLAMA_3_SPECIAL,
    LLAMA_3_TEMPLATE,
    TRAINING,
    byte_level_tokenizer,
)
from tests.builders.tiny_tokenizers import KINDS, words

SYSTEM = "You are a clinician's assistant."
CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n" + SYSTEM + "<|im_end|>\n"
    "{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = "{{ bos_token }}{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
VICUNA = (
    "{{ bos_token }}" + SYSTEM + " {% for m in messages %}USER: {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
LLAMA_3_WITH_SYSTEM = LLAMA_3_TEMPLATE.replace(
    "{% for",
    "<|start_header_id|>system<|end_header_id|>\n\n" + SYSTEM + "<|eot_id|>{% for",
    1,
)
# Its special tokens absorb the blanks after them, like Phi-3's.
PHI = "{% for m in messages %}<|user|>\n{{ m['content'] }}<|end|>\n{% endfor %}<|assistant|>\n"
SWALLOWING = [AddedToken(t, rstrip=True, special=True) for t in ("<|user|>", "<|end|>")]

# Special tokens, BOS and template.
FAMILIES = {
    "llama_3": (LLAMA_3_SPECIAL, "<|begin_of_text|>", LLAMA_3_TEMPLATE),
    "llama_3_with_system": (LLAMA_3_SPECIAL, "<|begin_of_text|>", LLAMA_3_WITH_SYSTEM),
    "chatml": (["<|im_start|>", "<|im_end|>"], None, CHATML),
    "gemma": (["<bos>", "<start_of_turn>", "<end_of_turn>"], "<bos>", GEMMA),
    "mistral": (["<s>", "</s>", "[INST]", "[/INST]"], "<s>", MISTRAL),
    "mistral_in_plain_text": (["<s>", "</s>"], "<s>", MISTRAL),
    "vicuna": (["<s>", "</s>"], "<s>", VICUNA),
    "phi": ([*SWALLOWING, "<|assistant|>"], None, PHI),
    "no_special_token_at_all": (["<|endoftext|>"], None, VICUNA.replace("{{ bos_token }}", "")),
}
ALL_FAMILIES = pytest.mark.parametrize("family", FAMILIES)


def write_family(folder, family):
    special, bos, template = FAMILIES[family]
    byte_level_tokenizer(special, bos=bos, chat=template).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {family: write_family(tmp_path_factory.mktemp(family), family) for family in FAMILIES}


@pytest.fixture(scope="module")
def loaded(folders):
    """Return each family's tokenizer as loaded by transformers and as used for prompts."""
    return {
        family: (AutoTokenizer.from_pretrained(folder), load_tokenizer(folder))
        for family, folder in folders.items()
    }


def by_transformers(tokenizer, text):
    message = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(message, tokenize=True, add_generation_prompt=True)


@ALL_FAMILIES
@settings(max_examples=30, deadline=None, derandomize=True)
@given(text=st.lists(st.one_of(st.sampled_from(TRAINING), st.text(max_size=40))).map(" ".join))
def test_ids_equal_those_of_transformers(loaded, family, text):
    pretrained, tokenizer = loaded[family]
    text = text.strip()  # some templates strip messages; our prompts need no stripping
    assert tokenizer.prompt_ids(text) == by_transformers(pretrained, text)


@ALL_FAMILIES
def test_special_tokens_in_a_message_are_text(loaded, family):
    pretrained, tokenizer = loaded[family]
    literals = pretrained.all_special_tokens
    text = "a " + " ".join(f"{literal} {literal}b" for literal in literals)
    special = set(pretrained.all_special_ids)
    alone = [id for id in tokenizer.prompt_ids("a") if id in special]
    assert [id for id in tokenizer.prompt_ids(text) if id in special] == alone
    assert len(alone) < sum(id in special for id in by_transformers(pretrained, text))
    decoded = tokenizer.backend.decode(tokenizer.prompt_ids(text), skip_special_tokens=False)
    assert text in decoded


@pytest.mark.parametrize("template", [CHATML, MISTRAL])
def test_a_system_message_is_in_the_chat_template(folders, template):
    folder, message = folders["llama_3"], "Be brief."
    tokenizer = load_tokenizer(folder, template, wording=Wording(system=message))
    messages = [{"role": "system", "content": message}, {"role": "user", "content": "Any cough?"}]
    expected = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        messages, chat_template=template, tokenize=True, add_generation_prompt=True
    )
    assert tokenizer.prompt_ids("Any cough?") == expected


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        (GEMMA, r"fails on a system message \(.*not supported.*leave out `prompt: system:`"),
        ("{{ messages[-1]['content'] }}", "leaves out a system message; write it into `answer`"),
    ],
)
def test_a_template_without_a_system_message_refuses_one(folders, template, fault):
    with pytest.raises(ParamsError, match=fault):
        load_tokenizer(folders["llama_3"], template, wording=Wording(system="Be brief."))


def test_a_template_may_be_given_or_refused(folders, tmp_path):
    llama, mistral, own = folders["llama_3"], folders["mistral"], str(tmp_path)
    plain, text = load_tokenizer(llama, False), TRAINING[0]
    assert plain.prompt_ids(text) == AutoTokenizer.from_pretrained(llama)(text)["input_ids"]
    assert plain.chat is None and len(plain.prompt_ids(text)) == plain.count(text) + 1
    assert load_tokenizer(llama, True).chat == load_tokenizer(llama).chat
    assert load_tokenizer(mistral, VICUNA).chat.before == SYSTEM + " USER: "
    byte_level_tokenizer(["<s>"]).save_pretrained(tmp_path)
    assert load_tokenizer(own).chat is None
    assert load_tokenizer(own, "{{ messages[0]['content'] }}!").chat == Chat(after="!")
    with pytest.raises(ParamsError, match="has no chat template of its own"):
        load_tokenizer(own, True)
    (tmp_path / "tokenizer_config.json").unlink()
    assert load_tokenizer(own).chat is None


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no users here') }}", r"fails on a user's message \(no users here\);"),
        ("{% if %}", "fails on a user's message"),
        ("You are an assistant.", "does not return a user's message once and unchanged;"),
        ("{{ messages[0]['content'] | upper }}", "does not return a user's message"),
        ("{{ messages[0]['content'] * 2 }}", "does not return a user's message"),
    ],
)
def test_unusable_templates(folders, template, message):
    with pytest.raises(ParamsError, match=f"^load_tokenizer: [^\n]*{message}[^\n]*$"):
        load_tokenizer(folders["llama_3"], template)


@pytest.mark.parametrize("name", chat_templates.FAMILIES)
def test_current_templates_say_what_begins_and_ends_a_response(tmp_path, name):
    family = chat_templates.FAMILIES[name]
    tokenizer = load_tokenizer(chat_templates.write_family(tmp_path, name))
    assert [tokenizer.backend.id_to_token(id) for id in tokenizer.chat.end_ids] == [family.end]
    assert ("<think>" in tokenizer.response_prefix) == (name == "deepseek r1")


def test_a_template_reads_its_variables_and_the_systems_date(tmp_path):
    folder = chat_templates.write_family(tmp_path / "qwen", "qwen 3")
    quiet = load_tokenizer(folder, template_kwargs={"enable_thinking": False})
    assert quiet.response_prefix.endswith("<think>\n\n</think>\n\n")
    assert "<think>" not in load_tokenizer(folder).response_prefix
    folder = chat_templates.write_family(tmp_path / "gpt", "gpt-oss")
    prompts = [load_tokenizer(folder, **day) for day in ({}, {"date": "2026-11-30"})]
    texts = [p.backend.decode(p.prompt_ids("Any?"), skip_special_tokens=False) for p in prompts]
    assert "Current date: 2023-08-27<|end|>" in texts[0]
    assert "Current date: 2026-11-30<|end|>" in texts[1]


def test_tokenizer_names(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    unusable = "has no tokenizer that can be loaded"
    for name, reason in {
        str(tmp_path): unusable,
        "": unusable,
        "no-such-owner/no-such-model": "is not on this machine and the hub cannot be reached",
        "not a name": "is neither a folder nor a model on the hub",
    }.items():
        with pytest.raises(ParamsError, match=f"load_tokenizer: '?{name}'? {reason}"):
            load_tokenizer(name)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(ParamsError, match=unusable):
        load_tokenizer(str(tmp_path))
    minilm = load_tokenizer("minilm")
    assert load_tokenizer(str(minilm_path())).backend.to_str() == minilm.backend.to_str()
    with pytest.raises(ParamsError, match=r"'minilm' has no tokenizer_config\.json"):
        load_tokenizer("minilm", VICUNA)


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizers_neither_truncate_nor_read_special_tokens(tmp_path, kind):
    backend = KINDS[kind]()
    backend.enable_truncation(16)
    backend.enable_padding(length=16)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.count(words(100)) > 1000
    assert tokenizer.count("") == 0
    for literal in ("[CLS]", "[SEP]", "<|endoftext|>", "<s>"):
        packed = pack_prompt(literal, f"a {literal} b", tokenizer, 2048)
        special = tokenizer.backend.token_to_id(literal)
        assert special is None or special not in tokenizer.encode(packed.prompt.text).ids
        assert packed.prompt.text.count(literal) == 2


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """Write a folder with a sentencepiece model but no tokenizer.json, like Vicuna's."""
    folder = tmp_path_factory.mktemp("sentences")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING * 20),
        model_writer=model,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        character_coverage=1.0,
        add_dummy_prefix=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return folder


def written(sentences, folder, **settings):
    """Copy the sentencepiece model and add a tokenizer_config.json."""
    shutil.copy(sentences / "tokenizer.model", folder)
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", **settings}
    settings |= {"eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return str(folder)


@pytest.mark.parametrize("add_bos_token", [True, False])
def test_a_sentencepiece_model_needs_no_tokenizer_json_and_the_config_decides(
    sentences, tmp_path, add_bos_token
):
    folder = written(sentences, tmp_path, add_bos_token=add_bos_token)
    processor = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    expected = [1] * add_bos_token + processor.encode(TRAINING[0])
    assert load_tokenizer(folder).prompt_ids(TRAINING[0]) == expected
    assert not (tmp_path / "tokenizer.json").exists()
    # A repository with a config that differs from its tokenizer.json.
    written(sentences, tmp_path, add_bos_token=not add_bos_token)
    LlamaTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    written(sentences, tmp_path, add_bos_token=add_bos_token)
    assert (tmp_path / "tokenizer.json").is_file()
    assert load_tokenizer(folder).prompt_ids(TRAINING[0]) == expected


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("template", [VICUNA, MISTRAL, LLAMA_3_TEMPLATE])
def test_chats_of_a_sentencepiece_model(sentences, tmp_path, legacy, template):
    folder = written(sentences, tmp_path, legacy=legacy, chat_template=template)
    tokenizer, pretrained = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for text in TRAINING:
        assert tokenizer.prompt_ids(text) == by_transformers(pretrained, text)
    assert 2 not in tokenizer.prompt_ids("a </s> b")
