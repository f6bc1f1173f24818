"""Every framework, on every example model, in every score: the laws of what it offers."""

from pathlib import Path

import numpy as np
import pytest

from runtimes import datasets
from runtimes.capabilities import Differentiable, TreeEnsemble, View
from runtimes.conformance import check
from runtimes.target import framework_for, frameworks

pytestmark = pytest.mark.frameworks

EXAMPLES = ["digits.keras", "digits.onnx", "german-credit.keras", "german-credit.onnx", "german-credit-trees.onnx"]


@pytest.fixture(scope="module")
def rows(digits: datasets.RawData) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    trees = np.floor(rng.uniform(0, 5, (6, 20)))
    trees[:, 4] = rng.uniform(250, 9000, 6)
    return {
        "digits": (digits.arrays["x"][:6] / 255.0).astype(np.float32),
        "german-credit": rng.normal(size=(6, 61)).astype(np.float32),
        "german-credit-trees": trees.astype(np.float32),
    }


@pytest.mark.parametrize("score", ["logit", "probability", "log_odds"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_laws_hold(models: Path, rows: dict[str, np.ndarray], example: str, score: str) -> None:
    stem, _, suffix = example.partition(".")
    facts = framework_for(suffix).inspect(models / example)
    inputs = {facts.inputs[0].name: rows[stem]}
    able = [one for one in frameworks().values() if suffix in one.TARGET.formats]
    # a rebuild with gradients opens only files that have some
    able = [one for one in able if one is framework_for(suffix) or "Differentiable" in facts.capabilities]
    for framework in able:
        offered = facts.capabilities & framework.TARGET.capabilities
        handle = framework.open_model(models / example, View(score))
        assert check(handle, inputs, np.random.default_rng(1)) == []
        assert handle.predict(inputs).shape == (6, facts.n_outputs)
        assert isinstance(handle, Differentiable) == ("Differentiable" in offered)
        assert isinstance(handle, TreeEnsemble) == (stem == "german-credit-trees" and score != "probability")


@pytest.mark.parametrize("score", ["logit", "probability", "log_odds"])
@pytest.mark.parametrize("stem", ["digits", "german-credit"])
def test_both_directions_see_the_same_model(models: Path, rows: dict[str, np.ndarray], stem: str, score: str) -> None:
    answers = []
    for suffix in ("keras", "onnx"):
        framework = framework_for(suffix)
        path = models / f"{stem}.{suffix}"
        name = framework.inspect(path).inputs[0].name
        answers.append(framework.open_model(path, View(score)).predict({name: rows[stem]}))
    np.testing.assert_allclose(answers[0], answers[1], atol=3e-5)
