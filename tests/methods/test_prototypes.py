"""Prototypes and criticisms: rows that stand for others, held against clusters that are known."""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.perturbation._prototype_kernel import Kernel, median_kernel, points_of
from pgx_compiler.methods.perturbation.mmd_critic import MmdCriticParams, mmd_critic
from pgx_compiler.methods.perturbation.protodash import ProtodashParams, _choose, protodash
from pgx_compiler.modalities.data import AuditData, Split
from pgx_compiler.modalities.features import FeatureMap
from runtimes.capabilities import Floats, Inputs, Spent
from tests.methods.tables import Column, data_of


class SignModel:
    """Two classes by the sign of the first column."""

    rows_per_call = 64

    def __init__(self) -> None:
        self.spent = Spent()

    def predict(self, inputs: Inputs) -> Floats:
        x = np.asarray(inputs["x"], np.float64)[:, 0]
        self.spent.forward += len(x)
        return np.stack([-x, x], axis=1)


def clusters(rows: int = 120, test: int = 40, odd: tuple[float, float] | None = None) -> Any:
    """Two tight clusters at (-5, 0) and (5, 0); one odd row where asked for."""
    rng = np.random.default_rng(3)
    side = np.where(np.arange(rows) % 2, 5.0, -5.0)
    x, y = side + rng.normal(0, 0.3, rows), rng.normal(0, 0.3, rows)
    if odd is not None:
        x[7], y[7] = odd
    return data_of([Column("x", x), Column("y", y)], labels=(x > 0).astype(int), test=test, classes=("left", "right"))


def value_of(report: Any, name: str) -> float:
    (value,) = [m.value for m in report.measures if m.name == name]
    return float(value)


def test_one_prototype_a_cluster_tells_the_classes_of_unseen_rows() -> None:
    report = mmd_critic(SignModel(), clusters(), MmdCriticParams(prototypes=1, criticisms=0), np.random.default_rng(0))
    assert value_of(report, "same_as_nearest_prototype") == 1.0
    assert [row[2] for row in report.tables[0].rows] == ["left", "right"]
    assert value_of(report, "discrepancy_left") < 0.05  # tight clusters: one row is nearly the whole of each


def test_the_greedy_choice_is_that_of_the_definition() -> None:
    data = clusters(30, 0)
    report = mmd_critic(SignModel(), data, MmdCriticParams(prototypes=2, criticisms=0), np.random.default_rng(0))
    points = points_of(data, data.train)
    rng = np.random.default_rng(0)
    rng.choice(30, 30, replace=False)  # the rows that are looked at are drawn first
    similar = median_kernel(points, rng)(points, points)
    expected = []
    for own in (np.flatnonzero(points[:, 0] < 0), np.flatnonzero(points[:, 0] > 0)):
        k, picked = similar[np.ix_(own, own)], []
        for _ in range(2):
            trials = {p: k.mean() - 2 * k[:, [*picked, p]].mean() + k[np.ix_([*picked, p], [*picked, p])].mean()
                      for p in range(len(own)) if p not in picked}  # fmt: skip
            picked.append(min(trials, key=trials.__getitem__))
        expected += [int(own[p]) for p in picked]
    assert report.arrays["prototypes"].tolist() == expected


def test_the_first_criticism_is_where_the_densities_differ_most() -> None:
    data = clusters(60, 0, odd=(5.0, 1.5))
    report = mmd_critic(SignModel(), data, MmdCriticParams(prototypes=2, criticisms=1), np.random.default_rng(0))
    points = points_of(data, data.train)
    rng = np.random.default_rng(0)
    rng.choice(60, 60, replace=False)
    similar = median_kernel(points, rng)(points, points)
    chosen = report.arrays["prototypes"]
    witness = {i: abs(similar[i].mean() - similar[i, chosen].mean()) for i in range(60) if i not in chosen}
    assert report.arrays["criticisms"].tolist() == [max(witness, key=witness.__getitem__)]


def test_weights_solve_the_quadratic_problem() -> None:
    # two equal rows and one apart: half of the mean similarity stands for each side
    similar = np.array([[1.0, 0.5], [0.5, 1.0]])
    mean = np.array([0.8, 0.7])
    picked, weights = _choose(similar, mean, 2)
    # K w = mean: w = (0.8 - 0.5 * 0.7, 0.7 - 0.5 * 0.8) / 0.75
    assert dict(zip(picked.tolist(), weights, strict=True)) == pytest.approx({0: 0.6, 1: 0.4}, abs=1e-6)


def test_prototypes_of_unseen_rows_carry_the_weight_of_their_class() -> None:
    report = protodash(SignModel(), clusters(), ProtodashParams(prototypes=2), np.random.default_rng(1))
    totals: dict[str, float] = {}
    for name, _, weight in report.tables[0].rows:
        totals[name] = totals.get(name, 0.0) + weight
    assert totals == pytest.approx({"left": 1.0, "right": 1.0}, abs=0.1)
    assert value_of(report, "discrepancy_left") < 0.05


def test_the_model_is_asked_for_the_rows_priced() -> None:
    from pgx_compiler.methods.catalogue import catalogue
    from pgx_compiler.methods.declaration import Shape

    data = clusters(120, 40)
    shape = Shape(rows=5, features=2, data_rows=120, test_rows=40)
    for name, method in (("mmd_critic", mmd_critic), ("protodash", protodash)):
        model, declaration = SignModel(), catalogue()[name]
        method(model, data, declaration.params(), np.random.default_rng(0))
        assert model.spent.forward == declaration.cost(declaration.params(), shape).forward


def test_a_kernel_is_one_at_no_distance() -> None:
    points = np.array([[0.0, 0.0], [3.0, 4.0]])
    # distance 5, width 5: exp(-25 / 50)
    assert Kernel(5.0)(points, points) == pytest.approx(np.array([[1, np.exp(-0.5)], [np.exp(-0.5), 1]]))


def of_texts(train: list[str], test: list[str]) -> AuditData:
    """Texts that a model reads whole, as the input `text`."""
    parts = [
        Split(
            name,
            {"text": np.array([[one] for one in texts], object)},
            np.zeros(len(texts), np.int64),
            np.arange(len(texts)),
        )
        for name, texts in (("train", train), ("test", test))
    ]
    features = FeatureMap(("word 1",), {"text": np.zeros(1, np.int64)}, {"kind": "words", "text": "text"})
    return AuditData("text", "classification", ("a", "b"), parts[0], parts[1], features, ())


def test_texts_are_alike_by_the_words_that_they_share_the_rarer_the_heavier() -> None:
    train = ["the plot", "the plot", "the acting", "the acting", "the plot the acting", "the music", "the music"]
    data = of_texts(train, ["The PLOT!", "the nothing", "plot", "acting", ""])
    assert data.test is not None
    places, known = points_of(data, data.test), points_of(data, data.train)
    np.testing.assert_allclose(places[0], known[0])  # capitals and signs that hardly occur make no difference
    # weights are 1 + ln(texts / texts with the word): `the` stands in all 7, `plot` and `acting` in 3, `music` in 2
    the, plot = 1.0, 1 + np.log(7 / 3)
    expected = plot / np.hypot(the, plot)
    np.testing.assert_allclose(places[0] @ places[2], expected)
    np.testing.assert_allclose([places[2] @ places[3], places[4] @ places[4]], 0)
    np.testing.assert_array_equal(points_of(data, data.train, np.array([5, 0])), known[[5, 0]])
