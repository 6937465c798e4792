"""UniEval through transformers: a T5 model answers questions about a text with Yes or No."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.hub import TRANSFORMERS, describe, find_checkpoint, load_network
from medalign_utils.metrics.base import DECIMALS, Metric, check_texts, warn_of
from medalign_utils.metrics.words import punkt_name, sentences

# The published prompts: question, name of the text it is about, name of the other text.
DIMENSIONS = {
    "relevance": ("Is this summary relevant to the reference?", "summary", "reference"),
    "fluency": ("Is this a fluent paragraph?", "paragraph", None),
    "coherence": ("Is this a coherent summary to the document?", "summary", "document"),
    "consistency": ("Is this claim consistent with the document?", "claim", "document"),
}
# These are averaged over sentences; the other dimensions judge the whole response.
BY_SENTENCE = ("fluency", "consistency")
MAX_TOKENS = 1024

# Dimension, the text that it judges, and the other text if there is one.
Prompt = tuple[str, str, str | None]


def score_unieval(
    questions: Sequence[str],
    responses: Sequence[str],
    references: Sequence[str],
    *,
    model: str,
    progress: bool = False,
) -> np.ndarray:
    """Return UniEval for summaries: p(Yes) / (p(Yes) + p(No)) for four questions, and their mean.

    The result is float64, shape (N, 5), in [0, 1], with 6 decimals: relevance, fluency, coherence,
    consistency, mean. The response takes the place of the summary, and the question that of the
    document, because the EHR would not fit. So coherence and consistency compare a response with
    its question, not with the EHR; relevance compares it with the reference.

    `model` is the folder of a T5 trained for this, or a hub id such as MingZhong/unieval-sum. Empty
    responses score 0, and prompts are cut after 1,024 tokens; a warning counts both. A separator
    (`</s>`) in a text is read as characters, so that a response cannot add parts to its prompt.
    Without NLTK's data (punkt_tab), sentences also end after abbreviations.

    Raises: NotAvailableError if the model cannot be reached; MedAlignError if it is not a T5, or as
    `check_texts`.

    Source: Zhong et al. 2022.
    """
    check_texts("score_unieval", questions=questions, responses=responses, references=references)
    scores = np.zeros((len(responses), len(DIMENSIONS) + 1))
    triples = enumerate(zip(questions, responses, references, strict=True))
    prompts = {i: _prompts(*texts) for i, texts in triples if texts[1].strip()}
    distinct = dict.fromkeys(p for row in prompts.values() for group in row for p in group)
    shares = _ask(list(distinct), model, progress)
    for i, row in prompts.items():
        dimensions = [np.mean([shares[prompt] for prompt in group]) for group in row]
        scores[i] = [*dimensions, np.mean(dimensions)]
    n = len(responses)
    warn_of("unieval", n - len(prompts), f"{n} responses", "are empty and score 0")
    return scores.round(DECIMALS)


def names_unieval(*, model: str) -> list[str]:
    """Return the names of `score_unieval`'s columns."""
    return [f"unieval_{dimension}" for dimension in (*DIMENSIONS, "overall")]


def signature_unieval(*, model: str) -> str:
    """Return the settings of UniEval."""
    return (
        f"unieval|task:summarization|document:instruction|sentences:{punkt_name()}"
        f"|max:{MAX_TOKENS}|{describe(find_checkpoint(model, *TRANSFORMERS))}"
        f"|nltk:{version('nltk')}|transformers:{version('transformers')}"
    )


def _prompts(question: str, response: str, reference: str) -> list[list[Prompt]]:
    """Return each dimension's prompts: one per sentence, or one for the whole response."""
    parts = sentences(response)
    others = {"reference": reference, "document": question, None: None}
    return [
        [(d, text, others[other]) for text in (parts if d in BY_SENTENCE else [response])]
        for d, (_, _, other) in DIMENSIONS.items()
    ]


def _ask(prompts: list[Prompt], model: str, progress: bool) -> dict[Prompt, float]:
    """Return p(Yes) / (p(Yes) + p(No)) for the first word of T5's answer to each prompt."""
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
        # One by one: a score must not depend on other texts in its batch.
        for prompt in tqdm(prompts, "unieval", disable=not progress):
            text = _joined(prompt, tokenizer.eos_token)
            cut += len(tokenizer(text, verbose=False)["input_ids"]) > MAX_TOKENS
            cutting = {"truncation": True, "max_length": MAX_TOKENS, "return_tensors": "pt"}
            inputs = tokenizer(text, **cutting)["input_ids"].to(network.device)
            logits = network(input_ids=inputs, decoder_input_ids=start).logits[0, 0, words]
            # e^yes / (e^yes + e^no): the probability of other words cancels out.
            shares[prompt] = logits.double().softmax(dim=0)[0].item()
    fault = f"exceed {MAX_TOKENS} tokens; the rest is not read"
    warn_of("unieval", cut, f"{len(prompts)} prompts", fault)
    return shares


def _joined(prompt: Prompt, separator: str) -> str:
    """Return "question: ...? </s> summary: ... </s> reference: ..."."""
    dimension, *texts = prompt
    question, name, other = DIMENSIONS[dimension]
    # Tokenizers recognize the separator anywhere; a space within makes it characters.
    plain = f"{separator[:1]} {separator[1:]}"
    texts = [text.replace(separator, plain) for text in texts if text is not None]
    parts = [f"{part}: {text}" for part, text in zip((name, other), texts, strict=False)]
    return f" {separator} ".join([f"question: {question}", *parts])


UNIEVAL = Metric(
    name="unieval",
    label="UniEval",
    range=(0, 1),
    compares="relevance, fluency, coherence, consistency as judged by a T5 model, and their mean",
    citation="[Zhong et al. 2022](https://aclanthology.org/2022.emnlp-main.131/)",
    score=score_unieval,
    signature=signature_unieval,
    needs_question=True,
    needs_weights=True,
    names=names_unieval,
    labels={f"unieval_{name}": f"UniEval {name.title()}" for name in (*DIMENSIONS, "overall")},
)
