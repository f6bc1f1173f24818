"""The functional decomposition against closed forms and a slow re-derivation of its definition."""

from itertools import combinations

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["functional_decomposition"]


def corners(*names):
    """A full factorial of -1 and 1: features are independent and centred, so that averages are exact."""
    grid = np.stack(np.meshgrid(*[[-1.0, 1.0]] * len(names), indexing="ij"), axis=-1).reshape(-1, len(names))
    return [Column(name, grid[:, j]) for j, name in enumerate(names)]


def facts_of(report):
    return {measure.name: measure.value for measure in report.measures}


def test_an_additive_model_is_its_main_effects_and_nothing_else():
    # Correlated features or not: what is a sum has no component of a pair.
    columns = mixed_columns(200)
    columns[1] = Column("b", columns[1].values + columns[0].values)
    table = table_of(lambda z: z[:, 0] ** 2 + np.exp(z[:, 1]) + z[:, 3], columns)
    report = run(METHOD, table)
    assert set(values_of(report, "pair_").values()) == {0.0}
    assert facts_of(report)["share_left"] == 0.0
    assert facts_of(report)["share_of_main_effects"] == pytest.approx(1.0)
    assert not [chart for chart in report.charts if hasattr(chart, "rows")]  # no map of a pair


def test_a_product_of_centred_independent_features_has_only_the_pair():
    report = run(METHOD, table_of(lambda z: z[:, 0] * z[:, 1], corners("a", "b", "c")), drawn=1)
    assert values_of(report, "pair_") == {"a_and_b": pytest.approx(1.0), "a_and_c": 0.0, "b_and_c": 0.0}
    assert values_of(report, "main_") == {"a": 0.0, "b": 0.0, "c": 0.0}
    assert values_of(report, "total_") == {"a": pytest.approx(1.0), "b": pytest.approx(1.0), "c": 0.0}
    drawn = report.charts[-1]
    assert (drawn.rows, drawn.columns) == (("-1", "1"), ("-1", "1"))
    np.testing.assert_allclose(np.array(drawn.values), [[1.0, -1.0], [-1.0, 1.0]])


def test_shares_are_those_of_the_analysis_of_variance():
    # 2 a + a b + 3 a b c on ±1: variances 4, 1 and 9, of 14 together.
    table = table_of(
        lambda z: 2 * z[:, 0] + z[:, 0] * z[:, 1] + 3 * z[:, 0] * z[:, 1] * z[:, 2], corners("a", "b", "c")
    )
    found = facts_of(run(METHOD, table))
    assert found["share_of_main_effects"] == found["main_a"] == pytest.approx(4 / 14)
    assert found["share_of_pairs"] == found["pair_a_and_b"] == pytest.approx(1 / 14)
    assert found["share_left"] == pytest.approx(9 / 14)
    assert (found["total_b"], found["total_c"]) == (pytest.approx(10 / 14), pytest.approx(9 / 14))
    third = facts_of(run(METHOD, table, order=3))
    assert third["share_of_triples"] == third["triple_a_and_b_and_c"] == pytest.approx(9 / 14)
    assert third["share_left"] == 0.0
    sizes = {row[0]: row[-1] for row in run(METHOD, table, order=3).tables[0].rows}
    assert sizes["a"] == pytest.approx(2.0)
    assert sizes["a and b and c"] == pytest.approx(3.0)


def test_components_are_the_alternating_sums_and_add_up_to_the_score_of_correlated_rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(25, 3))
    x[:, 1] += x[:, 0]

    def formula(z):
        return np.tanh(z[:, 0] + z[:, 1]) * z[:, 2] + z[:, 1] ** 2

    def dependence(features):
        found = []
        for row in x:
            moved = x.copy()
            moved[:, features] = row[list(features)]
            found.append(formula(moved).mean())
        return np.array(found) - np.mean(found)

    report = run(METHOD, table_of(formula, [Column(n, x[:, j]) for j, n in enumerate("abc")]), order=3)
    components = report.arrays["components"][..., 0]
    for place, members in enumerate(report.arrays["members"]):
        members = tuple(members[members >= 0])
        # the sum over all parts T of (-1)^(|S| - |T|) times their centred partial dependence
        expected = sum(
            (-1) ** (len(members) - size) * dependence(part)
            for size in range(1, len(members) + 1)
            for part in combinations(members, size)
        )
        np.testing.assert_allclose(components[place], expected, atol=1e-12)
    score = formula(x) - formula(x).mean()
    np.testing.assert_allclose(components.sum(axis=0), score, atol=1e-12)
    found = facts_of(report)
    assert found["main_b"] == pytest.approx(np.mean(dependence([1]) ** 2) / np.mean(score**2))
    without_b = score - dependence([0, 2])
    assert found["total_b"] == pytest.approx(np.mean(without_b**2) / np.mean(score**2))
    credits = {row[0]: row[4] for row in report.tables[0].rows}
    assert credits["b"] == pytest.approx(np.mean(dependence([1]) * score) / np.mean(score**2))
    assert sum(credits.values()) == pytest.approx(1.0)


def test_shares_of_dependent_features_need_not_add_up_but_their_credits_do():
    # a - b / 2 with b = a: the score is a / 2. Variances of a and of b / 2 over it: 4 and 1. Cov(a, score) / Var = 2,
    # Cov(-b / 2, score) / Var = -1.
    values = np.linspace(-1, 1, 40)
    report = run(METHOD, table_of(lambda z: z[:, 0] - z[:, 1] / 2, [Column("a", values), Column("b", values)]))
    assert values_of(report, "main_") == {"a": pytest.approx(4.0), "b": pytest.approx(1.0)}
    assert facts_of(report)["share_of_main_effects"] == pytest.approx(1.0)
    credits = {row[0]: row[4] for row in report.tables[0].rows}
    assert (credits["a"], credits["b"]) == (pytest.approx(2.0), pytest.approx(-1.0))


def test_variances_are_summed_over_the_reported_outputs():
    # outputs a b and 2 (a + b): variances 1 and 8.
    table = table_of(
        lambda z: np.stack([z[:, 0] * z[:, 1], 2 * (z[:, 0] + z[:, 1])], axis=1),
        corners("a", "b"),
        outputs=("p", "q"),
        focus=(0, 1),
    )
    assert facts_of(run(METHOD, table))["share_of_pairs"] == pytest.approx(1 / 9)


def test_a_curve_is_the_centred_partial_dependence_and_a_cell_without_rows_is_open():
    # Of a + b with both in 0, 1, 2 and never both 2: the curve of a is a less its mean.
    pairs = np.array([(a, b) for a in range(3) for b in range(3) if (a, b) != (2, 2)] * 4, float)
    table = table_of(
        lambda z: z[:, 0] + z[:, 1] + z[:, 0] * z[:, 1], [Column("a", pairs[:, 0]), Column("b", pairs[:, 1])]
    )
    report = run(METHOD, table)
    curve = next(chart for chart in report.charts if chart.title == "Component of a").curves[0]
    # PD of a is a + mean(b) (1 + a); mean of b, as of a, is 7 / 8 (0+1+2 twice over, 0+1 once, of 8).
    expected = np.arange(3) * (1 + 7 / 8)
    np.testing.assert_allclose(curve.y, expected - (3 * expected[0] + 3 * expected[1] + 2 * expected[2]) / 8)
    assert [[cell is None for cell in line] for line in report.charts[-1].values] == [
        [False, False, False],
        [False, False, False],
        [False, False, True],
    ]


def test_missing_values_and_categories_have_components():
    columns = mixed_columns(60)
    columns[0] = Column("a", np.where(np.arange(60) % 5 == 0, np.nan, columns[0].values))
    columns[2] = Column("colour", np.arange(60) // 5 % 3, ("red", "green", "blue"), "one_hot")  # independent of a
    table = table_of(lambda z: np.isnan(z[:, 0]) * 1.0 + (z[:, 2] == 1) * np.isnan(z[:, 0]), columns)
    found = facts_of(run(METHOD, table))
    assert found["main_a"] + found["main_colour"] + found["pair_a_and_colour"] == pytest.approx(1.0)
    assert found["pair_a_and_colour"] > 0.01


def test_intervals_hold_the_value_and_narrow_with_more_rows():
    table = table_of(lambda z: z[:, 0] * (1 + z[:, 1]) + z[:, 0], mixed_columns())
    widths = []
    for rows in (30, 200):
        report = run(METHOD, table, rows=rows, pair_features=2, drawn=0)
        measure = next(m for m in report.measures if m.name == "pair_a_and_b")
        low, high = measure.interval
        assert low <= measure.value <= high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_a_constant_score_has_no_shares():
    report = run(METHOD, table_of(lambda z: 0 * z[:, 0] + 7.1, mixed_columns()))
    assert {m.value for m in report.measures} == {None}
    assert all(m.reason for m in report.measures)


def test_planned_rows_are_the_most_and_rows_that_share_values_are_asked_once():
    table = table_of(lambda z: z[:, 0] * z[:, 1], mixed_columns(60), test=25)
    # 5 features and 3 pairs over 25 rows, one map of 8 × 8 points
    asked, planned = spent_by(METHOD, table, pair_features=3, drawn=1)
    assert planned == 25**2 * 8 + 64 * 25
    # `colour` has 3 values and `grade` 4; the pairs are of the three features that interact most, numbers among them
    assert asked <= planned - (25 - 3) * 25 - (25 - 4) * 25
    one, two, other = (run(METHOD, table, seed, rows=10) for seed in (1, 1, 2))
    assert repr(one) == repr(two)
    assert one.measures != other.measures
