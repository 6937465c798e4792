import pytest

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.registry import METRICS

SETTINGS = {
    "comet": {"checkpoint": "models/comet-compact"},
    "bertscore": {"model": "minilm", "layer": 6},
    **{name: {"model": ""} for name in ("bleurt", "lens", "unieval")},
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_refuse_unequal_lengths_and_missing_texts(name):
    metric, settings = METRICS[name], SETTINGS.get(name, {})
    sources = {"sources": ["a", "b"]} if metric.needs_source else {}
    with pytest.raises(MedAlignError, match=rf"score_{name}: (2 sources, )?2 predictions, 1 refer"):
        metric.score(predictions=["a", "b"], references=["a"], **sources, **settings)
    with pytest.raises(MedAlignError, match=rf"score_{name}: predictions\[1\] is nan, expected a"):
        metric.score(predictions=["a", float("nan")], references=["a", "b"], **sources, **settings)


@pytest.mark.parametrize("name", METRICS)
def test_no_text_gives_no_score(name):
    metric = METRICS[name]
    sources = {"sources": []} if metric.needs_source else {}
    scores = metric.score(predictions=[], references=[], **sources, **SETTINGS.get(name, {}))
    assert scores.shape == ((0, 5) if name == "unieval" else (0,)) and scores.dtype == "float64"
