"""METEOR through NLTK."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from medalign_utils.metrics.base import check_texts

if TYPE_CHECKING:
    from nltk.corpus.reader import WordNetCorpusReader


def score_meteor(
    predictions: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """METEOR: a mean of word precision and recall, recall counted nine times, less for word order.

    Words match if they are equal after lower-casing, or else by their Porter stems, or else, where
    WordNet's data are installed, as synonyms. Without those data the last step is left out and the
    scores bear another name (`names_meteor`). Words are sacrebleu's tokens (13a): "1.4" is one.

    Args:
        predictions: N answers.
        references: N references, in the same order.
        progress: show a progress bar.

    Returns:
        float64, shape (N,), in [0, 1); an answer or a reference without a word scores 0. Equal
        texts of m words score 1 - 0.5 / m**3, one word thus 0.5: that is the penalty for one chunk.

    Raises:
        MedAlignError: the lengths differ, or a value is not a string.

    Source: Banerjee and Lavie 2005, whose parameters these are (0.9, 3 and 0.5, as NLTK has them),
    in the form that Lavie and Agarwal 2007 gave the score.

    >>> score_meteor(["creatinine was high"], ["creatinine was high"]).round(4)
    array([0.9815])
    """
    check_texts("score_meteor", predictions=predictions, references=references)
    from nltk.translate.meteor_score import single_meteor_score
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    from tqdm.auto import tqdm

    tokenize, synonyms = Tokenizer13a(), _wordnet() or _NoWordNet
    pairs = zip(references, predictions, strict=True)
    return np.array(
        [
            single_meteor_score(
                tokenize(reference).split(), tokenize(prediction).split(), wordnet=synonyms
            )
            for reference, prediction in tqdm(
                pairs, "meteor", total=len(predictions), disable=not progress
            )
        ],
        dtype=np.float64,
    )


def names_meteor() -> tuple[str]:
    """Name the scores: "meteor" where WordNet's data are installed, else "meteor_no_wordnet".

    >>> names_meteor()[0].startswith("meteor")
    True
    """
    return ("meteor" if _wordnet() else "meteor_no_wordnet",)


def signature_meteor() -> str:
    """State the settings behind a METEOR score.

    >>> signature_meteor()  # doctest: +ELLIPSIS
    'meteor|case:lower|tok:13a|match:exact,porter...|alpha:0.9|beta:3|gamma:0.5|nltk:...|sacrebleu:...'
    """
    wordnet = _wordnet()
    synonyms = f",wordnet-{wordnet.get_version()}" if wordnet else ""
    return (
        f"meteor|case:lower|tok:13a|match:exact,porter{synonyms}|alpha:0.9|beta:3|gamma:0.5"
        f"|nltk:{version('nltk')}|sacrebleu:{version('sacrebleu')}"
    )


class _NoWordNet:
    """A WordNet that knows no word."""

    @staticmethod
    def synsets(word: str) -> list:
        return []


def _wordnet() -> "WordNetCorpusReader | None":
    """WordNet, if NLTK finds its data."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return wordnet
