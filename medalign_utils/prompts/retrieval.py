"""Split an EHR in the ``lines`` format into passages, and rank these for an instruction."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from medalign_utils.data.ehr import EVENT_LINE

WINDOW_SENTENCES = 3

_PERSON_LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d person (?P<name>birthdate|race|gender): (?P<value>.+)$",
    re.MULTILINE,
)
# The number of a list item ("2. Asthma") does not end a sentence.
_SENTENCE = re.compile(r"(?:\d+[.)][ \t]+)?\S.*?(?:[.!?](?=\s)|$)", re.MULTILINE)


def split_blocks(ehr: str) -> list[tuple[str, str]]:
    r"""Return the line of each event in an EHR text with the note below it, oldest first.

    If the text begins within a note, the first line is empty.

    >>> split_blocks("2014-08-10 10:00 note N/1 Progress note:\nDenies pain.\nEats well.")
    [('2014-08-10 10:00 note N/1 Progress note:', 'Denies pain.\nEats well.')]
    """
    parts = ["", *EVENT_LINE.split(ehr)]
    blocks = zip(parts[::2], (text.strip() for text in parts[1::2]), strict=True)
    return [block for block in blocks if any(block)]


def split_passages(ehr: str, step: int = 1) -> list[str]:
    r"""Return the passages of an EHR text, oldest first.

    A coded event is one passage. In a note, a passage consists of the note's line and
    `WINDOW_SENTENCES` sentences; passages start `step` sentences apart.

    >>> split_passages("2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL\n"
    ...     "2014-08-10 10:00 note N/1 Progress note:\nNo pain. Eats. Walks. Sleeps.", step=3)
    ... # doctest: +NORMALIZE_WHITESPACE
    ['2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL',
     '2014-08-10 10:00 note N/1 Progress note:\nNo pain. Eats. Walks.',
     '2014-08-10 10:00 note N/1 Progress note:\nSleeps.']
    """
    passages = []
    for line, text in split_blocks(ehr):
        sentences = [match.span() for match in _SENTENCE.finditer(text)] or [(0, 0)]
        for first in range(0, max(len(sentences) - WINDOW_SENTENCES + step, 1), step):
            window = sentences[first : first + WINDOW_SENTENCES]
            passages.append(_joined(line, text[window[0][0] : window[-1][1]]))
    return passages


def last_note(ehr: str) -> str:
    r"""Return the most recent note with its line, or "" if the text contains no note.

    >>> last_note("2014-08-10 10:00 note N/1 Progress note:\nNo pain.\n"
    ...     "2014-08-11 09:00 visit V/1 Outpatient visit: start")
    '2014-08-10 10:00 note N/1 Progress note:\nNo pain.'
    """
    notes = [block for block in split_blocks(ehr) if block[1]]
    return _joined(*notes[-1]) if notes else ""


def describe_patient(ehr: str) -> str:
    r"""Return the patient's age at the last event, race and gender, as far as the text has them.

    >>> describe_patient("2001-12-28 08:23 person birthdate: 1959-08-14\n"
    ...     "2001-12-28 08:23 person gender: MALE\n2006-11-05 09:00 visit V/1 Visit: end")
    '47-year-old MALE'
    """
    facts = {match["name"]: match["value"] for match in _PERSON_LINE.finditer(ehr)}
    born = re.fullmatch(r"(\d{4})(-\d\d-\d\d)", facts.pop("birthdate", ""))
    if born:
        last_line = EVENT_LINE.findall(ehr)[-1]
        age = int(last_line[:4]) - int(born[1]) - (last_line[4:10] < born[2])
        facts["age"] = f"{age}-year-old"
    return " ".join(facts[name] for name in ("age", "race", "gender") if name in facts)


def _joined(line: str, text: str) -> str:
    return "\n".join(filter(None, (line, text)))


class Bm25:
    """BM25 scores of passages: Lucene's variant, English stop words, no stemming.

    Source: Lù 2024 (BM25S).

    >>> (Bm25(["Creatinine: 1.4 mg/dL", "Walks well."]).scores("creatinine?") > 0).tolist()
    [True, False]
    """

    def __init__(self, passages: Sequence[str]) -> None:
        """Index the passages."""
        import bm25s

        self._n = len(passages)
        tokenized = bm25s.tokenize(list(passages), stopwords="english", show_progress=False)
        self._index = None
        if tokenized.vocab:  # bm25s cannot index passages without any word
            self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
            self._index.index(tokenized, show_progress=False)

    def scores(self, instruction: str) -> np.ndarray:
        """Return each passage's score: float32, shape (N,), 0 without a common word."""
        import bm25s

        [words] = bm25s.tokenize(
            instruction, stopwords="english", return_ids=False, show_progress=False
        )
        if self._index is None or not words:
            return np.zeros(self._n, dtype=np.float32)
        return self._index.get_scores(words)


class MiniLM:
    """Cosine similarity of passages with an instruction, by all-MiniLM-L6-v2."""

    def __init__(self, passages: Sequence[str]) -> None:
        """Embed the passages."""
        from medalign_utils.minilm import embed

        self._embed, self._vectors = embed, embed(passages)

    def scores(self, instruction: str) -> np.ndarray:
        """Return each passage's cosine: float32, shape (N,), in [-1, 1]."""
        return self._vectors @ self._embed([instruction])[0]


RETRIEVERS: dict[str, Callable[[Sequence[str]], Bm25 | MiniLM]] = {"bm25": Bm25, "minilm": MiniLM}
