import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from medalign_utils.errors import ParamsError, PromptError
from medalign_utils.minilm import minilm_path
from medalign_utils.prompts.templates import (
    RESPONSE_TOKENS,
    check_fits,
    count_tokens,
    load_tokenizer,
    pack,
    pack_all,
)

TRAINING = [
    "2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL",
    "Use the patient's health record below to answer the question that follows it.",
    "Denies chest pain, on atorvastatin 40 mg daily. Größe 5′3″ 中文 病历 😀",
]


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TRAINING, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def byte_level_bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer


def bpe_of_words_and_three_digits():
    """Like Llama 3's: a run of digits is parted by threes from its start, so from a cut on."""
    tokenizer = byte_level_bpe()
    pattern = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer


def bpe_over_whole_text():
    """Like Llama's: spaces are letters, nothing parts the text, unknown letters go by bytes."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=["<unk>", "<s>", *byte_tokens], show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return tokenizer


KINDS = {
    "wordpiece": wordpiece,
    "byte_level_bpe": byte_level_bpe,
    "bpe_of_words_and_three_digits": bpe_of_words_and_three_digits,
    "unigram": unigram,
    "bpe_over_whole_text": bpe_over_whole_text,
}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Every kind, saved with cutting and padding on, and loaded as a system's would be."""
    loaded = {"minilm": load_tokenizer("minilm")}
    for kind, make in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = make()
        tokenizer.enable_truncation(16)
        tokenizer.enable_padding(length=16)
        tokenizer.save(str(folder / "tokenizer.json"))
        loaded[kind] = load_tokenizer(str(folder))
    return loaded


ALL_KINDS = pytest.mark.parametrize("kind", ["minilm", *KINDS])


class Counting:
    """A tokenizer that counts the characters it is given."""

    def __init__(self, tokenizer):
        self.tokenizer, self.characters = tokenizer, 0

    def encode(self, text, **options):
        self.characters += len(text)
        return self.tokenizer.encode(text, **options)

    def num_special_tokens_to_add(self, is_pair):
        return self.tokenizer.num_special_tokens_to_add(is_pair)


def length_of(text, tokenizer):
    return len(tokenizer.encode(text).ids)


def words(n):
    return " ".join(f"{TRAINING[i % 3]} {i}" for i in range(n))


@ALL_KINDS
def test_tokenizers_count_all_of_a_text_and_nothing_else(tokenizers, kind):
    tokenizer = tokenizers[kind]
    assert count_tokens(words(100), tokenizer) > 1000
    assert count_tokens("", tokenizer) == 0


@ALL_KINDS
@pytest.mark.parametrize("literal", ["[CLS]", "[SEP]", "<|endoftext|>", "<s>"])
def test_special_tokens_in_a_text_are_text(tokenizers, kind, literal):
    tokenizer = tokenizers[kind]
    packed = pack(literal, f"a {literal} b", tokenizer, 2048)
    special = tokenizer.token_to_id(literal)
    ids = tokenizer.encode(packed.prompt.text, add_special_tokens=False).ids
    assert special is None or special not in ids
    assert packed.prompt.text.count(literal) == 2


def test_template_order(tokenizers):
    packed = pack("Any {pain}?", "2014 {note}", tokenizers["minilm"], 512)
    opening, ehr, question, answer = packed.prompt.text.split("\n\n")
    assert "answer the question" in opening
    assert ehr == packed.prompt.ehr == "2014 {note}"
    assert question == "Question: Any {pain}?"
    assert packed.prompt.instruction == "Any {pain}?"
    assert answer == "Answer:"


@ALL_KINDS
@pytest.mark.parametrize("context_length", [512, 600, 1024])
def test_packed_prompt_is_full_and_ends_the_record(tokenizers, kind, context_length):
    tokenizer, record = tokenizers[kind], words(400)
    packed = pack("Any chest pain?", record, tokenizer, context_length)
    limit = context_length - RESPONSE_TOKENS
    assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer)
    # The character at the cut may be one of several tokens, such as an emoji's four bytes.
    assert limit - 5 <= packed.prompt_tokens <= limit
    assert record.endswith(packed.prompt.ehr)
    assert packed.ehr_tokens_kept == pytest.approx(
        count_tokens(packed.prompt.ehr, tokenizer), abs=2
    )


@ALL_KINDS
def test_record_that_fits_is_kept_whole(tokenizers, kind):
    tokenizer, record = tokenizers[kind], words(3)
    whole = count_tokens(record, tokenizer)
    for context_length in (2048, None):
        packed = pack("Any chest pain?", record, tokenizer, context_length)
        assert packed.prompt.ehr == record
        assert packed.ehr_tokens_kept == pytest.approx(whole, abs=1)
        assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer)
    packed = pack("Any chest pain?", words(400), tokenizer, None)
    assert packed.prompt.ehr == words(400)


@ALL_KINDS
def test_budget_is_exact_at_its_edges(tokenizers, kind):
    tokenizer, record = tokenizers[kind], words(20)
    whole = pack("Any?", record, tokenizer, None).prompt_tokens + RESPONSE_TOKENS
    assert pack("Any?", record, tokenizer, whole).prompt.ehr == record
    assert len(pack("Any?", record, tokenizer, whole - 1).prompt.ehr) < len(record)
    none = check_fits("Any?", tokenizer, 2048) + RESPONSE_TOKENS
    assert pack("Any?", record, tokenizer, none).prompt.ehr == ""
    assert pack("Any?", "", tokenizer, none).ehr_tokens_kept == 0


def test_instruction_too_long_is_said_with_both_numbers(tokenizers):
    question = "pain " * 300
    # 300 words and the template's 22 tokens, of which [CLS] and [SEP] are two.
    with pytest.raises(PromptError, match=r"takes 322 tokens .* context of 512 leaves 256 \("):
        pack(question, "record", tokenizers["minilm"], 512)
    with pytest.raises(PromptError, match="context of 100 leaves -156"):
        check_fits("Any?", tokenizers["minilm"], 100)


@ALL_KINDS
@pytest.mark.parametrize("context_length", [512, 2048])
def test_only_the_end_of_a_long_record_is_tokenized(tokenizers, kind, context_length):
    tokenizer, record = Counting(tokenizers[kind]), words(5000)
    packed = pack("Any chest pain?", record, tokenizer, context_length)
    # Once to find the cut, after a guess or two, and once or twice to check it.
    assert tokenizer.characters < 4 * (len(packed.prompt.text) + 4 * context_length)
    # However long the record is.
    longer = Counting(tokenizers[kind])
    assert pack("Any chest pain?", words(5000) + record, longer, context_length) == packed
    assert longer.characters == tokenizer.characters


LONG_RECORDS = st.lists(
    st.one_of(
        st.integers(0, 60).map(words),
        st.text(max_size=80),
        st.integers(0, 10**400).map(str),  # digits, which some tokenizers part by threes
        st.text(st.sampled_from("中文病历记录患者否认胸痛"), min_size=1, max_size=900),
        st.text(st.sampled_from("😀👩‍⚕️🇨🇭é̂ﬁ㍿ﷺ \n"), min_size=1, max_size=300),
        st.sampled_from(["<entry>\n" * 90, "    " * 150, "x" * 800, "[CLS] <s>", "\r\n\r\n"]),
    ),
    min_size=8,
    max_size=40,
).map("".join)


@ALL_KINDS
@settings(max_examples=60, deadline=None, derandomize=True)
@given(record=LONG_RECORDS, budget=st.integers(400, 3000), data=st.data())
def test_a_count_is_that_of_the_prompt_tokenized_as_a_whole(tokenizers, kind, record, budget, data):
    tokenizer = tokenizers[kind]
    questions = data.draw(st.lists(st.text(max_size=30), min_size=2, max_size=3))
    context_length = max(check_fits(q, tokenizer, 4096) for q in questions) + 256 + budget
    for packed in pack_all(questions, record, tokenizer, context_length):
        assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer)
        assert packed.prompt_tokens <= context_length - RESPONSE_TOKENS
        encoding = tokenizer.encode(packed.prompt.text)
        begin = packed.prompt.text.index("\n\n") + 2
        end = begin + len(packed.prompt.ehr)
        within = sum(begin <= start and stop <= end for start, stop in encoding.offsets)
        assert packed.ehr_tokens_kept == within


def test_many_instructions_cost_little_more_than_one(tokenizers):
    record = words(5000)
    questions = [f"Any chest pain in {year}?" for year in range(2000, 2020)]
    one, many = Counting(tokenizers["minilm"]), Counting(tokenizers["minilm"])
    [alone] = pack_all(questions[:1], record, one, 32_768)
    first, *_ = pack_all(questions, record, many, 32_768)
    assert first == alone
    assert many.characters < one.characters + 20 * 2500


def test_end_grows_past_text_without_tokens(tokenizers):
    record = words(100) + " " * 50_000 + words(3)
    packed = pack("Any chest pain?", record, tokenizers["minilm"], 1024)
    assert 1024 - RESPONSE_TOKENS - 3 <= packed.prompt_tokens <= 1024 - RESPONSE_TOKENS


RECORDS = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.text(st.sampled_from("中文病历记录患者否认胸痛"), min_size=1, max_size=40),
        st.text(st.sampled_from("😀👩‍⚕️🇨🇭é̂ﬁ㍿ﷺ"), min_size=1, max_size=10),
        st.text(st.sampled_from("ab \n"), min_size=80, max_size=160),
        st.sampled_from(["[CLS]", "<|endoftext|>", "\r\n", "\0", "x" * 120, "creatinine 1.4 "]),
    ),
    max_size=40,
).map("".join)


@ALL_KINDS
@settings(max_examples=120, deadline=None, derandomize=True)
@given(record=RECORDS, budget=st.integers(0, 120), question=st.text(max_size=12))
def test_any_record_is_packed_within_its_budget(tokenizers, kind, record, budget, question):
    tokenizer = tokenizers[kind]
    context_length = check_fits(question, tokenizer, 4096) + RESPONSE_TOKENS + budget
    packed = pack(question, record, tokenizer, context_length)
    limit = context_length - RESPONSE_TOKENS
    assert packed.prompt_tokens == length_of(packed.prompt.text, tokenizer) <= limit
    assert record.endswith(packed.prompt.ehr)
    assert packed.prompt.text.count("\ufffd") == (packed.prompt.ehr + question).count("\ufffd")
    if len(packed.prompt.ehr) < len(record):
        # One character may be 18 letters to NFKC, each of several bytes.
        assert packed.prompt_tokens >= limit - 24


def test_tokenizer_names(tmp_path):
    with pytest.raises(ParamsError, match=r"no tokenizer\.json in"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(ParamsError, match="is neither minilm, nor a folder"):
        load_tokenizer(str(tmp_path))
    assert load_tokenizer(str(minilm_path())).to_str() == load_tokenizer("minilm").to_str()


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "not a name", ""])
def test_tokenizer_that_cannot_be_had(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ParamsError, match=r"load_tokenizer: "):
        load_tokenizer(name)
