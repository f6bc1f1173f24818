"""Friedman's H against closed forms and a slow re-derivation from the paper."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["friedman_h"]


def corners(*names, copies=2):
    """A full factorial of -1 and 1: features are independent and centred, so that averages are exact."""
    grid = np.stack(np.meshgrid(*[[-1.0, 1.0]] * len(names), indexing="ij"), axis=-1).reshape(-1, len(names))
    grid = np.repeat(grid, copies, axis=0)
    return grid, [Column(name, grid[:, j]) for j, name in enumerate(names)]


def test_an_additive_model_has_no_interaction():
    table = table_of(lambda z: z[:, 0] ** 2 + np.exp(z[:, 1]) + z[:, 3], mixed_columns())
    report = run(METHOD, table)
    assert set(values_of(report, "h_").values()) == {0.0}
    assert values_of(report, "interaction_strength")[""] == 0.0


def test_a_product_of_centred_features_is_all_interaction():
    _, columns = corners("a", "b", "c")
    report = run(METHOD, table_of(lambda z: z[:, 0] * z[:, 1], columns))
    found, pairs = values_of(report, "h_"), values_of(report, "interaction_")
    assert found["a"] == found["b"] == pytest.approx(1.0)
    assert pairs["a_and_b"] == pytest.approx(1.0)
    assert found["c"] == pairs["a_and_c"] == 0.0


def test_shares_are_those_of_the_analysis_of_variance():
    # a + b + a b on ±1: variances 1, 1 and 1. H² of a: 1 of 3; of the pair: 1 of 3; the strength: 1 of 3.
    _, columns = corners("a", "b")
    report = run(METHOD, table_of(lambda z: z[:, 0] + z[:, 1] + z[:, 0] * z[:, 1], columns))
    found = values_of(report, "h_")
    assert found["a"] == pytest.approx(np.sqrt(1 / 3))
    assert values_of(report, "interaction_")["a_and_b"] == pytest.approx(np.sqrt(1 / 3))
    assert values_of(report, "interaction_strength")[""] == pytest.approx(1 / 3)
    joint = {row[0]: row[-1] for row in report.tables[1].rows}
    assert joint["a and b"] == pytest.approx(1.0)


def test_it_is_the_slow_sum_of_the_paper():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(25, 3))
    x[:, 1] += x[:, 0]

    def formula(z):
        return np.tanh(z[:, 0] + z[:, 1]) * z[:, 2] + z[:, 1] ** 2

    def dependence(features):
        """Equation 9 at each row's own values, centred."""
        found = []
        for row in x:
            moved = x.copy()
            moved[:, features] = row[features]
            found.append(formula(moved).mean())
        return np.array(found) - np.mean(found)

    centred = formula(x) - formula(x).mean()
    report = run(METHOD, table_of(formula, [Column(n, x[:, j]) for j, n in enumerate("abc")]))
    found, pairs = values_of(report, "h_"), values_of(report, "interaction_")
    for j, name in enumerate("abc"):
        rest = [k for k in range(3) if k != j]
        left = centred - dependence([j]) - dependence(rest)  # equation 45
        assert found[name] == pytest.approx(np.sqrt((left**2).sum() / (centred**2).sum()))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = dependence([one, other])
        left = both - dependence([one]) - dependence([other])  # equation 44
        assert pairs[f"{'abc'[one]}_and_{'abc'[other]}"] == pytest.approx(np.sqrt((left**2).sum() / (both**2).sum()))


def test_variances_are_summed_over_the_reported_outputs():
    # outputs a b and 2 (a + b): variances 1 and 8; interaction 1 of 9.
    _, columns = corners("a", "b")
    table = table_of(lambda z: np.stack([z[:, 0] * z[:, 1], 2 * (z[:, 0] + z[:, 1])], axis=1), columns, outputs=("p", "q"), focus=(0, 1))  # fmt: skip
    assert values_of(run(METHOD, table), "interaction_strength")[""] == pytest.approx(1 / 9)


def test_intervals_hold_the_value_and_narrow_with_more_rows():
    table = table_of(lambda z: z[:, 0] * (1 + z[:, 1]) + z[:, 0], mixed_columns())
    widths = []
    for rows in (30, 200):
        measure = next(m for m in run(METHOD, table, rows=rows, pair_features=0).measures if m.name == "h_a")
        low, high = measure.interval
        assert low <= measure.value <= high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_a_constant_score_has_no_shares():
    report = run(METHOD, table_of(lambda z: 0 * z[:, 0] + 7.1, mixed_columns()))
    assert {m.value for m in report.measures} == {None}
    assert all(m.reason for m in report.measures)


def test_planned_rows_are_spent_and_the_same_seed_gives_the_same_bytes():
    table = table_of(lambda z: z[:, 0] * z[:, 1], mixed_columns(60), test=25)
    # five features and all their 10 pairs, 25² rows each
    assert spent_by(METHOD, table) == (25**2 * 15, 25**2 * 15)
    assert spent_by(METHOD, table, rows=10, pair_features=3) == (100 * 8, 100 * 8)
    assert spent_by(METHOD, table, rows=10, pair_features=0) == (100 * 5, 100 * 5)
    one, two, other = (run(METHOD, table, seed, rows=10) for seed in (1, 1, 2))
    assert one.measures == two.measures
    assert one.measures != other.measures
