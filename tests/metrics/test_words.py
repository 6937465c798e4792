import nltk
import pytest
from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer

from medalign_utils.metrics import words

TEXT = "Seen by Dr. Lee. **Creatinine:** 1.4 mg/dL (high). Can't walk."


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    words._punkt.cache_clear()
    yield
    words._punkt.cache_clear()


def test_words_are_word_tokenizes_with_punkts_data(monkeypatch):
    """A trained Punkt knows "Dr."; `nltk.word_tokenize` with the same model is the reference."""
    trained = PunktSentenceTokenizer()
    trained._params.abbrev_types.add("dr")
    monkeypatch.setattr("nltk.tokenize.punkt.PunktTokenizer", lambda language: trained)
    monkeypatch.setattr("nltk.tokenize._get_punkt_tokenizer", lambda language: trained)
    assert words.words(TEXT) == nltk.word_tokenize(TEXT)
    assert words.sentences(TEXT) == nltk.sent_tokenize(TEXT)
    assert words.punkt_name() == "punkt" and "Dr." in words.words(TEXT)


def test_without_punkts_data_abbreviations_end_sentences_and_the_name_says_so(monkeypatch):
    def absent(language):
        raise LookupError

    monkeypatch.setattr("nltk.tokenize.punkt.PunktTokenizer", absent)
    assert words.punkt_name() == "punkt-untrained"
    assert words.sentences(TEXT)[:2] == ["Seen by Dr.", "Lee."]
    parts = [NLTKWordTokenizer().tokenize(part) for part in words.sentences(TEXT)]
    assert words.words(TEXT) == [word for part in parts for word in part]
    # Every full stop at the end of a sentence is a word, as with the data.
    assert words.words("No pain. No rash.") == ["No", "pain", ".", "No", "rash", "."]
