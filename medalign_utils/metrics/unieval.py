"""UniEval through transformers: a T5 that answers questions about a text with Yes or No."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.hub import TRANSFORMERS, describe, find_checkpoint, load_network
from medalign_utils.metrics.base import DECIMALS, check_texts, warn_of

# As published: the question, what the text in question is called, and what the other text is.
DIMENSIONS = {
    "relevance": ("Is this summary relevant to the reference?", "summary", "reference"),
    "fluency": ("Is this a fluent paragraph?", "paragraph", None),
    "coherence": ("Is this a coherent summary to the document?", "summary", "document"),
    "consistency": ("Is this claim consistent with the document?", "claim", "document"),
}
# Asked about each sentence and averaged; the others about the whole answer.
BY_SENTENCE = ("fluency", "consistency")
MAX_TOKENS = 1024

# A dimension, the text in question, and the other text if there is one.
Prompt = tuple[str, str, str | None]


def score_unieval(
    sources: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    model: str,
    progress: bool = False,
) -> np.ndarray:
    """Return UniEval for summaries: p(Yes) / (p(Yes) + p(No)) for four questions, and their mean.

    float64, shape (N, 5), in [0, 1], 6 decimals: relevance, fluency, coherence, consistency, mean.
    The answer is the summary and the instruction the document (the EHR would not fit), so coherence
    and consistency say how an answer fits its question, not the EHR. Relevance compares it with the
    reference.

    `model` is the folder of a T5 trained for this, or a hub id such as MingZhong/unieval-sum. An
    empty answer scores 0; a prompt is cut after 1,024 tokens; a warning counts both. Unlike the
    authors' code, NLTK's Punkt splits sentences without trained data, also after an abbreviation.

    Raises: NotAvailableError if the model is out of reach; MedAlignError if it is not a T5, or as
    `check_texts`.

    Source: Zhong et al. 2022.
    """
    check_texts("score_unieval", sources=sources, predictions=predictions, references=references)
    scores = np.zeros((len(predictions), len(DIMENSIONS) + 1))
    triples = enumerate(zip(sources, predictions, references, strict=True))
    prompts = {i: _prompts(*texts) for i, texts in triples if texts[1].strip()}
    distinct = dict.fromkeys(p for row in prompts.values() for group in row for p in group)
    shares = _ask(list(distinct), model, progress)
    for i, row in prompts.items():
        dimensions = [np.mean([shares[prompt] for prompt in group]) for group in row]
        scores[i] = [*dimensions, np.mean(dimensions)]
    n = len(predictions)
    warn_of("unieval", n - len(prompts), f"{n} predictions", "are empty and score 0")
    return scores.round(DECIMALS)


def names_unieval(*, model: str) -> list[str]:
    """Return the names of `score_unieval`'s columns."""
    return [f"unieval_{dimension}" for dimension in (*DIMENSIONS, "overall")]


def signature_unieval(*, model: str) -> str:
    """Return the settings of UniEval."""
    return (
        "unieval|task:summarization|document:instruction|sentences:punkt-untrained"
        f"|max:{MAX_TOKENS}|{describe(find_checkpoint(model, *TRANSFORMERS))}"
        f"|nltk:{version('nltk')}|transformers:{version('transformers')}"
    )


def _prompts(source: str, prediction: str, reference: str) -> list[list[Prompt]]:
    """Each dimension's prompts, of which some have one for each sentence."""
    from nltk.tokenize import PunktSentenceTokenizer

    sentences = PunktSentenceTokenizer().tokenize(prediction)
    others = {"reference": reference, "document": source, None: None}
    return [
        [(d, text, others[other]) for text in (sentences if d in BY_SENTENCE else [prediction])]
        for d, (_, _, other) in DIMENSIONS.items()
    ]


def _ask(prompts: list[Prompt], model: str, progress: bool) -> dict[Prompt, float]:
    """The share of Yes among Yes and No as the first word of T5's answer to each prompt."""
    import torch
    from tqdm.auto import tqdm

    if not prompts:
        return {}
    checkpoint = find_checkpoint(model, *TRANSFORMERS)
    tokenizer, network = load_network(checkpoint, "AutoModelForSeq2SeqLM", model_type="t5")
    words = [tokenizer(word)["input_ids"][0] for word in ("Yes", "No")]
    start = torch.tensor([[network.config.decoder_start_token_id]], device=network.device)
    shares, cut = {}, 0
    with torch.inference_mode():
        # One by one: a score must not depend on the others of its batch.
        for prompt in tqdm(prompts, "unieval", disable=not progress):
            ids = _encode(prompt, tokenizer)
            cut += len(ids) > MAX_TOKENS
            # The last token, which ends the prompt, stays.
            ids = [*ids[: min(len(ids), MAX_TOKENS) - 1], ids[-1]]
            inputs = torch.tensor([ids], device=network.device)
            logits = network(input_ids=inputs, decoder_input_ids=start).logits[0, 0, words]
            # e^yes / (e^yes + e^no): the other words' share cancels out.
            shares[prompt] = logits.double().softmax(dim=0)[0].item()
    fault = f"are longer than {MAX_TOKENS} tokens; what follows is not read"
    warn_of("unieval", cut, f"{len(prompts)} questions", fault)
    return shares


def _encode(prompt: Prompt, tokenizer) -> list[int]:
    """Tokens of "question: ...? </s> summary: ... </s> ..."; a text's own </s> is read as text."""
    dimension, text, other_text = prompt
    question, name, other = DIMENSIONS[dimension]
    parts = [f"question: {question}", f"{name}: {text}"] + [f"{other}: {other_text}"] * bool(other)
    options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    encoded = [tokenizer(part, **options)["input_ids"] for part in parts]
    return [token for ids in encoded for token in (*ids, tokenizer.eos_token_id)]
