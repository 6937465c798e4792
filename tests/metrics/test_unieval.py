import shutil

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, T5ForConditionalGeneration

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.unieval import names_unieval, score_unieval
from tests.builders.tiny_models import write_tiny_bleurt, write_tiny_unieval

QUESTIONS = ["Any chest pain?", "Last creatinine?", "Which statin?"]
RESPONSES = ["Denies it. On 40 mg daily.", "1.4 mg/dL", "none"]
REFERENCES = ["Denies chest pain.", "Creatinine: 1.4", "atorvastatin"]


@pytest.fixture(scope="module", params=["strip", "no strip"])
def model(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("hub") / "unieval"
    return str(write_tiny_unieval(folder, strip=request.param == "strip"))


@pytest.fixture
def published(model):
    """Score as the authors do: one question string at a time, with No as a dummy label."""
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
    expected = []
    # Each of the first answer's two sentences gets its own question.
    sentences = [["Denies it.", "On 40 mg daily."], ["1.4 mg/dL"], ["none"]]
    for question, response, reference, parts in zip(
        QUESTIONS, RESPONSES, REFERENCES, sentences, strict=True
    ):
        relevance = published(
            f"question: Is this summary relevant to the reference? </s> summary: {response} </s> "
            f"reference: {reference}"
        )
        coherence = published(
            f"question: Is this a coherent summary to the document? </s> summary: {response} "
            f"</s> document: {question}"
        )
        fluent = "question: Is this a fluent paragraph? </s> paragraph: "
        consistent = "question: Is this claim consistent with the document? </s> claim: "
        fluency = np.mean([published(f"{fluent}{part}") for part in parts])
        consistency = np.mean(
            [published(f"{consistent}{part} </s> document: {question}") for part in parts]
        )
        four = [relevance, fluency, coherence, consistency]
        expected.append([*four, np.mean(four)])
    scores = score_unieval(QUESTIONS, RESPONSES, REFERENCES, model=model)
    np.testing.assert_allclose(scores, expected, atol=1e-5)  # a GPU sums in another order
    assert np.std(expected, axis=0).min() > 1e-3  # otherwise agreement would show little
    assert names_unieval(model="")[::4] == ["unieval_relevance", "unieval_overall"]


def test_score_unieval_edges(model, published):
    with pytest.warns(UserWarning) as caught:
        scores = score_unieval(
            *(["pain?"] * 4, ["", " \n", "pain", "no " * 10_000], ["pain", "pain", "", "pain"]),
            model=str(model),
        )
    np.testing.assert_array_equal(scores[:2], 0)
    assert ((scores[2:] > 0) & (scores[2:] < 1)).all()
    relevance = "question: Is this summary relevant to the reference? </s> summary: "
    # An empty reference is used as it is; a question of 10,000 words is truncated as published.
    assert scores[2, 0] == pytest.approx(published(relevance + "pain </s> reference: "), abs=1e-6)
    assert scores[3, 0] == pytest.approx(published(relevance + "no " * 10_000), abs=1e-6)
    messages = [str(warning.message) for warning in caught if "score_" in str(warning.message)]
    # Two answers have a word and get 4 questions each; all questions of the long one are too long.
    assert messages == [
        "score_unieval: 4 of 8 prompts exceed 1024 tokens; the rest is not read",
        "score_unieval: 2 of 4 responses are empty and score 0",
    ]


def test_score_unieval_needs_no_model_for_empty_answers():
    with pytest.warns(UserWarning, match="1 of 1 responses are empty"):
        scores = score_unieval(["a"], [""], ["a"], model="medalign_utils")
    assert scores.shape == (1, 5) and not scores.any()


def test_score_unieval_tokenizes_the_joined_prompt_with_its_spaces(tmp_path):
    """Parts that are tokenized apart have other tokens, unless the tokenizer strips spaces."""
    model = str(write_tiny_unieval(tmp_path / "unieval"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    parts = ["question: Is this a fluent paragraph?", "paragraph: Denies  it."]
    joined = tokenizer(" </s> ".join(parts))["input_ids"]
    assert joined != [id for part in parts for id in tokenizer(part)["input_ids"]]
    network = T5ForConditionalGeneration.from_pretrained(model).eval()
    with torch.no_grad():
        logits = network(torch.tensor([joined]), decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
    yes, no = (logits[tokenizer(word)["input_ids"][0]].exp() for word in ("Yes", "No"))
    [[_, fluency, *_]] = score_unieval(["x"], ["Denies  it."], ["x"], model=model)
    assert fluency == pytest.approx((yes / (yes + no)).item(), abs=1e-5)


def test_score_unieval_reads_a_separator_in_a_text_as_characters(model, published):
    asked = published("question: Is this a fluent paragraph? </s> paragraph: a </s> b")
    [[_, fluency, *_]] = score_unieval(["x"], ["a </s> b"], ["x"], model=str(model))
    assert abs(fluency - asked) > 1e-4


def test_score_unieval_refuses_models_other_than_t5(model, tmp_path):
    with pytest.raises(MedAlignError, match="model_type is bert, expected t5"):
        score_unieval(["a"], ["a"], ["a"], model=str(write_tiny_bleurt(tmp_path / "bert")))
    torn = shutil.copytree(model, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes(b"{")
    with pytest.raises(MedAlignError, match="torn does not load as AutoModelForSeq2SeqLM: "):
        score_unieval(["a"], ["a"], ["a"], model=str(torn))
