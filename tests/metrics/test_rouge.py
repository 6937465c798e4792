import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from medalign_utils.metrics.rouge import (
    score_rouge_l,
    score_rouge_l_stemmed,
    signature_rouge_l,
)


def test_score_rouge_l_by_hand():
    # creatinin rose | the creatinin rose to 2: 2 words in common, precision 2/2, recall 2/5.
    texts = ["Creatinine rose"], ["The creatinines rose to 2"]
    np.testing.assert_allclose(score_rouge_l_stemmed(*texts), [2 * 0.4 / 1.4])
    # Unstemmed, only "rose" is in common: precision 1/2, recall 1/5.
    np.testing.assert_allclose(score_rouge_l(*texts), [2 * 0.1 / 0.7])


@pytest.mark.parametrize(
    ("score", "options"), [(score_rouge_l, {}), (score_rouge_l_stemmed, {"use_stemmer": True})]
)
def test_rouge_l_has_rouge_scores_defaults(score, options):
    responses = ["Allergies: penicillin", "On 40 mg daily.", "", "denied pain"]
    references = ["allergy to Penicillin", "40 mg/day", "none", "Denies pain"]
    library = RougeScorer(["rougeL"], **options)
    pairs = zip(references, responses, strict=True)
    expected = [library.score(*pair)["rougeL"].fmeasure for pair in pairs]
    np.testing.assert_array_equal(score(responses, references), expected)
    assert ("stem:yes" in signature_rouge_l(stemmed=bool(options))) == bool(options)


def test_score_rouge_l_of_empty_texts_is_0():
    np.testing.assert_array_equal(score_rouge_l(["", "yes", "?"], ["yes", "", "?"]), [0, 0, 0])


def test_score_rouge_l_against_nltk_free_lcs():
    # The same number by dynamic programming over the words.
    def lcs(first, second):
        table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
        for i, a in enumerate(first):
            for j, b in enumerate(second):
                table[i + 1, j + 1] = (
                    table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
                )
        return table[-1, -1]

    rng = np.random.default_rng(1)
    responses, references = (
        [" ".join(rng.choice(list("abcd"), size=rng.integers(1, 12))) for _ in range(30)]
        for _ in range(2)
    )
    expected = [
        2 * lcs(p.split(), r.split()) / (len(p.split()) + len(r.split()))
        for p, r in zip(responses, references, strict=True)
    ]
    np.testing.assert_allclose(score_rouge_l(responses, references), expected)
