import subprocess
import sys

import pandas as pd
import pytest

from medalign_utils import metrics
from medalign_utils.errors import MedAlignError
from medalign_utils.metrics import METRICS, Metric, score_responses
from medalign_utils.metrics.chrf import score_chrf, signature_chrf
from medalign_utils.metrics.rouge import score_rouge_l

RESPONSES = pd.DataFrame(
    {
        "instruction_id": ["2", "1", "1"],
        "system": ["bm25-8k", "bm25-8k", "bm25-2k"],
        "response": ["No allergies.", "", "Creatinine 1.4"],
    }
)
INSTRUCTIONS = pd.DataFrame(
    {"instruction_id": ["1", "2", "3"], "question": ["Last creatinine?", "Allergies?", "Gait?"]}
)
REFERENCES = pd.DataFrame(
    {
        "instruction_id": ["1", "1", "2"],
        "annotator": ["Annotator_2", "Annotator_1", "Annotator_1"],
        "reference": ["see the chart", "The creatinine was 1.4.", "No known allergies."],
    }
)


def test_score_responses_joins_the_first_annotators_reference():
    scores = score_responses(
        RESPONSES, INSTRUCTIONS, REFERENCES, ["rouge_l", "chrf"], progress=False
    )
    assert list(scores.columns) == ["instruction_id", "system", "metric", "score", "signature"]
    assert scores["score"].dtype == "float64"
    assert scores["metric"].tolist() == ["rouge_l"] * 3 + ["chrf"] * 3
    for key in ("instruction_id", "system"):
        assert scores[key].tolist() == RESPONSES[key].tolist() * 2
    texts = RESPONSES["response"], REFERENCES["reference"].iloc[[2, 1, 1]]
    assert scores["score"].tolist() == [*score_rouge_l(*texts), *score_chrf(*texts)]
    assert scores["signature"].iloc[-1] == signature_chrf()


def test_score_responses_hands_each_metric_its_settings(monkeypatch):
    calls = {}

    def fake(name):
        def score(**columns):
            calls[name] = columns
            return [0.5] * len(columns["predictions"])

        return Metric(score, lambda **options: f"{name}|{options}", METRICS[name].needs_source)

    for name in ("comet", "bertscore"):
        monkeypatch.setitem(METRICS, name, fake(name))
    monkeypatch.setattr(metrics, "checkpoint_path", lambda checkpoint: checkpoint)
    scores = score_responses(
        RESPONSES,
        INSTRUCTIONS,
        REFERENCES,
        ["comet", "bertscore"],
        comet_checkpoint="models/comet-compact",
        bertscore_model="minilm",
        bertscore_layer=6,
        progress=False,
    )
    assert scores["metric"].tolist() == ["comet-compact"] * 3 + ["bertscore"] * 3
    assert calls["comet"]["sources"] == ["Allergies?", "Last creatinine?", "Last creatinine?"]
    assert calls["comet"]["checkpoint"] == "models/comet-compact"
    assert "sources" not in calls["bertscore"]
    assert (calls["bertscore"]["model"], calls["bertscore"]["layer"]) == ("minilm", 6)
    assert scores["signature"].iloc[-1] == "bertscore|{'model': 'minilm', 'layer': 6}"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["rouge_l", "bleu"], "unknown metric 'bleu'; known: comet, bertscore, rouge_l, chrf"),
        ([], r"metrics is \[\], expected a list of: comet, "),
        ("chrf", "metrics is 'chrf', expected a list of: comet, "),
        (["chrf", "chrf"], "a metric is named twice: chrf, chrf"),
        (["comet"], "comet needs comet_checkpoint, which is not set"),
        (["bertscore"], "bertscore needs bertscore_model, which is not set"),
    ],
)
def test_score_responses_checks_what_is_asked_for(names, message):
    with pytest.raises(MedAlignError, match=f"score_responses: {message}"):
        score_responses(RESPONSES, INSTRUCTIONS, REFERENCES, names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"references": REFERENCES.iloc[:2]},
            r"1 of 3 responses have no reference, the first is \(instruction 2, bm25-8k\)",
        ),
        (
            {"references": REFERENCES.replace("No known allergies.", " \n")},
            r"1 of 3 responses have no reference, the first is \(instruction 2, bm25-8k\)",
        ),
        (
            {"instructions": INSTRUCTIONS.iloc[1:]},
            r"2 of 3 responses have no instruction, the first is \(instruction 1, bm25-8k\)",
        ),
        (
            {"responses": RESPONSES.replace("Creatinine 1.4", None)},
            r"1 of 3 responses have no text, the first is \(instruction 1, bm25-2k\)",
        ),
        (
            {"responses": RESPONSES.replace("bm25-2k", "bm25-8k")},
            r"2 responses for \(instruction 1, bm25-8k\)",
        ),
        (
            {"references": REFERENCES.drop(columns="annotator")},
            "references has no column annotator; found: instruction_id, reference",
        ),
    ],
)
def test_score_responses_names_the_row_at_fault(change, message):
    tables = {"responses": RESPONSES, "instructions": INSTRUCTIONS, "references": REFERENCES}
    with pytest.raises(MedAlignError, match=f"score_responses: {message}"):
        score_responses(**{**tables, **change}, metrics=["chrf"])


def test_score_responses_looks_for_the_checkpoint_before_it_scores(monkeypatch, tmp_path):
    monkeypatch.setitem(METRICS, "chrf", Metric(lambda **columns: 1 / 0, signature_chrf))
    with pytest.raises(MedAlignError, match=r"model\.ckpt does not exist"):
        score_responses(
            RESPONSES, INSTRUCTIONS, REFERENCES, ["chrf", "comet"], comet_checkpoint=tmp_path
        )


def test_importing_the_metrics_loads_no_model_library():
    code = (
        "import sys, medalign_utils.metrics, medalign_utils.encoder, medalign_utils.comet_compact\n"
        "print({'torch', 'transformers', 'comet', 'bert_score'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
