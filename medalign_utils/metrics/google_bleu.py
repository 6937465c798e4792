"""Google-BLEU through NLTK."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import Metric, score_pairs


def score_google_bleu(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return Google-BLEU in [0, 1]: the smaller of precision and recall of word n-grams up to 4.

    Words are sacrebleu's 13a tokens, case-sensitive; punctuation marks are words too, and "1.4" is
    one word. An empty text scores 0.

    Source: Wu et al. 2016.

    >>> score_google_bleu(["creatinine was high"], ["creatinine was 1.4"])
    array([0.5])
    """
    from nltk.translate.gleu_score import sentence_gleu
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize = Tokenizer13a()

    def score(response: str, reference: str) -> float:
        return sentence_gleu([tokenize(reference).split()], tokenize(response).split())

    return score_pairs("google_bleu", score, responses, references, progress)


def signature_google_bleu() -> str:
    """Return the settings of Google-BLEU."""
    return f"gleu|n:1-4|case:mixed|tok:13a|nltk:{version('nltk')}|sacrebleu:{version('sacrebleu')}"


GOOGLE_BLEU = Metric(
    name="google_bleu",
    label="GoogleBLEU",
    range=(0, 1),
    compares="n-grams of 1 to 4 words, the smaller of precision and recall",
    citation="[Wu et al. 2016](https://arxiv.org/abs/1609.08144)",
    score=score_google_bleu,
    signature=signature_google_bleu,
)
