"""Accumulated local effects against closed forms and a slow re-derivation from the paper."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.perturbation._effects_ale import bins_of, edges_of, second_order, similarity_order
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["accumulated_local_effects"]


def curves_of(report):
    return {chart.subject: chart.curves[0] for chart in report.charts if chart.subject and hasattr(chart, "curves")}


def slow(formula, x, j, edges):
    """Equation 15 of the paper with the centring of 16, row by row."""
    effects, counts = np.zeros(len(edges)), np.zeros(len(edges) - 1)
    for k in range(1, len(edges)):
        changes = []
        for row in x:
            if edges[k - 1] < row[j] <= edges[k] or (k == 1 and row[j] == edges[0]):
                low, high = row.copy(), row.copy()
                low[j], high[j] = edges[k - 1], edges[k]
                changes.append(formula(high[None])[0] - formula(low[None])[0])
        counts[k - 1] = len(changes)
        effects[k] = effects[k - 1] + np.mean(changes)
    middle = (effects[1:] + effects[:-1]) / 2
    return effects - (middle * counts).sum() / counts.sum()


def correlated(n=300, seed=1):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    return np.stack([first, first + 0.3 * rng.normal(size=n), rng.normal(size=n)], axis=1)


def test_it_is_the_slow_sum_of_the_paper_on_correlated_features():
    def formula(z):
        return z[:, 0] * z[:, 1] + np.sin(3 * z[:, 2]) * z[:, 0]

    x = correlated()
    charts = curves_of(run(METHOD, table_of(formula, [Column(n, x[:, j]) for j, n in enumerate("abc")]), bins=10))
    for j, name in enumerate("abc"):
        np.testing.assert_allclose(charts[name].y, slow(formula, x, j, np.array(charts[name].x)), atol=1e-12)


def test_it_is_what_pyale_computes():
    # PyALE 1.2.0 on z = (i mod 7, (i * i) mod 11, i) for i < 77, score = z0 * z1 + z2 / 10, grid_size=5, feature z1:
    # what it returns as index and column ``eff``.
    i = np.arange(77.0)
    x = np.stack([i % 7, (i * i) % 11, i], axis=1)
    table = table_of(lambda z: z[:, 0] * z[:, 1] + z[:, 2] / 10, [Column(n, x[:, j]) for j, n in enumerate("abc")])
    curve = curves_of(run(METHOD, table, bins=5, pairs=0))["b"]
    np.testing.assert_allclose(curve.x, PYALE[0])
    np.testing.assert_allclose(curve.y, PYALE[1], atol=1e-6)


PYALE = ((0.0, 1.0, 3.0, 4.0, 5.0, 9.0), (-9.681818, -6.681818, -0.681818, 2.318182, 5.318182, 17.318182))


def test_an_additive_model_gives_back_its_parts():
    table = table_of(lambda z: z[:, 0] ** 2 + np.exp(z[:, 1]), mixed_columns())
    charts = curves_of(run(METHOD, table))
    for name, part in (("a", np.square), ("b", np.exp)):
        curve = charts[name]
        np.testing.assert_allclose(np.diff(curve.y), np.diff(part(np.array(curve.x))), atol=1e-12)


def test_a_feature_that_only_hangs_together_with_another_gets_nothing_and_partial_dependence_goes_astray():
    # The score is 0 where a and b are close, as they are in all rows, and 100 (a - b)² far from there. The local
    # effect stays near 0; partial dependence reports the impossible rows.
    x = correlated()
    table = table_of(lambda z: np.maximum(np.abs(z[:, 0] - z[:, 1]) - 1.5, 0) ** 2 * 100, [Column(n, x[:, j]) for j, n in enumerate("abc")])  # fmt: skip
    local = values_of(run(METHOD, table), "range_")["a"]
    marginal = values_of(run(catalogue()["partial_dependence"], table), "range_")["a"]
    assert local < 0.05 * marginal


def test_categories_take_the_mean_of_steps_from_both_sides():
    # Ordered categories 0 < 1 < 2; score = code * b. Step 0 to 1 changes the score by b in each row of either category:
    # mean b over the rows of 0 and 1; step 1 to 2: over the rows of 1 and 2. Centred by the shares of the categories.
    rng = np.random.default_rng(6)
    code, b = rng.integers(0, 3, 90), rng.normal(size=90)
    columns = [Column("c", code, ("low", "middle", "high"), "one_hot"), Column("b", b)]
    table = table_of(lambda z: z[:, 0] * z[:, 1], columns, ordered=frozenset({"c"}))
    effect = np.cumsum([0.0, b[code <= 1].mean(), b[code >= 1].mean()])
    effect -= effect[code].mean()
    curve = curves_of(run(METHOD, table))["c"]
    assert curve.x == ("low", "middle", "high")
    np.testing.assert_allclose(curve.y, effect, atol=1e-12)


def test_categories_without_order_stand_by_how_their_rows_resemble_each_other():
    # b is about 0 for x, 10 for z and 5 for y: y lies between them, whatever the codes.
    rng = np.random.default_rng(0)
    code = rng.integers(0, 3, 120)
    b = np.array([0.0, 10.0, 5.0])[code] + rng.normal(size=120)
    table = table_of(lambda z: z[:, 1], [Column("c", code, ("x", "z", "y")), Column("b", b)])
    order = similarity_order(table.train.z, 0, table.features, np.array([0.0, 1.0, 2.0]))
    assert list(order) in ([0.0, 2.0, 1.0], [1.0, 2.0, 0.0])


def test_the_second_order_effect_of_a_product_is_the_product_of_the_centred_features():
    # On a full factorial with even counts the effect of a * b beyond both is (a - m) (b - m), m the mean over the cells'
    # middles: edges 0, 1, 2, 3 hold the levels {0, 1}, {2}, {3} twice as often in the first cell: middles .5, 1.5, 2.5
    # with weights 2, 1, 1 of 4: m = 1.25.
    level = np.arange(4.0)
    a, b = (grid.reshape(-1) for grid in np.meshgrid(level, level))
    edges = np.arange(4.0)
    one, other = bins_of(a, edges), bins_of(b, edges)
    height, count = second_order(np.ones(16), one, other, (3, 3))
    np.testing.assert_allclose(height, np.outer(edges - 1.25, edges - 1.25), atol=1e-12)
    assert count.sum() == 16


def test_the_pair_that_acts_together_is_found_and_additive_models_have_none():
    x = np.random.default_rng(3).uniform(-1, 1, (600, 4))
    columns = [Column(n, x[:, j]) for j, n in enumerate("abcd")]
    together = run(METHOD, table_of(lambda z: z[:, 0] + z[:, 2] + 2 * z[:, 1] * z[:, 3], columns))
    found = values_of(together, "interaction_")
    assert max(found, key=found.get) == "b_and_d"
    # a product of two even features on [-1, 1] has standard deviation 2 / 3; cells of a quarter flatten it a little
    assert found["b_and_d"] == pytest.approx(2 / 3, rel=0.06)
    assert together.charts[-1].x_title == "d" or together.charts[1].subject
    apart = run(METHOD, table_of(lambda z: z[:, 0] ** 2 + z[:, 2] + 2 * z[:, 1], columns))
    assert set(values_of(apart, "interaction_").values()) == {0.0}
    assert not [chart for chart in apart.charts if hasattr(chart, "values")]


def test_bins_hold_observed_values_and_never_fewer_rows_than_four():
    values = np.random.default_rng(1).normal(size=50)
    edges = edges_of(values, 20)
    assert set(edges) <= set(values)
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    assert np.bincount(bins_of(values, edges)).min() >= 3  # 50 rows in 12 bins: 4 on average
    assert len(edges_of(np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]), 20)) <= 3


def test_missing_and_constant_values_have_no_effect():
    rng = np.random.default_rng(2)
    x = rng.normal(size=80)
    x[:30] = np.nan
    columns = [Column("x", x), Column("same", np.full(80, 4.0)), Column("gone", np.full(80, np.nan)), Column("k", rng.normal(size=80))]  # fmt: skip
    report = run(METHOD, table_of(lambda z: np.nan_to_num(z[:, 0]) + z[:, 3], columns), trim=0)
    ranges = values_of(report, "range_")
    assert ranges["same"] == 0.0
    assert ranges["gone"] is None
    known = x[np.isfinite(x)]
    assert ranges["x"] == pytest.approx(np.ptp(known))


def test_the_range_leaves_out_the_trimmed_ends_as_partial_dependence_does():
    # 101 even values from 0 to 1 in 20 bins: edges 0, 0.05, …, 1; from the quantile 0.05 to that of 0.95: 3 * 0.9 = 2.7,
    # although the score leaps at both ends.
    x = np.random.default_rng(0).permutation(np.linspace(0, 1, 101))
    columns = [Column("x", x), Column("y", np.random.default_rng(1).normal(size=101))]
    table = table_of(lambda z: 3 * z[:, 0] + 50 * (z[:, 0] > 0.98) + 50 * (z[:, 0] < 0.02), columns)
    report = run(METHOD, table)
    assert values_of(report, "range_")["x"] == pytest.approx(2.7)
    assert values_of(report, "monotone_")["x"] == pytest.approx(1.0)
    assert np.ptp(curves_of(report)["x"].y) > 50
    assert values_of(run(catalogue()["partial_dependence"], table), "range_")["x"] == pytest.approx(2.7)


def test_the_price_is_a_ceiling_that_numeric_features_reach():
    columns = [Column(n, np.random.default_rng(j).normal(size=60)) for j, n in enumerate("ab")]
    table = table_of(lambda z: z[:, 0] * z[:, 1], columns, test=40)
    assert spent_by(METHOD, table) == (40 * (1 + 2 * 2 + 4), 40 * (1 + 2 * 2 + 4))
    assert spent_by(METHOD, table, pairs=0, rows=25) == (25 * 5, 25 * 5)
    spent, planned = spent_by(METHOD, table_of(lambda z: z[:, 0], mixed_columns()))
    assert spent < planned


def test_intervals_hold_the_curve_and_the_same_seed_gives_the_same_bytes():
    table = table_of(lambda z: z[:, 0] * (1 + z[:, 1]), mixed_columns())
    one, two, other = (run(METHOD, table, seed, rows=100) for seed in (1, 1, 2))
    assert one.arrays["effects"].tobytes() == two.arrays["effects"].tobytes()
    assert one.arrays["effects"].tobytes() != other.arrays["effects"].tobytes()
    curve = curves_of(one)["a"]
    inside = [low <= y <= high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True)]
    assert np.mean(inside) > 0.9
    assert not any(item.shows_rows for item in (*one.charts, *one.tables))
