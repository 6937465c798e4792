import shutil

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, T5ForConditionalGeneration

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.unieval import names_unieval, score_unieval, signature_unieval
from tests.builders.tiny_models import write_tiny_bleurt, write_tiny_unieval

SOURCES = ["Any chest pain?", "Last creatinine?", "Which statin?"]
PREDICTIONS = ["Denies it. On 40 mg daily.", "1.4 mg/dL", "none"]
REFERENCES = ["Denies chest pain.", "Creatinine: 1.4", "atorvastatin"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_unieval(tmp_path_factory.mktemp("hub") / "unieval")


@pytest.fixture(scope="module")
def published(model):
    """The authors' way: the question as one string, one at a time, No as an idle label."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = T5ForConditionalGeneration.from_pretrained(model).eval()
    yes, no = (tokenizer(word)["input_ids"][0] for word in ("Yes", "No"))

    def ask(text):
        ids = tokenizer(text, max_length=1024, truncation=True, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = network(ids, labels=torch.tensor([[no]])).logits[0, 0]
        p = logits.softmax(0)
        return (p[yes] / (p[yes] + p[no])).item()

    return ask


def test_score_unieval_as_published(model, published):
    relevance = [
        published(
            f"question: Is this summary relevant to the reference? </s> summary: {prediction} </s> "
            f"reference: {reference}"
        )
        for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True)
    ]
    coherence = [
        published(
            f"question: Is this a coherent summary to the document? </s> summary: {prediction} "
            f"</s> document: {source}"
        )
        for prediction, source in zip(PREDICTIONS, SOURCES, strict=True)
    ]
    # Of the first answer's two sentences each is asked about by itself.
    sentences = [["Denies it.", "On 40 mg daily."], ["1.4 mg/dL"], ["none"]]
    fluency = [
        np.mean(
            [published(f"question: Is this a fluent paragraph? </s> paragraph: {s}") for s in t]
        )
        for t in sentences
    ]
    consistency = [
        np.mean(
            [
                published(
                    "question: Is this claim consistent with the document? </s> claim: "
                    f"{sentence} </s> document: {source}"
                )
                for sentence in of_answer
            ]
        )
        for of_answer, source in zip(sentences, SOURCES, strict=True)
    ]
    four = np.array([relevance, fluency, coherence, consistency]).T
    expected = np.column_stack([four, four.mean(axis=1)])
    scores = score_unieval(SOURCES, PREDICTIONS, REFERENCES, model=str(model))
    np.testing.assert_allclose(scores, expected, atol=1e-5)  # a GPU adds up in another order
    assert expected.std(axis=0).min() > 1e-3  # or it would show little


def test_score_unieval_of_a_part_is_the_same_to_the_last_bit(model):
    whole = score_unieval(SOURCES, PREDICTIONS, REFERENCES, model=str(model))
    for i in range(3):
        one = ([texts[i]] for texts in (SOURCES, PREDICTIONS, REFERENCES))
        np.testing.assert_array_equal(score_unieval(*one, model=str(model))[0], whole[i])


def test_names_unieval_are_the_columns():
    dimensions = ("relevance", "fluency", "coherence", "consistency", "overall")
    assert names_unieval(model="") == [f"unieval_{dimension}" for dimension in dimensions]


def test_score_unieval_edges(model, published):
    with pytest.warns(UserWarning) as caught:
        scores = score_unieval(
            *(["pain?"] * 4, ["", " \n", "pain", "no " * 10_000], ["pain", "pain", "", "pain"]),
            model=str(model),
        )
    np.testing.assert_array_equal(scores[:2], 0)
    assert ((scores[2:] > 0) & (scores[2:] < 1)).all()
    relevance = "question: Is this summary relevant to the reference? </s> summary: "
    # An empty reference is asked about as it is; a question of 10,000 words is cut as published.
    assert scores[2, 0] == pytest.approx(published(relevance + "pain </s> reference: "), abs=1e-6)
    assert scores[3, 0] == pytest.approx(published(relevance + "no " * 10_000), abs=1e-6)
    messages = [str(warning.message) for warning in caught if "score_" in str(warning.message)]
    # Of the two answers with a word, each of 4 questions; all of the long one's are too long.
    assert messages == [
        "score_unieval: 4 of 8 questions are longer than 1024 tokens; what follows is not read",
        "score_unieval: 2 of 4 predictions are empty and score 0",
    ]


def test_score_unieval_of_empty_answers_alone_needs_no_model():
    with pytest.warns(UserWarning, match="1 of 1 predictions are empty"):
        scores = score_unieval(["a"], [""], ["a"], model="medalign_utils")
    assert scores.shape == (1, 5) and not scores.any()


def test_score_unieval_reads_a_separator_in_a_text_as_characters(model, published):
    asked = published("question: Is this a fluent paragraph? </s> paragraph: a </s> b")
    [[_, fluency, *_]] = score_unieval(["x"], ["a </s> b"], ["x"], model=str(model))
    assert abs(fluency - asked) > 1e-4


def test_score_unieval_refuses_what_is_no_t5(model, tmp_path):
    with pytest.raises(MedAlignError, match="model_type is bert, expected t5"):
        score_unieval(["a"], ["a"], ["a"], model=str(write_tiny_bleurt(tmp_path / "bert")))
    torn = shutil.copytree(model, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes(b"{")
    with pytest.raises(MedAlignError, match="torn does not load as AutoModelForSeq2SeqLM: "):
        score_unieval(["a"], ["a"], ["a"], model=str(torn))


def test_signature_unieval_states_its_settings(model):
    assert signature_unieval(model=str(model)).startswith(
        "unieval|task:summarization|document:instruction|sentences:punkt-untrained|max:1024"
        "|model:unieval|sha256:"
    )
