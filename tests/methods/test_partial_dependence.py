"""Partial dependence against closed forms and scikit-learn."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, handle_of, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["partial_dependence"]


def curves_of(report):
    """Feature name to its curves."""
    return {chart.subject: chart for chart in report.charts if chart.subject}


def test_the_curve_of_a_linear_model_is_its_coefficient_and_the_range_follows():
    # 101 values 0, 0.01, …, 1: inverted quantiles at 0.05 and 0.95 are 0.05 and 0.95, so the range is 3 * 0.9 = 2.7.
    rng = np.random.default_rng(0)
    x = rng.permutation(np.linspace(0, 1, 101))
    table = table_of(lambda z: 3 * z[:, 0] - z[:, 1], [Column("x", x), Column("y", rng.normal(size=101))])
    report = run(METHOD, table, points=10)
    assert values_of(report, "range_")["x"] == pytest.approx(2.7)
    curve = curves_of(report)["x"].curves[0]
    np.testing.assert_allclose(np.diff(curve.y), 3 * np.diff(curve.x))
    assert values_of(report, "monotone_") == {"x": pytest.approx(1.0), "y": pytest.approx(-1.0)}


def test_it_is_what_scikit_learn_computes():
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.inspection import partial_dependence

    def formula(z):
        return np.sin(2 * z[:, 0]) * z[:, 1] + np.exp(z[:, 2] / 2)

    class Fitted(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.fitted_ = True
            return self

        def predict(self, X):
            return formula(np.asarray(X))

    rng = np.random.default_rng(5)
    x = rng.normal(size=(250, 3))
    table = table_of(formula, [Column(n, x[:, j]) for j, n in enumerate("abc")])
    charts = curves_of(run(METHOD, table, points=12))
    for j, name in enumerate("abc"):
        curve = charts[name].curves[0]
        theirs = partial_dependence(
            Fitted().fit(x, None), x, [j], custom_values={j: np.array(curve.x)}, kind="average", method="brute"
        )
        np.testing.assert_allclose(curve.y, theirs["average"][0], atol=1e-12)


def test_categories_are_bars_by_name_and_their_effect_is_that_of_the_formula():
    effect = np.array([0.0, 1.0, -0.5])
    table = table_of(lambda z: effect[z[:, 2].astype(int)] + z[:, 0], mixed_columns())
    report = run(METHOD, table)
    chart = curves_of(report)["colour"]
    assert chart.kind == "bars"
    assert chart.curves[0].x == ("red", "green", "blue")
    np.testing.assert_allclose(np.diff(chart.curves[0].y), [1.0, -1.5])
    assert values_of(report, "range_")["colour"] == pytest.approx(1.5)
    assert values_of(report, "monotone_")["colour"] is None  # its values have no order


def test_every_reported_output_has_its_curve_from_the_same_rows():
    def formula(z):
        return np.stack([z[:, 0], -2 * z[:, 0], 0 * z[:, 0]], axis=1)

    columns = mixed_columns()
    one = table_of(formula, columns, outputs=("p", "q", "r"), focus=(1,))
    all_three = table_of(formula, columns, outputs=("p", "q", "r"), focus=(0, 1, 2))
    first, second = run(METHOD, one), run(METHOD, all_three)
    assert handle_of(one).spent.forward == handle_of(all_three).spent.forward
    charts = curves_of(second)["a"].curves
    assert [curve.name for curve in charts] == ["p", "q", "r"]
    np.testing.assert_allclose(charts[1].y, -2 * np.array(charts[0].y))
    assert values_of(second, "range_")["a"] == values_of(first, "range_")["a"]  # that of q, the largest
    assert values_of(second, "monotone_")["a"] == -1.0


def test_what_does_not_move_the_score_is_flat_and_is_not_drawn():
    table = table_of(lambda z: z[:, 0] * 1e6, mixed_columns())
    report = run(METHOD, table)
    assert values_of(report, "range_")["b"] == 0.0
    assert values_of(report, "monotone_")["b"] is None
    assert set(curves_of(report)) == {"a"}


def test_missing_and_constant_values_are_no_points():
    rng = np.random.default_rng(2)
    x = rng.normal(size=60)
    x[:20] = np.nan
    columns = [Column("x", x), Column("same", np.full(60, 4.0)), Column("gone", np.full(60, np.nan)), Column("k", rng.normal(size=60))]  # fmt: skip
    table = table_of(lambda z: np.nan_to_num(z[:, 0]) + z[:, 1] + np.nan_to_num(z[:, 2]), columns)
    report = run(METHOD, table)
    assert np.isfinite(curves_of(report)["x"].curves[0].x).all()
    ranges = values_of(report, "range_")
    assert ranges["same"] == 0.0
    assert ranges["gone"] is None


def test_intervals_hold_the_curve_and_are_nothing_where_rows_agree():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 2))
    columns = [Column("a", x[:, 0]), Column("b", x[:, 1])]
    noisy = curves_of(run(METHOD, table_of(lambda z: z[:, 0] * (1 + z[:, 1]), columns)))["a"].curves[0]
    for low, y, high in zip(noisy.low, noisy.y, noisy.high, strict=True):
        assert low < y < high
    alike = curves_of(run(METHOD, table_of(lambda z: z[:, 0] ** 2, columns)))["a"].curves[0]
    np.testing.assert_allclose(alike.low, alike.high)


def test_the_range_has_the_interval_of_its_own_resamples():
    # score = b * a: over the rows' mean of b, the range of a is |mean b| * (a's reach); its standard error is known.
    rng = np.random.default_rng(8)
    a, b = rng.uniform(size=300), 2 + rng.normal(size=300)
    report = run(METHOD, table_of(lambda z: z[:, 0] * z[:, 1], [Column("a", a), Column("b", b)]))
    measure = next(m for m in report.measures if m.name == "range_a")
    reach = np.ptp(curves_of(report)["a"].curves[0].x)
    half = 1.96 * b.std() / np.sqrt(300) * reach
    assert measure.interval[1] - measure.interval[0] == pytest.approx(2 * half, rel=0.15)


def test_planned_rows_are_spent_and_few_values_spend_less():
    columns = [Column("a", np.arange(50.0)), Column("b", np.arange(50.0) ** 2)]
    table = table_of(lambda z: z[:, 0], columns, test=20)
    assert spent_by(METHOD, table, points=5) == (5 * 20 * 2, 5 * 20 * 2)
    assert spent_by(METHOD, table, points=5, rows=7) == (5 * 7 * 2, 5 * 7 * 2)
    # a and b have 20 points, colour 3, grade 4, unread 20
    assert spent_by(METHOD, table_of(lambda z: z[:, 0], mixed_columns())) == (300 * 67, 300 * 100)


def test_the_same_seed_gives_the_same_bytes_and_rows_stay_hidden():
    table = table_of(lambda z: z[:, 0] * z[:, 1], mixed_columns())
    one, two, other = run(METHOD, table, 1, rows=50), run(METHOD, table, 1, rows=50), run(METHOD, table, 2, rows=50)
    assert one.arrays["effects"].tobytes() == two.arrays["effects"].tobytes()
    assert one.arrays["effects"].tobytes() != other.arrays["effects"].tobytes()
    assert one.measures == two.measures
    assert not any(item.shows_rows for item in (*one.charts, *one.tables))
