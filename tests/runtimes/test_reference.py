"""The NumPy network against closed forms and numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from runtimes.capabilities import Differentiable, TreeEnsemble, View
from runtimes.conformance import Violation, check, check_predictor
from runtimes.frameworks import reference
from runtimes.frameworks.reference import Network, ReferenceModel, additive, linear, random_network
from runtimes.target import ModelFileError


def test_a_linear_model_is_its_weights() -> None:
    model = ReferenceModel(linear(np.array([2.0, -3.0]), 0.5))
    x = np.array([[1.0, 1.0], [0.0, 2.0]])
    # 2 * 1 - 3 * 1 + 0.5 = -0.5 and -3 * 2 + 0.5 = -5.5
    np.testing.assert_allclose(model.predict({"x": x}), [[-0.5], [-5.5]])
    np.testing.assert_allclose(model.gradient({"x": x}, np.array([0, 0]))["x"], [[2.0, -3.0], [2.0, -3.0]])


def test_an_additive_model_has_slopes_of_each_feature_alone() -> None:
    model = ReferenceModel(additive(np.array([2.0, -1.0]), "tanh", bias=0.25))
    x = np.array([[0.3, -0.7]])
    np.testing.assert_allclose(model.predict({"x": x}), [[2 * np.tanh(0.3) - np.tanh(-0.7) + 0.25]])
    expected = [[2 * (1 - np.tanh(0.3) ** 2), -(1 - np.tanh(0.7) ** 2)]]
    np.testing.assert_allclose(model.gradient({"x": x}, np.array([0]))["x"], expected)


def test_a_sigmoid_column_is_seen_as_two() -> None:
    network = linear(np.array([1.0]), 0.0, "sigmoid")
    x = {"x": np.array([[np.log(3.0)]])}  # sigmoid(ln 3) = 3 / 4
    np.testing.assert_allclose(ReferenceModel(network, View("probability")).predict(x), [[0.25, 0.75]])
    np.testing.assert_allclose(ReferenceModel(network, View("logit")).predict(x), [[-np.log(3), np.log(3)]])
    np.testing.assert_allclose(ReferenceModel(network, View("log_odds")).predict(x), [[-np.log(3), np.log(3)]])
    slope = ReferenceModel(network, View("probability")).gradient(x, np.array([0]))["x"]
    np.testing.assert_allclose(slope, [[-0.75 * 0.25]])


def test_log_odds_of_a_softmax_stay_exact_where_the_probability_is_one() -> None:
    network = linear(np.eye(3), 0.0, "softmax")
    x = {"x": np.array([[100.0, 0.0, 0.0]])}
    # ln(p / (1 - p)) = z_1 - ln(e^0 + e^0) = 100 - ln 2; the others: 0 - ln(e^100 + 1) = -100 to 16 digits
    odds = ReferenceModel(network, View("log_odds")).predict(x)
    np.testing.assert_allclose(odds, [[100 - np.log(2), -100, -100]])


@pytest.mark.parametrize("hidden", ["relu", "tanh", "softplus", "sigmoid"])
@pytest.mark.parametrize(
    ("output", "score"),
    [
        ("linear", "value"),
        ("softmax", "logit"),
        ("softmax", "probability"),
        ("softmax", "log_odds"),
        ("sigmoid", "probability"),
        ("sigmoid", "log_odds"),
        ("tanh", "value"),
    ],
)
def test_every_end_keeps_the_laws(hidden: str, output: str, score: str) -> None:
    rng = np.random.default_rng(5)
    model = ReferenceModel(random_network(rng, [6, 8, 3], hidden, output), View(score))
    assert isinstance(model, Differentiable)
    assert not isinstance(model, TreeEnsemble)
    assert check(model, {"x": rng.normal(size=(6, 6))}, rng) == []


def test_the_laws_find_a_wrong_gradient() -> None:
    class Wrong(ReferenceModel):
        def gradient(self, inputs, target):  # type: ignore[no-untyped-def]
            return {name: 1.5 * array for name, array in super().gradient(inputs, target).items()}

    rng = np.random.default_rng(0)
    found = check(Wrong(random_network(rng, [4, 5, 1], "tanh")), {"x": rng.normal(size=(4, 4))}, rng)
    assert {violation.law for violation in found} == {"central differences"}


def test_the_laws_find_rows_that_depend_on_their_batch() -> None:
    class Wrong(ReferenceModel):
        def predict(self, inputs):  # type: ignore[no-untyped-def]
            scores = super().predict(inputs)
            return scores - scores.mean(axis=0)

    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="empty slice"):
        found = check_predictor(Wrong(random_network(rng, [4, 5, 1], "tanh")), {"x": rng.normal(size=(4, 4))})
    assert "batch invariance" in {violation.law for violation in found}


def test_the_laws_find_a_count_that_is_left_out() -> None:
    class Wrong(ReferenceModel):
        def predict(self, inputs):  # type: ignore[no-untyped-def]
            before = self.spent.forward
            scores = super().predict(inputs)
            self.spent.forward = before
            return scores

    rng = np.random.default_rng(0)
    found = check_predictor(Wrong(random_network(rng, [2, 1])), {"x": rng.normal(size=(3, 2))})
    assert found == [Violation("counting", "3 rows asked, 0 counted")]


def test_a_file_gives_back_its_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    drawn = random_network(rng, [6, 4, 2], "softplus", "softmax")
    network = Network(drawn.weights, drawn.biases, drawn.activations, "image", (2, 3))
    path = tmp_path / "small.refnet.npz"
    reference.save(network, path)
    facts = reference.inspect(path)
    assert (facts.format, facts.n_outputs, facts.inputs[0].shape) == ("reference", 2, (None, 2, 3))
    assert facts.parameters == (6 + 1) * 4 + (4 + 1) * 2
    x = {"image": rng.normal(size=(3, 2, 3))}
    view = View("probability")
    again = reference.open_model(path, view)
    np.testing.assert_array_equal(again.predict(x), ReferenceModel(network, view).predict(x))
    assert again.gradient(x, np.zeros(3, np.int64))["image"].shape == (3, 2, 3)


def test_files_that_are_no_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.refnet.npz"
    with pytest.raises(ModelFileError, match="does not exist"):
        reference.inspect(path)
    np.savez(path, activations=np.array(["relu"]), weights_0=np.ones((2, 1)))
    with pytest.raises(ModelFileError, match="bias_0"):
        reference.inspect(path)
    np.savez(path, activations=np.array(["exec"]), weights_0=np.ones((2, 1)), bias_0=np.ones(1))
    with pytest.raises(ModelFileError, match="known activations"):
        reference.inspect(path)


def test_a_score_that_the_end_does_not_have_names_those_it_has() -> None:
    with pytest.raises(ModelFileError) as caught:
        ReferenceModel(linear(np.ones(2)), View("probability"))
    assert caught.value.help == "it can give logit, value"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"y": np.ones((1, 2))}, "reads the inputs"),
        ({"x": np.ones((1, 3))}, "has shape"),
        ({"x": np.array([["a", "b"]])}, "holds <U1"),
    ],
)
def test_rows_that_do_not_fit_are_named(inputs: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ReferenceModel(linear(np.ones(2))).predict(inputs)
