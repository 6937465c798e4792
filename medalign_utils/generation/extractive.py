"""Extractive baselines: the answer quotes a passage of the record.

Answers are cut to `RESPONSE_TOKENS` tokens of MiniLM's tokenizer. Without a record the answer is
"". In refinement, the previous answer is one of the passages.

With `patient_prefix`, the query begins with the patient's age, race and gender, if the context
contains these lines of the record. Otherwise the extractors do not use demographics.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from medalign_utils.generation.base import Generation, Generator
from medalign_utils.prompts.retrieval import Bm25, describe_patient, last_note, split_passages
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt
from medalign_utils.prompts.tokenizers import load_tokenizer


def bm25_passage(*, patient_prefix: bool = False) -> Generator:
    r"""Quote the passage with the highest BM25 score, the most recent if tied; see `Bm25`.

    >>> record = ("2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL\n"
    ...     "2014-08-10 09:12 measurement LOINC/2951-2 Sodium: 139 mmol/L")
    >>> [answer] = bm25_passage().answer([Prompt("What was the creatinine?", record, "")])
    >>> answer.text
    '2014-08-10 09:12 measurement LOINC/2160-0 Creatinine: 1.4 mg/dL'
    """

    # A patient's prompts follow one another and share the record.
    @lru_cache(maxsize=1)
    def index_of(ehr: str, previous: str | None) -> tuple[list[str], Bm25]:
        passages = _passages(ehr, previous)
        return passages, Bm25(passages)

    def answer(prompt: Prompt) -> str:
        passages, index = index_of(prompt.ehr, prompt.previous)
        return _most_recent_best(passages, index.scores(_query(prompt, patient_prefix)))

    return _generator(answer)


def minilm_passage(*, patient_prefix: bool = False) -> Generator:
    """Quote the passage whose MiniLM embedding has the highest cosine with the instruction's.

    The most recent is quoted if tied. Source: Reimers and Gurevych 2019 (Sentence-BERT).
    """
    vectors: dict[str, np.ndarray] = {}  # of the last record's passages

    def answer(prompt: Prompt) -> str:
        from medalign_utils.minilm import embed

        passages = _passages(prompt.ehr, prompt.previous)
        new = [passage for passage in dict.fromkeys(passages) if passage not in vectors]
        known = vectors | dict(zip(new, embed(new), strict=True))
        vectors.clear()
        vectors.update((passage, known[passage]) for passage in passages)
        [instruction] = embed([_query(prompt, patient_prefix)])
        # Row by row, since a matrix product may give equal rows different cosines.
        scores = np.array([vectors[passage] @ instruction for passage in passages])
        return _most_recent_best(passages, scores)

    return _generator(answer)


def recent_note() -> Generator:
    """Quote the opening of the most recent note, whatever the instruction."""
    return _generator(lambda prompt: last_note(prompt.ehr) or prompt.previous or "")


def random_passage(*, seed: int) -> Generator:
    """Quote a random passage; the choice depends only on the seed and the prompt."""

    def answer(prompt: Prompt) -> str:
        passages = _passages(prompt.ehr, prompt.previous)
        drawn_from = "\0".join((str(seed), prompt.instruction, prompt.text))
        drawn = int.from_bytes(hashlib.sha256(drawn_from.encode()).digest())
        return passages[drawn % len(passages)] if passages else ""

    return _generator(answer)


def _generator(quote: Callable[[Prompt], str]) -> Generator:
    tokenizer = load_tokenizer("minilm")

    def answer(prompt: Prompt) -> Generation:
        text = quote(prompt)
        places = tokenizer.encode(text).offsets
        if len(places) <= RESPONSE_TOKENS:
            return Generation(text, "stop", len(places))
        _, end = places[RESPONSE_TOKENS - 1]
        return Generation(text[:end], "length", RESPONSE_TOKENS)

    return Generator(lambda prompts: [answer(prompt) for prompt in prompts])


def _query(prompt: Prompt, patient_prefix: bool) -> str:
    patient = describe_patient(prompt.ehr) if patient_prefix else ""
    return f"{patient}: {prompt.instruction}" if patient else prompt.instruction


def _passages(ehr: str, previous: str | None) -> list[str]:
    """Return the passages that may be quoted: the answer to refine, then those of the record."""
    return ([previous] if previous else []) + split_passages(ehr)


def _most_recent_best(passages: list[str], scores: np.ndarray) -> str:
    # Passages are oldest first, and argmax gives the first of equals.
    return passages[::-1][int(np.argmax(scores[::-1]))] if passages else ""
