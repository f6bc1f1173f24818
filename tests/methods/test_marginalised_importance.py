"""Importance without a feature against closed forms, and against permutation importance."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["marginalised_importance"]


def halves(n=400):
    """Two independent features of ±1, each half of the time, in training and unseen rows alike."""
    a, b = np.tile([1.0, 1.0, -1.0, -1.0], n // 4), np.tile([1.0, -1.0], n // 2)
    return [Column("a", a), Column("b", b)]


def linear(z):
    return 3 * z[:, 0] + z[:, 1]


@pytest.mark.parametrize("conditional", [True, False])
def test_under_the_squared_error_it_is_half_of_permutation_importance(conditional):
    # Labels are predicted without error. Unknown, 3 a is taken for its mean 0: the loss grows by 9; permuted, half of
    # the rows get the other value, 6 off: by 18.
    columns = halves()
    labels = linear(np.stack([column.values for column in columns], axis=1))
    table = table_of(linear, columns, labels=labels, test=200)
    found = values_of(run(METHOD, table, conditional=conditional), "importance_")
    assert found == {"a": pytest.approx(9.0), "b": pytest.approx(1.0)}
    permuted = values_of(run(catalogue()["permutation_importance"], table, repeats=100), "importance_")
    assert permuted["a"] == pytest.approx(18.0, rel=0.1)


def test_what_another_feature_says_as_well_is_not_missed_where_it_is_conditional():
    # b repeats a. Not knowing a alone, of like rows, loses nothing; over all rows 3 a is taken for 0 as before.
    a = halves()[0].values
    columns = [Column("a", a), Column("b", a)]
    table = table_of(linear, columns, labels=4 * a, test=200)
    assert values_of(run(METHOD, table), "importance_") == {"a": 0.0, "b": 0.0}
    over_all = values_of(run(METHOD, table, conditional=False), "importance_")
    assert over_all == {"a": pytest.approx(9.0), "b": pytest.approx(1.0)}


def test_probabilities_are_averaged_before_the_loss_is_taken():
    # The model says 0.9 for the class that a stands for. Averaged over both values it says 0.5: log 2 against -log 0.9.
    columns = halves()
    a = np.asarray(columns[0].values)

    def sure(z):
        share = np.where(z[:, 0] > 0, 0.9, 0.1)
        return np.stack([1 - share, share], axis=1)

    table = table_of(sure, columns, labels=(a > 0).astype(int), test=200, classes=("no", "yes"), score="probability", focus=(1,))  # fmt: skip
    report = run(METHOD, table)
    assert report.measures[0].value == pytest.approx(-np.log(0.9))
    assert values_of(report, "importance_")["a"] == pytest.approx(np.log(2) + np.log(0.9))
    assert values_of(report, "importance_")["b"] == 0.0


def test_it_is_the_slow_mean_over_all_values_of_like_rows():
    columns = mixed_columns(300)
    z = np.stack([np.asarray(c.values, float) for c in columns], axis=1)

    def formula(z):
        return z[:, 0] * z[:, 3] + (z[:, 2] == 1) * z[:, 1]

    table = table_of(formula, columns, labels=formula(z) + 1.0, test=100)
    train, unseen = table.train.z, table.unseen.z
    expected = []
    for j in range(5):
        said = []
        for row in unseen:
            moved = np.tile(row, (len(train), 1))
            moved[:, j] = train[:, j]
            said.append(formula(moved).mean())
        expected.append(np.mean((np.array(said) - formula(unseen) - 1) ** 2) - 1.0)
    report = run(METHOD, table, conditional=False, samples=1000)
    found = list(values_of(report, "importance_").values())
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # drawing 32 of the 200 values instead stays within what the rows leave open
    drawn = [m for m in run(METHOD, table, conditional=False).measures if m.subject]
    for measure, truth in zip(drawn, expected, strict=True):
        assert abs(measure.value - truth) <= 4 * measure.standard_error + 1e-12


def test_a_missing_value_is_one_that_a_feature_could_have_had():
    columns = [Column("a", np.tile([1.0, np.nan], 100))]
    table = table_of(lambda z: np.isnan(z[:, 0]) * 2.0, columns, labels=np.tile([0.0, 2.0], 100), test=100)
    assert values_of(run(METHOD, table), "importance_")["a"] == pytest.approx(1.0)


def test_intervals_hold_the_value_and_no_labels_are_said():
    columns = mixed_columns(200)
    table = table_of(lambda z: z[:, 0], columns, labels=np.asarray(columns[0].values), test=80)
    measure = next(m for m in run(METHOD, table).measures if m.name == "importance_a")
    low, high = measure.interval
    assert 0 < low < measure.value < high
    assert run(METHOD, table_of(lambda z: z[:, 0], columns)).measures[0].reason


def test_planned_rows_are_the_most_and_few_values_are_asked_once_each():
    columns = mixed_columns(200)
    table = table_of(lambda z: z[:, 0], columns, labels=np.asarray(columns[0].values), test=80)
    asked, planned = spent_by(METHOD, table, conditional=False)
    assert planned == 80 + 80 * 32 * 5
    assert asked == 80 + 80 * (32 + 32 + 3 + 4 + 32)  # colours and grades are fewer
    one, two, other = (run(METHOD, table, seed) for seed in (1, 1, 2))
    assert repr(one) == repr(two)
    assert one.measures != other.measures
