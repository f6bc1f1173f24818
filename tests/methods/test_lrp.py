"""Layer-wise relevance propagation: rules worked out by hand, composites as data, and what is said of biases."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.gradient._relevance_rules import box_of, rules_of
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import RULES, Rule
from runtimes.frameworks.reference import Network, ReferenceModel
from tests.methods.propagating import relevance_benches

LRP = catalogue()["lrp"]


def rows_at(x, references):
    """Rows of two features, with references ``(references, 2)`` that all share."""
    x = np.array(x, np.float64)
    features = FeatureMap(("a", "b"), {"x": np.array([0, 1])})
    return Rows({"x": x}, np.zeros(len(x), int), References({"x": np.array([references], np.float64)}), features)


def unit(bias=0.0):
    """3 relu(2 a - b + bias)."""
    weights = (np.array([[2.0], [-1.0]]), np.array([[3.0]]))
    return ReferenceModel(Network(weights, (np.array([bias]), np.zeros(1)), ("relu", "linear")))


# At (1, 1) the unit's sum is 2 - 1 = 1 and the score is 3, all of which reaches the unit (but by alpha-beta). Then:
BY_HAND = [
    ({"composite": "epsilon"}, (6.0, -3.0)),  # 2/1 and -1/1 of 3
    ({"composite": "gamma", "gamma": 0.5}, (4.5, -1.5)),  # (2 + 1)/(1 + 1) and -1/(1 + 1) of 3
    ({"composite": "z_plus"}, (3.0, 0.0)),  # all to the positive one
    # The upper sum has nothing negative, so that 3 times 3 reach the unit: 3 times all of it, less 2 times all of it.
    ({"composite": "alpha_beta", "alpha": 3.0, "beta": 2.0}, (27.0, -18.0)),
    ({"composite": "epsilon", "first": "flat"}, (1.5, 1.5)),  # half each
    ({"composite": "epsilon", "first": "w_squared"}, (2.4, 0.6)),  # 4/5 and 1/5
    ({"composite": "epsilon", "first": "box", "low": 0.0, "high": 2.0}, (2.0, 1.0)),  # 2 - 0 and -1 - 2 (-1), of 3
    # The range that is seen: a from 0 to 1, b from 1 to 2. 2 - 0 and -1 + 2 again.
    ({"composite": "epsilon", "first": "box"}, (2.0, 1.0)),
]


@pytest.mark.parametrize(("given", "wanted"), BY_HAND, ids=lambda value: str(value))
def test_a_rule_does_what_its_equation_says(given, wanted):
    rows = rows_at([[1.0, 1.0]], [[0.0, 2.0]])
    found = attribute(LRP, unit(), rows, LRP.params(**given))
    np.testing.assert_allclose(found.values, [wanted], rtol=1e-5)
    np.testing.assert_allclose(found.maps["x"], [wanted], rtol=1e-5)


def test_what_biases_absorb_is_told_as_a_share_of_the_score():
    # 3 relu(2 - 1 + 1) = 6, of which half is the bias's: the inputs get 3 (2, -1) and share 3.
    rows = rows_at([[1.0, 1.0]], [[0.0, 0.0]])
    found = attribute(LRP, unit(bias=1.0), rows, LRP.params())
    np.testing.assert_allclose(found.values, [[6.0, -3.0]], rtol=1e-5)
    np.testing.assert_allclose(found.notes["absorbed"], [0.5], rtol=1e-5)
    told = attribute(LRP, unit(bias=1.0), rows, LRP.params(biases=False))
    np.testing.assert_allclose(told.values, [[12.0, -6.0]], rtol=1e-5)
    np.testing.assert_allclose(told.notes["absorbed"], [0.0], atol=1e-5)


def test_a_score_of_zero_absorbs_nothing():
    rows = rows_at([[0.0, 1.0]], [[0.0, 0.0]])
    found = attribute(LRP, unit(), rows, LRP.params())
    assert not found.values.any()
    assert found.notes["absorbed"].tolist() == [0.0]


def test_alpha_one_beta_zero_is_z_plus():
    for bench in relevance_benches():
        one = attribute(LRP, bench.model, bench.rows, LRP.params(composite="alpha_beta", alpha=1.0, beta=0.0))
        other = attribute(LRP, bench.model, bench.rows, LRP.params(composite="z_plus"))
        np.testing.assert_array_equal(one.values, other.values)


def test_without_negative_weights_and_inputs_all_sums_are_shared_alike():
    # Where nothing contradicts, epsilon, gamma and z-plus are the same rule.
    rng = np.random.default_rng(0)
    weights = (rng.random((2, 4)), rng.random((4, 1)))
    model = ReferenceModel(Network(weights, (np.zeros(4), np.zeros(1)), ("relu", "linear")))
    rows = rows_at(rng.random((3, 2)), [[0.0, 0.0]])
    found = [attribute(LRP, model, rows, LRP.params(composite=name)).values for name in ("epsilon", "gamma", "z_plus")]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5)


def test_a_large_epsilon_takes_relevance_away():
    rows = rows_at([[1.0, 1.0]], [[0.0, 0.0]])
    found = attribute(LRP, unit(), rows, LRP.params(composite="epsilon", epsilon=1.0))
    # 3 through 3/(3 + 1), then (2, -1)/(1 + 1): 2.25 (1, -0.5).
    np.testing.assert_allclose(found.values, [[2.25, -1.125]], rtol=1e-6)
    np.testing.assert_allclose(found.notes["absorbed"], [0.625], rtol=1e-6)


def test_a_composite_is_a_list_of_places_and_rules():
    given = {"epsilon": 0.1, "gamma": 0.3, "alpha": 2.0, "beta": 1.0}
    assert rules_of("epsilon_gamma_box", **given) == (
        ("first_convolution", Rule("box")),
        ("convolution", Rule("gamma", gamma=0.3)),
        ("any", Rule("epsilon", epsilon=0.1)),
    )
    plus = ("convolution", Rule("alpha_beta", alpha=1.0, beta=0.0))
    assert rules_of("epsilon_plus_flat", **given)[:2] == (("first", Rule("flat")), plus)
    assert rules_of("epsilon_plus_flat", **given, first="w_squared")[0] == ("first", Rule("w_squared"))
    assert rules_of("epsilon_alpha_beta", **given)[0] == ("convolution", Rule("alpha_beta"))
    for composite in LRP.params.model_fields["composite"].annotation.__args__:
        for place, rule in rules_of(composite, **given):
            assert place in ("first", "first_convolution", "convolution", "any")
            assert rule.name in RULES


def test_the_box_is_each_rows_own_range():
    # Of a picture by channel, over the picture and its references: 0 to 5 and 2 to 9.
    picture = np.array([[[[0.0, 2.0], [1.0, 3.0]]]])
    references = References({"x": np.array([[[[[5.0, 9.0], [5.0, 9.0]]]]])})
    rows = Rows({"x": picture}, np.zeros(1, int), references, FeatureMap(("a",), {"x": np.zeros((1, 2, 2), int)}))
    low, high = box_of(rows, None, None)
    np.testing.assert_array_equal(low["x"], np.broadcast_to([0.0, 2.0], picture.shape))
    np.testing.assert_array_equal(high["x"], np.broadcast_to([5.0, 9.0], picture.shape))
    low, high = box_of(rows, -1.0, None)
    assert (low["x"] == -1.0).all()


def test_it_is_refused_where_relevance_cannot_start_or_pass():
    facts, shape = relevance_benches()[0].facts, relevance_benches()[0].shape
    assert LRP.admits(facts, shape, "logit") is None
    assert "probability" in LRP.admits(facts, shape, "probability")
    assert LRP.admits(replace(facts, activation="sigmoid"), shape, "log_odds") is None
    assert "log_odds" in LRP.admits(replace(facts, activation="softmax"), shape, "log_odds")
    assert "`memory` (LSTM)" in LRP.admits(replace(facts, without_rule="layer `memory` (LSTM)"), shape, "logit")


@pytest.mark.parametrize("given", [{"alpha": 2.0, "beta": 0.5}, {"low": 1.0, "high": 1.0}, {"epsilon": 0.0}])
def test_parameters_that_conserve_nothing_are_refused(given):
    with pytest.raises(ValidationError):
        LRP.params(**given)
