import numpy as np
import pytest
from scipy import stats

from pgx_compiler.methods.precaution._prediction import auc
from pgx_compiler.methods.precaution._significance import (
    benjamini_hochberg,
    binomial_tail,
    homogeneity,
    judge,
    ratio_interval,
    wilson,
)
from pgx_compiler.methods.precaution._thresholds import THRESHOLDS


def test_wilson_by_hand():
    # z = 1.96, 8 of 10: (0.8 + 3.8416/20) / (1 + 3.8416/10) = 0.99208/1.38416 = 0.71674;
    # 1.96/1.38416 * sqrt(0.16/10 + 3.8416/400) = 1.41602 * 0.16000 = 0.22658
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=2e-4)
    assert high == pytest.approx(0.9433, abs=2e-4)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (20, 20), (3, 7), (999, 1000)])
def test_wilson_is_scipys(hits, n):
    theirs = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_of_nothing_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_benjamini_hochberg_by_hand():
    # sorted 0.01 0.02 0.03 0.5, times 4/1 4/2 4/3 4/4: 0.04 0.04 0.04 0.5
    np.testing.assert_allclose(benjamini_hochberg([0.5, 0.01, 0.03, 0.02]), [0.5, 0.04, 0.04, 0.04])


def test_benjamini_hochberg_is_scipys_and_passes_over_nan():
    p = np.random.default_rng(3).random(50) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    with_gap = benjamini_hochberg([0.01, np.nan, 0.04])
    np.testing.assert_allclose(with_gap, [0.02, np.nan, 0.04])


@pytest.mark.parametrize(
    ("exceeds", "q", "n", "verdict"),
    [
        (True, 0.01, 100, "finding"),
        (True, 0.2, 100, "unknown"),  # seen, but perhaps chance: not a pass
        (False, 0.01, 100, "none"),  # significant but tiny
        (True, 0.001, 10, "unknown"),
        (False, 0.9, 10, "unknown"),  # too few rows: never a silent pass
    ],
)
def test_three_gates(exceeds, q, n, verdict):
    assert judge(exceeds, q, n, 50) == verdict


def test_ratio_interval_by_hand():
    # 20/100 against 40/100: ratio 0.5; se(log) = sqrt(1/20 - 1/100 + 1/40 - 1/100) = sqrt(0.055) = 0.23452
    low, high = ratio_interval((20, 40), (100, 100))
    assert low == pytest.approx(0.5 * np.exp(-1.95996 * 0.234521), rel=1e-5)
    assert high == pytest.approx(0.5 * np.exp(1.95996 * 0.234521), rel=1e-5)
    assert ratio_interval((0, 40), (100, 100)) is None


def test_homogeneity_is_the_chi_square_test():
    counts = np.array([[12.0, 30.0, 8.0], [22.0, 20.0, 9.0]])
    assert homogeneity(counts) == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue)


def test_homogeneity_of_one_row_or_one_column_is_no_evidence():
    assert homogeneity(np.array([[5.0, 3.0], [0.0, 0.0]])) == 1.0
    assert homogeneity(np.array([[5.0, 0.0], [3.0, 0.0]])) == 1.0


def test_binomial_tail_by_hand():
    # at least 2 of 3 heads: 3/8 + 1/8
    assert binomial_tail(2, 3, 0.5) == pytest.approx(0.5)
    assert binomial_tail(0, 3, 0.5) == 1.0


def test_auc_counts_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    a, b = scores[positive], scores[~positive]
    pairs = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
    assert auc(scores, positive).value == pytest.approx(pairs)


def test_auc_interval_covers_the_truth():
    # scores N(1, 1) against N(0, 1): the true AUC is Phi(1/sqrt(2)) = 0.7602
    truth, covered = stats.norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        positive = np.arange(120) < 50
        low, high = auc(rng.normal(size=120) + positive, positive).interval
        covered += low <= truth <= high
    assert covered >= 182  # 190 expected, SD 3


def test_every_threshold_has_a_source():
    assert all(row.source and row.unit and row.name == name for name, row in THRESHOLDS.items())
