"""METEOR through NLTK."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from medalign_utils.metrics.base import score_pairs

if TYPE_CHECKING:
    from nltk.corpus.reader import WordNetCorpusReader


def score_meteor(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return METEOR in [0, 1): weighted word precision and recall, less a penalty for word order.

    Lower-cased words match if they are equal, have the same Porter stem, or are synonyms in
    WordNet, if its data are installed. Words are sacrebleu's 13a tokens; "1.4" is one word. A text
    without words scores 0; equal texts of m words score 1 - 0.5 / m**3.

    Source: Banerjee and Lavie 2005, in the form of Lavie and Agarwal 2007.

    >>> score_meteor(["creatinine was high"], ["creatinine was high"]).round(4)
    array([0.9815])
    """
    from nltk.translate.meteor_score import single_meteor_score
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize, wordnet = Tokenizer13a(), _wordnet() or NoWordNet

    def score(response: str, reference: str) -> float:
        words = tokenize(reference).split(), tokenize(response).split()
        return single_meteor_score(*words, wordnet=wordnet)

    return score_pairs("meteor", score, responses, references, progress)


def names_meteor() -> list[str]:
    """Return the name of the scores, which depends on whether WordNet's data are installed."""
    return ["meteor" if _wordnet() else "meteor_no_wordnet"]


def signature_meteor() -> str:
    """Return the settings of METEOR."""
    wordnet = _wordnet()
    synonyms = f",wordnet-{wordnet.get_version()}" if wordnet else ""
    return (
        f"meteor|case:lower|tok:13a|match:exact,porter{synonyms}|alpha:0.9|beta:3|gamma:0.5"
        f"|nltk:{version('nltk')}|sacrebleu:{version('sacrebleu')}"
    )


class NoWordNet:
    """A WordNet without words."""

    @staticmethod
    def synsets(word: str) -> list:
        """Return no synonyms."""
        return []


def _wordnet() -> "WordNetCorpusReader | None":
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return wordnet
