"""Agreement between explanations, and their faithfulness, on numbers worked out by hand."""

import numpy as np
import pytest

from pgx_compiler.evidence.results import Attribution
from pgx_compiler.methods.agreement._rounding import levelled
from pgx_compiler.methods.agreement.rank_correlation import RankCorrelationParams, rank_correlation
from pgx_compiler.methods.agreement.sign_agreement import SignAgreementParams, sign_agreement
from pgx_compiler.methods.agreement.top_k_overlap import TopKOverlapParams, top_k_overlap, top_share
from pgx_compiler.methods.faithfulness._removal_curves import counts, curve_cost
from pgx_compiler.methods.faithfulness.completeness_gap import CompletenessGapParams, completeness_gap
from pgx_compiler.methods.faithfulness.deletion import DeletionParams, deletion
from pgx_compiler.methods.faithfulness.insertion import InsertionParams, insertion
from pgx_compiler.methods.price import Shape
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from tests.methods.models import Linear

NAN = float("nan")


def said(values, signed=True):
    return Attribution("step", "method", "gradient", np.array(values, float), None, signed)


def test_rank_correlation_by_hand():
    # Magnitudes 1 2 3 4 against 2 1 3 4: d = 1 1 0 0, rho = 1 - 6 * 2 / (4 * 15) = 0.8. Signs do not count.
    # Ties: 1 1 2 3 has ranks 1.5 1.5 3 4, against 1 2 3 4: deviations (-1 -1 .5 1.5) . (-1.5 -.5 .5 1.5) = 4.5, over
    # sqrt(4.5 * 5).
    found = rank_correlation(said([[1, -2, 3, -4]]), said([[2, 1, -3, 4]]), RankCorrelationParams())
    np.testing.assert_allclose(found.values, [0.8])
    assert (found.chance, found.range, found.undefined) == (0.0, (-1.0, 1.0), None)
    tied = rank_correlation(said([[1, 1, 2, 3]]), said([[1, 2, 3, 4]]), RankCorrelationParams())
    np.testing.assert_allclose(tied.values, [4.5 / np.sqrt(22.5)])


def test_signed_rank_correlation_looks_at_the_sign():
    # 3 -1 -2 has ranks 3 2 1; 3 1 2 has ranks 3 1 2: d = 0 1 1, rho = 1 - 6 * 2 / (3 * 8) = 0.5; magnitudes agree.
    first, second = said([[3, -1, -2]]), said([[3, 1, 2]])
    np.testing.assert_allclose(rank_correlation(first, second, RankCorrelationParams()).values, [1.0])
    np.testing.assert_allclose(rank_correlation(first, second, RankCorrelationParams(signed=True)).values, [0.5])


def test_rows_without_an_order_are_undefined_with_a_reason_and_stay_in_place():
    found = rank_correlation(said([[2, 2], [1, 2], [NAN, 1]]), said([[1, 2], [1, 2], [1, 2]]), RankCorrelationParams())
    np.testing.assert_array_equal(found.values, [NAN, 1.0, NAN])
    assert "no order" in found.undefined
    none = rank_correlation(said([[1, 2]], signed=False), said([[1, 2]]), RankCorrelationParams(signed=True))
    assert np.isnan(none.values).all()
    assert "no signs" in none.undefined


def test_top_k_overlap_by_hand():
    # Top 2 by magnitude: {0, 3} and {3, 1}: one of two in common. Chance 2 / 5.
    found = top_k_overlap(said([[5, 1, 0, -6, 2]]), said([[0, 4, 1, 9, -2]]), TopKOverlapParams(k=2))
    np.testing.assert_allclose(found.values, [0.5])
    assert found.chance == pytest.approx(0.4)


def test_ties_for_the_last_place_count_in_part():
    # 3 1 1 1, k = 2: feature 0 is in, the other three share one place.
    np.testing.assert_allclose(top_share(np.array([[3.0, 1, -1, 1]]), 2), [[1, 1 / 3, 1 / 3, 1 / 3]])
    # Against 9 8 0 0, top {0, 1}: (1 + 1/3) / 2. The mean over the three ways to break the tie: (2/2 + 1/2 + 1/2) / 3.
    found = top_k_overlap(said([[3, 1, -1, 1]]), said([[9, 8, 0, 0]]), TopKOverlapParams(k=2))
    np.testing.assert_allclose(found.values, [2 / 3])


def test_explanations_that_say_nothing_overlap_as_chance_does():
    found = top_k_overlap(said(np.zeros((1, 8))), said(np.zeros((1, 8))), TopKOverlapParams(k=2))
    np.testing.assert_allclose(found.values, [found.chance])


@pytest.mark.parametrize(("features", "k", "chance"), [(20, "auto", 5 / 20), (6, "auto", 2 / 6), (196, 10, 10 / 196)])
def test_auto_is_a_quarter_of_the_features_rounded_up(features, k, chance):
    values = said(np.arange(features)[None])
    assert top_k_overlap(values, values, TopKOverlapParams(k=k)).chance == pytest.approx(chance)


def test_an_overlap_of_all_features_is_undefined_and_says_so():
    found = top_k_overlap(said([[1, 2, 3]]), said([[1, 2, 3]]), TopKOverlapParams(k=3))
    assert np.isnan(found.values).all()
    assert "all 3 features" in found.undefined


def test_sign_agreement_by_hand():
    # Top 2: {0, 3} and {0, 1}; looked at 0, 1, 3: signs + - -, + - +: two of three agree.
    found = sign_agreement(said([[5, -1, 0, -6]]), said([[7, -4, 0, 1]]), SignAgreementParams(k=2))
    np.testing.assert_allclose(found.values, [2 / 3])
    assert found.chance == 0.5


def test_zero_agrees_with_no_sign_and_zero_in_both_is_left_out():
    # k = 2: the first has one value that is not zero, so that all zeros tie for the second place: all are looked at,
    # but feature 2 is zero in both. Signs + 0 0 against + - +: one of three.
    found = sign_agreement(said([[5, 0, 0, 0]]), said([[7, -4, 0, 1]]), SignAgreementParams(k=2))
    np.testing.assert_allclose(found.values, [1 / 3])
    nothing = sign_agreement(said([[0, 0]]), said([[0, 0]]), SignAgreementParams(k=1))
    assert np.isnan(nothing.values).all()
    assert nothing.undefined


@pytest.mark.parametrize("signed", [False, True])
def test_features_that_rounding_alone_keeps_from_zero_are_not_ranked_by_it(signed):
    # Twice the same values, summed in another order: three inert features, and 0.3 as 0.1 + 0.2.
    first = said([[0.0, 2.8e-17, 0.5, -1.4e-17, 0.3, -0.2]])
    second = said([[-2.8e-17, 0.0, 0.5 - 1.1e-16, 0.0, 0.1 + 0.2, -0.2]])
    np.testing.assert_allclose(rank_correlation(first, second, RankCorrelationParams(signed=signed)).values, [1.0])


def test_the_order_of_what_is_small_but_no_rounding_counts():
    # 3e-8 and 1e-8 of the largest: more than a billionth of it. Magnitudes 3 1 2 4 against 1 3 2 4 in their order:
    # d = 2 2 0 0, rho = 1 - 6 * 8 / (4 * 15) = 0.2.
    first, second = said([[3e-8, 1e-8, 2e-8, 1.0]]), said([[1e-8, 3e-8, 2e-8, 1.0]])
    np.testing.assert_allclose(rank_correlation(first, second, RankCorrelationParams()).values, [0.2])
    # What is large elsewhere makes nothing small here: every row has its own measure.
    rows = (
        said([[3e-8, 1e-8, 2e-8, 4e-8], [1.0, 2.0, 3.0, 4e9]]),
        said([[1e-8, 3e-8, 2e-8, 4e-8], [2.0, 1.0, 3.0, 4e9]]),
    )
    # In the second row 1, 2 and 3 are within 4 of one another, a billionth of the largest: all three tie, in both.
    np.testing.assert_allclose(rank_correlation(*rows, RankCorrelationParams()).values, [0.2, 1.0])


def test_a_chain_of_values_each_next_to_the_last_is_one_value_wherever_its_features_stand():
    # 0.9e-9 apart, the ends 1.8e-9: the one between them joins them, in whatever order they come.
    chain = np.array([1.0 - 1.8e-9, 1.0 - 0.9e-9, 1.0, 0.5])
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [1, 3, 2, 0]):
        np.testing.assert_array_equal(levelled(chain[None, order]), [chain[[0, 0, 0, 3]][order]])
    apart = np.array([[1.0, 1.0 - 3e-9, NAN, -np.inf, -np.inf]])
    np.testing.assert_array_equal(levelled(apart), apart)


def test_rows_whose_values_differ_by_rounding_alone_have_no_order():
    found = rank_correlation(said([[0.1 + 0.2, 0.3]]), said([[1, 2]]), RankCorrelationParams())
    assert np.isnan(found.values).all()
    assert found.undefined


def test_rounding_breaks_no_tie_for_the_top():
    # 3 and three features alike but for rounding, k = 2: each has a third of a place, as above.
    np.testing.assert_allclose(
        top_share(np.array([[3.0, 0.3, -(0.1 + 0.2), 0.3 - 1e-16]]), 2), [[1, 1 / 3, 1 / 3, 1 / 3]]
    )
    # Explanations that say one thing, and else nothing but rounding: 1 for the first place; the other is anyone's of seven.
    noise = np.random.default_rng(0).normal(0, 1e-17, (2, 8)) + np.eye(1, 8)
    found = top_k_overlap(said(noise[:1]), said(noise[1:]), TopKOverlapParams(k=2))
    np.testing.assert_allclose(found.values, [(1 + 7 * (1 / 7) ** 2) / 2])


def test_rounding_has_no_sign():
    # k = 4 looks at all: 5 and 2 agree, the others are zero in both.
    found = sign_agreement(said([[5, 2, 1e-17, -3e-17]]), said([[7, 4, -1e-17, 0]]), SignAgreementParams(k=4))
    np.testing.assert_allclose(found.values, [1.0])
    # Against a sign of its own rounding agrees with none: 5 of two looked at.
    half = sign_agreement(said([[5, 1e-17]]), said([[7, 1]]), SignAgreementParams(k=2))
    np.testing.assert_allclose(half.values, [0.5])
    # A billionth of another row's value is no rounding.
    small = sign_agreement(said([[5, 2], [1e-17, -3e-17]]), said([[7, 4], [1e-17, 3e-17]]), SignAgreementParams(k=2))
    np.testing.assert_allclose(small.values, [1.0, 0.5])


def test_magnitudes_have_no_signs_to_agree():
    found = sign_agreement(said([[5, 1]], signed=False), said([[7, 4]]), SignAgreementParams())
    assert np.isnan(found.values).all()
    assert "no signs" in found.undefined


def weighing(weights):
    """A game without interactions: removing feature i costs weights[i]; the empty row scores 1."""
    n = len(weights)
    features = FeatureMap(tuple(map(str, range(n))), {"x": np.arange(n)})
    model = Linear(np.array(weights, float)[:, None], 1.0)
    return Game(model, {"x": np.ones((1, n))}, {"x": np.zeros((1, n))}, features, np.array([0]))


def test_deletion_by_hand():
    # Weights 4 2 0 -2, empty 1, full 5. In signed order the curve is 5 1 -1 -1 1; trapezoid with width 1/4:
    # (5/2 + 1 - 1 - 1 + 1/2) / 4 = 0.5. A random order falls straight from 5 to 1 on average: mean height 3.
    weights = [4, 2, 0, -2]
    params = DeletionParams(random_orders=3000)
    found = deletion(weighing(weights), np.array(weights), params, np.random.default_rng(0))
    np.testing.assert_allclose(found.extra["curve"], [5, 1, -1, -1, 1])
    assert found.extra["auc"] == pytest.approx(0.5)
    assert found.extra["random_auc"] == pytest.approx(3.0, abs=0.1)
    assert found.score == pytest.approx(2.5, abs=0.1)
    assert (found.extra["full"], found.extra["empty"]) == (5.0, 1.0)


def test_insertion_by_hand():
    # Put back in signed order the curve is 1 5 7 7 5: (1/2 + 5 + 7 + 7 + 5/2) / 4 = 5.5, against 3 at random.
    weights = [4, 2, 0, -2]
    params = InsertionParams(random_orders=3000)
    found = insertion(weighing(weights), np.array(weights), params, np.random.default_rng(0))
    np.testing.assert_allclose(found.extra["curve"], [1, 5, 7, 7, 5])
    assert found.extra["auc"] == pytest.approx(5.5)
    assert found.score == pytest.approx(2.5, abs=0.1)


def test_order_by_magnitude_puts_strong_opponents_first():
    # By magnitude of 1 -3 2: features 1, 2, 0. Full 1, then 4, 2, 1.
    weights = [1, -3, 2]
    found = deletion(weighing(weights), np.array(weights), DeletionParams(order="magnitude"), np.random.default_rng(0))
    np.testing.assert_allclose(found.extra["curve"], [1, 4, 2, 1])


@pytest.mark.parametrize("method", [deletion, insertion])
def test_an_explanation_without_differences_is_as_good_as_chance(method):
    # All values equal: position alone would find the weights in order, there and back it finds what all orders have on
    # average, a straight line from 1 + 78 to 1, of mean height 40.
    weights = list(range(12, 0, -1))
    found = [
        method(weighing(weights), np.ones(12), DeletionParams(), np.random.default_rng(seed)) for seed in range(80)
    ]
    assert {round(one.extra["auc"], 9) for one in found} == {40.0}
    scores = [one.score for one in found]
    assert abs(np.mean(scores)) < 4 * np.std(scores) / np.sqrt(80)


def test_features_that_rounding_keeps_apart_are_removed_as_they_stand_and_the_other_way_round():
    # Weights 5 3 1, empty 1, full 10, the first two of one value: 10 5 2 1 and 10 7 2 1, on average 10 6 2 1. Mean height
    # (10/2 + 6 + 2 + 1/2) / 3 = 4.5. Which of the two is 0.1 + 0.2 and which is 0.3 says nothing.
    for values in ([0.1 + 0.2, 0.3, 0.05], [0.3, 0.1 + 0.2, 0.05], [0.3, 0.3, 0.05]):
        found = deletion(weighing([5, 3, 1]), np.array(values), DeletionParams(), np.random.default_rng(0))
        np.testing.assert_allclose(found.extra["curve"], [10, 6, 2, 1])
        assert found.extra["auc"] == pytest.approx(4.5)
    # by magnitude -0.3 is as large as 0.1 + 0.2; with signs it stands last: 10 5 4 1
    opposed = np.array([0.1 + 0.2, -0.3, 0.05])
    for order, curve in (("magnitude", [10, 6, 2, 1]), ("signed", [10, 5, 4, 1])):
        found = deletion(weighing([5, 3, 1]), opposed, DeletionParams(order=order), np.random.default_rng(0))
        np.testing.assert_allclose(found.extra["curve"], curve)


@pytest.mark.parametrize("method", [deletion, insertion])
def test_two_computations_of_one_explanation_are_judged_alike(method):
    # one feature that counts, and seven whose values are the rounding of two ways to sum up
    noise = np.random.default_rng(0).normal(0, 1e-17, (2, 8)) + np.eye(1, 8)
    first, second = (
        method(weighing([1, 2, 3, 4, 5, 6, 7, 8]), values, DeletionParams(), np.random.default_rng(3))
        for values in noise
    )
    assert first.score == second.score
    np.testing.assert_array_equal(first.extra["curve"], second.extra["curve"])


def test_what_is_asked_is_priced_whether_or_not_features_are_level():
    params, spent = DeletionParams(random_orders=4), []
    for values in ([3.0, 2.0, 1.0], [3.0, 1.0, 1.0]):
        game = weighing([5, 3, 1])
        deletion(game, np.array(values), params, np.random.default_rng(0))
        spent.append(game._model.spent.forward)
    # two inner points of six orders: one and five random ones, or two and four; row and empty row
    assert spent == [2 * 6 + 2, 2 * 6 + 2]
    assert curve_cost(params, Shape(1, 3)).forward == 2 * 6 + 2


@pytest.mark.parametrize("method", [deletion, insertion])
def test_an_undefined_explanation_has_an_undefined_score(method):
    assert np.isnan(method(weighing([1, 2]), np.array([NAN, 1.0]), DeletionParams(), np.random.default_rng(0)).score)


@pytest.mark.parametrize(
    ("features", "steps", "points"),
    [(4, 32, [0, 1, 2, 3, 4]), (10, 4, [0, 2, 5, 8, 10]), (5, 1, [0, 5]), (1, 32, [0, 1]), (196, 2, [0, 98, 196])],
)
def test_a_curve_has_as_many_even_steps_as_asked_and_never_half_a_feature(features, steps, points):
    np.testing.assert_array_equal(counts(features, steps), points)


def test_few_steps_weigh_each_stretch_by_its_length():
    # Ten features, the first five of weight 2, 4 steps: 11 7 1 1 1 at 0 .2 .5 .8 1: .2 * 9 + .3 * 4 + .3 + .2 = 3.5.
    weights = [2] * 5 + [0] * 5
    found = deletion(weighing(weights), np.array(weights), DeletionParams(steps=4), np.random.default_rng(0))
    np.testing.assert_allclose(found.extra["curve"], [11, 7, 1, 1, 1])
    assert found.extra["auc"] == pytest.approx(3.5)
    np.testing.assert_allclose(found.extra["moved_share"], [0, 0.2, 0.5, 0.8, 1.0])


def test_completeness_gap_by_hand():
    # Weights 4 2 -2: the difference is 4. Values 3 2 -2 add up to 3: gap 1, a quarter of it.
    found = completeness_gap(weighing([4, 2, -2]), np.array([3.0, 2, -2]), CompletenessGapParams())
    assert found.score == pytest.approx(1.0)
    assert found.extra["relative"] == pytest.approx(0.25)
    assert np.isnan(completeness_gap(weighing([1, -1]), np.zeros(2), CompletenessGapParams()).extra["relative"])
