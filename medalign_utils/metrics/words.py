"""NLTK's sentences and words, by Punkt's trained model if its data are installed."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer


def sentences(text: str) -> list[str]:
    """Return what ``nltk.sent_tokenize`` does; without Punkt's data, abbreviations end sentences.

    >>> sentences("Denies pain. On 40 mg daily.")
    ['Denies pain.', 'On 40 mg daily.']
    """
    return _punkt()[0].tokenize(text)


def words(text: str) -> list[str]:
    """Return what ``nltk.word_tokenize`` does, with the sentences of `sentences`.

    >>> words("Denies pain. On **1.4 mg/dL**.")
    ['Denies', 'pain', '.', 'On', '*', '*', '1.4', 'mg/dL', '*', '*', '.']
    """
    return [word for sentence in sentences(text) for word in _word_tokenizer().tokenize(sentence)]


def punkt_name() -> str:
    """Return "punkt", or "punkt-untrained" if its data (``punkt_tab``) are not installed."""
    return _punkt()[1]


@cache
def _punkt() -> tuple["PunktSentenceTokenizer", str]:
    from nltk.tokenize.punkt import PunktSentenceTokenizer, PunktTokenizer

    try:
        return PunktTokenizer("english"), "punkt"
    except LookupError:
        return PunktSentenceTokenizer(), "punkt-untrained"


@cache
def _word_tokenizer():
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()
