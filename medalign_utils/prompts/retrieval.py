"""Rank passages for an instruction: by BM25, or by the cosine of MiniLM's embeddings."""

from collections.abc import Callable, Sequence

import numpy as np


class Bm25:
    """BM25 over some passages: Lucene's variant, k1 = 1.5, b = 0.75, English stop words, no stems.

    Source: Robertson and Zaragoza 2009; Lù 2024 (BM25S).

    >>> (Bm25(["Creatinine: 1.4 mg/dL", "Walks well."]).scores("creatinine?") > 0).tolist()
    [True, False]
    """

    def __init__(self, passages: Sequence[str]) -> None:
        """Index the passages."""
        import bm25s

        self._n = len(passages)
        tokenized = bm25s.tokenize(list(passages), stopwords="english", show_progress=False)
        self._index = None
        if tokenized.vocab:  # bm25s cannot index passages without a single word
            self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
            self._index.index(tokenized, show_progress=False)

    def scores(self, instruction: str) -> np.ndarray:
        """Score each passage: float32, shape (N,), at least 0; 0 where they share no word."""
        import bm25s

        [words] = bm25s.tokenize(
            instruction, stopwords="english", return_ids=False, show_progress=False
        )
        if self._index is None or not words:
            return np.zeros(self._n, dtype=np.float32)
        return self._index.get_scores(words)


class MiniLM:
    """Cosines with some passages, by all-MiniLM-L6-v2.

    Source: Reimers and Gurevych 2019 (Sentence-BERT).

    >>> scores = MiniLM(["Heart rate: 72 /min", "Walks well."]).scores("How fast is the heart?")
    >>> bool(scores[0] > scores[1])
    True
    """

    def __init__(self, passages: Sequence[str]) -> None:
        """Embed the passages."""
        from medalign_utils.minilm import embed

        self._vectors = embed(passages)

    def scores(self, instruction: str) -> np.ndarray:
        """Score each passage: float32, shape (N,), in [-1, 1]."""
        from medalign_utils.minilm import embed

        [vector] = embed([instruction])
        return self._vectors @ vector


RETRIEVERS: dict[str, Callable[[Sequence[str]], Bm25 | MiniLM]] = {"bm25": Bm25, "minilm": MiniLM}
