"""DeepLIFT: the rescale rule in closed form, the mean over references, and what it is in simple cases."""

import numpy as np

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from runtimes.frameworks.reference import Network, ReferenceModel, linear
from tests.methods.propagating import relevance_benches

DEEP_LIFT = catalogue()["deep_lift"]


def explained(model, rows):
    return attribute(DEEP_LIFT, model, rows, DEEP_LIFT.params()).values


def rows_at(x, references, owners=(0, 1)):
    x, others = np.array(x, np.float64), np.array([references], np.float64)
    features = FeatureMap(("a", "b"), {"x": np.array(owners)})
    return Rows({"x": x}, np.zeros(len(x), int), References({"x": others}), features)


def test_one_unit_and_two_references_by_hand():
    # relu(2 a + b - 1) at (1, 1) is 2.
    # Against (0, 0.5): 0, sums differ by 2.5 (2 of a, 0.5 of b), factor 2/2.5: 1.6 and 0.4.
    # Against (1, 0.5): 1.5, sums differ by 0.5 (all of b), factor 1: 0 and 0.5. The mean is 0.8 and 0.45.
    model = ReferenceModel(linear(np.array([2.0, 1.0]), -1.0, "relu"))
    found = explained(model, rows_at([[1.0, 1.0]], [[0.0, 0.5], [1.0, 0.5]]))
    np.testing.assert_allclose(found, [[0.8, 0.45]])


def test_where_the_gradient_is_zero_a_difference_is_still_explained():
    # Saturation: 1 - relu(1 - a - b) is 1 at (1, 1), with no slope, and 0 at (0, 0): half each.
    weights = (np.array([[-1.0], [-1.0]]), np.array([[-1.0]]))
    model = ReferenceModel(Network(weights, (np.ones(1), np.ones(1)), ("relu", "linear")))
    rows = rows_at([[1.0, 1.0]], [[0.0, 0.0]])
    assert not model.gradient(rows.inputs, rows.target)["x"].any()
    np.testing.assert_allclose(explained(model, rows), [[0.5, 0.5]])


def test_of_a_linear_model_it_is_the_weight_times_the_difference():
    model = ReferenceModel(linear(np.array([2.0, -3.0]), 5.0))
    found = explained(model, rows_at([[1.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(found, [[1.0, -1.5], [-1.0, -4.5]])


def test_of_one_hidden_unit_it_is_the_integrated_gradient():
    # Along a straight line one unit sees a straight line: the mean slope is rise over run, which is the rule.
    weights = (np.array([[1.5], [-0.5]]), np.array([[2.0]]))
    model = ReferenceModel(Network(weights, (np.array([0.3]), np.zeros(1)), ("softplus", "linear")))
    rows = rows_at([[1.0, -2.0], [0.5, 0.5]], [[0.0, 0.0], [-1.0, 1.0]])
    method = catalogue()["integrated_gradients"]
    integrated = attribute(method, model, rows, method.params(steps=32)).values
    np.testing.assert_allclose(explained(model, rows), integrated, atol=1e-9)


def test_equal_sums_take_the_slope():
    # a - b is the same in row and reference, so that rise over run is 0/0: tanh' (0) = 1, and the values are 1 and -1.
    weights = (np.array([[1.0], [-1.0]]), np.array([[1.0]]))
    model = ReferenceModel(Network(weights, (np.zeros(1), np.zeros(1)), ("tanh", "linear")))
    np.testing.assert_allclose(explained(model, rows_at([[1.0, 1.0]], [[0.0, 0.0]])), [[1.0, -1.0]])


def test_an_element_that_is_never_perturbed_stays_as_it_is():
    # Only a moves: relu(2 a + b) from (0, 1) to (1, 1) is 1 to 3.
    model = ReferenceModel(linear(np.array([2.0, 1.0]), 0.0, "relu"))
    found = explained(model, rows_at([[1.0, 1.0]], [[0.0, 9.0]], owners=(0, FIXED)))
    np.testing.assert_allclose(found, [[2.0, 0.0]])


def test_small_calls_give_the_same():
    for bench in relevance_benches():
        whole = explained(bench.model, bench.rows)
        bench.model.rows_per_call = 3  # fewer than the references of a row
        np.testing.assert_allclose(explained(bench.model, bench.rows), whole, atol=1e-12)
