"""Several targets of rows: from games at once, from gradients one by one, of very many the first alone."""

from dataclasses import replace

import numpy as np
import pytest

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.apply import attribute, base_values
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import TARGETS_OF_A_BATCH, Shape
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from tests.methods.models import benches

FOREST = next(b for b in benches() if b.name == "forest")
TABLE = next(b for b in benches() if b.name == "tabular sum")


class Counting:
    """A predictor that counts the rows it is asked for."""

    def __init__(self, model):
        self.model = model
        self.rows = 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def predict(self, inputs):
        self.rows += len(next(iter(inputs.values())))
        return self.model.predict(inputs)


def several(bench, targets):
    targets = np.broadcast_to(targets, (len(bench.rows), len(targets)))
    return replace(bench.rows, target=targets[:, 0], targets=targets)


@pytest.mark.parametrize(
    ("name", "bench"), [("occlusion", TABLE), ("kernel_shap", TABLE), ("tree_shap", FOREST), ("occlusion", FOREST)]
)
def test_each_target_gets_what_it_gets_alone_and_the_rows_are_those_of_one(name, bench):
    method, asked = catalogue()[name], [1, 0]
    counting = Counting(bench.model)
    found = attribute(method, counting, several(bench, asked), method.params(), seed=3)
    together = counting.rows
    for place, target in enumerate(asked):
        counting.rows = 0
        own = replace(bench.rows, target=np.full(len(bench.rows), target))
        alone = attribute(method, counting, own, method.params(), seed=3)
        assert counting.rows == together
        np.testing.assert_allclose(found.several.values[:, :, place], alone.values, atol=1e-9)
        np.testing.assert_allclose(found.several.base_values[:, place], alone.base_values, atol=1e-12)
        np.testing.assert_allclose(found.several.scores[:, place], alone.scores, atol=1e-12)
    np.testing.assert_array_equal(found.values, found.several.values[:, :, 0])
    assert (found.several.standard_error is None) == (found.standard_error is None)


def test_the_primary_target_may_stand_anywhere_and_differ_from_row_to_row():
    targets = np.broadcast_to(np.arange(3), (len(TABLE.rows), 3))
    rows = replace(TABLE.rows, target=np.array([2, 0, 1]), targets=targets)
    assert rows.primary.tolist() == [2, 0, 1]
    method = catalogue()["occlusion"]
    found = attribute(method, TABLE.model, rows, method.params())
    alone = attribute(method, TABLE.model, replace(rows, targets=None), method.params())
    np.testing.assert_allclose(found.values, alone.values)
    np.testing.assert_allclose(found.base_values, base_values(TABLE.model, rows))
    assert alone.several is None


@pytest.mark.parametrize("name", ["saliency", "smoothgrad", "integrated_gradients"])
def test_a_gradient_method_is_called_for_each_target_at_the_price_of_each(name):
    method, asked = catalogue()[name], [1, 0]
    bench = next(b for b in benches() if b.name == "tabular sum")
    params, spent = method.params(), bench.model.spent
    before = spent.backward
    found = attribute(method, bench.model, several(bench, asked), params, seed=3)
    shape = Shape(len(bench.rows), len(bench.rows.features), len(bench.rows.references))
    times = method.times_for_targets(params, shape, 2)
    assert times == 2
    assert spent.backward - before == times * method.cost(params, shape).backward
    for place, target in enumerate(asked):
        own = replace(bench.rows, target=np.full(len(bench.rows), target))
        alone = attribute(method, bench.model, own, params, seed=3)
        np.testing.assert_array_equal(found.several.values[:, :, place], alone.values)
        np.testing.assert_array_equal(found.several.base_values[:, place], alone.base_values)
        if alone.standard_error is not None:
            np.testing.assert_array_equal(found.several.standard_error[:, :, place], alone.standard_error)
    np.testing.assert_array_equal(found.values, found.several.values[:, :, 0])


def test_the_primary_target_of_a_gradient_method_may_differ_from_row_to_row():
    method = catalogue()["saliency"]
    targets = np.broadcast_to(np.arange(3), (len(TABLE.rows), 3))
    rows = replace(TABLE.rows, target=np.array([2, 0, 1]), targets=targets)
    found = attribute(method, TABLE.model, rows, method.params())
    for place in range(3):
        own = replace(TABLE.rows, target=np.full(3, place))
        alone = attribute(method, TABLE.model, own, method.params())
        np.testing.assert_array_equal(found.several.values[:, :, place], alone.values)


def test_of_too_many_targets_a_gradient_method_explains_the_primary_alone():
    method = catalogue()["saliency"]
    rows = several(TABLE, [1, *[0] * TARGETS_OF_A_BATCH])
    found = attribute(method, TABLE.model, rows, method.params())
    alone = attribute(method, TABLE.model, replace(TABLE.rows, target=np.full(3, 1)), method.params())
    assert found.several is None
    np.testing.assert_array_equal(found.values, alone.values)


def test_a_note_of_each_output_is_read_for_the_primary_one():
    method = replace(
        catalogue()["occlusion"],
        function=lambda game, _: FeatureValues(
            np.zeros((game.n_features, game.n_targets)), notes={"own": game.targets * 10.0, "shared": 5.0}
        ),
    )
    rows = replace(several(TABLE, [0, 1, 2]), target=np.array([2, 1, 0]))
    found = attribute(method, TABLE.model, rows, method.params())
    assert found.notes["own"].tolist() == [20.0, 10.0, 0.0]
    assert found.notes["shared"].tolist() == [5.0, 5.0, 5.0]


def test_rows_with_features_of_their_own_have_zeros_where_a_feature_is_absent():
    """f(x) = (x0 + 10 x1, -x0): two features in the first row, one (both elements) in the second; references are zero."""

    class Model:
        rows_per_call = 64

        def predict(self, inputs):
            x = inputs["x"]
            return np.stack([x[:, 0] + 10 * x[:, 1], -x[:, 0]], axis=1)

    owners = {"x": np.array([[0, 1], [0, 0]])}
    features = FeatureMap(("a", "b"), owners, counts=np.array([2, 1]))
    x, references = np.array([[1.0, 2.0], [3.0, 4.0]]), References({"x": np.zeros((1, 1, 2))})
    rows = Rows({"x": x}, np.array([0, 0]), references, features, np.array([[0, 1], [0, 1]]))
    method = catalogue()["occlusion"]
    found = attribute(method, Model(), rows, method.params())
    # row 0: 1 and 20 of the first output, -1 and 0 of the second; row 1: 3 + 40, and -3
    assert found.several.values.tolist() == [[[1.0, -1.0], [20.0, 0.0]], [[43.0, -3.0], [0.0, 0.0]]]
    assert found.values.tolist() == [[1.0, 20.0], [43.0, 0.0]]


@pytest.mark.parametrize(
    "name", ["kernel_shap", "permutation_shap", "regression_adjusted_shap", "lime", "rise", "hsic"]
)
def test_a_row_of_one_feature_takes_no_other_rows_standard_errors(name):
    # The first row has one feature of its own, of which nothing is drawn; the second all fourteen, whose product is a game
    # that no sample tells exactly.
    class Product:
        rows_per_call = 512

        def predict(self, inputs):
            return (1 + inputs["x"]).prod(axis=1)[:, None]

    owners = np.stack([np.zeros(14, np.int64), np.arange(14)])
    features = FeatureMap(tuple(map(str, range(14))), {"x": owners}, counts=np.array([1, 14]))
    rows = Rows({"x": np.ones((2, 14))}, np.zeros(2, np.int64), References({"x": np.zeros((1, 1, 14))}), features)
    method = catalogue()[name]
    known = method.params.model_fields
    params = method.params(**{key: 100 for key in ("samples", "masks") if key in known})
    found = attribute(method, Product(), rows, params, seed=0)
    assert found.standard_error.shape == (2, 14)
    assert (found.standard_error[0] == 0).all()
    assert (found.standard_error[1] > 0).all()


def test_a_slice_of_rows_keeps_its_targets():
    rows = replace(TABLE.rows, target=np.array([1, 0, 2]), targets=np.array([[1, 0], [0, 1], [2, 1]]))
    part = rows.of_rows(slice(1, 3))
    assert part.targets.tolist() == [[0, 1], [2, 1]]
    assert rows.of_target(1).target.tolist() == [0, 1, 1]
    assert TABLE.rows.of_rows(slice(0, 1)).targets is None
