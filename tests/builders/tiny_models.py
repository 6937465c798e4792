"""Model folders as on a hub, with random weights and tokenizers trained on the spot."""

import json
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RemBertConfig,
    RemBertForSequenceClassification,
    RobertaConfig,
    RobertaTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

TRAINING = [
    "2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL",
    "Use the patient's health record below to answer the question that follows it.",
    "Denies chest pain, on atorvastatin 40 mg daily. Größe 5′3″ 中文 病历 😀",
]
# Sizes of the encoders and of the T5s.
ENCODER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
T5 |= {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
LLAMA_3_SPECIAL = (
    "<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|>"
).split()
LLAMA_3_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def byte_level_tokenizer(special, *, size=400, bos=None, eos=None, chat=None):
    """Return a byte-level BPE like Llama 3's, Qwen's and GPT-2's; texts begin with `bos`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        additional_special_tokens=special,
        chat_template=chat,
        model_input_names=["input_ids", "attention_mask"],
    )


def write_tiny_llama(folder: Path, *, chat=True, seed=0, context=4096) -> Path:
    """Write a Llama with two layers and 400 tokens; only some of its greedy answers end."""
    tokenizer = byte_level_tokenizer(
        LLAMA_3_SPECIAL,
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        chat=LLAMA_3_TEMPLATE if chat else None,
    )
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=[1, 4],
    )
    return _write(LlamaForCausalLM, config, folder, seed, ends=1.4)


def write_tiny_gpt2(folder: Path, *, context=1024) -> Path:
    """Write a GPT-2, which has a fixed number of positions and no padding token."""
    tokenizer = byte_level_tokenizer(["<|endoftext|>"], eos="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=context,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return _write(GPT2LMHeadModel, config, folder)


def write_tiny_t5(folder: Path) -> Path:
    """Write a T5, an encoder-decoder model."""
    special = ["<pad>", "</s>"]
    tokenizer = byte_level_tokenizer(special, eos="</s>")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.pad_token = "<pad>"
    tokenizer.save_pretrained(folder)
    config = T5Config(vocab_size=len(tokenizer), tie_word_embeddings=False, **T5)
    return _write(T5ForConditionalGeneration, config, folder, ends=3.0)


def write_tiny_bleurt(folder: Path, *, seed=0, labels=1) -> Path:
    """Write a BERT with BLEURT's head: one output from the pooled first token."""
    folder.mkdir(parents=True)
    words = sorted({word for text in TRAINING for word in text.lower().split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *"0123456789abcdefg[]./"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(vocab_size=len(vocabulary), num_labels=labels, **ENCODER)
    torch.manual_seed(seed)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def write_tiny_bleurt_20(folder: Path, *, seed=0, ends=("[CLS]", "[SEP]")) -> Path:
    """Write a RemBERT in the form of lucadiliello/BLEURT-20: SentencePiece, other names."""
    from sentencepiece import SentencePieceTrainer

    folder.mkdir(parents=True)
    with (folder / "spm.model").open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(TRAINING),
            model_writer=file,
            vocab_size=78,
            character_coverage=1.0,
            control_symbols=list(ends),
            minloglevel=2,
        )
    config = RemBertConfig(
        vocab_size=78,
        input_embedding_size=8,
        output_embedding_size=8,
        num_labels=1,
        classifier_dropout_prob=0,
        **ENCODER,
    )
    torch.manual_seed(seed)
    state = RemBertForSequenceClassification(config).state_dict()
    for name in list(state):
        renamed = name.replace("embedding_hidden_mapping_in", "embedding_projection")
        state[renamed.replace("rembert.", "bleurt.")] = state.pop(name)
    torch.save(state, folder / "pytorch_model.bin")
    saved = {"model_type": "bleurt", "vocab_size": 78, "embedding_size": 8, **ENCODER}
    (folder / "config.json").write_text(json.dumps(saved | {"id2label": {"0": "LABEL_0"}}))
    return folder


def write_tiny_unieval(folder: Path, *, seed=0, strip=False) -> Path:
    """Write a T5 with a tokenizer like T5's: words, with a mark for the space before them.

    Without `strip`, several spaces are several marks, also those beside a separator.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    marks = pre_tokenizers.Metaspace()
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), marks])
    tokenizer.pre_tokenizer = words if strip else marks
    tokenizer.decoder = decoders.Metaspace()
    questions = ["Yes No question: Is this a coherent summary to the document? claim: <>/s"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator([*TRAINING, *questions], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = T5Config(vocab_size=tokenizer.get_vocab_size(), initializer_factor=2.0, **T5)
    torch.manual_seed(seed)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def write_tiny_lens(folder: Path, *, seed=0, **changes) -> Path:
    """Write a checkpoint in LENS's form, with its hyperparameters and names of weights."""
    from comet.modules import FeedForward, LayerwiseAttention

    encoder = folder / "encoder"
    encoder.mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    # RoBERTa's tokenizer reads its vocabulary from two files.
    tokenizer = byte_level_tokenizer(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.backend_tokenizer.model.save(str(encoder))
    tokenizer = RobertaTokenizerFast(str(encoder / "vocab.json"), str(encoder / "merges.txt"))
    tokenizer.save_pretrained(encoder)
    config = RobertaConfig(vocab_size=len(tokenizer), **ENCODER)
    torch.manual_seed(seed)
    model = AutoModel.from_config(config, add_pooling_layer=False)
    for name, weights in model.named_parameters():
        if "LayerNorm" in name:  # otherwise COMET's own normalisation would change nothing
            torch.nn.init.uniform_(weights, 0.5, 1)
    model.save_pretrained(encoder)
    mixture = LayerwiseAttention(3, layer_norm=True, layer_weights=[0.3, -0.2, 0.5], dropout=0.1)
    estimator = FeedForward(in_dim=7 * 16, hidden_sizes=[8, 4], activations="Tanh", dropout=0.1)
    state = {
        **{f"encoder.model.{name}": tensor for name, tensor in model.state_dict().items()},
        **{f"layerwise_attention.{name}": part for name, part in mixture.state_dict().items()},
        **{f"estimator.{name}": tensor for name, tensor in estimator.state_dict().items()},
    }
    torch.save(
        {"state_dict": state, "pytorch-lightning_version": "1.9.0", "epoch": 5, "global_step": 9},
        folder / "checkpoints" / "model.ckpt",
    )
    hparams = {
        "class_identifier": "regression_metric_multi_ref",
        "encoder_model": "RoBERTa",
        "pretrained_model": str(encoder),
        "pool": "avg",
        "layer": "mix",
        "dropout": 0.1,
        "hidden_sizes": [8, 4],
        "activations": "Tanh",
        "final_activation": None,
        "train_data": "train.csv",
        "topk": 3,
    }
    (folder / "hparams.yaml").write_text(yaml.safe_dump(hparams | changes))
    return folder


def _write(kind, config, folder, seed=0, *, ends=1.0):
    """Write a model with random weights; `ends` scales the output vectors of end-of-text tokens."""
    torch.manual_seed(seed)
    network = kind(config)
    with torch.no_grad():
        if config.is_encoder_decoder:
            # Otherwise the last token outweighs the prompt, and every answer repeats one token.
            network.get_input_embeddings().weight *= 0.1
        network.get_output_embeddings().weight[config.eos_token_id] *= ends
    network.save_pretrained(folder)
    return folder


def write_tiny_gguf(llama: Path, file: Path, **changes) -> Path:
    """The tiny Llama of a folder as a GGUF file; `changes` are to what it says of its tokenizer."""
    import gguf

    tokenizer = PreTrainedTokenizerFast.from_pretrained(llama)
    network = LlamaForCausalLM.from_pretrained(llama)
    config = network.config
    saved = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["id"] for token in saved["added_tokens"] if token["special"]}
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    about = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": [3 if id in special else 1 for id in range(len(tokens))],
        "merges": [" ".join(pair) for pair in saved["model"]["merges"]],
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "add_bos_token": True,
    }
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    for key, value in (about | changes).items():
        if value is not None:
            kinds = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string}
            kinds.get(type(value), writer.add_array)(f"tokenizer.ggml.{key}", value)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weights in network.state_dict().items():
        n = next((heads[part] for part in heads if part in name), None)
        if n:  # llama.cpp rotates neighbouring dimensions, not halves
            weights = weights.view(n, 2, -1, weights.shape[1]).swapaxes(1, 2).reshape_as(weights)
        stem, _, suffix = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", weights.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
