"""The paper's curation: drop near-duplicate instructions, then match the rest to patients.

ROUGE-L between questions finds near-duplicates. BM25 finds patients, with the question as query and
whole records as documents.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import Release
from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.base import check_texts
from medalign_utils.stats.proportions import proportions

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
CUTOFFS = (1, 5, 20)  # ranks up to which a patient counts as found
# Floating point may put a ROUGE-L of exactly 7/10 just below 0.7.
_TOLERANCE = 1e-9


def drop_near_duplicates(questions: Sequence[str], threshold: float) -> pd.DataFrame:
    """Return which questions are too similar to an earlier question that is kept.

    A question is dropped if its ROUGE-L F1 (Porter-stemmed) with a kept question reaches the
    threshold. One row per question: duplicate_of is the position (Int64, from 0) of the most
    similar kept question, the first if several are equal; rouge_l is the F1 with it. Both are
    missing for kept questions.

    Source: Wang et al. 2023 (Self-Instruct), with a threshold of 0.7.
    """
    return _keep_first(similar_pairs(questions, threshold), len(questions), threshold)


def similar_pairs(questions: Sequence[str], threshold: float) -> pd.DataFrame:
    """Return all pairs of questions with a ROUGE-L F1 of at least the threshold.

    Columns: earlier, later (positions from 0), rouge_l; sorted by later, then earlier.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    check_texts("similar_pairs", questions=questions)
    if not 0 < threshold <= 1:
        raise MedAlignError(f"similar_pairs: threshold {threshold}, expected 0 < threshold <= 1")
    tokenize = lru_cache(maxsize=None)(DefaultTokenizer(use_stemmer=True).tokenize)
    scorer = RougeScorer(["rougeL"], tokenizer=SimpleNamespace(tokenize=tokenize))
    texts = [tokenize(question) for question in questions]
    ids = {word: i for i, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
    counts = np.zeros((len(texts), len(ids)), dtype=np.int32)
    for row, text in enumerate(texts):
        np.add.at(counts[row], [ids[word] for word in text], 1)
    lengths = counts.sum(axis=1)

    pairs = []
    for later in range(1, len(texts)):
        # 2 x common words / all words is a cheap upper bound.
        [own] = np.nonzero(counts[later])
        common = np.minimum(counts[:later, own], counts[later, own]).sum(axis=1)
        both = np.fmax(lengths[:later] + lengths[later], 1)
        for earlier in np.flatnonzero(2 * common >= (threshold - 2 * _TOLERANCE) * both):
            score = scorer.score(questions[earlier], questions[later])["rougeL"].fmeasure
            if score >= threshold - _TOLERANCE:
                pairs.append((int(earlier), later, score))
    return pd.DataFrame(pairs, columns=["earlier", "later", "rouge_l"])


def _keep_first(pairs: pd.DataFrame, n: int, threshold: float) -> pd.DataFrame:
    duplicate_of = pd.array([None] * n, dtype="Int64")
    rouge_l = np.full(n, np.nan)
    for earlier, later, score in pairs[pairs["rouge_l"] >= threshold - _TOLERANCE].to_numpy():
        # Pairs are sorted by the later question, so the earlier question is already decided.
        earlier, later = int(earlier), int(later)
        if pd.isna(duplicate_of[earlier]) and not score <= rouge_l[later]:
            duplicate_of[later], rouge_l[later] = earlier, score
    return pd.DataFrame({"duplicate_of": duplicate_of, "rouge_l": rouge_l})


def assess_thresholds(
    submitted: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS
) -> pd.DataFrame:
    """Return how well `drop_near_duplicates` finds repeated requests at each threshold.

    A submission is a duplicate if an earlier one makes the same request, for any patient. It is
    rightly dropped if the question kept instead makes the same request. `submitted` comes from
    `load_submitted`; if it has no requests, only threshold, submitted and dropped have values.

    One row per threshold:

    - threshold, submitted, duplicates, dropped
    - precision: share of the dropped that are rightly dropped
    - recall: share of the duplicates that are rightly dropped
    - reworded, reworded_recall: the same for duplicates that were reworded on purpose
    - other_patient: rightly dropped, but for another patient than the kept question

    A share is NaN if its denominator is 0.
    """
    thresholds = sorted(set(thresholds))
    pairs = similar_pairs(submitted["question"].tolist(), thresholds[0])
    request, person = submitted["request"].to_numpy(), submitted["person_id"].to_numpy()
    is_duplicate = submitted["request"].duplicated().to_numpy()
    is_reworded = submitted["duplicate_of"].notna().to_numpy()
    rows = []
    for threshold in thresholds:
        duplicate_of = _keep_first(pairs, len(submitted), threshold)["duplicate_of"]
        [dropped] = np.nonzero(duplicate_of.notna())
        row = {"threshold": threshold, "submitted": len(submitted), "dropped": len(dropped)}
        if submitted["request"].notna().all():
            kept = duplicate_of[dropped].to_numpy(dtype=int)
            is_right = request[dropped] == request[kept]
            right = dropped[is_right]
            row |= {
                "duplicates": is_duplicate.sum(),
                "precision": _share(len(right), len(dropped)),
                "recall": _share(len(right), is_duplicate.sum()),
                "reworded": is_reworded.sum(),
                "reworded_recall": _share(is_reworded[right].sum(), is_reworded.sum()),
                "other_patient": (person[right] != person[kept[is_right]]).sum(),
            }
        rows.append(row)
    columns = ["threshold", "submitted", "duplicates", "dropped", "precision", "recall"]
    return pd.DataFrame(rows, columns=[*columns, "reworded", "reworded_recall", "other_patient"])


def rank_patients(
    release: Release, instructions: pd.DataFrame, pool: Sequence[str], *, progress: bool = True
) -> pd.Series:
    """Return the rank at which BM25 finds each instruction's patient; 1 is best.

    BM25 is Lucene's variant with k1 = 1.5, b = 0.75 and English stop words, without stemming; a
    document is a record in the `lines` format. Tied records all get the worst of their ranks. If a
    question shares no word with its record, the rank is the size of the pool.

    Raises:
        MedAlignError: an instruction's patient is missing or not in the pool, or a patient is in
            the pool twice.

    Source: Lù 2024 (BM25S).
    """
    if instructions.empty:
        return pd.Series([], index=instructions.index, name="rank", dtype="int64")
    place = {person: i for i, person in enumerate(pool)}
    if len(place) < len(pool):
        raise MedAlignError(
            f"rank_patients: {len(pool)} patients in the pool, but only {len(place)} distinct ones"
        )
    absent = instructions.loc[~instructions["person_id"].isin(list(place)), "person_id"]
    if len(absent):
        raise MedAlignError(
            f"rank_patients: the patients of {len(absent)} instructions are not in the pool of "
            f"{len(pool)}; the first is {absent.iloc[0]}"
        )
    files = [release.ehr_path(person) for person in pool]
    questions = instructions["question"].tolist()
    ranks = []
    for scores, person in zip(
        _scores(questions, files, progress=progress), instructions["person_id"], strict=True
    ):
        ranks.append(np.count_nonzero(scores >= scores[place[person]]))
    return pd.Series(ranks, index=instructions.index, name="rank", dtype="int64")


def best_patients(
    questions: Sequence[str], files: Mapping[Path, str], *, progress: bool = True
) -> list[str | None]:
    """Return for each question the patient whose record BM25 ranks first; see `rank_patients`.

    Of equal records, the first in `files` counts. None: the question shares no word with any.

    Args:
        questions: without a patient.
        files: EHR -> patient; see `data.ehr_files.ehr_files`.
        progress: whether to show a progress bar.
    """
    patients, best = list(files.values()), []
    for scores in _scores(questions, list(files), progress=progress):
        first = int(np.argmax(scores)) if len(scores) else 0
        best.append(patients[first] if len(scores) and scores[first] > 0 else None)
    return best


def _scores(
    questions: Sequence[str], files: Sequence[Path], *, progress: bool
) -> Iterator[np.ndarray]:
    """Yield the BM25 scores of all records for each question; 0 if they share no word."""
    import bm25s

    settings = {"stopwords": "english", "show_progress": False}
    queries = bm25s.tokenize(list(questions), return_ids=False, **settings)
    # Words that are in no query only add to a record's length, so "" can replace them all.
    words = dict.fromkeys(word for query in queries for word in query)
    vocabulary = {word: i for i, word in enumerate(["", *words])}
    documents = []
    for file in tqdm(files, "records", disable=not progress):
        text = bm25s.tokenize(ehr_text(file, "lines"), **settings)
        queried = np.zeros(len(text.vocab), dtype=np.uint32)
        for word, i in text.vocab.items():
            queried[i] = vocabulary.get(word, 0)
        # An array needs 4 bytes per word.
        documents.append(array("I", queried[text.ids[0]].tobytes()))

    # Use double precision, so that rounding does not create ties.
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
    index.index((documents, vocabulary), show_progress=False)
    for query in queries:
        yield index.get_scores(query) if query else np.zeros(len(files))


def recall_table(ranks: pd.Series, patients: pd.Series, pool_size: int) -> pd.DataFrame:
    """Return recall at each of `CUTOFFS`, and the recall of random matching.

    Columns: k, n, pool (its size), recall with its 95 % interval over patients, and random, which
    is exactly k / pool, up to 1.
    """
    hits = np.column_stack([ranks.to_numpy() <= k for k in CUTOFFS])
    table = pd.DataFrame({"k": CUTOFFS, "n": len(ranks), "pool": pool_size})
    table[["recall", "recall_low", "recall_high"]] = proportions(hits, patients.to_numpy())
    return table.assign(random=table["k"].clip(upper=pool_size) / pool_size)


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
