"""SAGE against the Shapley values of the loss by enumeration of all coalitions."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, run, spent_by, table_of, values_of

METHOD = catalogue()["sage"]
N = 40


def formula(z):
    return z[:, 0] * (1 + z[:, 1]) + z[:, 2]


def bench(**more):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 4))
    labels = formula(x) + 0.3 * rng.normal(size=N)
    return x, labels, table_of(formula, [Column(n, x[:, j]) for j, n in enumerate("abcd")], labels=labels, **more)


def enumerated(x, y, loss):
    """Shapley values of the fall of the mean loss, every coalition asked, filled from all rows."""
    features = x.shape[1]

    def worth(known):
        filled = np.tile(x, (len(x), 1, 1))
        filled[:, :, list(known)] = x[:, None, list(known)]
        return -loss(formula(filled.reshape(-1, features)).reshape(len(x), -1).mean(axis=1), y).mean()

    values = np.zeros(features)
    for j in range(features):
        others = [k for k in range(features) if k != j]
        for size in range(features):
            for known in combinations(others, size):
                weight = factorial(size) * factorial(features - size - 1) / factorial(features)
                values[j] += weight * (worth((*known, j)) - worth(known))
    return values


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_it_estimates_the_shapley_values_of_the_loss(loss):
    x, y, table = bench()
    truth = enumerated(x, y, lambda said, y: np.abs(said - y) ** (2 if loss == "squared_error" else 1))
    report = run(METHOD, table, samples=4000, precision=0, loss=loss)
    found = report.arrays["values"]
    drawn = next(m.value for m in report.measures if m.name == "convergence") * np.ptp(found)  # of the orders alone
    assert (np.abs(found - truth) <= 5 * drawn + 1e-12).all()
    assert found[3] == pytest.approx(0.0, abs=1e-12)  # the formula does not read d
    assert drawn < 0.05 * np.ptp(truth)


@pytest.mark.parametrize("samples", [30, 120])
def test_the_standard_error_is_that_of_other_rows_and_orders(samples):
    # 30 unseen rows, other ones in every run, each taken once or four times; the background is the same.
    x, y, _ = bench()
    values, told = [], []
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        unseen = rng.normal(size=(30, 4))
        z = np.concatenate([x, unseen])
        labels = np.concatenate([y, formula(unseen) + 0.3 * rng.normal(size=30)])
        table = table_of(formula, [Column(n, z[:, j]) for j, n in enumerate("abcd")], labels=labels, test=30)
        report = run(METHOD, table, seed, samples=samples, precision=0)
        values.append(report.arrays["values"][:3])
        told.append(report.arrays["standard_error"][:3])
    # a standard deviation of 40 runs is known to about 11 %
    np.testing.assert_allclose(np.mean(told, axis=0), np.std(values, axis=0, ddof=1), rtol=0.35)


def test_the_values_add_up_to_what_all_features_take_off_the_loss():
    report = run(METHOD, bench()[2], samples=300, precision=0)
    told = {m.name: m.value for m in report.measures}
    assert report.arrays["values"].sum() == pytest.approx(told["loss_without_features"] - told["loss"])


def test_the_log_loss_of_averaged_probabilities_is_shared_out():
    # score: log-odds 2a; b is not read: a gets all of it.
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 100))
    labels = (rng.random(100) < 1 / (1 + np.exp(-2 * a))).astype(np.int64)
    table = table_of(
        lambda z: np.stack([-2 * z[:, 0], 2 * z[:, 0]], axis=1), [Column("a", a), Column("b", b)], labels=labels,
        classes=("no", "yes"), focus=(1,), score="log_odds",
    )  # fmt: skip
    report = run(METHOD, table, samples=100, background=100, precision=0)
    p = 1 / (1 + np.exp(-2 * a))
    full = -np.log(np.where(labels == 1, p, 1 - p)).mean()
    empty = -np.log(np.where(labels == 1, p.mean(), 1 - p.mean())).mean()
    found = values_of(report, "importance_")
    assert found["a"] == pytest.approx(empty - full)  # every row was taken once
    assert found["b"] == pytest.approx(0.0, abs=1e-12)


def test_it_stops_at_the_precision_and_says_so_where_it_does_not():
    table = bench()[2]
    short = run(METHOD, table, samples=64, precision=0.001)
    assert [f.code for f in short.findings] == ["not_converged"]
    long = run(METHOD, table, samples=5000, precision=0.05)
    assert long.findings == ()
    told = {m.name: m.value for m in long.measures}
    assert told["convergence"] < 0.05
    assert told["orders"] < 5000
    assert run(METHOD, table, samples=64, precision=0).findings == ()


def test_without_a_precision_planned_rows_are_spent_and_with_one_no_more():
    table = bench(test=10)[2]
    # the background of 30 training rows once; each sample: 30 rows with 1, 2 and 3 features known, and the row
    assert spent_by(METHOD, table, samples=70, precision=0) == (30 + 70 * 91, 30 + 70 * 91)
    assert spent_by(METHOD, table, samples=70, precision=0, background=7) == (7 + 70 * 22, 7 + 70 * 22)
    spent, planned = spent_by(METHOD, table, samples=4000, precision=0.3)
    assert spent < planned


def test_a_model_that_ignores_everything_has_converged_on_nothing():
    rng = np.random.default_rng(0)
    table = table_of(lambda z: 0 * z[:, 0], [Column("a", rng.normal(size=30)), Column("b", rng.normal(size=30))], labels=rng.normal(size=30))  # fmt: skip
    report = run(METHOD, table)
    assert set(values_of(report, "importance_").values()) == {0.0}
    assert report.findings == ()


def test_a_single_feature_gets_all_and_rows_without_labels_are_not_measured():
    a = np.random.default_rng(0).normal(size=30)
    report = run(METHOD, table_of(lambda z: z[:, 0], [Column("a", a)], labels=a), samples=30, precision=0)
    assert values_of(report, "importance_")["a"] == pytest.approx(a.var())
    (measure,) = run(METHOD, table_of(lambda z: z[:, 0], [Column("a", a)])).measures
    assert measure.value is None


def test_the_same_seed_gives_the_same_bytes():
    table = bench()[2]
    one, two, other = (run(METHOD, table, seed, samples=64) for seed in (1, 1, 2))
    assert one.arrays["values"].tobytes() == two.arrays["values"].tobytes()
    assert one.arrays["values"].tobytes() != other.arrays["values"].tobytes()
