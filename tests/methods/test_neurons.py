"""Conductance, internal influence and attention rollout: closed forms, sums written out, and gaps that are said."""

from dataclasses import replace

import numpy as np
import pytest

from pgx_compiler.methods.declaration import UnfitParams, declaration_of
from pgx_compiler.methods.gradient._neurons import carried_by, last_hidden_layer, ranked
from pgx_compiler.methods.gradient.attention_rollout import AttentionRolloutParams, attention_rollout
from pgx_compiler.methods.gradient.internal_influence import InternalInfluenceParams, internal_influence
from pgx_compiler.methods.gradient.layer_conductance import LayerConductanceParams, layer_conductance
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from runtimes.capabilities import LayerShape
from runtimes.target import LayerFacts
from tests.methods.layered import attentive_bench, convolved_bench
from tests.methods.models import Mlp, flatten


class Hidden(Mlp):
    """score = tanh(x W1 + b) W2, whose hidden layer can be looked into; with a skip, also x beside it."""

    def __init__(self, first, bias, second, skip=None):
        super().__init__(first, bias, second)
        self.skip = np.zeros((len(first), second.shape[1])) if skip is None else skip
        self.layers = (LayerShape("hidden", "Dense", (first.shape[1],)), LayerShape("end", "Dense", (second.shape[1],)))

    def scores(self, flat):
        return super().scores(flat) + flat @ self.skip

    def layer_gradient(self, inputs, target, layer):
        flat = flatten(inputs)
        self.spent.backward += len(flat)
        return np.tanh(flat @ self.first + self.bias), self.second.T[target]

    def activations(self, inputs, layer):
        flat = flatten(inputs)
        self.spent.forward += len(flat)
        return np.tanh(flat @ self.first + self.bias)


def hidden(skip=None):
    rng = np.random.default_rng(4)
    return Hidden(rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(5, 2)), skip)


def table(references=1):
    rng = np.random.default_rng(5)
    features = FeatureMap(("a", "b", "c"), {"x": np.arange(3)})
    starts = References({"x": rng.normal(size=(1, references, 3))})
    return Rows({"x": rng.normal(size=(4, 3))}, np.array([0, 1, 1, 0]), starts, features)


@pytest.mark.parametrize("references", [1, 3])
def test_below_a_linear_layer_conductance_is_what_each_neuron_changes_times_its_weight(references):
    # The score is linear in the hidden layer, so that neuron j carries w_j (h_j(x) - h_j(reference)), exactly.
    model, rows = hidden(), table(references)
    report = layer_conductance(model, rows, LayerConductanceParams(layer="hidden", steps=2))
    end = model.activations(rows.inputs, "hidden")
    start = model.activations(rows.references.of_row(0), "hidden").mean(axis=0)
    np.testing.assert_allclose(report.arrays["conductance"], (end - start) * model.second.T[rows.target], atol=1e-12)
    gap = next(m for m in report.measures if m.name == "completeness_gap")
    assert gap.value == pytest.approx(0, abs=1e-12)
    assert "`hidden`" in gap.title


def test_what_goes_around_the_layer_is_said_as_a_gap():
    skip = np.array([[1.0, 0.0], [0.0, -2.0], [0.5, 0.5]])
    rows = table()
    report = layer_conductance(hidden(skip), rows, LayerConductanceParams(layer="hidden", steps=2))
    moved = rows.inputs["x"] - rows.references.inputs["x"][0, 0]
    around = np.abs((moved * skip.T[rows.target]).sum(axis=1))
    assert report.measures[0].value == pytest.approx(float(np.median(around)))


def test_elements_that_are_never_perturbed_stay_as_they_are_on_the_path():
    rows = table()
    fixed = replace(rows, features=FeatureMap(("a", "b"), {"x": np.array([0, 1, FIXED])}))
    report = layer_conductance(hidden(), fixed, LayerConductanceParams(layer="hidden", steps=3))
    assert report.measures[0].value == pytest.approx(0, abs=1e-9)


def test_influence_below_a_linear_layer_is_its_weights():
    model, rows = hidden(), table()
    report = internal_influence(model, rows, InternalInfluenceParams(layer="hidden", steps=3))
    np.testing.assert_allclose(report.arrays["influence"], model.second.T[rows.target])


def test_influence_along_a_path_is_the_trapezoid_sum_written_out():
    bench = convolved_bench()
    report = internal_influence(bench.model, bench.rows, InternalInfluenceParams(steps=4))
    expected = np.zeros((2, 64))
    for row in range(2):
        slopes = []
        for share in (0.0, 1 / 3, 2 / 3, 1.0):
            point = {"image": share * bench.rows.inputs["image"][row : row + 1]}
            slopes.append(
                bench.model.layer_gradient(point, bench.rows.target[row : row + 1], "conv")[1][0].sum(axis=(0, 1))
            )
        expected[row] = (slopes[0] / 2 + slopes[1] + slopes[2] + slopes[3] / 2) / 3
    np.testing.assert_allclose(report.arrays["influence"], expected)


def test_both_cost_what_they_say_and_no_more_where_references_are_shared():
    for method, params in (
        (layer_conductance, LayerConductanceParams(steps=7)),
        (internal_influence, InternalInfluenceParams(steps=7)),
    ):
        bench = convolved_bench()
        planned = declaration_of(method).cost(params, bench.shape)
        method(bench.model, bench.rows, params)
        assert bench.model.spent.backward == planned.backward
        assert bench.model.spent.forward in (planned.forward, planned.forward - 1)


def test_the_ranking_by_hand():
    # |values| by channel: means 2, 1, 0.5; the first carries 2 of 3.5, more than half.
    values = np.array([[3.0, -1.0, 0.5], [-1.0, 1.0, 0.5]])
    found, chart = ranked(values, "conductance")
    assert [row[0] for row in found.rows] == [0, 1, 2]
    assert found.rows[0] == (0, 1.0, 2.0, pytest.approx(2 / 3.5), 2)
    assert found.rows[1][1:3] == (0.0, 1.0)
    assert carried_by(values) == 1
    assert carried_by(values, 0.8) == 2
    assert carried_by(np.zeros((2, 3))) == 0
    assert chart.curves[0].x == ("channel 0", "channel 1", "channel 2")


def test_without_a_convolution_the_last_hidden_layer_is_taken():
    facts = convolved_bench().facts
    dense = tuple(LayerFacts(name, "Dense") for name in ("one", "two", "end"))
    assert last_hidden_layer(facts) == "conv"
    assert last_hidden_layer(replace(facts, layers=dense)) == "two"
    assert last_hidden_layer(replace(facts, layers=dense[:1])) is None


def test_rollout_by_hand():
    # One layer, two positions, one head: [[0.5, 0.5], [0, 1]] joined half and half with staying: [[0.75, 0.25], [0, 1]].
    # Twice that layer: [[0.75 * 0.75, 0.75 * 0.25 + 0.25], [0, 1]] = [[0.5625, 0.4375], [0, 1]].
    bench = attentive_bench()
    looks = np.array([[[0.5, 0.5], [0.0, 1.0]]])
    rows = Rows(
        {"series": np.zeros((1, 2, 3))},
        np.array([0]),
        References({"series": np.zeros((1, 1, 2, 3))}),
        FeatureMap(("a", "b"), {"series": np.repeat([[0], [1]], 3, axis=1)}),
    )
    bench.model.attention = lambda inputs: {"one": looks[None], "two": looks[None]}
    for read, expected in (("first", [0.5625, 0.4375]), ("last", [0.0, 1.0]), ("mean", [0.28125, 0.71875])):
        maps = attention_rollout(bench.model, rows, AttentionRolloutParams(read=read))
        np.testing.assert_allclose(rows.features.sum_onto(maps)[0], expected)


def test_attention_on_other_positions_is_refused():
    bench = attentive_bench()
    for looks, words in (
        ({"one": np.full((2, 1, 5, 4), 0.25)}, "positions on the same positions"),
        (
            {"one": np.full((2, 1, 5, 5), 0.2), "two": np.full((2, 1, 3, 3), 1 / 3)},
            "other positions than the layer below",
        ),
        ({"one": np.full((2, 1, 3, 3), 1 / 3)}, "3 positions, and the input has 5"),
        ({}, "no layer of attention"),
    ):
        bench.model.attention = lambda inputs, looks=looks: looks
        with pytest.raises(UnfitParams, match=words):
            attention_rollout(bench.model, bench.rows, AttentionRolloutParams())
