"""METEOR through NLTK."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from medalign_utils.metrics.base import Metric, score_pairs
from medalign_utils.metrics.words import punkt_name, words

if TYPE_CHECKING:
    from nltk.corpus.reader import WordNetCorpusReader


def score_meteor(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return METEOR in [0, 1): weighted word precision and recall, less a penalty for word order.

    Lower-cased words match if they are equal, have the same Porter stem, or are synonyms in
    WordNet, if its data are installed. Words are those of ``nltk.word_tokenize``, as in Hugging
    Face's evaluate; punctuation marks are words too, and "1.4" is one word. An empty text scores 0;
    equal texts of m words score 1 - 0.5 / m**3.

    Source: Banerjee and Lavie 2005, in the form of Lavie and Agarwal 2007.

    >>> score_meteor(["creatinine was high", "..."], ["creatinine was high", "?"]).round(4)
    array([0.9815, 0.    ])
    """
    return _score("meteor", words, responses, references, progress)


def score_meteor_13a(
    responses: Sequence[str], references: Sequence[str], *, progress: bool = False
) -> np.ndarray:
    """Return METEOR as `score_meteor`, but of sacrebleu's 13a tokens.

    13a splits at every mark, and so gives more credit for Markdown and punctuation in common.
    """
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer = Tokenizer13a()
    tokenize = lambda text: tokenizer(text).split()  # noqa: E731
    return _score("meteor_13a", tokenize, responses, references, progress)


def names_meteor(name: str = "meteor") -> list[str]:
    """Return the name of the scores, which depends on whether WordNet's data are installed."""
    return [name if _wordnet() else f"{name}_no_wordnet"]


def signature_meteor() -> str:
    """Return the settings of METEOR."""
    return _signature(f"word_tokenize,{punkt_name()}")


def signature_meteor_13a() -> str:
    """Return the settings of METEOR with 13a tokens."""
    return f"{_signature('13a')}|sacrebleu:{version('sacrebleu')}"


class NoWordNet:
    """A WordNet without words."""

    @staticmethod
    def synsets(word: str) -> list:
        """Return no synonyms."""
        return []


def _score(
    name: str,
    tokenize: Callable[[str], list[str]],
    responses: Sequence[str],
    references: Sequence[str],
    progress: bool,
) -> np.ndarray:
    from nltk.translate.meteor_score import single_meteor_score

    wordnet = _wordnet() or NoWordNet

    def score(response: str, reference: str) -> float:
        return single_meteor_score(tokenize(reference), tokenize(response), wordnet=wordnet)

    return score_pairs(name, score, responses, references, progress)


def _signature(tokenizer: str) -> str:
    wordnet = _wordnet()
    synonyms = f",wordnet-{wordnet.get_version()}" if wordnet else ""
    return (
        f"meteor|case:lower|tok:{tokenizer}|match:exact,porter{synonyms}|alpha:0.9|beta:3|gamma:0.5"
        f"|nltk:{version('nltk')}"
    )


def _wordnet() -> "WordNetCorpusReader | None":
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return wordnet


METEOR = Metric(
    name="meteor",
    label="METEOR",
    range=(0, 1),
    compares="words, stems and, if WordNet is installed, synonyms, in order",
    citation="[Banerjee and Lavie 2005](https://aclanthology.org/W05-0909/)",
    score=score_meteor,
    signature=signature_meteor,
    names=names_meteor,
    labels={"meteor_no_wordnet": "METEOR (no WordNet)"},
)
METEOR_13A = Metric(
    name="meteor_13a",
    label="METEOR (13a)",
    range=(0, 1),
    compares="as `meteor`, with words and marks as sacrebleu's 13a splits them",
    citation="[Banerjee and Lavie 2005](https://aclanthology.org/W05-0909/)",
    score=score_meteor_13a,
    signature=signature_meteor_13a,
    names=lambda: names_meteor("meteor_13a"),
    labels={"meteor_13a_no_wordnet": "METEOR (13a, no WordNet)"},
)
