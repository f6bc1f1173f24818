"""Permutation importance against its expectation over all permutations, and scikit-learn."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.perturbation._effects_loss import probabilities
from pgx_compiler.methods.perturbation.permutation_importance import permuted
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["permutation_importance"]


def regression(n=60, seed=0, **more):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    labels = 2 * x[:, 0] - x[:, 1] + rng.normal(size=n)
    columns = [Column(name, x[:, j]) for j, name in enumerate("abc")]
    return x, labels, table_of(lambda z: 2 * z[:, 0] - z[:, 1], columns, labels=labels, **more)


def classification(score="probability", n=200):
    """Two classes by a logistic of a and b; the labels are drawn from it."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(n, 3))
    chance = 1 / (1 + np.exp(-(2 * x[:, 0] - x[:, 1])))
    labels = (rng.random(n) < chance).astype(np.int64)

    def formula(z):
        logit = 2 * z[:, 0] - z[:, 1]
        if score in ("log_odds", "logit"):
            return np.stack([-logit, logit], axis=1)
        p = 1 / (1 + np.exp(-logit))
        return np.stack([1 - p, p], axis=1)

    columns = [Column(name, x[:, j]) for j, name in enumerate("abc")]
    return x, labels, table_of(formula, columns, labels=labels, classes=("no", "yes"), focus=(1,), score=score)


def test_it_is_the_mean_over_all_pairs_of_a_row_and_a_lender():
    # A random permutation gives every row each row's value equally often: the expectation is the mean over all n² pairs.
    x, y, table = regression()
    report = run(METHOD, table, repeats=400)
    found = values_of(report, "importance_")
    before = (2 * x[:, 0] - x[:, 1] - y) ** 2
    for j, (name, weight) in enumerate((("a", 2.0), ("b", -1.0))):
        said = (2 * x[:, 0] - x[:, 1])[:, None] + weight * (x[None, :, j] - x[:, None, j])
        expected = ((said - y[:, None]) ** 2).mean() - before.mean()
        draws = report.arrays["increase"][:, j]
        assert found[name] == pytest.approx(expected, abs=5 * draws.std() / 20)
    assert found["c"] == 0.0
    assert values_of(report, "loss")[""] == pytest.approx(before.mean())


def test_it_is_what_scikit_learn_estimates():
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.inspection import permutation_importance

    class Logistic(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X):
            p = 1 / (1 + np.exp(-(2 * X[:, 0] - X[:, 1])))
            return np.stack([1 - p, p], axis=1)

    x, y, table = classification()
    report = run(METHOD, table, repeats=100)
    theirs = permutation_importance(Logistic().fit(x, y), x, y, scoring="neg_log_loss", n_repeats=100, random_state=0)
    ours = report.arrays["increase"]
    for j, name in enumerate("abc"):
        noise = np.hypot(ours[:, j].std(), theirs.importances[j].std()) / 10
        found = values_of(report, "importance_")[name]
        assert found == pytest.approx(theirs.importances_mean[j], abs=5 * noise + 1e-12)


def test_every_score_gives_the_same_log_loss():
    losses = [run(METHOD, classification(score)[2], repeats=2) for score in ("probability", "log_odds", "logit")]
    for other in losses[1:]:
        for one, two in zip(losses[0].measures, other.measures, strict=True):
            assert one.value == pytest.approx(two.value, abs=1e-12)


def test_logits_of_a_softmax_and_of_a_single_column_become_their_probabilities():
    np.testing.assert_allclose(probabilities(np.log([[1.0, 2.0, 5.0]]), "logit"), [[0.125, 0.25, 0.625]])
    np.testing.assert_allclose(probabilities(np.log([[1.0, 3.0]]), "logit"), [[0.25, 0.75]])
    # [-z, z] is how a single column z is seen: its sigmoid, here 3 / (1 + 3)
    np.testing.assert_allclose(probabilities(np.log([[1 / 3, 3.0]]), "logit"), [[0.25, 0.75]])


def test_the_share_of_wrong_answers_counts_rows():
    # score = class 1 where a > 0, labels the same: exchanging a between 10 rows above and 10 below turns an answer wrong
    # where a row gets a value of the other side: the expected share is 1 / 2.
    a = np.tile([1.0, -1.0], 10)
    table = table_of(
        lambda z: np.stack([-z[:, 0], z[:, 0]], axis=1), [Column("a", a), Column("b", np.arange(20.0))],
        labels=(a > 0).astype(np.int64), classes=("no", "yes"), focus=(1,), score="log_odds",
    )  # fmt: skip
    report = run(METHOD, table, loss="error_rate", repeats=300)
    assert values_of(report, "loss")[""] == 0.0
    assert values_of(report, "importance_")["a"] == pytest.approx(0.5, abs=0.05)


def test_a_copy_hides_its_original_only_where_the_exchange_is_conditional():
    rng = np.random.default_rng(1)
    a = rng.normal(size=600)
    copy, other = a + 0.05 * rng.normal(size=600), rng.normal(size=600)
    columns = [Column("a", a), Column("copy", copy), Column("other", other)]
    table = table_of(lambda z: z[:, 0] + z[:, 2], columns, labels=a + other, test=200)
    marginal = values_of(run(METHOD, table), "importance_")
    given = values_of(run(METHOD, table, conditional=True), "importance_")
    # permuted everywhere: 2 var(a) = 2; in 16 groups by the copy: what little variance a group keeps
    assert marginal["a"] == pytest.approx(2.0, rel=0.25)
    assert given["a"] < 0.1 * marginal["a"]
    assert given["other"] == pytest.approx(marginal["other"], rel=0.3)


def test_a_permutation_stays_within_its_groups_and_exchanges_everything():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, 100)
    source = permuted(group, rng)
    assert sorted(source) == list(range(100))
    np.testing.assert_array_equal(group[source], group)
    assert (source != np.arange(100)).mean() > 0.8


def test_all_columns_of_a_group_are_exchanged_together():
    effect = np.array([0.0, 3.0, -1.0])
    columns = mixed_columns()
    labels = effect[np.asarray(columns[2].values)]
    table = table_of(lambda z: effect[z[:, 2].astype(int)], columns, labels=labels)
    # were its columns exchanged one by one, rows without a colour, or with two, would reach the formula
    found = values_of(run(METHOD, table), "importance_")["colour"]
    assert found == pytest.approx(2 * labels.var(), rel=0.1)


def test_the_interval_covers_the_choice_of_rows():
    # The importance in the population is 2 * 2² * var(a) = 8 for the labels 2a - b + noise.
    held = []
    for seed in range(60):
        measure = next(m for m in run(METHOD, regression(150, seed)[2], seed).measures if m.name == "importance_a")
        held.append(measure.interval[0] <= 8.0 <= measure.interval[1])
    assert 0.85 <= np.mean(held) <= 1.0


def test_missing_values_are_exchanged_like_others():
    rng = np.random.default_rng(2)
    a = rng.normal(size=80)
    a[::4] = np.nan
    labels = np.nan_to_num(a, nan=5.0)
    columns = [Column("a", a), Column("same", np.ones(80))]
    table = table_of(lambda z: np.nan_to_num(z[:, 0], nan=5.0), columns, labels=labels)
    for conditional in (False, True):
        found = values_of(run(METHOD, table, conditional=conditional), "importance_")
        assert found["a"] > 1.0
        assert found["same"] == 0.0


def test_a_loss_that_does_not_fit_is_the_authors_mistake():
    with pytest.raises(UnfitParams, match="log_loss"):
        run(METHOD, regression()[2], loss="log_loss")
    with pytest.raises(UnfitParams, match="needs probabilities"):
        run(METHOD, classification("value")[2])
    assert values_of(run(METHOD, classification("value")[2], loss="error_rate"), "importance_")["a"] > 0


def test_rows_without_labels_are_not_measured():
    table = table_of(lambda z: z[:, 0], mixed_columns())
    (measure,) = run(METHOD, table).measures
    assert measure.value is None
    assert "labels" in measure.reason


@pytest.mark.parametrize("conditional", [False, True])
def test_planned_rows_are_spent_and_the_same_seed_gives_the_same_bytes(conditional):
    table = regression(80, test=30)[2]
    assert spent_by(METHOD, table, conditional=conditional) == (30 * 31, 30 * 31)
    assert spent_by(METHOD, table, rows=9, repeats=2, conditional=conditional) == (9 * 7, 9 * 7)
    one, two, other = (run(METHOD, table, seed, conditional=conditional) for seed in (1, 1, 2))
    assert one.arrays["increase"].tobytes() == two.arrays["increase"].tobytes()
    assert one.arrays["increase"].tobytes() != other.arrays["increase"].tobytes()
