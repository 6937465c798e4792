import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau

from medalign_utils.correlation import correlate_metrics, kendall_tau_b
from medalign_utils.errors import MedAlignError
from medalign_utils.statistics import bootstrap_mean


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 4), st.integers(2, 8)).flatmap(
        lambda shape: st.tuples(
            arrays(float, shape, elements=st.sampled_from([0.0, 0.1, 0.3, 0.9])),
            arrays(float, shape, elements=st.sampled_from([1.0, 2.0, 3.5, 5.0])),
        )
    )
)
def test_equals_scipy_over_tied_data(pair):
    x, y = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns where a row is all tied
        expected = [kendalltau(a, b, variant="b").statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(kendall_tau_b(x, y), expected, rtol=0, atol=1e-12)


def test_kendall_tau_b_by_hand():
    # 6 pairs. x ties one (5 untied), y ties one (5 untied); 4 agree, none disagrees: 4/5.
    x, y = [[1.0, 1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0, 3.0]]
    assert kendall_tau_b(x, y).tolist() == [0.8]


@pytest.mark.parametrize("row", [[1.0, 1.0, 1.0], [1.0, np.nan, 2.0]])
def test_tied_or_nan_rows_are_undefined(row):
    other = [1.0, 2.0, 3.0]
    assert np.isnan(kendall_tau_b([row], [other])).all()
    assert np.isnan(kendall_tau_b([other], [row])).all()


def test_infinite_scores_order_like_others():
    assert kendall_tau_b([[-np.inf, 0.0, np.inf]], [[1.0, 2.0, 3.0]]).tolist() == [1.0]


def test_shapes_are_checked():
    with pytest.raises(MedAlignError, match=r"shapes \(1, 2\) and \(1, 3\)"):
        kendall_tau_b([[1, 2]], [[1, 2, 3]])


RANKS = {"i0": (1, 2, 3), "i1": (3, 2, 1), "i2": (2, 2, 2), "i3": (1, 2, 3)}
RATINGS = pd.DataFrame(
    [
        (instruction, system, "test", True, float(rank))
        for instruction, ranks in RANKS.items()
        for system, rank in zip("abc", ranks, strict=True)
    ],
    columns=["instruction_id", "system", "rater", "correct", "rank"],
)
INSTRUCTIONS = pd.DataFrame({"instruction_id": list(RANKS), "person_id": ["p", "q", "r", "q"]})


def scores_of(metric, values, signature="v1"):
    return pd.DataFrame(
        {
            "instruction_id": RATINGS["instruction_id"],
            "system": RATINGS["system"],
            "metric": metric,
            "score": np.asarray(values, dtype=float).ravel(),
            "signature": signature,
        }
    )


# Taus with minus the rank: 1, -1/3 (of three pairs one agrees), undefined (ranks tied), undefined.
GOOD = scores_of("good", [[0.9, 0.5, 0.1], [0.5, 0.1, 0.4], [3, 2, 1], [7, 7, 7]])
BEST = scores_of("best", [[3, 2, 1], [1, 2, 3], [3, 2, 1], [3, 2, 1]], "v2")


def correlate(scores, seed=1, resamples=200):
    rng = np.random.default_rng(seed)
    return correlate_metrics(scores, RATINGS, INSTRUCTIONS, resamples=resamples, rng=rng)


def test_correlate_metrics_by_hand():
    table = correlate(pd.concat([GOOD, BEST]))
    assert list(table.columns) == [
        "metric",
        "n",
        "n_undefined",
        "mean_tau",
        "tau_low",
        "tau_high",
        "mean_tau_undefined_as_0",
        "signature",
    ]
    assert table["metric"].tolist() == ["best", "good"]
    assert table["signature"].tolist() == ["v2", "v1"]
    assert table["n"].tolist() == [3, 2] and table["n_undefined"].tolist() == [1, 2]
    # best: three taus of 1; with the undefined one as 0, 3/4.
    assert table.loc[0, "mean_tau"] == 1 and table.loc[0, "mean_tau_undefined_as_0"] == 0.75
    # good: (1 - 1/3)/2 = 1/3, over four 1/6.
    assert table.loc[1, "mean_tau"] == pytest.approx(1 / 3)
    assert table.loc[1, "mean_tau_undefined_as_0"] == pytest.approx(1 / 6)


def test_interval_is_the_patient_bootstrap_of_the_taus():
    table = correlate(GOOD, seed=5)
    expected = bootstrap_mean(
        [1, -1 / 3, np.nan, np.nan],
        INSTRUCTIONS["person_id"],
        resamples=200,
        rng=np.random.default_rng(5),
    )
    assert table.loc[0, ["mean_tau", "tau_low", "tau_high"]].tolist() == pytest.approx(expected)


def test_a_metric_without_any_defined_tau_comes_last():
    flat = scores_of("a flat one", np.zeros(12))
    table = correlate(pd.concat([flat, BEST]))
    assert table["metric"].tolist() == ["best", "a flat one"]
    last = table.iloc[1]
    assert (last["n"], last["n_undefined"], last["mean_tau_undefined_as_0"]) == (0, 4, 0.0)
    assert np.isnan(last["mean_tau"]) and np.isnan(last["tau_low"])


def test_a_nan_score_leaves_its_instruction_out_and_is_counted():
    spoilt = BEST.copy()
    spoilt.loc[0, "score"] = np.nan
    table = correlate(spoilt)
    assert (table.loc[0, "n"], table.loc[0, "n_undefined"]) == (2, 2)


def test_scores_of_unrated_responses_are_not_used():
    more = GOOD.iloc[:3].assign(instruction_id="i9")
    pd.testing.assert_frame_equal(correlate(pd.concat([GOOD, more])), correlate(GOOD))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (GOOD.drop(columns="signature"), "scores has no column signature"),
        (GOOD.iloc[:0], "no scores"),
        (GOOD.drop(index=4), r"no good score of \(instruction i1, b\), which is rated \(1 such\)"),
        (GOOD.replace({"system": {"b": "z"}}), r"no good score of \(instruction i0, b\).*4 such"),
        (
            GOOD.assign(signature=["v1"] * 11 + ["v2"]),
            r"good was scored with 2 signatures \(v1, v2\)",
        ),
        (pd.concat([GOOD, GOOD.iloc[[4]]]), r"several good scores of \(instruction i1, b\)"),
    ],
)
def test_errors_name_the_fault(scores, message):
    with pytest.raises(MedAlignError, match=message):
        correlate(scores)


def test_incomplete_ratings_are_refused():
    rng = np.random.default_rng(1)
    with pytest.raises(MedAlignError, match="no rating of"):
        correlate_metrics(GOOD, RATINGS.drop(index=0), INSTRUCTIONS, resamples=10, rng=rng)
