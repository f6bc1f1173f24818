"""Morris screening against closed forms and a slow walk."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["morris_screening"]


def uniform(n=3001, features="abc"):
    """Even values from 0 to 1, in different orders: quantiles are the values themselves."""
    rng = np.random.default_rng(0)
    return [Column(name, rng.permutation(np.linspace(0, 1, n))) for name in features]


def test_the_effects_of_a_linear_model_are_its_coefficients():
    table = table_of(lambda z: 4 * z[:, 0] - 2 * z[:, 1], uniform())
    report = run(METHOD, table, trim=0)
    star, sigma = values_of(report, "mu_star_"), values_of(report, "sigma_")
    assert star["a"] == pytest.approx(4.0, abs=0.01)
    assert star["b"] == pytest.approx(2.0, abs=0.01)
    assert star["c"] == sigma["c"] == 0.0
    assert sigma["a"] < 0.01
    signed = {row[0]: row[-1] for row in report.tables[0].rows}
    assert signed["b"] == pytest.approx(-2.0, abs=0.01)


def test_a_trimmed_range_is_the_whole_of_what_a_feature_can_do():
    table = table_of(lambda z: 4 * z[:, 0], uniform())
    assert values_of(run(METHOD, table, trim=0.1), "mu_star_")["a"] == pytest.approx(4 * 0.8, abs=0.01)


def test_an_interaction_has_the_spread_that_the_levels_give_it():
    # score a b: the effect of a is b, which stands at 0, 1/3, 2/3 and 1 equally often: mean 1/2, variance 5/36.
    table = table_of(lambda z: z[:, 0] * z[:, 1], uniform())
    report = run(METHOD, table, trajectories=4000, trim=0)
    assert values_of(report, "mu_star_")["a"] == pytest.approx(0.5, abs=0.02)
    assert values_of(report, "sigma_")["a"] == pytest.approx(np.sqrt(5 / 36), abs=0.01)


def test_the_ishigami_function_has_its_analytic_effects():
    # a = 7, b = 0.1, x on four levels -pi, -pi/3, pi/3, pi; a step of two levels, divided by 2/3:
    # x1: 1.5 * 0.866 * (1 + x3⁴ / 10), x3⁴ / 10 being 9.741 or 0.1203: mean 7.704, deviation 6.249
    # x2: 1.5 * 7 * 0.75 = 7.875, up as often as down; x3: 1.5 * 9.621 * |sin x1|, 0 or 0.866: mean 6.249, deviation 8.837.
    # SALib 1.6.0, 1000 trajectories of 4 levels, seed 1: mu* 7.529, 7.875, 5.961; sigma 6.249, 7.878, 8.636.
    def ishigami(z):
        x = np.pi * (2 * z - 1)
        return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])

    report = run(METHOD, table_of(ishigami, uniform()), trajectories=4000, trim=0)
    for names, truth in (("mu_star_", (7.704, 7.875, 6.249)), ("sigma_", (6.249, 7.875, 8.837))):
        found = values_of(report, names)
        assert [found[f] for f in "abc"] == pytest.approx(truth, abs=0.3)  # three standard errors


def test_a_category_goes_to_another_one_and_its_effect_is_not_scaled():
    rng = np.random.default_rng(0)
    columns = [Column("c", rng.integers(0, 2, 50), ("no", "yes"), "one_hot"), Column("x", rng.normal(size=50))]
    found = run(METHOD, table_of(lambda z: 3 * z[:, 0], columns))
    assert values_of(found, "mu_star_")["c"] == pytest.approx(3.0)
    # as often up as down: the effect with its sign has a standard deviation of about 3
    assert values_of(found, "sigma_")["c"] > 1.0


def test_constant_and_missing_features_do_nothing():
    columns = [Column("same", np.ones(40)), Column("gone", np.full(40, np.nan)), Column("one", np.zeros(40), ("only",)), Column("x", np.linspace(0, 1, 40))]  # fmt: skip
    found = values_of(run(METHOD, table_of(lambda z: z[:, 0] + np.nan_to_num(z[:, 1]) + z[:, 3], columns)), "mu_star_")
    assert (found["same"], found["gone"], found["one"]) == (0.0, 0.0, 0.0)
    assert found["x"] > 0.5


def test_of_several_outputs_the_largest_stands_for_all():
    table = table_of(lambda z: np.stack([z[:, 0], -5 * z[:, 0]], axis=1), uniform(), outputs=("p", "q"), focus=(0, 1))
    assert values_of(run(METHOD, table, trim=0), "mu_star_")["a"] == pytest.approx(5.0, abs=0.01)


def test_planned_rows_are_spent_and_the_same_seed_gives_the_same_bytes():
    table = table_of(lambda z: z[:, 0] * z[:, 1], mixed_columns())
    assert spent_by(METHOD, table) == (10 * 6, 10 * 6)
    assert spent_by(METHOD, table, trajectories=37, levels=8) == (37 * 6, 37 * 6)
    one, two, other = (run(METHOD, table, seed) for seed in (1, 1, 2))
    assert one.arrays["effects"].tobytes() == two.arrays["effects"].tobytes()
    assert one.arrays["effects"].tobytes() != other.arrays["effects"].tobytes()


def test_intervals_hold_the_value():
    table = table_of(lambda z: z[:, 0] * z[:, 1], uniform())
    for measure in run(METHOD, table).measures:
        if measure.value:
            assert measure.interval[0] <= measure.value <= measure.interval[1] + 1e-12 or "sigma" in measure.name
