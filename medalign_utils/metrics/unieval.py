"""UniEval through transformers: a T5 that answers questions about a text with Yes or No."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import check_texts
from medalign_utils.metrics.checkpoints import (
    TRANSFORMERS,
    Checkpoint,
    describe,
    find_checkpoint,
    load_network,
)

# As published: the question, what the text under judgement is called, and what the other text is.
DIMENSIONS = {
    "relevance": ("Is this summary relevant to the reference?", "summary", "reference"),
    "fluency": ("Is this a fluent paragraph?", "paragraph", None),
    "coherence": ("Is this a coherent summary to the document?", "summary", "document"),
    "consistency": ("Is this claim consistent with the document?", "claim", "document"),
}
# Asked of each sentence and averaged; the others are asked of the whole answer.
BY_SENTENCE = ("fluency", "consistency")
MAX_TOKENS = 1024


def score_unieval(
    sources: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    model: str,
    progress: bool = False,
) -> np.ndarray:
    """UniEval for summaries: p(Yes) / (p(Yes) + p(No)) for four questions, and their mean.

    The questions were made for a summary of a document. The answer stands for the summary, and what
    was asked, the instruction, for the document: "source-augmented", as COMET is here; the record
    would not fit. Coherence and consistency therefore say how an answer goes with its question, not
    with the record. Relevance compares with the reference, fluency with nothing.

    Sentences are split by NLTK's Punkt algorithm without its trained data, in the authors' code
    with those for English, so that an abbreviation's full stop may split a sentence here.

    Args:
        sources: N instructions.
        predictions: N answers.
        references: N references, in the same order.
        model: the folder of a T5 trained for this, or a hub id such as MingZhong/unieval-sum.
        progress: show a progress bar.

    Returns:
        float64, shape (N, 5), in [0, 1]: relevance, fluency, coherence, consistency, overall, the
        last the mean of the first four. An empty answer has no sentence: it scores 0 in all and is
        warned of with a count. A question is cut after 1,024 tokens, as published, the other text's
        end first, which is warned of with a count.

    Raises:
        NotAvailableError: the weights cannot be had now.
        MedAlignError: the lengths differ, a value is not a string, or the model is not a T5's.

    Source: Zhong et al. 2022.

    >>> score_unieval(["Gait?"], ["steady"], [], model="")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: score_unieval: 1 sources, 1 predictions, 0 references
    """
    check_texts("score_unieval", sources=sources, predictions=predictions, references=references)
    if not len(predictions):
        return np.empty((0, len(DIMENSIONS) + 1))
    from nltk.tokenize import PunktSentenceTokenizer

    split = PunktSentenceTokenizer().tokenize
    prompts = [
        [
            [
                (dimension, text, {"reference": reference, "document": source}.get(other))
                for text in (split(prediction) if dimension in BY_SENTENCE else [prediction])
            ]
            for dimension, (_, _, other) in DIMENSIONS.items()
        ]
        for source, prediction, reference in zip(sources, predictions, references, strict=True)
        if prediction.strip()
    ]
    asked = dict.fromkeys(prompt for row in prompts for texts in row for prompt in texts)
    yes = _ask(list(asked), model, progress)
    scores = np.zeros((len(predictions), len(DIMENSIONS) + 1))
    written = [i for i, prediction in enumerate(predictions) if prediction.strip()]
    for i, row in zip(written, prompts, strict=True):
        dimensions = [np.mean([yes[prompt] for prompt in texts]) for texts in row]
        scores[i] = [*dimensions, np.mean(dimensions)]
    if empty := len(predictions) - len(written):
        warnings.warn(
            f"score_unieval: {empty} of {len(predictions)} predictions are empty and score 0",
            stacklevel=2,
        )
    return scores


def names_unieval(*, model: str) -> tuple[str, ...]:
    """Name the columns of `score_unieval`.

    >>> names_unieval(model="")[-1]
    'unieval_overall'
    """
    return tuple(f"unieval_{dimension}" for dimension in (*DIMENSIONS, "overall"))


def signature_unieval(*, model: str) -> str:
    """State the settings behind a UniEval score.

    Raises: as `score_unieval`.

    >>> signature_unieval(model="medalign_utils")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: medalign_utils holds no *.safetensors or *.bin
    """
    return (
        f"unieval|task:summarization|document:instruction|sentences:punkt-untrained"
        f"|max:{MAX_TOKENS}|{describe(_find(model))}"
        f"|nltk:{version('nltk')}|transformers:{version('transformers')}"
    )


def _find(model: str) -> Checkpoint:
    return find_checkpoint(model, *TRANSFORMERS)


def _ask(prompts: list[tuple], model: str, progress: bool) -> dict[tuple, float]:
    """The share of Yes among Yes and No as the first word of T5's answer to each prompt."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from tqdm.auto import tqdm

    if not prompts:
        return {}
    tokenizer, network = load_network(_find(model), "AutoModelForSeq2SeqLM", model_type="t5")
    yes, no = (tokenizer(word)["input_ids"][0] for word in ("Yes", "No"))
    encoded = [_encode(prompt, tokenizer) for prompt in prompts]
    cut = sum(len(ids) > MAX_TOKENS for ids in encoded)
    # The last token, which ends the prompt, stays.
    encoded = [[*ids[: min(len(ids), MAX_TOKENS) - 1], ids[-1]] for ids in encoded]
    order = sorted(range(len(prompts)), key=lambda i: (len(encoded[i]), i))
    batches = [[i] for i in order]  # one by one: a score must not hang on the others of its batch
    shares = np.empty(len(prompts))
    with torch.inference_mode():
        for batch in tqdm(batches, "unieval", unit="batch", disable=not progress):
            ids = [torch.tensor(encoded[i], device=network.device) for i in batch]
            start = torch.full((len(batch), 1), network.config.decoder_start_token_id)
            output = network(
                input_ids=pad_sequence(ids, True, tokenizer.pad_token_id),
                attention_mask=pad_sequence([torch.ones_like(row) for row in ids], True, 0),
                decoder_input_ids=start.to(network.device),
            )
            logits = output.logits[:, 0, [yes, no]].double()
            # e^yes / (e^yes + e^no): what the other words would get cancels out.
            shares[batch] = logits.softmax(dim=1)[:, 0].cpu().numpy()
    if cut:
        warnings.warn(
            f"score_unieval: {cut} of {len(prompts)} questions are longer than {MAX_TOKENS} "
            "tokens; what follows is not read",
            stacklevel=3,
        )
    return dict(zip(prompts, shares.tolist(), strict=True))


def _encode(prompt: tuple, tokenizer) -> list[int]:
    """Tokens of "question: ...? </s> summary: ... </s> document: ...", the separator T5's own.

    A separator's spelling in a text is read as the characters it is made of.
    """
    dimension, text, other_text = prompt
    question, name, other = DIMENSIONS[dimension]
    parts = [f"question: {question}", f"{name}: {text}"]
    if other:
        parts.append(f"{other}: {other_text}")
    ids = []
    for part in parts:
        ids += tokenizer(part, add_special_tokens=False, split_special_tokens=True, verbose=False)[
            "input_ids"
        ]
        ids.append(tokenizer.eos_token_id)
    return ids
