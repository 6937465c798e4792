import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from medalign_utils import hub, minilm
from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.metrics import base, words
from medalign_utils.metrics.base import Metric
from medalign_utils.metrics.chrf import score_chrf, signature_chrf
from medalign_utils.metrics.registry import METRICS
from medalign_utils.metrics.rouge import score_rouge_l
from medalign_utils.metrics.scoring import score, score_responses
from medalign_utils.run import Run

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
TABLES = (RESPONSES, INSTRUCTIONS, REFERENCES)


def toy(score, signature, name="long", **options):
    about = {"label": "Length", "range": (0, 100), "compares": "nothing", "citation": "none"}
    return Metric(name, **about, score=score, signature=signature, **options)


def test_score_takes_lists_and_needs_no_settings():
    texts = ["1.4 mg/dL", "unknown"], ["1.4 mg/dL"] * 2
    table = score(*texts, ["comet", "bertscore", "chrf"], questions=["Last creatinine?"] * 2)
    assert list(table) == ["comet-compact", "bertscore", "chrf"]
    assert (table.loc[0] > table.loc[1]).all()
    assert table["chrf"].tolist() == score_chrf(*texts).tolist()
    assert score([], [], ["chrf"]).shape == (0, 1)
    assert list(score(*texts)) == ["bertscore", "rouge_l"]
    assert list(score(*texts, questions=texts[0])) == ["comet-compact", "bertscore", "rouge_l"]


def test_weights_of_an_unknown_metric_are_an_error():
    with pytest.raises(MedAlignError, match="unknown metric 'bertscor'; did you mean 'bertscore'"):
        score(["a"], ["a"], ["chrf"], weights={"bertscor": "minilm"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a"], ["a"], ["comet"]), "score: comet needs questions"),
        ((["a"], ["a"], ["bleurt"]), "score: bleurt needs weights={'bleurt': <folder or hub id>}"),
        ((["a"], ["a", "b"], ["chrf"]), "score: 1 responses, 2 references"),
        ((["a"], ["b"], ["rouge_l", "bleu"]), "score: no metric 'bleu'; did you mean 'bleurt'?"),
        ((["a"], ["b"], "chrf"), "score: metrics is 'chrf', expected a list of"),
        (("ab", "ab", ["chrf"]), "score: responses and references must be lists of texts"),
        ((["a"], ["b"], []), r"score: metrics is \[\], expected a list of: bertscore, "),
        ((["a"], ["b"], ["chrf", "chrf"]), "score: a metric is named twice: chrf, chrf"),
    ],
)
def test_score_names_the_fault(arguments, message):
    with pytest.raises(MedAlignError, match=message):
        score(*arguments)


def test_score_responses_joins_the_first_annotators_reference():
    scores, skipped = score_responses(*TABLES, ["rouge_l", "chrf"], progress=False)
    assert list(skipped) == ["metric", "reason"] and skipped.empty
    assert list(scores.columns) == ["instruction_id", "system", "metric", "score", "signature"]
    assert scores["score"].dtype == "float64"
    assert scores["metric"].tolist() == ["rouge_l"] * 3 + ["chrf"] * 3
    for key in ("instruction_id", "system"):
        assert scores[key].tolist() == RESPONSES[key].tolist() * 2
    texts = RESPONSES["response"], REFERENCES["reference"].iloc[[2, 1, 1]]
    assert scores["score"].tolist() == [*score_rouge_l(*texts), *score_chrf(*texts)]
    assert scores["signature"].iloc[-1] == signature_chrf()


def test_score_responses_gives_each_metric_its_settings(monkeypatch):
    calls = {}

    def fake(name):
        def score(**columns):
            calls[name] = columns
            return [0.5] * len(columns["responses"])

        return replace(METRICS[name], score=score, signature=lambda **options: f"{options}")

    for name in ("comet", "bertscore"):
        monkeypatch.setitem(METRICS, name, fake(name))
    settings = {"bertscore_layer": 3, "weights": {"bertscore": "roberta-large"}}
    scores, _ = score_responses(*TABLES, ["comet", "bertscore"], progress=False, **settings)
    assert scores["metric"].tolist() == ["comet-compact"] * 3 + ["bertscore"] * 3
    assert calls["comet"]["questions"] == ["Allergies?", "Last creatinine?", "Last creatinine?"]
    assert Path(calls["comet"]["checkpoint"]).is_absolute()
    assert "questions" not in calls["bertscore"]
    assert scores["signature"].iloc[-1] == "{'model': 'roberta-large', 'layer': 3}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"references": REFERENCES.replace("No known allergies.", " \n")},
            "1 of 3 responses have no reference; the first is by bm25-8k to instruction 2",
        ),
        (
            {"instructions": INSTRUCTIONS.iloc[1:]},
            "2 of 3 responses have no instruction; the first is by bm25-8k to instruction 1",
        ),
        (
            {"responses": RESPONSES.replace("Creatinine 1.4", None)},
            "1 of 3 responses have no text; the first is by bm25-2k to instruction 1",
        ),
        (
            {"responses": RESPONSES.replace("bm25-2k", "bm25-8k")},
            "several responses by bm25-8k to instruction 1",
        ),
        (
            {"references": REFERENCES.drop(columns="annotator")},
            "references has no column annotator; found: instruction_id, reference",
        ),
    ],
)
def test_score_responses_names_the_row_in_error(change, message):
    tables = {"responses": RESPONSES, "instructions": INSTRUCTIONS, "references": REFERENCES}
    with pytest.raises(MedAlignError, match=f"score_responses: {message}"):
        score_responses(**{**tables, **change}, metrics=["chrf"])


def test_settings_are_checked_before_anything_is_scored(monkeypatch, tmp_path):
    monkeypatch.setitem(METRICS, "chrf", toy(lambda **columns: 1 / 0, signature_chrf))
    with pytest.raises(MedAlignError, match=r"contains no model\.safetensors or checkpoints/model"):
        score_responses(*TABLES, ["chrf", "comet"], comet_checkpoint=tmp_path)
    with pytest.raises(MedAlignError, match=r"^no folder tests/none$"):
        score_responses(*TABLES, ["chrf", "bleurt"], weights={"bleurt": "tests/none"})
    with pytest.raises(
        MedAlignError, match=r"no metric can be scored: .*no weights configured .params: weights.bl"
    ):
        score_responses(*TABLES, ["bleurt"])


@pytest.fixture
def scored(monkeypatch):
    """Record the pairs scored by the metric "long", which returns a response's length."""
    pairs = []

    def score(responses, references, progress):
        pairs.extend(zip(responses, references, strict=True))
        return [float(len(response)) for response in responses]

    monkeypatch.setitem(METRICS, "long", toy(score, lambda: "long|v:1"))
    return pairs


def long(store, responses=RESPONSES):
    tables = responses, INSTRUCTIONS, REFERENCES
    return score_responses(*tables, ["long"], store=store, progress=False).scores


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a run in a separate folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "is_restricted", True)
    return Run("mine", "data/mine")


def test_responses_with_the_same_tokens_tie_in_any_batch(run):
    texts = {"a": "No known allergies.", "b": "no known allergies.", "c": "Penicillin " * 40}
    responses = pd.DataFrame(
        {"instruction_id": "2", "system": texts.keys(), "response": texts.values()}
    )
    for rows in ([0, 2], [0, 1, 2]):  # a is scored together with c, b alone
        tables = responses.iloc[rows], INSTRUCTIONS, REFERENCES
        options = {"store": run.score_store("s"), "progress": False}
        scores = score_responses(*tables, ["bertscore", "comet"], **options).scores
    a, b, c = (scores.loc[scores["system"] == system, "score"].to_numpy() for system in texts)
    assert len(a) == 2 and (a == b).all() and (a != c).all()


def test_only_what_is_new_is_scored_and_systems_share_scores(scored, run):
    first = long(run.score_store("a", 1, 2))
    assert len(scored) == 3  # each pair of RESPONSES
    assert long(run.score_store("a", 1, 2))["score"].tolist() == first["score"].tolist()
    assert first["score"].tolist() == [13, 0, 14] and len(scored) == 3
    # One response changes. Another system's job reads the other scores from the first job's file.
    changed = RESPONSES.replace("Creatinine 1.4", "1.4 mg/dL").assign(system=["b", "b", "c"])
    assert long(run.score_store("b"), changed)["score"].tolist() == [13, 0, 9]
    assert scored[3:] == [("1.4 mg/dL", "The creatinine was 1.4.")]
    same = pd.DataFrame({"instruction_id": "1", "system": ["a", "b"], "response": "1.4"})
    assert long(None, same)["score"].tolist() == [3, 3] and len(scored) == 5


def test_only_its_owner_can_read_a_private_store_and_it_has_no_text(scored, run):
    store = run.score_store("s")
    long(store)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert "creatinine" not in store.path.read_text().lower()


def test_another_signature_or_question_shares_no_score(scored, monkeypatch, run):
    store = run.score_store("s")
    long(store)
    monkeypatch.setitem(METRICS, "long", replace(METRICS["long"], signature=lambda: "long|v:2"))
    long(store)
    assert len(scored) == 6
    # Equal responses and references are scored separately if their questions differ.
    by_question = toy(
        lambda questions, **_: [*map(len, questions)], lambda: "v:1", needs_question=True
    )
    monkeypatch.setitem(METRICS, "long", by_question)
    responses = pd.DataFrame({"instruction_id": ["1", "2"], "system": "a", "response": "No."})
    tables = responses, INSTRUCTIONS, REFERENCES.iloc[1:].assign(reference="No.")
    assert score_responses(*tables, ["long"], store=store).scores["score"].tolist() == [16, 10]


@pytest.mark.parametrize("module", [sys.modules[__name__], minilm, hub, base, words])
def test_a_changed_module_shares_no_score(scored, monkeypatch, tmp_path, run, module):
    long(run.score_store("s"))
    copy = tmp_path / "copy.py"
    copy.write_text(Path(module.__file__).read_text() + "# changed\n")
    monkeypatch.setattr(module, "__file__", str(copy))
    long(run.score_store("s"))
    assert len(scored) == 6


def test_a_metric_may_have_several_names_but_only_declared_ones(scored, monkeypatch, run):
    single = METRICS["long"]
    two = replace(
        single,
        score=lambda **columns: [[n, n / 2] for n in single.score(**columns)],
        names=lambda: ["long_whole", "long_half"],
    )
    monkeypatch.setitem(METRICS, "long", two)
    for _ in range(2):
        scores = long(run.score_store("s"))
        assert scores["metric"].tolist() == ["long_whole"] * 3 + ["long_half"] * 3
        assert scores["score"].tolist() == [13, 0, 14, 6.5, 0, 7]
    assert len(scored) == 3
    monkeypatch.setitem(METRICS, "long", replace(single, names=lambda: ["chrf"]))
    with pytest.raises(MedAlignError, match="scores of chrf and of long would both be named chrf"):
        score_responses(*TABLES, ["chrf", "long"])


@pytest.mark.parametrize("when", ["signature", "score"])
def test_an_unavailable_metric_is_skipped_with_its_reason(scored, monkeypatch, when):
    reason = "owner/name is not on this machine"

    def absent(**_):
        raise NotAvailableError(reason)

    metric = replace(METRICS["long"], **{when: absent}, names=lambda: ["long_a", "long_b"])
    monkeypatch.setitem(METRICS, "long", metric)
    scores, skipped = score_responses(*TABLES, ["long", "chrf"], progress=False)
    assert scores["metric"].unique().tolist() == ["chrf"]
    assert skipped.values.tolist() == [["long_a", reason], ["long_b", reason]]


def test_a_metric_whose_lower_scores_are_better_is_negated(scored, monkeypatch):
    better = long(None)
    monkeypatch.setitem(METRICS, "long", replace(METRICS["long"], higher_is_better=False))
    negated = long(None)
    assert negated["score"].tolist() == (-better["score"]).tolist()
    assert negated["signature"].unique().tolist() == ["long|v:1|negated"]
