"""docs/metrics.md shows the registry and the scores of benchmarks/official_metrics.csv."""

import pandas as pd
import pytest

from benchmarks.official_metrics import OFFICIAL, PAGE, compared, comparison_table, metric_table
from medalign_utils.metrics.registry import METRICS
from tests.builders.project import ROOT

SAVED = pd.read_csv(ROOT / "benchmarks/official_metrics.csv")
NEED_NLTK_DATA = ["meteor", "meteor_no_wordnet", "meteor_13a"]


def test_the_page_lists_all_metrics_and_shows_the_saved_scores():
    page = PAGE.read_text("utf-8")
    command = "run .venv/bin/python benchmarks/official_metrics.py"
    assert metric_table(METRICS.values()) in page, command
    assert comparison_table(SAVED) in page, command
    assert SAVED["metric"].unique().tolist() == list(OFFICIAL)


@pytest.mark.parametrize(
    "names", [["chrf", "google_bleu", "rouge_l", "rouge_l_stemmed"], NEED_NLTK_DATA]
)
def test_saved_scores_are_those_of_the_official_packages(names):
    try:
        now = compared(names)
    except LookupError:
        pytest.skip("needs NLTK's data: wordnet and punkt_tab")
    saved = SAVED[SAVED["metric"].isin(names)].reset_index(drop=True)
    pd.testing.assert_frame_equal(now, saved, atol=1e-6)


def test_metrics_named_as_the_official_ones_have_their_scores():
    variants = ("meteor_13a", "meteor_no_wordnet", "rouge_l_stemmed")
    official = SAVED[~SAVED["metric"].isin(variants)]
    assert (official["here"] - official["official"]).abs().max() < 2e-5
    for name in variants:  # a variant that never differs would need no name
        rows = SAVED[SAVED["metric"] == name]
        assert (rows["here"] - rows["official"]).abs().max() > 0.005
