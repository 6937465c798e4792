from collections import Counter

import bert_score
import bert_score.utils
import numpy as np
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.bertscore import score_bertscore
from medalign_utils.minilm import minilm_path

REFERENCES = [
    "The last creatinine was 1.4 mg/dL on 2014-08-10.",
    "No.",
    "Atorvastatin 40 mg daily; simvastatin was stopped for myalgia.",
]
RESPONSES = [
    "Creatinine 1.4",
    "",
    "Patient denies chest pain. " * 15,
    "The last creatinine was 1.4 mg/dL on 2014-08-10.",
    "no",
    "simvastatin",
]
PAIRS = [(response, reference) for response in RESPONSES for reference in REFERENCES]


@pytest.mark.parametrize(("model", "layer"), [("minilm", 6), (str(minilm_path()), 3)])
def test_score_bertscore_equals_the_librarys(model, layer):
    responses, references = map(list, zip(*PAIRS, strict=True))
    longest = "creatinine and potassium " * 50  # makes the library pad all other pairs of the batch
    _, _, expected = bert_score.score(
        [*responses, longest], [*references, longest], str(minilm_path()), num_layers=layer
    )
    scores = score_bertscore(responses, references, model=model, layer=layer)
    np.testing.assert_allclose(scores, expected.numpy()[:-1], atol=1e-5)


def test_score_bertscore_encodes_each_distinct_text_once(monkeypatch):
    encoded = Counter()
    library = bert_score.utils.sent_encode

    def counting(tokenizer, text):
        encoded[text] += 1
        return library(tokenizer, text)

    monkeypatch.setattr(bert_score.utils, "sent_encode", counting)
    responses, references = map(list, zip(*PAIRS, strict=True))
    score_bertscore(responses, references, model="minilm", layer=6)
    assert encoded == Counter({*RESPONSES, *REFERENCES})


def test_score_bertscore_counts_empty_and_truncated_texts():
    with pytest.warns(UserWarning) as caught:
        # The tokenizer keeps [CLS], the first 510 tokens ("pain" is one) and [SEP].
        responses = ["", "  ", "pain", "pain " * 10_000, "pain " * 510]
        references = ["pain", "pain", "", "No pain.", "No pain."]
        scores = score_bertscore(responses, references, model="minilm", layer=6)
    np.testing.assert_array_equal(scores[:3], 0)
    assert scores[3] == pytest.approx(scores[4], abs=1e-6) and scores[4] > 0
    messages = [str(warning.message) for warning in caught if "score_" in str(warning.message)]
    assert messages[0] == "score_bertscore: 2 of 5 responses are empty and score 0"
    assert messages[1].startswith(
        "score_bertscore: 2 of 5 responses reach the model's limit of 512"
    )
    assert messages[2] == "score_bertscore: 1 of 5 references are empty and score 0"


def test_score_bertscore_refuses_bad_arguments():
    with pytest.raises(MedAlignError, match="no layer 7; all-MiniLM-L6-v2 has layers 0 to 6"):
        score_bertscore(["a"], ["a"], model="minilm", layer=7)
    with pytest.raises(MedAlignError, match="cannot load layer 7 of model"):
        score_bertscore(["a"], ["a"], model=str(minilm_path()), layer=7)
