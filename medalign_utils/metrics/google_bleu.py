"""Google-BLEU through NLTK."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from medalign_utils.metrics.base import check_texts


def score_google_bleu(
    predictions: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Google-BLEU (GLEU): the smaller of precision and recall over all word n-grams up to 4.

    Words are sacrebleu's tokens (13a), case kept: "1.4" is one.

    Args:
        predictions: N answers.
        references: N references, in the same order.
        progress: show a progress bar.

    Returns:
        float64, shape (N,), in [0, 1]; an answer or a reference without a word scores 0.

    Raises:
        MedAlignError: the lengths differ, or a value is not a string.

    Source: Wu et al. 2016.

    >>> score_google_bleu(["creatinine was high"], ["creatinine was 1.4"])
    array([0.5])
    """
    check_texts("score_google_bleu", predictions=predictions, references=references)
    from nltk.translate.gleu_score import sentence_gleu
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    from tqdm.auto import tqdm

    tokenize = Tokenizer13a()
    pairs = zip(references, predictions, strict=True)
    return np.array(
        [
            sentence_gleu([tokenize(reference).split()], tokenize(prediction).split())
            for reference, prediction in tqdm(
                pairs, "google_bleu", total=len(predictions), disable=not progress
            )
        ],
        dtype=np.float64,
    )


def signature_google_bleu() -> str:
    """State the settings behind a Google-BLEU score.

    >>> signature_google_bleu()  # doctest: +ELLIPSIS
    'gleu|n:1-4|case:mixed|tok:13a|nltk:...|sacrebleu:...'
    """
    return f"gleu|n:1-4|case:mixed|tok:13a|nltk:{version('nltk')}|sacrebleu:{version('sacrebleu')}"
