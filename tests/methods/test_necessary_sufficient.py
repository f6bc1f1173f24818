"""Smallest sufficient and necessary sets against enumeration, planted sets, and games without an answer."""

from itertools import combinations

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation._random_masks import every_mask
from pgx_compiler.methods.perturbation._smallest_set import smallest_set
from pgx_compiler.methods.perturbation.necessary_features import NecessaryFeaturesParams, necessary_features
from pgx_compiler.methods.perturbation.sufficient_features import SufficientFeaturesParams, sufficient_features
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from tests.methods.models import Handle
from tests.methods.test_kernel_shap import network_game


class Formula(Handle):
    """Scores are a formula of flat rows."""

    def __init__(self, formula):
        super().__init__()
        self.scores = formula


def game_of(formula, features, kind="list"):
    """The row is all ones, the one reference all zeros: what the model sees is the mask."""
    owners = FeatureMap(tuple(f"f{i}" for i in range(features)), {"x": np.arange(features)}, {"kind": kind})
    model = Formula(formula)
    return Game(model, {"x": np.ones((1, features))}, {"x": np.zeros((1, features))}, owners, np.array([0])), model


def two_classes(lead):
    return lambda m: np.stack([lead(m), -lead(m)], axis=1) / 2


def run(method, game, seed=0, **params):
    chosen = {"sufficient": (sufficient_features, SufficientFeaturesParams), "necessary": (necessary_features, NecessaryFeaturesParams)}  # fmt: skip
    function, schema = chosen[method]
    return function(game, schema(**params), np.random.default_rng(seed))


def smallest_by_definition(holds, features):
    for size in range(features + 1):
        if any(holds(np.isin(np.arange(features), chosen)) for chosen in combinations(range(features), size)):
            return size
    return None


@pytest.mark.parametrize("seed", range(6))
def test_few_features_give_the_smallest_set_proven(seed):
    game = network_game(9, outputs=3, seed=seed)
    leader = int(np.argmax(game.full()))
    worth = {tuple(mask): game.value(mask[None])[0] for mask in every_mask(9)}

    def stands(mask):
        return int(np.argmax(worth[tuple(mask)])) == leader

    kept = run("sufficient", game)
    assert kept.numbers["size"] == smallest_by_definition(stands, 9)
    assert stands(kept.arrays["kept"])
    assert kept.numbers["proven"] == 1.0
    removed = run("necessary", game)
    expected = smallest_by_definition(lambda mask: not stands(~mask), 9)
    assert removed.numbers["found"] == float(expected is not None)
    if expected is not None:
        assert removed.numbers["size"] == expected
        assert not stands(~removed.arrays["removed"])


def test_a_planted_conjunction_is_found_among_many_features():
    # Class 0 leads only with 3, 17 and 29 together; each alone, and any two, say nothing.
    game, _ = game_of(two_classes(lambda m: 2 * m[:, 3] * m[:, 17] * m[:, 29] - 1 + 0.01 * m[:, 5]), 40)
    kept = run("sufficient", game)
    assert set(kept.statements[0].features) == {"f3", "f17", "f29"}
    # Without any one of them the decision falls: 1 of 40 features, and fewer than one is none.
    removed = run("necessary", game)
    assert len(removed.statements[0].features) == 1
    assert removed.statements[0].features[0] in {"f3", "f17", "f29"}
    assert removed.numbers["proven"] == 1.0


def test_a_set_of_four_among_twenty_is_proven_by_asking_all_smaller_ones():
    weights = np.array([3.0, 2, 2, 2, 2, *[1.0] * 15])
    game, _ = game_of(two_classes(lambda m: m @ weights - 8.5), 20)
    found = run("sufficient", game)
    # 3 + 2 + 2 + 2 = 9 > 8.5 with four features; three give at most 7.
    assert found.numbers["size"] == 4
    assert found.numbers["proven"] == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_on_additive_games_the_smallest_sets_are_the_largest_weights(seed):
    # The fewest features whose weights pass a threshold are the largest ones: a closed form for 60 features.
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=60)
    threshold = 0.5 * weights.sum()
    game, _ = game_of(two_classes(lambda m: m @ weights - threshold), 60)
    expected = int(np.argmax(np.cumsum(np.sort(weights)[::-1]) > threshold)) + 1
    assert run("sufficient", game, seed).numbers["size"] == expected
    # The decision falls where what is removed weighs half or more: the same set.
    assert run("necessary", game, seed).numbers["size"] == expected


def test_no_member_of_a_set_can_be_left_out():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(30, 30)) * (rng.random((30, 30)) < 0.2)

    def margin(sets):
        return np.einsum("ni,ij,nj->n", sets, weights, sets) - 4

    found = smallest_set(margin, 30, 3000, np.random.default_rng(1))
    assert found is not None
    assert margin(found.members[None])[0] > 0
    if found.irreducible:
        for member in np.flatnonzero(found.members):
            less = found.members.copy()
            less[member] = False
            assert margin(less[None])[0] <= 0


def test_references_that_decide_alone_need_no_feature():
    game, _ = game_of(two_classes(lambda m: 1 + m[:, 0]), 30)
    found = run("sufficient", game)
    assert (found.numbers["size"], found.numbers["needs_none"]) == (0.0, 1.0)
    assert "no feature is needed" in found.statements[0].text
    # And nothing that is removed changes the decision: an answer without a statement.
    nothing = run("necessary", game)
    assert nothing.numbers == {"found": 0.0}
    assert nothing.statements == ()


def test_a_decision_can_fall_although_the_references_share_it():
    # Removing feature 2 alone turns it; removing all does not. Prefixes of orders find what the full removal hides.
    game, _ = game_of(two_classes(lambda m: 1 - 4 * (1 - m[:, 2]) * m[:, 7]), 25)
    found = run("necessary", game)
    assert found.statements[0].features == ("f2",)


def test_one_output_is_judged_by_the_share_of_its_score():
    # Of 10 = 6 + 3 + 1: 90 % are kept by the first two (9 / 10 - 0.9 is not above zero), so all three are needed; 80 % by two.
    weights = np.array([6.0, 3.0, 1.0] + [0.0] * 17)
    game, _ = game_of(lambda m: (m @ weights)[:, None], 20)
    assert set(run("sufficient", game).statements[0].features) == {"f0", "f1", "f2"}
    assert set(run("sufficient", game, share=0.8).statements[0].features) == {"f0", "f1"}
    # Gone are 50 % with the first alone.
    assert set(run("necessary", game, share=0.5).statements[0].features) == {"f0"}
    negative, _ = game_of(lambda m: -(m @ weights)[:, None], 20)
    assert set(run("sufficient", negative, share=0.8).statements[0].features) == {"f0", "f1"}


@pytest.mark.parametrize("features", [1, 5, 30])
def test_a_constant_model_needs_nothing_and_loses_nothing(features):
    for outputs in (1, 3):
        game, _ = game_of(lambda m, k=outputs: np.ones((len(m), k)) * np.arange(k, 0, -1), features)
        assert run("sufficient", game).numbers["size"] == 0.0
        assert run("necessary", game).numbers["found"] == 0.0


def test_words_of_a_text_are_not_shown_without_leave():
    game, _ = game_of(two_classes(lambda m: m[:, 1] - 0.5), 20, kind="words")
    statement = run("sufficient", game).statements[0]
    assert "f1" in statement.text
    assert "f1" not in statement.without_values
    assert statement.without_values == "1 of 20 features alone keeps the decision"


@pytest.mark.parametrize("method", ["sufficient", "necessary"])
@pytest.mark.parametrize("samples", [16, 100, "auto"])
@pytest.mark.parametrize("features", [3, 12, 40])
def test_no_more_is_spent_than_planned(method, samples, features):
    weights = np.random.default_rng(0).normal(size=features)
    for formula in (two_classes(lambda m: m @ weights), lambda m: (m @ weights)[:, None]):
        game, model = game_of(formula, features)
        run(method, game, samples=samples)
        declared = catalogue()[f"{method}_features"]
        params = declared.params(samples=samples)
        assert model.spent.forward <= declared.cost(params, Shape(1, features)).forward


def test_the_same_seed_finds_the_same_set():
    game = network_game(40, outputs=2, seed=2)
    one, other = (run("sufficient", game, seed=5) for _ in range(2))
    assert one.arrays["kept"].tobytes() == other.arrays["kept"].tobytes()
