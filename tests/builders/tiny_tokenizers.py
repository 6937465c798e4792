"""Tokenizers of each kind, trained on the spot."""

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tests.builders.tiny_models import TRAINING, byte_level_tokenizer


def wordpiece():
    """Return a tokenizer like BERT's."""
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
    """Return a tokenizer like GPT-2's."""
    tokenizer = byte_level_tokenizer(["<|endoftext|>"], size=320).backend_tokenizer
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def bpe_of_words_and_three_digits():
    """Return a tokenizer like Llama 3's, which splits a run of digits by threes from its start."""
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
    """Return a tokenizer like T5's, a kind of SentencePiece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer


def bpe_over_whole_text():
    """Return a tokenizer like Llama 2's: no splitting at spaces, unknown characters as bytes."""
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


MAKERS = (wordpiece, byte_level_bpe, bpe_of_words_and_three_digits, unigram, bpe_over_whole_text)
KINDS = {make.__name__: make for make in MAKERS}


def words(n):
    """Return clinical text of about 10 * n words."""
    return " ".join(f"{TRAINING[i % 3]} {i}" for i in range(n))
