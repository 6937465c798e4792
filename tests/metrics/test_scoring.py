import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from medalign_utils import minilm
from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.metrics import checkpoints
from medalign_utils.metrics.chrf import score_chrf, signature_chrf
from medalign_utils.metrics.registry import METRICS, Metric
from medalign_utils.metrics.rouge import score_rouge_l
from medalign_utils.metrics.scoring import score_responses
from tests.builders.tiny_pairs import tiny_pairs
from tools.comet_compact import train as comet_compact

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
    scores, skipped = score_responses(
        RESPONSES, INSTRUCTIONS, REFERENCES, ["rouge_l", "chrf"], progress=False
    )
    assert list(skipped) == ["metric", "reason"] and skipped.empty
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

        return METRICS[name]._replace(score=score, signature=lambda **options: f"{name}|{options}")

    for name in ("comet", "bertscore"):
        monkeypatch.setitem(METRICS, name, fake(name))
    scores, _ = score_responses(
        RESPONSES,
        INSTRUCTIONS,
        REFERENCES,
        ["comet", "bertscore"],
        comet_checkpoint="models/comet-compact",
        bertscore_layer=6,
        weights={"bertscore": "minilm"},
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
        (["rouge_l", "bleu"], "unknown metric 'bleu'; known: comet, bertscore, meteor, chrf, "),
        ([], r"metrics is \[\], expected a list of: comet, "),
        ("chrf", "metrics is 'chrf', expected a list of: comet, "),
        (["chrf", "chrf"], "a metric is named twice: chrf, chrf"),
        (["comet"], "comet needs comet_checkpoint, which is not set"),
        (["bertscore"], "bertscore needs bertscore_layer, which is not set"),
        (["bleurt"], "no metric can be scored: {'bleurt': 'weights names none for bleurt'}"),
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


def counted(scored, *, signature="long|v:1", value=len):
    """A metric that scores a response by its length and notes what it was asked."""

    def score(predictions, references, progress):
        scored.extend(zip(predictions, references, strict=True))
        return [float(value(prediction)) for prediction in predictions]

    return Metric(score, lambda: signature)


def score_with(cache, responses=RESPONSES, **options):
    return score_responses(
        responses, INSTRUCTIONS, REFERENCES, ["long"], cache=cache, progress=False, **options
    ).scores


def test_responses_of_one_token_sequence_tie_whoever_was_scored_first(tmp_path):
    comet_compact.train(tiny_pairs(), tmp_path / "comet-tiny", seed=1, epochs=1, progress=False)
    texts = {"a": "No known allergies.", "b": "no known allergies.", "c": "Penicillin " * 40}
    responses = pd.DataFrame(
        {"instruction_id": "2", "system": texts.keys(), "response": texts.values()}
    )
    for rows in ([0, 2], [0, 1, 2]):  # a is scored beside c, b alone
        scores = score_responses(
            *(responses.iloc[rows], INSTRUCTIONS, REFERENCES, ["bertscore", "comet"]),
            comet_checkpoint=tmp_path / "comet-tiny",
            bertscore_layer=6,
            weights={"bertscore": "minilm"},
            cache=tmp_path / "cache",
            progress=False,
        ).scores
    a, b, c = (scores.loc[scores["system"] == system, "score"].tolist() for system in texts)
    assert len(a) == 2 and a == b and a[0] != c[0] and a[1] != c[1]


def test_a_changed_system_alone_is_scored_again(monkeypatch, tmp_path):
    cache, scored = tmp_path / "cache.sqlite", []
    monkeypatch.setitem(METRICS, "long", counted(scored))
    first = score_with(cache)
    assert len(scored) == 3  # each pair of RESPONSES
    assert score_with(cache)["score"].tolist() == first["score"].tolist() == [13, 0, 14]
    assert len(scored) == 3
    # bm25-2k's one response changes; the two of bm25-8k are known.
    changed = RESPONSES.replace("Creatinine 1.4", "1.4 mg/dL")
    assert score_with(cache, changed)["score"].tolist() == [13, 0, 9]
    assert scored[3:] == [("1.4 mg/dL", "The creatinine was 1.4.")]


def test_systems_with_the_same_response_share_its_score(monkeypatch, tmp_path):
    scored = []
    monkeypatch.setitem(METRICS, "long", counted(scored))
    same = pd.DataFrame({"instruction_id": "1", "system": ["a", "b"], "response": "1.4"})
    assert score_with(None, same)["score"].tolist() == [3, 3]
    assert len(scored) == 1
    score_with(tmp_path / "cache", same.iloc[:1])
    score_with(tmp_path / "cache", same.iloc[1:])
    assert len(scored) == 2  # once more for the cache, by the first of them


def test_another_signature_or_source_shares_no_score(monkeypatch, tmp_path):
    cache, scored = tmp_path / "cache", []
    monkeypatch.setitem(METRICS, "long", counted(scored))
    score_with(cache)
    monkeypatch.setitem(METRICS, "long", counted(scored, signature="long|v:2", value=lambda _: 7))
    assert score_with(cache)["score"].tolist() == [7, 7, 7]
    assert len(scored) == 6
    # With the source, the same response and reference under another instruction is another text.
    asked = []

    def score(sources, predictions, references, progress):
        asked.extend(sources)
        return [float(len(source)) for source in sources]

    monkeypatch.setitem(METRICS, "long", Metric(score, lambda: "source|v:1", needs_source=True))
    responses = pd.DataFrame({"instruction_id": ["1", "2"], "system": "a", "response": "No."})
    references = REFERENCES.iloc[1:].assign(reference="No.")
    given = (responses, INSTRUCTIONS, references, ["long"])
    assert score_responses(*given, cache=cache).scores["score"].tolist() == [16, 10]
    assert asked == ["Last creatinine?", "Allergies?"]


@pytest.mark.parametrize("module", [sys.modules[__name__], minilm, checkpoints])
def test_a_changed_module_shares_no_score(monkeypatch, tmp_path, module):
    cache, scored = tmp_path / "cache", []
    monkeypatch.setitem(METRICS, "long", counted(scored))
    score_with(cache)
    copy = tmp_path / "copy.py"
    copy.write_text(Path(module.__file__).read_text() + "# changed\n")
    monkeypatch.setattr(module, "__file__", str(copy))
    score_with(cache)
    assert len(scored) == 6


def test_several_names_of_one_metric_are_scored_and_cached_together(monkeypatch, tmp_path):
    scored = []
    single = counted(scored)
    two = single._replace(
        score=lambda **columns: [[n, n / 2] for n in single.score(**columns)],
        names=lambda: ["long_whole", "long_half"],
    )
    monkeypatch.setitem(METRICS, "long", two)
    for _ in range(2):
        scores = score_with(tmp_path / "cache")
        assert scores["metric"].tolist() == ["long_whole"] * 3 + ["long_half"] * 3
        assert scores["score"].tolist() == [13, 0, 14, 6.5, 0, 7]
    assert len(scored) == 3


def test_two_metrics_of_one_name_are_refused(monkeypatch):
    monkeypatch.setitem(METRICS, "long", counted([])._replace(names=lambda: ["chrf"]))
    with pytest.raises(MedAlignError, match="chrf and long would both give scores named chrf"):
        score_responses(RESPONSES, INSTRUCTIONS, REFERENCES, ["chrf", "long"])


@pytest.mark.parametrize("when", ["signature", "score"])
def test_a_metric_that_is_not_to_be_had_is_skipped_with_its_reason(monkeypatch, when):
    def absent(**_):
        raise NotAvailableError("owner/name is not on this machine")

    metric = counted([])._replace(**{when: absent}, names=lambda: ["long_a", "long_b"])
    monkeypatch.setitem(METRICS, "long", metric)
    scores, skipped = score_responses(
        RESPONSES, INSTRUCTIONS, REFERENCES, ["long", "chrf"], progress=False
    )
    assert scores["metric"].unique().tolist() == ["chrf"]
    reason = "owner/name is not on this machine"
    assert skipped.values.tolist() == [["long_a", reason], ["long_b", reason]]


def test_weights_that_lead_nowhere_are_an_error_not_a_skip():
    with pytest.raises(MedAlignError, match=r"^no folder tests/none$"):
        score_responses(
            *(RESPONSES, INSTRUCTIONS, REFERENCES, ["chrf", "bleurt"]),
            weights={"bleurt": "tests/none"},
        )


def test_importing_the_metrics_loads_no_model_library():
    code = (
        "import sys, medalign_utils.metrics, medalign_utils.minilm\n"
        "print({'torch', 'transformers', 'comet', 'bert_score'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
