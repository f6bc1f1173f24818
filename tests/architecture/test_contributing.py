"""The worked examples of CONTRIBUTING.md: each is taken from the page, found by walking, and computes right."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import runtimes.datasets
import runtimes.frameworks
from pgx_compiler.methods import catalogue as catalogue_module
from pgx_compiler.methods import perturbation
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration, Shape
from pgx_compiler.methods.laws import Bench, violations
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Differentiable, Floats, Inputs, Spent, View
from runtimes.datasets import DataFileError, formats
from runtimes.target import ModelFacts, ModelFileError, TensorFacts, framework_for, frameworks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
EXAMPLES = {
    title: (path, code)
    for title, path, code in re.findall(r"<!-- example: (.+?) -->\n```python\n# (\S+)\n(.+?)```\n", PAGE, re.DOTALL)
}

Place = Callable[[str, ModuleType], Path]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Put an example where its first line says, as far as walking and importing can tell."""
    walks = (catalogue, formats, frameworks)
    imported: list[tuple[ModuleType, str]] = []

    def put(title: str, package: ModuleType) -> Path:
        path, code = EXAMPLES[title]
        folder, name = path.removesuffix(".py").rsplit("/", 1)
        assert package.__name__ == folder.replace("/", ".")
        file = tmp_path / f"{name}.py"
        file.write_text(code, "utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        imported.append((package, name))
        for walk in walks:
            walk.cache_clear()
        return file

    yield put
    for package, name in imported:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        if hasattr(package, name):
            delattr(package, name)
    for walk in walks:
        walk.cache_clear()


class Formula:
    """A black box given as a formula over the columns of ``x``."""

    rows_per_call = 1000

    def __init__(self, formula: Callable[[Floats], Floats]) -> None:
        self._formula = formula
        self.spent = Spent()

    def predict(self, inputs: Inputs) -> Floats:
        self.spent.forward += len(inputs["x"])
        return self._formula(np.asarray(inputs["x"], np.float64))[:, None]


def game(formula: Callable[[Floats], Floats], row: list[float], references: list[list[float]]) -> Game:
    features = FeatureMap(tuple("abcd"[: len(row)]), {"x": np.arange(len(row))})
    return Game(Formula(formula), {"x": np.array([row])}, {"x": np.array(references)}, features, np.array([0]))


def banzhaf(place: Place) -> Declaration:
    place("a method", perturbation)
    return catalogue()["banzhaf_values"]


def explain(declaration: Declaration, game: Game, samples: int) -> Any:
    return declaration.function(game, declaration.params(samples=samples), np.random.default_rng(7))


def test_the_page_has_its_three_examples() -> None:
    assert set(EXAMPLES) == {"a method", "a runtime", "a data format"}


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_is_written_as_the_house_asks(title: str) -> None:
    path, code = EXAMPLES[title]
    for how in (["check"], ["format", "--check"]):
        ruff = [Path(sys.executable).with_name("ruff"), *how, "--stdin-filename", path, "-"]
        ran = subprocess.run(ruff, cwd=ROOT, input=code, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_one_file_is_all_that_a_method_needs(place: Place) -> None:
    before = set(catalogue_module.catalogue())
    declaration = banzhaf(place)
    assert set(catalogue()) - before == {"banzhaf_values"}
    assert (declaration.stage, declaration.capability) == ("perturbation", "Predictor")
    assert declaration.per_row
    assert declaration.stochastic
    assert declaration.params.model_json_schema()["properties"]["samples"]["default"] == 64
    assert declaration.reading.startswith("In the score's own unit")
    assert declaration.limits.startswith("Unlike Shapley values")


def test_the_method_is_exact_on_a_linear_model(place: Place) -> None:
    # Joining adds w (x - mean reference) to any coalition: 2 (1 - 0) = 2, -3 (2 - 1) = -3, 0.5 (4 - 2) = 1.
    of_row = game(lambda x: x @ [2, -3, 0.5] + 9, [1, 2, 4], [[-1, 0, 2], [1, 2, 2]])
    found = explain(banzhaf(place), of_row, samples=5)
    np.testing.assert_allclose(found.values[:, 0], [2, -3, 1], atol=1e-12)
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-12)


def test_the_method_averages_over_all_coalitions_of_the_others(place: Place) -> None:
    # a and b: joining adds 1 where the other is present (half of all coalitions), else 0: 0.5 each. c
    # adds 3 to any coalition.
    of_row = game(lambda x: x[:, 0] * x[:, 1] + 3 * x[:, 2], [1, 1, 1], [[0, 0, 0]])
    found = explain(banzhaf(place), of_row, samples=2000)
    # A fair coin of 0 or 1 has standard deviation 0.5: 0.5 / sqrt(2000) = 0.0112.
    np.testing.assert_allclose(found.standard_error[:2, 0], 0.0112, rtol=0.01)
    assert np.all(np.abs(found.values[:2, 0] - 0.5) < 4 * 0.0112)
    assert found.values[2, 0] == pytest.approx(3, abs=1e-12)


def test_the_method_keeps_its_laws(place: Place) -> None:
    first, second = (lambda x: x[:, 0] * x[:, 1]), (lambda x: np.maximum(x[:, 1], x[:, 0]))
    rng = np.random.default_rng(3)
    rows = Rows(
        {"x": rng.normal(size=(3, 3))},
        np.zeros(3, np.int64),
        References({"x": rng.normal(size=(1, 4, 3))}),
        FeatureMap(("a", "b", "c"), {"x": np.arange(3)}),
    )
    facts = ModelFacts(
        "formula", "network", (TensorFacts("x", (None, 3), "float64"),), (), frozenset({"Predictor"}),
        frozenset({"value"}), 1, 0, {},
    )  # fmt: skip
    both = Formula(lambda x: 2 * first(x) - second(x))
    parts = ((2.0, Formula(first)), (-1.0, Formula(second)))
    bench = Bench("two of three", "tabular", both, rows, facts, ignored=(2,), parts=parts)
    assert violations(banzhaf(place), [bench]) == []


def test_the_price_of_the_method_is_what_it_asks(place: Place) -> None:
    model = Formula(lambda x: x[:, 0])
    features = FeatureMap(("a", "b", "c"), {"x": np.arange(3)})
    of_row = Game(model, {"x": np.ones((1, 3))}, {"x": np.zeros((5, 3))}, features, np.array([0]))
    declaration = banzhaf(place)
    explain(declaration, of_row, samples=6)
    priced = declaration.cost(declaration.params(samples=6), Shape(rows=1, features=3, references=5))
    assert model.spent.forward == priced.forward == 6 * 4 * 5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def banzhaf_values(", "def banzhaf(", "must be called `banzhaf_values`"),
        ("    Limits:", "    Notes:", "the docstring has no limits"),
        ("BanzhafValuesParams(Params)", "BanzhafValuesParams", "must be typed with a subclass of Params"),
    ],
)
def test_the_catalogue_refuses_a_careless_method(place: Place, old: str, new: str, said: str) -> None:
    file = place("a method", perturbation)
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(TypeError, match=said):
        catalogue()["banzhaf_values"]


def test_one_file_is_all_that_a_runtime_needs(place: Place, tmp_path: Path) -> None:
    place("a runtime", runtimes.frameworks)
    framework = framework_for("coefficients")
    file = tmp_path / "model.json"
    file.write_text('{"weights": [2.0, -1.0], "intercept": 0.5}')

    facts = framework.inspect(file)
    assert (facts.structure, facts.parameters, facts.inputs[0].shape) == ("linear", 3, (None, 2))
    model = framework.open_model(file, View("value", task="regression"))
    assert isinstance(model, Differentiable)
    x = {"x": np.array([[1.0, 4.0], [0.0, 0.0]])}
    np.testing.assert_array_equal(model.predict(x), [[-1.5], [0.5]])  # 2 - 4 + 0.5; 0.5
    np.testing.assert_array_equal(model.gradient(x, np.zeros(2, np.int64))["x"], [[2, -1], [2, -1]])
    assert model.spent == Spent(forward=2, backward=2)

    file.write_text('{"weights": [2.0, -1.0]')
    with pytest.raises(ModelFileError, match=r"`model\.json` is no linear model"):
        framework.inspect(file)


def test_one_file_is_all_that_a_data_format_needs(place: Place, tmp_path: Path) -> None:
    place("a data format", runtimes.datasets)
    file = tmp_path / "rows.tsv"
    file.write_text("age\tincome\n41\t1.5\n23\t\n")
    facts = runtimes.datasets.inspect(file)
    assert (facts.rows, [column.name for column in facts.columns], facts.tabular) == (2, ["age", "income"], True)
    arrays = runtimes.datasets.read(file).arrays
    np.testing.assert_array_equal(arrays["age"], [41, 23])
    np.testing.assert_array_equal(arrays["income"], [1.5, np.nan])

    file.write_text("age\n41\t1.5\n")
    with pytest.raises(DataFileError, match="has 1 names for 2 columns"):
        runtimes.datasets.read(file)
