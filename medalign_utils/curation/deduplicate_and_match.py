"""The paper's curation: near-duplicates out of what was submitted, then a patient for the rest.

Near-duplicates are found by ROUGE-L between questions. Patients are found by BM25 with the question
as the query and whole records as the documents; how well that works is seen where it is known for
whom an instruction was written.
"""

from array import array
from collections.abc import Sequence
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import Release
from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.base import check_texts
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
CUTOFFS = (1, 5, 20)  # ranks to which a match counts
# Floating point may put a ROUGE-L of exactly 7/10 a hair below 0.7.
_TOLERANCE = 1e-9


def drop_near_duplicates(questions: Sequence[str], threshold: float) -> pd.DataFrame:
    """Go through the questions in order and drop each that is too like one kept before.

    A question is dropped if its ROUGE-L F1 (Porter-stemmed, as `metrics.rouge` computes it) with
    one that was kept earlier is at or above the threshold. It counts as the duplicate of the kept
    one with the highest score, of equals of the earliest. So the order matters: the first of
    several alike is the one that stays, and what is like a dropped one only stays too.

    Args:
        questions: N texts, in the order in which they were submitted.
        threshold: above 0, at most 1; a score less than 1e-9 below it counts as at it.

    Returns:
        One row a question, in the same order: duplicate_of (Int64, the position from 0 of the kept
        one; missing where the question is kept) and rouge_l (with that one; NaN where kept). A
        question without a word is always kept.

    Raises:
        MedAlignError: a question is no string, or the threshold is out of range.

    Source: Lin 2004 for ROUGE-L; Wang et al. 2023 (Self-Instruct) for this use at 0.7.

    >>> questions = ["What was the last creatinine?", "Any falls?", "What was the last potassium?"]
    >>> drop_near_duplicates(questions, 0.7)["duplicate_of"].tolist()
    [<NA>, <NA>, 0]
    """
    return _keep_first(similar_pairs(questions, threshold), len(questions), threshold)


def similar_pairs(questions: Sequence[str], floor: float) -> pd.DataFrame:
    """Find every pair of questions whose ROUGE-L F1 is at least `floor`.

    The score is the library's own. It is computed for those pairs only that share enough words to
    reach the floor in the best order: 2 x words in common / words of both bounds it from above.

    Args:
        questions: N texts.
        floor: above 0, at most 1, with the tolerance of `drop_near_duplicates`.

    Returns:
        earlier and later (positions from 0, earlier < later) and rouge_l, ordered by later, then
        earlier.

    Raises:
        MedAlignError: a question is no string, or the floor is out of range.

    >>> similar_pairs(["Any falls?", "Any pain?"], 0.5).values.tolist()
    [[0.0, 1.0, 0.5]]
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    check_texts("similar_pairs", questions=questions)
    if not 0 < floor <= 1:
        raise MedAlignError(f"similar_pairs: threshold {floor}, expected above 0 and at most 1")
    tokenize = lru_cache(maxsize=None)(DefaultTokenizer(use_stemmer=True).tokenize)
    scorer = RougeScorer(["rougeL"], tokenizer=SimpleNamespace(tokenize=tokenize))
    words = [tokenize(question) for question in questions]
    ids = {word: i for i, word in enumerate(dict.fromkeys(w for each in words for w in each))}
    counts = np.zeros((len(words), len(ids)), dtype=np.int32)
    for row, each in enumerate(words):
        np.add.at(counts[row], [ids[word] for word in each], 1)
    lengths = counts.sum(axis=1)

    pairs = []
    for later in range(1, len(words)):
        [own] = np.nonzero(counts[later])
        common = np.minimum(counts[:later, own], counts[later, own]).sum(axis=1)
        both = lengths[:later] + lengths[later]
        for earlier in np.flatnonzero(2 * common >= (floor - 2 * _TOLERANCE) * np.fmax(both, 1)):
            score = scorer.score(questions[earlier], questions[later])["rougeL"].fmeasure
            if score >= floor - _TOLERANCE:
                pairs.append((int(earlier), later, score))
    return pd.DataFrame(pairs, columns=["earlier", "later", "rouge_l"])


def _keep_first(pairs: pd.DataFrame, n: int, threshold: float) -> pd.DataFrame:
    duplicate_of = pd.array([None] * n, dtype="Int64")
    rouge_l = np.full(n, np.nan)
    alike = pairs[pairs["rouge_l"] >= threshold - _TOLERANCE]
    for earlier, later, score in alike.itertuples(index=False):
        # Pairs come in the order of the later question, so whether the earlier one stays is known.
        if pd.isna(duplicate_of[earlier]) and not score <= rouge_l[later]:
            duplicate_of[later], rouge_l[later] = earlier, score
    return pd.DataFrame({"duplicate_of": duplicate_of, "rouge_l": rouge_l})


def assess_thresholds(
    submitted: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS
) -> pd.DataFrame:
    """What `drop_near_duplicates` gives at each threshold, held against what is truly asked twice.

    A submission is a duplicate if one before it makes the same request, whoever the patients are
    (`synthetic.submissions` says what a request is). Dropping it is right if the kept question
    that it was taken for a duplicate of makes that request; looking alike is not enough.

    Args:
        submitted: as `dataset.load_submitted` gives it.
        thresholds: each above 0, at most 1.

    Returns:
        One row a threshold, ascending: threshold, submitted, duplicates, dropped, precision (share
        of the dropped that were dropped rightly; NaN if none was dropped), recall (share of the
        duplicates that were), reworded and reworded_recall (the same of those that were reworded
        on purpose), other_patient (dropped rightly, though the kept one was written for another
        patient). All but the first, second and fourth are missing without `request`.

    Raises:
        MedAlignError: a threshold is out of range.

    >>> submitted = pd.DataFrame({"question": ["Any falls?", "Any pain?"], "person_id": ["1", "2"],
    ...     "request": ["falls", "pain"], "duplicate_of": [None, None]})
    >>> assess_thresholds(submitted, [0.5])[["dropped", "precision"]].values.tolist()
    [[1.0, 0.0]]
    """
    thresholds = sorted(set(thresholds))
    pairs = similar_pairs(submitted["question"].tolist(), thresholds[0])
    known = submitted["request"].notna().all()
    request, person = submitted["request"].to_numpy(), submitted["person_id"].to_numpy()
    duplicate = submitted["request"].duplicated().to_numpy()
    reworded = submitted["duplicate_of"].notna().to_numpy()
    rows = []
    for threshold in thresholds:
        kept_one = _keep_first(pairs, len(submitted), threshold)["duplicate_of"]
        [dropped] = np.nonzero(kept_one.notna())
        row = {"threshold": threshold, "submitted": len(submitted), "dropped": len(dropped)}
        if known:
            original = kept_one[dropped].to_numpy(dtype=int)
            right = dropped[request[dropped] == request[original]]
            elsewhere = person[right] != person[kept_one[right].to_numpy(dtype=int)]
            row |= {
                "duplicates": duplicate.sum(),
                "precision": _share(len(right), len(dropped)),
                "recall": _share(len(right), duplicate.sum()),
                "reworded": reworded.sum(),
                "reworded_recall": _share(reworded[right].sum(), reworded.sum()),
                "other_patient": elsewhere.sum(),
            }
        rows.append(row)
    columns = ["threshold", "submitted", "duplicates", "dropped", "precision", "recall"]
    return pd.DataFrame(rows, columns=[*columns, "reworded", "reworded_recall", "other_patient"])


def rank_patients(
    release: Release, instructions: pd.DataFrame, pool: Sequence[str], *, progress: bool = True
) -> pd.Series:
    """At which rank BM25 puts the patient for whom each instruction was written.

    Lucene's variant, k1 = 1.5, b = 0.75, English stop words, no stemming; a document is a whole
    record as `ehr.ehr_text` gives it in the `lines` format. Records are read one at a time; of
    each, four bytes a word are kept.

    Args:
        release: where the records are.
        instructions: question and person_id, which must be in the pool.
        pool: the patients to choose from.
        progress: show a bar.

    Returns:
        The ranks, int64, 1 is best, under the index of `instructions`. Patients with equal scores
        all have the worst of their ranks, so a question that shares no word with its record gets
        the rank of the pool's size.

    Raises:
        MedAlignError: there are no instructions, an instruction's patient is missing or not in the
            pool, or the pool holds a patient twice.
        ReleaseError, EHRError: a record is absent or cannot be read.

    Source: Robertson and Zaragoza 2009; Lù 2024 (BM25S).

    >>> instructions = pd.DataFrame({"question": ["Any falls?"], "person_id": ["7"]})
    >>> rank_patients(None, instructions, ["8", "9"])
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: rank_patients: 1 instructions whose patient is not in the \
pool of 2, the first one's being 7
    """
    import bm25s

    if instructions.empty:
        raise MedAlignError("rank_patients: no instructions; does any name its patient?")
    place = {person: i for i, person in enumerate(pool)}
    if len(place) < len(pool):
        raise MedAlignError(f"rank_patients: a pool of {len(pool)} with {len(place)} patients")
    absent = instructions.index[~instructions["person_id"].isin(list(place))]
    if len(absent):
        raise MedAlignError(
            f"rank_patients: {len(absent)} instructions whose patient is not in the pool of "
            f"{len(pool)}, the first one's being {instructions['person_id'][absent[0]]}"
        )
    settings = {"stopwords": "english", "show_progress": False}
    queries = [
        bm25s.tokenize(question, return_ids=False, **settings)[0]
        for question in instructions["question"]
    ]
    # Words that nobody asks for count towards a record's length only: one stands for all.
    vocabulary = {"": 0}
    for word in (word for query in queries for word in query):
        vocabulary.setdefault(word, len(vocabulary))
    documents = []
    for person in tqdm(pool, "records", disable=not progress):
        text = bm25s.tokenize(ehr_text(release.ehr_path(person), "lines"), **settings)
        asked = np.zeros(len(text.vocab), dtype=np.uint32)
        for word, i in text.vocab.items():
            asked[i] = vocabulary.get(word, 0)
        documents.append(array("I", asked[text.ids[0]].tobytes()))

    # In double precision, so that scores are equal only where they truly are.
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
    index.index((documents, vocabulary), show_progress=False)
    ranks = []
    for query, person in zip(queries, instructions["person_id"], strict=True):
        scores = index.get_scores(query) if query else np.zeros(len(pool))
        ranks.append(np.count_nonzero(scores >= scores[place[person]]))
    return pd.Series(ranks, index=instructions.index, name="rank", dtype="int64")


def recall_at(ranks: Sequence[int], k: int) -> float:
    """The share of ranks that are `k` or better; NaN without any.

    >>> recall_at([1, 3, 9, 20], 5)
    0.5
    """
    ranks = np.asarray(ranks)
    return _share(np.count_nonzero(ranks <= k), ranks.size)


def recall_table(
    ranks: pd.Series,
    patients: pd.Series,
    pool_size: int,
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Recall at each of `CUTOFFS`, with intervals, beside what pairing at random would reach.

    Args:
        ranks: as `rank_patients` gives them.
        patients: the patient of each.
        pool_size: how many patients there were to choose from.
        bootstrap: over patients.

    Returns:
        One row a cutoff: k, n, pool, recall, recall_low, recall_high (95 % interval), random
        (k / pool, exactly; 1 where the pool is no larger than k).

    >>> ranks, patients = pd.Series([1, 2, 9]), pd.Series(["a", "a", "b"])
    >>> rng = np.random.default_rng(1)
    >>> recall_table(ranks, patients, 10, bootstrap=Bootstrap(100, rng))["random"].tolist()
    [0.1, 0.5, 1.0]
    """
    hits = np.column_stack([ranks.to_numpy() <= k for k in CUTOFFS])
    intervals = bootstrap_means(hits, patients.to_numpy(), bootstrap=bootstrap)
    return pd.DataFrame(
        [
            (k, len(ranks), pool_size, *interval, min(k, pool_size) / pool_size)
            for k, interval in zip(CUTOFFS, intervals, strict=True)
        ],
        columns=["k", "n", "pool", "recall", "recall_low", "recall_high", "random"],
    )


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
