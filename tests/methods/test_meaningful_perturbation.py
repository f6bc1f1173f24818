"""Meaningful perturbation against closed forms of additive and redundant games, enumeration, and occlusion's sets."""

import numpy as np
import pytest

from pgx_compiler.execute.self_checks import _converged
from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation._mask_descent import slopes
from pgx_compiler.methods.perturbation._random_masks import every_mask
from pgx_compiler.methods.perturbation.meaningful_perturbation import (
    MeaningfulPerturbationParams,
    cost,
    meaningful_perturbation,
)
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from tests.methods.models import Handle


class Formula(Handle):
    """Scores are a formula of flat rows, in one column."""

    def __init__(self, formula):
        super().__init__()
        self.formula = formula

    def scores(self, flat):
        return np.asarray(self.formula(flat), np.float64)[:, None]


IDLE = [0, 8]
"""Further features, which are not read: with them there are more coalitions than are drawn, and masks are found by descent."""


def run(formula, features, *, idle=0, area=0.5, layout=None, seed=0, **params):
    """A row of ones, a reference of zeros: what the model sees is the coalition. The price is that of the features read."""
    n = features + idle
    owners = FeatureMap(tuple(f"f{i}" for i in range(n)), {"x": np.arange(n)}, layout or {"kind": "list"})
    rows = Rows({"x": np.ones((1, n))}, np.array([0]), References({"x": np.zeros((1, 1, n))}), owners)
    asked = MeaningfulPerturbationParams(area=area * n / features, **params)
    found = meaningful_perturbation(Formula(formula), rows, asked, np.random.default_rng(seed))
    assert not found.values[0, features:].any()
    return found


@pytest.mark.parametrize("idle", IDLE)
@pytest.mark.parametrize("kind", ["deletion", "preservation"])
@pytest.mark.parametrize("seed", range(3))
def test_of_an_additive_game_those_are_chosen_that_add_more_than_the_price_of_an_even_share(kind, seed, idle):
    # v(S) = 3 + sum of w over S. Choosing i changes the objective by area / n - w_i / D, D = |sum w|: chosen where
    # w_i > area D / n. D = 4, n = 8, area 0.5: where w_i > 0.25. (Of 16 features, area 1: the same.)
    weights = np.array([2.0, 1.5, 1.0, 0.5, 0.1, 0.0, -0.1, -1.0])
    found = run(lambda m: 3 + m[:, :8] @ weights, 8, idle=idle, seed=seed, game=kind)
    np.testing.assert_allclose(found.values[0, :8], (weights > 0.25) * 1.0, atol=1e-12)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-12)
    # What is left: 3 + 4 - (2 + 1.5 + 1 + 0.5), or 3 + 5.
    assert found.notes["score_left"][0] == pytest.approx(2.0 if kind == "deletion" else 8.0)
    assert found.notes["area"][0] == 4 / (8 + idle)
    assert (found.notes["overlap"][0], found.notes["converged"][0]) == (1.0, 1.0)


@pytest.mark.parametrize("idle", IDLE)
@pytest.mark.parametrize(("area", "chosen"), [(0.2, 5), (1.0, 3), (1.8, 2), (2.9, 1), (4.5, 0)])
def test_the_price_of_the_area_sets_the_threshold(area, chosen, idle):
    # As above: w_i > area * 4 / 8, which is 0.1, 0.5, 0.9, 1.45, and 2.25, more than any of them.
    weights = np.array([2.0, 1.2, 0.8, 0.4, 0.3, 0.0, -0.1, -0.6])
    found = run(lambda m: m[:, :8] @ weights, 8, idle=idle, area=area)
    expected = weights > area * weights.sum() / 8
    assert expected.sum() == chosen
    np.testing.assert_allclose(found.values[0, :8], expected * 1.0, atol=1e-12)


@pytest.mark.parametrize("idle", IDLE)
def test_deletion_takes_both_of_two_features_that_say_the_same_and_preservation_one(idle):
    # v = max(a, b): occlusion sees nothing, for either alone keeps the score.
    def either(m):
        return np.maximum(m[:, 0], m[:, 1])

    deleted = run(either, 6, idle=idle, game="deletion")
    np.testing.assert_allclose(deleted.values[0, :6], [1, 1, 0, 0, 0, 0], atol=0.1 * (idle > 0))
    assert deleted.notes["score_left"][0] == 0.0
    kept = run(either, 6, idle=idle, game="preservation")
    # Each mask holds one of them, which is open: of all sets two are the best.
    assert kept.values[0, :2].sum() == pytest.approx(1.0, abs=1e-12 if idle == 0 else 0.1)
    np.testing.assert_allclose(kept.values[0, 2:], 0.0, atol=1e-12)
    assert (kept.notes["score_left"][0], kept.notes["area"][0]) == (1.0, pytest.approx(1 / (6 + idle)))
    if idle == 0:
        np.testing.assert_array_equal(kept.values[0, :2], [0.5, 0.5])
        assert kept.notes["overlap"][0] == 0.0


@pytest.mark.parametrize("idle", IDLE)
def test_of_two_features_that_only_speak_together_preservation_takes_both_and_deletion_one(idle):
    def together(m):
        return m[:, 0] * m[:, 1]

    kept = run(together, 6, idle=idle, game="preservation")
    np.testing.assert_allclose(kept.values[0, :6], [1, 1, 0, 0, 0, 0], atol=0.1 * (idle > 0))
    deleted = run(together, 6, idle=idle, game="deletion")
    assert deleted.values[0, :2].sum() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(deleted.values[0, 2:], 0.0, atol=1e-12)


def objective(formula, features, kind, area=0.5, smoothness=0.0):
    """The definition, for every set, in the order of `every_mask`; features in a row are neighbours."""
    sets = every_mask(features)
    scale = abs(float(formula(np.ones((1, features)))[0] - formula(np.zeros((1, features)))[0]))
    worth = formula(np.where(sets, 0.0, 1.0)) if kind == "deletion" else -formula(np.where(sets, 1.0, 0.0))
    parted = (sets[:, 1:] != sets[:, :-1]).mean(axis=1)
    return worth / scale + area * sets.mean(axis=1) + smoothness * parted


def network(seed, features):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(features, 6)), rng.normal(size=6)
    return lambda m: np.tanh(m[:, :features] @ first) @ second


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["deletion", "preservation"])
def test_of_few_features_the_best_of_all_sets_is_found(kind, seed):
    formula = network(seed, 10)
    found = run(formula, 10, game=kind)
    best = every_mask(10)[np.argmin(objective(formula, 10, kind))]
    np.testing.assert_array_equal(found.values[0], best * 1.0)
    np.testing.assert_array_equal(found.standard_error, 0.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["deletion", "preservation"])
def test_by_descent_the_masks_come_near_the_best_of_all_sets(kind, seed):
    formula = network(seed, 12)
    found = run(formula, 12, seed=seed, game=kind)
    told = objective(formula, 12, kind)
    scale = abs(float(formula(np.ones((1, 12)))[0] - formula(np.zeros((1, 12)))[0]))
    sign = 1 if kind == "deletion" else -1
    ours = sign * found.notes["score_left"][0] / scale + 0.5 * found.notes["area"][0]
    # Of what the best set gains against none, the four masks gain six sevenths on average.
    assert told[0] - ours >= 0.85 * (told[0] - told.min())


@pytest.mark.parametrize("idle", IDLE)
def test_smoothness_takes_a_neighbour_along_and_leaves_out_a_lonely_one(idle):
    # Seven windows in a row; D = 2.65, and half an even share is 0.189. Feature 1 (0.1) lies between two chosen ones, feature
    # 5 (0.35) between two idle ones. There are six pairs: each border costs 0.4 D / 6 = 0.177. Taking feature 1 along costs
    # 0.089 and saves two borders; leaving out feature 5 costs 0.161 and saves two.
    weights = np.array([1.0, 0.1, 1.2, 0.0, 0.0, 0.35, 0.0])

    def formula(m):
        return m[:, :7] @ weights

    layout = {"kind": "windows", "rows": 1, "columns": 7 + idle}
    plain = run(formula, 7, idle=idle, layout=layout)
    np.testing.assert_allclose(plain.values[0, :7], [1, 0, 1, 0, 0, 1, 0], atol=1e-12)
    # Of more windows there are more pairs, at the same price for each.
    smooth = run(formula, 7, idle=idle, layout=layout, smoothness=0.4 * (6 + idle) / 6)
    best = every_mask(7)[np.argmin(objective(formula, 7, "deletion", smoothness=0.4))]
    np.testing.assert_array_equal(best, [1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(smooth.values[0, :7] > 0.5, best)


def test_the_slopes_are_those_of_the_multilinear_extension_on_average():
    # f(S) = sum w + interactions; its extension is m w + sum of c_ij m_i m_j, whose slope by i is w_i + sum of c_ij m_j.
    rng = np.random.default_rng(3)
    weights, crossed = rng.normal(size=5), np.triu(rng.normal(size=(5, 5)), 1)
    chance = np.array([[0.1, 0.3, 0.5, 0.7, 0.9]])
    exact = weights + chance[0] @ (crossed + crossed.T)
    chosen = rng.random((20_000, 8, 5)) < chance
    worth = np.einsum("rki,i->rk", chosen, weights) + np.einsum("rki,ij,rkj->rk", chosen, crossed, chosen)
    for linear in (np.zeros(5), weights + 0.3):
        found, _ = slopes(worth, chosen, np.repeat(chance, 20_000, axis=0), np.tile(linear, (20_000, 1)))
        error = found.std(axis=0) / np.sqrt(20_000)
        assert (np.abs(found.mean(axis=0) - exact) <= 4.5 * error).all()


def test_once_the_linear_model_is_right_the_slopes_of_a_linear_game_have_no_error():
    rng = np.random.default_rng(4)
    weights, chance = rng.normal(size=30), rng.random((4, 30)) * 0.8 + 0.1
    linear = np.zeros((4, 30))
    for _ in range(60):  # 60 x 64 draws of 30 features
        chosen = rng.random((4, 16, 30)) < chance[:, None]
        found, linear = slopes(7 + chosen @ weights, chosen, chance, linear)
    np.testing.assert_allclose(linear, np.tile(weights, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(found, np.tile(weights, (4, 1)), atol=1e-6)


def test_masks_that_did_not_come_out_equally_good_are_a_finding():
    # Thirty features, eight coalitions a step for four steps: next to nothing is known of them.
    weights = np.random.default_rng(1).normal(size=30)
    found = run(lambda m: np.tanh(m @ weights), 30, samples=8, steps=4)
    assert found.notes["converged"][0] == 0.0
    assert found.notes["overlap"][0] < 0.7
    findings = []
    _converged(catalogue()["meaningful_perturbation"], {"note_converged": found.notes["converged"]}, findings)
    (told,) = findings
    assert told.code == "not_converged"
    assert "1 of 1 rows independent descents did not end equally well" in told.summary
    assert told.advice == ("Raise `steps` or `samples`.",)


@pytest.mark.parametrize("idle", [0, 10])
def test_a_row_that_scores_what_its_references_do_is_measured_by_the_spread_of_its_coalitions(idle):
    # Weights that cancel: D = 0. What speaks for the score is removed, what speaks against it is kept.
    found = run(lambda m: m[:, :4] @ np.array([5.0, -5.0, 0.0, 0.0]), 4, idle=idle)
    np.testing.assert_allclose(found.values[0, :4], [1, 0, 0, 0], atol=1e-12)
    # And a model that reads nothing gets nothing.
    silent = run(lambda m: np.full(len(m), 0.3), 4, idle=idle)
    assert not silent.values.any()
    assert silent.notes["converged"][0] == 1.0


@pytest.mark.parametrize("idle", IDLE)
@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_the_score_and_a_constant_change_nothing(unit, idle):
    def plain(m):
        return np.tanh(m[:, :5] @ np.array([1.0, 2.0, -1.0, 0.5, 0.2])) + m[:, 0] * m[:, 3]

    one = run(lambda m: unit * (plain(m) + 2), 5, idle=idle)
    other = run(plain, 5, idle=idle)
    np.testing.assert_allclose(one.values, other.values, atol=1e-6)
    np.testing.assert_allclose(one.notes["score_left"] / unit - 2, other.notes["score_left"], atol=1e-9)


@pytest.mark.parametrize(
    ("features", "samples", "steps", "references"),
    [(3, 64, 48, 3), (12, "auto", 5, 1), (110, "auto", 4, 1), (4, 8, 4, 1), (12, 41, 7, 2), (5, 8, 4, 3)],
)
def test_the_cost_is_what_is_asked(features, samples, steps, references):
    params = MeaningfulPerturbationParams(samples=samples, steps=steps)
    owners = FeatureMap(tuple(map(str, range(features))), {"x": np.arange(features)})
    rng = np.random.default_rng(0)
    others = References({"x": rng.normal(size=(1, references, features))})
    rows = Rows({"x": rng.normal(size=(2, features))}, np.zeros(2, np.int64), others, owners)
    model = Formula(lambda m: m.sum(axis=1))
    meaningful_perturbation(model, rows, params, np.random.default_rng(0))
    # Four masks of samples // 4 each a step, one coalition for each in the end and the empty one; or all but the full
    # one, where these are no more than the steps draw. And the row itself.
    each = {12: 48, 110: 55}[features] if samples == "auto" else samples
    drawn = 4 * (each // 4) * steps
    asked = 2**features - 1 if 2**features <= drawn else drawn + 4 + 1
    assert model.spent.forward == 2 * (asked * references + 1)
    assert model.spent.forward == cost(params, Shape(2, features, references)).forward


def test_each_row_draws_for_itself_and_has_features_of_its_own():
    # Row 0 has three features, row 1 one of all columns; the absent ones get zero.
    owners = FeatureMap(
        ("s1", "s2", "s3"), {"x": np.array([[0, 1, 2], [0, 0, 0]])}, {"kind": "words"}, np.array([3, 1])
    )
    rows = Rows({"x": np.ones((2, 3))}, np.zeros(2, np.int64), References({"x": np.zeros((1, 1, 3))}), owners)
    params = MeaningfulPerturbationParams(area=0.5)
    model = Formula(lambda m: m @ np.array([3.0, 0.1, -0.5]))
    found = meaningful_perturbation(model, rows, params, np.random.default_rng(5))
    # Row 0: 0.5 x 2.6 / 3 = 0.43: the first alone. Row 1: the only one brings 1 for 0.5.
    np.testing.assert_allclose(found.values, [[1, 0, 0], [1, 0, 0]], atol=1e-12)


class Three(Handle):
    """Each output reads a feature of its own and, a little, the fourth; further features are read by none."""

    def scores(self, flat):
        return 4.0 * flat[:, :3] + 0.1 * flat[:, 3:4]


@pytest.mark.parametrize(
    ("features", "steps", "times"),
    # All 16 coalitions are fewer than 48 draws of 4 steps, and answer for every target; those of 10 features are not.
    [(4, 4, 1), (10, 4, 3)],
)
def test_several_targets_share_all_coalitions_and_pay_for_a_descent_each(features, steps, times):
    owners = FeatureMap(tuple(f"f{i}" for i in range(features)), {"x": np.arange(features)})
    data = {"x": np.ones((2, features))}, np.array([2, 0]), References({"x": np.zeros((1, 1, features))}), owners
    rows = Rows(*data, np.array([[0, 1, 2], [0, 1, 2]]))
    method = catalogue()["meaningful_perturbation"]
    params = method.params(steps=steps)
    shape = Shape(2, features)
    assert method.times_for_targets(params, shape, 3) == times
    model = Three()
    found = attribute(method, model, rows, params, seed=3)
    # Beside the method's own rows, the two rows and the reference are scored once.
    assert model.spent.forward == times * cost(params, shape).forward + 2 + 1
    assert found.several.values.shape == found.several.standard_error.shape == (2, features, 3)
    for place in range(3):
        alone = attribute(method, Three(), Rows(data[0], np.full(2, place), *data[2:]), params, seed=3)
        np.testing.assert_array_equal(found.several.values[:, :, place], alone.values)
        np.testing.assert_array_equal(found.several.standard_error[:, :, place], alone.standard_error)
        for row in np.flatnonzero(rows.target == place):  # what is told beside is told of each row's own target
            assert {name: told[row] for name, told in found.notes.items()} == {
                name: told[row] for name, told in alone.notes.items()
            }
    np.testing.assert_array_equal(found.values, found.several.values[[0, 1], :, [2, 0]])
    if times == 1:
        np.testing.assert_array_equal(found.several.values[0].T, np.eye(3, 4))


def test_more_targets_than_would_be_paid_for_are_explained_where_all_coalitions_are_asked():
    class Many(Handle):
        def scores(self, flat):
            return flat @ np.tile(np.eye(3), 5)

    owners = FeatureMap(("a", "b", "c"), {"x": np.arange(3)})
    rows = Rows({"x": np.ones((1, 3))}, np.array([0]), References({"x": np.zeros((1, 1, 3))}), owners, np.arange(15)[None])  # fmt: skip
    method = catalogue()["meaningful_perturbation"]
    found = attribute(method, Many(), rows, method.params())
    np.testing.assert_array_equal(found.several.values[0], np.tile(np.eye(3), 5))
    assert method.times_for_targets(method.params(), Shape(1, 30), 15) is None


def test_a_mask_deletes_more_than_the_same_area_by_occlusion_where_evidence_is_there_twice():
    # Twenty features: ten pairs that say the same, with weights from 1 to 3, two of them much; five of little use alone.
    pairs, weights = np.arange(10).reshape(5, 2), np.array([3.0, 2.5, 2.0, 1.5, 1.0])

    def doubled(m):
        return m[:, pairs].max(axis=2) @ weights + m[:, 10:] @ np.full(10, 0.3)

    found = run(doubled, 20)
    chosen = found.values[0] > 0.5
    full = doubled(np.ones((1, 20)))[0]
    occlusion = full - doubled(1.0 - np.eye(20))
    by_occlusion = np.isin(np.arange(20), np.argsort(-occlusion, kind="stable")[: chosen.sum()])
    left, left_by_occlusion = (doubled((~one)[None] * 1.0)[0] for one in (chosen, by_occlusion))
    # The mask takes the pairs and leaves the features of 0.3 that occlusion sees alone.
    assert left <= 0.5 * left_by_occlusion
