import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from medalign_utils.curation.deduplicate_and_match import (
    THRESHOLDS,
    assess_thresholds,
    best_patients,
    drop_near_duplicates,
    rank_patients,
    recall_table,
)
from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.release import load_release, load_submitted
from medalign_utils.errors import MedAlignError
from medalign_utils.synthetic import write_release
from tests.builders.tiny_release import write_release as write_tiny_release


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    write_release(out, patients=8, instructions=60)
    return load_release(out)


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_release(tmp_path / "release")


def brute_force(questions, threshold):
    """Return what `drop_near_duplicates` should, by scoring every pair with the library."""
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    kept, found = [], []
    for position, question in enumerate(questions):
        scores = [scorer.score(questions[k], question)["rougeL"].fmeasure for k in kept]
        best = max(scores, default=-1)
        is_dropped = best >= threshold - 1e-9
        found.append((kept[scores.index(best)], best) if is_dropped else None)
        kept += [] if is_dropped else [position]
    return found


def dropped(questions, threshold):
    table = drop_near_duplicates(questions, threshold)
    return [None if pd.isna(row[0]) else (*row,) for row in table.itertuples(index=False)]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.sampled_from("a b c d e testing tests".split()), max_size=10), max_size=8),
    st.sampled_from([0.2, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 1.0]),
)
def test_drops_the_same_as_scoring_every_pair(words, threshold):
    questions = [" ".join(question) for question in words]
    assert dropped(questions, threshold) == brute_force(questions, threshold)


@pytest.mark.parametrize(
    ("questions", "threshold", "duplicate_of"),
    [
        # 7 words of 10 in common: 2 x 7 / 20 = 0.7.
        (["a b c d e f g h i j", "a b c d e f g x y z"], 0.7, [None, 0]),
        (["a b c d e f g h i j", "a b c d e f g x y z"], 0.71, [None, None]),
        # The last shares 4 of 5 words with each of the first two, which share 3: the first counts.
        (["a b c d x", "q b c d e", "a b c d e"], 0.7, [None, None, 0]),
        # Each neighbour shares 3 of 4 words (0.75), the first and the third 2 of 4 (0.5).
        (["a b c d", "b c d e", "c d e f"], 0.75, [None, 0, None]),
        (["?", "?", ""], 0.1, [None] * 3),
        ([], 0.7, []),
    ],
)
def test_drops_by_hand(questions, threshold, duplicate_of):
    assert [found and found[0] for found in dropped(questions, threshold)] == duplicate_of


def test_wrong_arguments_are_errors():
    for threshold in (0, 1.1):
        with pytest.raises(MedAlignError, match="expected 0 < threshold <= 1"):
            drop_near_duplicates(["a"], threshold)
    with pytest.raises(MedAlignError, match=r"similar_pairs: questions\[1\] is None"):
        drop_near_duplicates(["a", None], 0.7)


def test_assess_thresholds_by_hand():
    rows = [
        ("a b c d e", "r1", "p1", None),
        ("a b c d x", "r2", "p1", None),  # resembles the first (0.8) but asks something else
        ("a b c d e", "r1", "p2", None),  # same as the first, for another patient
        ("u v w", "r3", "p3", None),
        ("please u v w", "r3", "p3", "4"),  # 2 x 3 / 7 = 0.86
        ("y z", "r3", "p3", "4"),  # the same in other words
    ]
    table = pd.DataFrame(rows, columns=["question", "request", "person_id", "duplicate_of"])
    table = assess_thresholds(table, [1.0, 0.8]).set_index("threshold")
    # At 0.8, the second (wrongly), third and fifth are dropped; the third, fifth and sixth should.
    counts = {"submitted": 6, "duplicates": 3, "dropped": 3, "reworded": 2, "other_patient": 1}
    shares = {"precision": 2 / 3, "recall": 2 / 3, "reworded_recall": 0.5}
    assert table.loc[0.8].to_dict() == counts | shares
    # At 1, only the third.
    assert table.loc[1.0, ["dropped", "precision"]].tolist() == [1, 1]
    assert table.loc[1.0, "recall"] == pytest.approx(1 / 3)


def test_without_submissions_the_releases_own_instructions_are_used(tiny):
    release = load_release(tiny)
    submitted = load_submitted(release)
    assert submitted["question"].tolist() == release.instructions["question"].tolist()
    assert submitted[["duplicate_of", "request"]].isna().all(axis=None)
    table = assess_thresholds(submitted)
    assert list(table["threshold"]) == list(THRESHOLDS)
    assert table["dropped"].eq(0).all() and table[["precision", "recall"]].isna().all(axis=None)


def bm25(query, documents):
    """Return Lucene's BM25 score by its formula, with k1 = 1.5 and b = 0.75."""
    mean = np.mean([len(words) for words in documents])
    scores = np.zeros(len(documents))
    for word in query:
        n = sum(word in words for words in documents)
        idf = np.log(1 + (len(documents) - n + 0.5) / (n + 0.5))
        for i, words in enumerate(documents):
            tf = words.count(word)
            scores[i] += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(words) / mean))
    return scores


def test_ranks_agree_with_the_formula(demo):
    import bm25s

    def words(texts):
        return bm25s.tokenize(texts, stopwords="english", return_ids=False, show_progress=False)

    pool = sorted(demo.instructions["person_id"].unique())
    asked = demo.instructions.head(25)
    ranks = rank_patients(demo, asked, pool, progress=False)
    documents = words([ehr_text(demo.ehr_path(person), "lines") for person in pool])
    for row in asked.itertuples():
        scores = bm25(words([row.question])[0], documents)
        own = scores[pool.index(row.person_id)]
        assert ranks[row.Index] == (scores >= own - 1e-9).sum()


def test_ties_get_the_worst_of_their_ranks(tiny):
    release = load_release(tiny)
    asked = pd.DataFrame(
        # The drug is in one record, the instrument in none; the last question has no word.
        {"question": ["atorvastatin", "xylophone", "?"], "person_id": ["007", "007", "40"]},
        index=[7, 8, 9],
    )
    ranks = rank_patients(release, asked, ["007", "40"], progress=False)
    assert ranks.to_dict() == {7: 1, 8: 2, 9: 2}


@pytest.mark.parametrize(
    ("patients", "pool", "message"),
    [
        (["007", "40"], ["40"], "the patients of 1 instructions are not in the pool of 1"),
        ([None, "40"], ["40", "007"], "not in the pool of 2; the first is nan"),
        (["007", "40"], ["40", "40"], "2 patients in the pool, but only 1"),
    ],
)
def test_a_patient_outside_the_pool_is_an_error(tiny, patients, pool, message):
    instructions = pd.DataFrame({"question": ["a", "b"][: len(patients)], "person_id": patients})
    with pytest.raises(MedAlignError, match=message):
        rank_patients(load_release(tiny), instructions, pool, progress=False)


def test_without_instructions_recall_is_not_known(tiny):
    nobody = pd.DataFrame({"question": [], "person_id": []})
    ranks = rank_patients(load_release(tiny), nobody, ["40"], progress=False)
    assert ranks.empty
    recall = recall_table(ranks, nobody["person_id"], 1)
    assert recall["recall"].isna().all() and recall["n"].eq(0).all()


def test_an_instruction_without_a_patient_gets_the_record_that_fits_best(tiny):
    files = {tiny / "ehrs" / "40.xml": "40", tiny / "ehrs" / "EHR_007.xml": "007"}
    asked = ["Does she take atorvastatin?", "Latest creatinine?", "xylophone", "?"]
    assert best_patients(asked, files, progress=False) == ["007", "40", None, None]


def test_recall_table():
    ranks, patients = pd.Series([1, 5, 6, 30]), pd.Series(["a", "a", "b", "c"])
    table = recall_table(ranks, patients, 30)
    assert table["recall"].tolist() == [0.25, 0.5, 0.75]
    assert table["random"].tolist() == [1 / 30, 5 / 30, 20 / 30]
    assert (table["recall_low"] < table["recall"]).all()
    assert table[["k", "n", "pool"]].to_numpy().tolist() == [[1, 4, 30], [5, 4, 30], [20, 4, 30]]
    # No rank exceeds the pool's size.
    few = recall_table(ranks[:2], patients[:2], 3)
    assert few["random"].tolist() == [1 / 3, 1, 1]
