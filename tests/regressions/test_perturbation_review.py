"""What a review of the perturbation methods found: words and labels that leaked, sentences and warnings that were not true."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.perturbation.mmd_critic import MmdCriticParams, mmd_critic
from pgx_compiler.methods.perturbation.necessary_features import NecessaryFeaturesParams, necessary_features
from pgx_compiler.methods.perturbation.sage import convergence
from pgx_compiler.methods.perturbation.shapley_interactions import ShapleyInteractionsParams, shapley_interactions
from pgx_compiler.methods.perturbation.sufficient_features import SufficientFeaturesParams, sufficient_features
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Spent
from tests.methods.tables import Column, data_of, table_of
from tests.methods.test_necessary_sufficient import game_of


class Doubles:
    """Scores whatever its only input holds."""

    rows_per_call = 64

    def __init__(self):
        self.spent = Spent()

    def predict(self, inputs):
        return np.asarray(inputs["x"], np.float64)[:, :1] * 2


class Single:
    """A linear model that adds up in single precision, as an exported one does, far from zero."""

    rows_per_call = 64
    weights = np.array([3.1, -2.7, 0.3, 1.9], np.float32)

    def __init__(self):
        self.spent = Spent()

    def predict(self, inputs):
        score = np.float32(100.123) + np.asarray(inputs["x"], np.float32) @ self.weights
        return score.astype(np.float64)[:, None]


def interactions(formula, kind):
    names = ("terribly", "disappointing", "film")
    owners = FeatureMap(names, {"x": np.arange(3)}, {"kind": kind})
    model = game_of(formula, 3)[1]
    game = Game(model, {"x": np.ones((1, 3))}, {"x": np.zeros((1, 3))}, owners, np.array([0]))
    return shapley_interactions(game, ShapleyInteractionsParams(), np.random.default_rng(0))


def product(m):
    return (m[:, 0] * m[:, 1] * 1.0)[:, None]


def test_interacting_words_of_a_text_stay_out_where_rows_are_not_shown():
    report = interactions(product, "words")
    (statement,) = report.statements
    assert "terribly" in statement.text
    assert statement.without_values == "two features together: more than the sum of what each does alone"
    assert all(chart.shows_rows for chart in report.charts)  # its axes are the words


def test_interacting_columns_are_named_as_before():
    report = interactions(product, "columns")
    assert report.statements[0].without_values.startswith("terribly and disappointing together")
    assert not any(chart.shows_rows for chart in report.charts)


def test_rounding_of_single_precision_is_no_interaction():
    rng = np.random.default_rng(1)
    owners = FeatureMap(tuple("abcd"), {"x": np.arange(4)}, {"kind": "columns"})
    row, references = rng.normal(size=(1, 4)), rng.normal(size=(50, 4))
    game = Game(Single(), {"x": row}, {"x": references}, owners, np.array([0]))
    report = shapley_interactions(game, ShapleyInteractionsParams(), np.random.default_rng(0))
    assert 0 < report.numbers["strongest"] < 1e-3  # it is there, and it is rounding
    assert report.statements == ()


def test_the_label_of_a_training_row_stays_out_where_rows_are_not_shown():
    salaries = 50_000.25 + np.arange(40) * 17.5
    data = data_of([Column("x", np.linspace(0, 1, 40))], labels=salaries, test=10)
    report = mmd_critic(Doubles(), data, MmdCriticParams(rows=20), np.random.default_rng(0))
    open_cells = {cell for table in report.tables if not table.shows_rows for line in table.rows for cell in line}
    shown_cells = {cell for table in report.tables if table.shows_rows for line in table.rows for cell in line}
    assert not open_cells & set(salaries.tolist())
    assert shown_cells & set(salaries.tolist())


def two_classes(z):
    return np.stack([-z[:, 0], z[:, 0]], axis=1)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"wanted": "good", "margin": 1e6}, "good by at least 1e+06"),  # the row is good already: not "instead of good"
        ({"wanted": "bad", "margin": 1e6}, "bad instead of good by at least 1e+06"),
        ({"margin": 1e6}, "bad instead of good by at least 1e+06"),  # rows that are bad by less were asked
    ],
)
def test_what_was_not_found_says_the_margin_that_was_asked_for(params, words):
    values = np.linspace(3.0, -3.0, 60)
    table = table_of(two_classes, [Column("a", values), Column("b", values**2)], classes=("bad", "good"), focus=(1,),
                     score="logit", explained=1)  # fmt: skip
    row = table.row(0)
    assert row.z[0] > 0  # the model says good
    method = catalogue()["counterfactuals"]
    report = method.function(row, method.params(**params, max_calls=200), np.random.default_rng(0))
    said = report.statements[0].text
    assert said.startswith("not found")
    assert f" gives {words}" in said


def test_a_share_of_the_distance_is_a_bound_and_not_rounded_to_all_or_nothing():
    game, _ = game_of(lambda m: m.sum(axis=1, keepdims=True) * 1.0, 3)
    rng = np.random.default_rng(0)
    some = necessary_features(game, NecessaryFeaturesParams(criterion="score", share=0.999), rng).statements[0].text
    assert "takes at least 99.9% of the score's distance" in some
    some = sufficient_features(game, SufficientFeaturesParams(criterion="score", share=0.001), rng).statements[0].text
    assert "keeps at least 0.1% of the score's distance" in some


def test_rounding_about_zero_has_converged():
    gains = np.random.default_rng(0).normal(size=(64, 5)) * 1e-17
    assert convergence(gains, np.arange(64)) == 0.0
    assert convergence(gains * 1e16, np.arange(64)) > 0.05
