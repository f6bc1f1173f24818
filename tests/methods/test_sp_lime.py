"""Submodular pick: the rows whose explanations together cover most."""

import numpy as np
import pytest

from pgx_compiler.methods.perturbation.sp_lime import SpLimeParams, _largest, _pick, sp_lime
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import Floats, Inputs, Spent


class Switch:
    """Features 0 and 1 act where the last column is 0, features 2 and 3 where it is 1; the last is never removed."""

    rows_per_call = 50

    def __init__(self) -> None:
        self.spent = Spent()

    def predict(self, inputs: Inputs) -> Floats:
        x = np.asarray(inputs["x"], np.float64)
        self.spent.forward += len(x)
        value = np.where(x[:, 4] == 0, 3 * x[:, 0] + 2 * x[:, 1], 2 * x[:, 2] + x[:, 3])
        return value[:, None]


def rows(kinds: list[int]) -> Rows:
    x = np.array([[1.0, 1, 1, 1, kind] for kind in kinds])
    features = FeatureMap(("a", "b", "c", "d"), {"x": np.array([0, 1, 2, 3, -1])})
    return Rows({"x": x}, np.zeros(len(x), np.int64), References({"x": np.zeros((1, 1, 5))}), features)


def test_two_rows_of_different_kinds_cover_everything() -> None:
    report = sp_lime(Switch(), rows([0, 0, 0, 1, 0]), SpLimeParams(pick=2, features=2), np.random.default_rng(0))
    assert [line[0] for line in report.tables[0].rows][1] == 3  # the only row of the other kind comes second
    value = {m.name: m.value for m in report.measures}
    assert value["covered"] == pytest.approx(1.0, abs=1e-6)
    # of the 10 pairs of rows, 4 hold row 3: the others show a and b alone
    assert value["covered_by_chance"] < 0.95
    # all 16 coalitions are asked: the ridge is exact but for its penalty
    assert report.arrays["coefficients"][0] == pytest.approx([3, 2, 0, 0], abs=0.05)


def test_the_greedy_choice_takes_the_largest_gain_each_time() -> None:
    shown = np.array([[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    importance = np.array([1.0, 3.0, 2.5, 0.5])
    # gains: 4, 5.5, 0.5; then of what is left 1, -, 0.5; then 0.5
    picked, covered = _pick(shown, importance, 3)
    assert picked == [1, 0, 2]
    assert covered == [5.5, 6.5, 7.0]


def test_only_the_features_that_a_reader_sees_count() -> None:
    assert _largest(np.array([[0.1, -5.0, 0.0, 2.0]]), 2).tolist() == [[0, 1, 0, 1]]
    assert _largest(np.array([[0.0, 0.0, 0.0, 2.0]]), 2).tolist() == [[0, 0, 0, 1]]


def test_the_model_is_asked_for_the_rows_priced() -> None:
    from pgx_compiler.methods.catalogue import catalogue
    from pgx_compiler.methods.declaration import Shape

    model, given = Switch(), rows([0, 1, 1])
    params = SpLimeParams()
    sp_lime(model, given, params, np.random.default_rng(0))
    assert model.spent.forward == catalogue()["sp_lime"].cost(params, Shape(rows=3, features=4)).forward
