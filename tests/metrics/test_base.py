"""Properties that all metrics share."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.base import metric_labels, metric_ranges
from medalign_utils.metrics.registry import METRICS
from medalign_utils.metrics.words import punkt_name
from medalign_utils.provenance.code_closure import closure
from medalign_utils.provenance.notebook import notebook_code
from tests.builders.project import ROOT
from tests.builders.tiny_models import write_tiny_bleurt, write_tiny_lens, write_tiny_unieval

RESPONSES = ["Denies it. On 40 mg daily.", "1.4 mg/dL", "none", "Denies pain. " * 8, "no pain"]
TEXTS = {
    "questions": ["Any chest pain?", "Last creatinine?", "Which statin?"] * 5,
    "responses": RESPONSES * 3,
    "references": [text for text in ("Denies chest pain.", "1.4", "statin") for _ in RESPONSES],
}
MODELS = {
    "bertscore": write_tiny_bleurt,
    "bleurt": write_tiny_bleurt,
    "lens": write_tiny_lens,
    "unieval": write_tiny_unieval,
}
ALL_METRICS = pytest.mark.parametrize("name", METRICS)


def score(name, models, **columns):
    columns = {column: texts for column, texts in columns.items() if column != "questions"} | (
        {"questions": columns["questions"]} if METRICS[name].needs_question else {}
    )
    return METRICS[name].score(**columns, **models.get(name, {}))


def test_labels_and_names_of_scores_are_distinct():
    labels = metric_labels()
    assert len(set(labels.values())) == len(labels)
    names = [name for metric in METRICS.values() for name in (metric.name, *metric.labels)]
    assert len(set(names)) == len(names)


@ALL_METRICS
def test_scores_are_in_the_metrics_range(name, models):
    low, high = METRICS[name].range
    # Empty texts too; BERTScore warns of them.
    texts = {column: [*texts[:5], "", " ?"] for column, texts in TEXTS.items()}
    scores = score(name, models, **texts)
    assert low <= scores.min() and scores.max() <= high


@ALL_METRICS
def test_metrics_refuse_unequal_lengths_and_missing_texts(name, models):
    two = ["a", "b"]
    with pytest.raises(MedAlignError, match=rf"score_{name}: (2 questions, )?2 responses, 1 refer"):
        score(name, models, questions=two, responses=two, references=["a"])
    with pytest.raises(MedAlignError, match=rf"score_{name}: responses\[1\] is nan, expected a"):
        score(name, models, questions=two, responses=["a", float("nan")], references=two)


@ALL_METRICS
def test_no_texts_give_no_scores(name, models):
    scores = score(name, models, questions=[], responses=[], references=[])
    assert scores.shape == ((0, 5) if name == "unieval" else (0,)) and scores.dtype == "float64"


@ALL_METRICS
def test_a_score_does_not_depend_on_the_other_texts(name, models):
    whole = score(name, models, **TEXTS)
    assert whole.dtype == "float64" and len(set(whole.ravel())) > 3
    for rows in (slice(None, None, -1), slice(1), slice(1, None, 3)):
        part = score(name, models, **{column: texts[rows] for column, texts in TEXTS.items()})
        np.testing.assert_array_equal(part, whole[rows])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("google_bleu", "gleu|n:1-4|case:mixed|tok:13a|nltk:"),
        ("rouge_l", "rougeL|stem:no|v:"),
        ("rouge_l_stemmed", "rougeL|stem:yes|v:"),
        ("bertscore", "bertscore|model:m|sha256:...|layer:2|idf:no|rescale:no|v:"),
        ("bleurt", "bleurt|model:m|sha256:...|transformers:"),
        (
            "lens",
            "lens|src:instruction|ref:yes|case:lower|rescale:normal|model:m|sha256:..."
            "|encoder:encoder|sha256:...|comet:",
        ),
        (
            "unieval",
            f"unieval|task:summarization|document:instruction|sentences:{punkt_name()}|max:1024"
            "|model:m|sha256:...|nltk:",
        ),
    ],
)
def test_signatures_state_the_settings_and_identify_weights(name, expected, tmp_path):
    signatures = set()
    for seed in range(2):
        options = {"layer": 2} if name == "bertscore" else {}
        if name in MODELS:
            options["model"] = str(MODELS[name](tmp_path / str(seed) / "m", seed=seed))
        signatures.add(METRICS[name].signature(**options))
    assert len(signatures) == (2 if name in MODELS else 1)
    for signature in signatures:
        assert re.sub(r"sha256:\w{12}", "sha256:...", signature).startswith(expected)


def test_generation_does_not_depend_on_metrics_but_scoring_does():
    def metrics_of(notebook):
        files = closure(notebook_code(ROOT / f"notebooks/{notebook}.ipynb"), ROOT)
        return {file.stem for file in files if file.parent.name == "metrics"}

    modules = {sys.modules[metric.score.__module__] for metric in METRICS.values()}
    names = {module.__name__.rpartition(".")[2] for module in modules}
    assert not names & metrics_of("03_generate_responses")
    assert names <= metrics_of("04_score_responses")


def test_importing_the_registry_loads_no_model_library():
    code = "import sys, medalign_utils.metrics.registry; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "comet", "bert_score", "nltk"} & set(ran.stdout.split())


def test_negated_scores_have_negated_ranges(monkeypatch):
    errors = replace(METRICS["chrf"], higher_is_better=False, range=(0, 3), labels={"b": "B"})
    monkeypatch.setitem(METRICS, "chrf", errors)
    ranges = metric_ranges()
    assert ranges["chrf"] == ranges["b"] == (-3, 0) and ranges["meteor_no_wordnet"] == (0, 1)
