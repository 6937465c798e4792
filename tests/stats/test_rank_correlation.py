import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau

from medalign_utils.stats.rank_correlation import kendall_tau_b, same_best, with_ties


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(0, 4), st.integers(1, 8)).flatmap(
        lambda shape: st.tuples(
            arrays(float, shape, elements=st.sampled_from([0.0, 0.1, 0.3, np.inf, np.nan])),
            arrays(float, shape, elements=st.sampled_from([1.0, 2.0, 3.5, -np.inf])),
        )
    )
)
def test_equals_scipy_over_tied_infinite_and_missing_values(pair):
    x, y = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns about tied rows
        expected = [kendalltau(a, b, variant="b").statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(kendall_tau_b(x, y), expected, rtol=0, atol=1e-12)


def test_same_best_with_ties_on_both_sides():
    # Two score highest and one of them is ranked best: 1/2; 2 of 3 are ranked best.
    picked, chance = same_best(np.array([[1.0, 1.0, 0.0]]), np.array([[1.5, 3.0, 1.5]]))
    assert (picked.tolist(), chance.tolist()) == ([0.5], [2 / 3])


def test_means_that_differ_by_rounding_are_tied_and_others_are_not():
    means = np.array([[0.1 + 0.2, np.nan, 0.3, 0.3 + 1e-7, -np.inf], [3e-12, 1e-12, 0, 0, 2e-12]])
    tied = with_ties(means)
    assert tied[0].tolist()[2:] == [0.3, 0.3 + 1e-7, -np.inf]
    assert tied[0, 0] == 0.3 and np.isnan(tied[0, 1])
    assert tied[1].tolist() == means[1].tolist()  # the tolerance is a share of the largest
    assert with_ties(np.zeros((2, 0))).shape == (2, 0)
