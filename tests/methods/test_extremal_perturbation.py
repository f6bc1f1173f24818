"""Extremal perturbations against closed forms of linear models, all sets of small networks, and tokens; and projections."""

from itertools import combinations

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.gradient.extremal_perturbation import (
    ExtremalPerturbationParams,
    cost,
    extremal_perturbation,
    within,
)
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from pgx_compiler.modalities.game import game_of_row
from tests.methods.models import Linear, Mlp, Smooth
from tests.methods.test_embedding import Embedding
from tests.methods.test_embedding import rows as rows_of_tokens


class Formula(Smooth):
    """One score, a function of flat rows with a known gradient."""

    def __init__(self, score, slope):
        super().__init__()
        self.score, self.slope = score, slope

    def scores(self, flat):
        return self.score(flat)[:, None]

    def slopes(self, flat, target):
        return self.slope(flat)


def ones_against_zeros(features, rows=1, layout=None):
    owners = FeatureMap(tuple(f"f{i}" for i in range(features)), {"x": np.arange(features)}, layout or {"kind": "list"})
    references = References({"x": np.zeros((1, 1, features))})
    return Rows({"x": np.ones((rows, features))}, np.zeros(rows, np.int64), references, owners)


def run(model, rows, **params):
    return extremal_perturbation(model, rows, ExtremalPerturbationParams(**params))


@pytest.mark.parametrize("kind", ["preservation", "deletion"])
@pytest.mark.parametrize(("area", "taken"), [(0.1, 1), (0.3, 3), (0.5, 5)])
def test_of_a_linear_model_the_largest_contributions_are_taken(kind, area, taken):
    # score = 2 + x w: 10 features, 0.1, 0.3 and 0.5 of them; those with the largest w.
    weights = np.array([0.1, 2.0, -3.0, 0.7, 0.0, 1.2, -0.2, 0.5, 0.3, 1.0])
    found = run(Linear(weights[:, None], 2.0), ones_against_zeros(10), areas=(area,), game=kind)
    largest = np.argsort(-weights)[:taken]
    np.testing.assert_array_equal(found.values[0], np.isin(np.arange(10), largest) * 1.0)
    left = weights[largest].sum() if kind == "preservation" else weights.sum() - weights[largest].sum()
    assert found.notes["score_under_mask"][0] == pytest.approx(2 + left)


def test_the_mean_over_areas_says_in_how_many_a_feature_is():
    weights = np.array([0.1, 2.0, -3.0, 0.7, 0.0, 1.2, -0.2, 0.5, 0.3, 1.0])
    found = run(Linear(weights[:, None]), ones_against_zeros(10), areas=(0.1, 0.2, 0.4))
    # One feature, two, four: 2.0 is in all, 1.2 in two, 1.0 and 0.7 in one.
    np.testing.assert_allclose(found.values[0], np.array([0, 3, 0, 1, 0, 2, 0, 0, 0, 1]) / 3, atol=1e-15)


def test_room_that_no_evidence_fills_stays_empty():
    # Eight of ten features would fit; two speak for the score, one against it, and seven are not read.
    weights = np.array([1.0, 0.5, -1.0, *[0.0] * 7])
    for kind in ("preservation", "deletion"):
        found = run(Linear(weights[:, None]), ones_against_zeros(10), areas=(0.8,), game=kind)
        np.testing.assert_array_equal(found.values[0], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0])


def test_a_feature_that_is_not_read_gets_nothing_beside_those_that_are():
    # In a row of windows its neighbours would draw it in.
    weights = np.array([1.0, 0.0, 1.0, 0.9, -0.5, 0.0])
    layout = {"kind": "windows", "rows": 1, "columns": 6}
    found = run(Linear(weights[:, None]), ones_against_zeros(6, layout=layout), areas=(0.7,), smoothness=1.0)
    assert (found.values[0, [1, 4, 5]] == 0).all()
    assert (found.values[0, [0, 2, 3]] == 1).all()


def test_smoothness_prefers_what_is_in_one_piece():
    # Three of seven windows fit. Alone 1.0, 0.95 and 0.9 would be taken; 0.9 lies apart from everything, 0.85 between.
    weights = np.array([1.0, 0.85, 0.95, 0.0, 0.0, 0.9, 0.0])
    layout = {"kind": "windows", "rows": 1, "columns": 7}
    plain, smooth = (
        run(Linear(weights[:, None]), ones_against_zeros(7, layout=layout), areas=(0.43,), smoothness=weight)
        for weight in (0.0, 1.0)
    )
    np.testing.assert_array_equal(plain.values[0], [1, 0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(smooth.values[0], [1, 1, 1, 0, 0, 0, 0])


def test_deletion_takes_both_of_two_features_that_say_the_same():
    # score = 1 - (1 - a)(1 - b) + 0.3 c + 0.2 d. At the row itself the slopes by a and b are zero, occlusion sees
    # 0.3 and 0.2 alone; but two features remove most where they are a and b: 1 against 0.5.
    model = Formula(
        lambda x: 1 - (1 - x[:, 0]) * (1 - x[:, 1]) + 0.3 * x[:, 2] + 0.2 * x[:, 3],
        lambda x: np.stack([1 - x[:, 1], 1 - x[:, 0], np.full(len(x), 0.3), np.full(len(x), 0.2)], axis=1),
    )
    found = run(model, ones_against_zeros(4), areas=(0.5,), game="deletion")
    np.testing.assert_array_equal(found.values[0], [1, 1, 0, 0])
    assert found.notes["score_under_mask"][0] == pytest.approx(0.5)


def test_equal_features_that_do_not_both_fit_share_the_place():
    found = run(Linear(np.array([[1.0], [1.0], [0.2], [0.1]])), ones_against_zeros(4), areas=(0.25,))
    np.testing.assert_allclose(found.values[0], [0.5, 0.5, 0, 0], atol=1e-12)


@pytest.mark.parametrize("kind", ["preservation", "deletion"])
def test_on_networks_the_masks_come_near_the_best_set_of_their_size(kind):
    reached = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        model = Mlp(rng.normal(size=(10, 6)) * 0.7, rng.normal(size=6), rng.normal(size=(6, 1)))
        owners = FeatureMap(tuple("abcdefghij"), {"x": np.arange(10)})
        rows = Rows({"x": rng.normal(size=(1, 10))}, np.array([0]), References({"x": rng.normal(size=(1, 3, 10))}), owners)  # fmt: skip
        game = game_of_row(model, rows.inputs, 0, rows.references, owners, 0)
        sets = np.array([np.isin(np.arange(10), one) for one in combinations(range(10), 3)])
        worth = game.value(sets if kind == "preservation" else ~sets)[:, 0]
        sign = 1 if kind == "preservation" else -1
        found = run(model, rows, areas=(0.3,), game=kind)
        start = game.empty()[0] if kind == "preservation" else game.full()[0]
        reached.append((found.notes["score_under_mask"][0] - start) / (sign * (sign * worth).max() - start))
    # Of what the best of all 120 sets gains: nine tenths in the median network.
    assert np.median(reached) >= 0.9
    assert min(reached) > 0.5


def test_several_references_are_followed_on_average():
    # Contributions are w (x - mean of the references): 1 x (1 - 0.9), 0.5 x (1 - 0), 0.3 x (1 - -1): the last is the largest.
    references = References({"x": np.array([[[0.8, 0.0, -3.0], [1.0, 0.0, 1.0]]])})
    owners = FeatureMap(("a", "b", "c"), {"x": np.arange(3)})
    rows = Rows({"x": np.ones((1, 3))}, np.array([0]), references, owners)
    found = run(Linear(np.array([[1.0], [0.5], [0.3]])), rows, areas=(0.3,))
    np.testing.assert_array_equal(found.values, [[0, 0, 1]])
    # Kept alone: 0.3 x 1 and of the others the references: 0.9 x 1 + 0.
    assert found.notes["score_under_mask"][0] == pytest.approx(1.2)


def test_what_is_never_perturbed_and_what_is_no_number_stays_as_it_is():
    class Watched(Linear):
        seen: list = []  # noqa: RUF012

        def gradient(self, inputs, target):
            self.seen.append({name: np.array(array) for name, array in inputs.items()})
            return super().gradient(inputs, target)

    owners = FeatureMap(("a", "b"), {"x": np.array([0, 1, FIXED]), "n": np.array([1])})
    references = References({"x": np.zeros((1, 1, 3)), "n": np.zeros((1, 1, 1), np.int64)})
    rows = Rows({"x": np.full((2, 3), 5.0), "n": np.full((2, 1), 7)}, np.zeros(2, np.int64), references, owners)
    model = Watched(np.array([[1.0], [-1.0], [9.0], [9.0]]))
    found = run(model, rows, areas=(0.5,))
    np.testing.assert_array_equal(found.values, [[1, 0], [1, 0]])
    for asked in model.seen:
        assert (asked["x"][:, 2] == 5).all()
        assert (asked["n"] == 7).all()
        assert asked["x"].dtype == np.float64


def test_rows_have_features_and_areas_of_their_own():
    # Half of four features, of three, and of one (which is at least one).
    owners = FeatureMap(tuple("abcd"), {"x": np.array([[0, 1, 2, 3], [0, 0, 1, 2], [0, 0, 0, 0]])}, {"kind": "segments"}, np.array([4, 3, 1]))  # fmt: skip
    rows = Rows({"x": np.ones((3, 4))}, np.zeros(3, np.int64), References({"x": np.zeros((1, 1, 4))}), owners)
    found = run(Linear(np.array([[1.0], [2.0], [3.0], [4.0]])), rows, areas=(0.5,), smoothness=0.0)
    # Row 1 has 3, 3 and 4: two fit (1.5 is rounded to the even 2), the features that tie share one place.
    np.testing.assert_allclose(found.values, [[0, 0, 1, 1], [0.5, 0.5, 1, 0], [1, 0, 0, 0]], atol=1e-12)


def test_tokens_are_blended_above_their_table():
    # See test_embedding: the first text's words hold -1 + 8.5 = ... in slopes times rows of the table, from padding (zeros).
    declaration, model = catalogue()["extremal_perturbation"], Embedding()
    rows = rows_of_tokens(np.zeros((1, 1, 4), np.int64))
    found = attribute(declaration, model, rows, declaration.params(areas=(0.5,), smoothness=0.0))
    # Text 1: word 1 is (1, 2)(2, 3) + (-1, 0.5)(-1, 0.5) = 8 + 1.25, word 2 (3, 1)(2, 3) = 9. Text 2: word 1 is
    # (1, 2)(1, -1) = -1, word 2 (-1, 0.5)(2, 3) = -0.5: nothing speaks for the score.
    np.testing.assert_array_equal(found.values, [[1, 0], [0, 0]])


@pytest.mark.parametrize("references", [1, 3])
def test_rows_are_explained_alike_in_calls_of_any_size_at_the_price_that_is_told(references):
    rng = np.random.default_rng(1)
    owners = FeatureMap(tuple("abcde"), {"x": np.arange(5)})
    rows = Rows({"x": rng.normal(size=(3, 5))}, np.zeros(3, np.int64), References({"x": rng.normal(size=(1, references, 5))}), owners)  # fmt: skip
    weights = rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=(4, 1))
    params = ExtremalPerturbationParams(areas=(0.2, 0.4), steps=25)
    found = []
    for size in (1, 4, 1000):
        model = Mlp(*weights)
        model.rows_per_call = size
        found.append(extremal_perturbation(model, rows, params).values)
        assert model.largest_call <= size
        # 3 rows x references x 2 areas: a gradient in each of 25 steps, and a score in the end.
        told = cost(params, Shape(3, 5, references))
        assert (model.spent.forward, model.spent.backward) == (told.forward, told.backward) == (6 * references, 150 * references)  # fmt: skip
    np.testing.assert_allclose(found[0], found[2], atol=1e-9)
    np.testing.assert_allclose(found[1], found[2], atol=1e-9)


def test_the_unit_of_the_score_and_a_constant_change_nothing():
    rng = np.random.default_rng(2)
    rows, weights = ones_against_zeros(8), (rng.normal(size=(8, 4)), rng.normal(size=4), rng.normal(size=(4, 1)))
    one, other = (run(Mlp(weights[0], weights[1], unit * weights[2]), rows).values for unit in (1.0, 1e-6))
    np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("area", [0.5, 1.0, 3.0, 10.0])
def test_masks_are_moved_to_the_nearest_that_fits(area):
    # Of all masks within the area none is nearer: masks that satisfy both bounds, drawn at random, and their mixtures.
    rng = np.random.default_rng(0)
    masks = rng.normal(scale=1.5, size=(20, 6))
    near = within(masks, np.full((20, 1), area))
    assert (near >= 0).all()
    assert (near <= 1).all()
    assert (near.sum(axis=1) <= area + 1e-12).all()
    other = rng.random((5000, 6)) * (rng.random((5000, 6)) < 0.5)
    other = other[other.sum(axis=1) <= area]
    # The nearest point p of a convex set to m: (m - p)(q - p) <= 0 for all q of the set.
    angles = np.einsum("mf,mqf->mq", masks - near, other[None] - near[:, None])
    assert angles.max() <= 1e-9
