"""Handles that stand between an audit and a file: fixed inputs of a white box, probabilities of logits."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler.execute.fixed_inputs import with_fixed
from pgx_compiler.execute.linked_scores import open_view
from runtimes.adaptation import InputAdaptation
from runtimes.capabilities import (
    Differentiable,
    Floats,
    Inputs,
    Integers,
    LinearModel,
    Spent,
    TreeEnsemble,
    View,
)
from runtimes.target import ModelFileError, TensorFacts


@dataclass
class Scaled:
    """The score rate * (x0, -x0); its gradient by x and by the rate."""

    rows_per_call: int = 4
    spent: Spent = field(default_factory=Spent)

    def predict(self, inputs: Inputs) -> Floats:
        first = np.asarray(inputs["rate"][:, 0] * inputs["x"][:, 0], np.float64)
        self.spent.forward += len(first)
        return np.stack([first, -first], axis=1)

    def gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        sign = np.where(target == 0, 1.0, -1.0)[:, None]
        x = np.zeros(inputs["x"].shape)
        x[:, :1] = sign * inputs["rate"]
        return {"x": x, "rate": sign * inputs["x"][:, :1]}


TENSORS = {"x": TensorFacts("x", (None, 2), "float32"), "rate": TensorFacts("rate", (None, 1), "float32")}
X = np.array([[1.0, 5.0], [2.0, 5.0], [-3.0, 5.0]])


def test_a_fixed_input_is_given_for_as_many_rows_as_there_are() -> None:
    inner = Scaled()
    handle = with_fixed(inner, TENSORS, {"rate": InputAdaptation(fixed=2.5)})
    assert isinstance(handle, Differentiable)
    np.testing.assert_allclose(handle.predict({"x": X})[:, 0], [2.5, 5.0, -7.5])
    found = handle.gradient({"x": X}, np.array([0, 1, 0]))
    assert set(found) == {"x"}
    np.testing.assert_allclose(found["x"], [[2.5, 0], [-2.5, 0], [2.5, 0]])
    assert handle.spent.forward == 3
    assert handle.rows_per_call == 4


def test_a_handle_without_fixed_inputs_is_left_alone() -> None:
    inner = Scaled()
    assert with_fixed(inner, TENSORS, {"x": InputAdaptation(batch_axis=0)}) is inner


@dataclass
class Framework:
    """Opens files that hold logits alone."""

    columns: int
    scores: frozenset[str] = frozenset({"logit", "value"})

    def inspect(self, path: Path) -> Any:
        @dataclass
        class Facts:
            scores: frozenset[str]
            n_outputs: int

        return Facts(self.scores, self.columns)

    def open_model(self, path: Path, view: View) -> Any:
        if view.score not in self.scores:
            raise ModelFileError("no such score", "ask for another")
        return Logits(self.columns)


@dataclass
class Logits:
    """Of one column z: [-z, z]; of three columns: z, 0, 1."""

    columns: int
    rows_per_call: int = 8
    spent: Spent = field(default_factory=Spent)

    def predict(self, inputs: Inputs) -> Floats:
        z = np.asarray(inputs["x"][:, 0], np.float64)
        return np.stack([-z, z] if self.columns == 1 else [z, 0 * z, 0 * z + 1], axis=1)


def test_logits_alone_give_probabilities_too() -> None:
    """sigmoid(ln 3) = 3/4; softmax(ln 2, 0, 1) = (2, 1, e) / (3 + e)."""
    single = open_view(Framework(1), Path("m"), View("probability"))
    np.testing.assert_allclose(single.predict({"x": np.array([[np.log(3)]])}), [[0.25, 0.75]])
    several = open_view(Framework(3), Path("m"), View("probability"))
    np.testing.assert_allclose(several.predict({"x": np.array([[np.log(2)]])}), np.array([[2, 1, np.e]]) / (3 + np.e))
    assert single.rows_per_call == 8


def test_a_score_that_nothing_gives_is_still_refused() -> None:
    with pytest.raises(ModelFileError, match="no such score"):
        open_view(Framework(1), Path("m"), View("log_odds"))
    with pytest.raises(ModelFileError, match="no such score"):
        open_view(Framework(1, frozenset({"value"})), Path("m"), View("probability"))


@dataclass
class Affine:
    """x0 + 2 x1 for one output, by its weights."""

    rows_per_call: int = 4
    spent: Spent = field(default_factory=Spent)
    coefficients: Floats = field(default_factory=lambda: np.array([[1.0], [2.0]]))
    intercept: Floats = field(default_factory=lambda: np.zeros(1))
    input_name: str = "theirs"

    def predict(self, inputs: Inputs) -> Floats:
        return np.asarray(inputs["theirs"] @ self.coefficients, np.float64)


def test_a_renamed_linear_model_keeps_its_closed_form() -> None:
    from pgx_compiler.execute.renaming import renamed
    from pgx_compiler.methods.apply import attribute
    from pgx_compiler.methods.catalogue import catalogue
    from pgx_compiler.modalities.features import FeatureMap, References, Rows

    handle = renamed(Affine(), {"ours": "theirs"})
    assert isinstance(handle, LinearModel)
    assert handle.input_name == "ours"
    features = FeatureMap(("a", "b"), {"ours": np.array([0, 1])})
    rows = Rows(
        {"ours": np.array([[3.0, 5.0]])}, np.zeros(1, np.int64), References({"ours": np.ones((1, 1, 2))}), features
    )
    declaration = catalogue()["linear_shap"]
    # 1 * (3 - 1) and 2 * (5 - 1)
    assert attribute(declaration, handle, rows, declaration.params()).values.tolist() == [[2.0, 8.0]]


def test_a_renamed_forest_keeps_its_trees() -> None:
    from pgx_compiler.execute.renaming import renamed
    from tests.methods.models import forest_bench

    bench = forest_bench()
    assert isinstance(bench.model, TreeEnsemble)
    handle = renamed(bench.model, {"table": "x"})
    assert isinstance(handle, TreeEnsemble)
    assert handle.input_name == "table"
    assert handle.trees is bench.model.trees
    assert handle.predict({"table": bench.rows.inputs["x"]}).tolist() == bench.model.predict(bench.rows.inputs).tolist()
