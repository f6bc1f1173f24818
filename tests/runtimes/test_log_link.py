"""The logarithm of a regression's value: read below a final exponential, or taken of answers above 0."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from runtimes.adaptation import Adaptation
from runtimes.capabilities import LinearModel, TreeEnsemble, View
from runtimes.formats.scores import log_of_values
from runtimes.frameworks import onnx_runtime, onnx_tensorflow, reference
from runtimes.target import ModelFileError
from tests.log_link_models import (
    BIAS,
    HIDDEN,
    LAST,
    READ,
    RECOVERED,
    ROWS,
    WEIGHTS,
    N,
    glm_logs,
    keras_network,
    model,
    trees,
)

pytestmark = pytest.mark.frameworks

LOGS = View("log_value", "regression")
VALUES = View("value", "regression")
EVERY = READ | RECOVERED


def written(made, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(made, path)
    return path


@pytest.mark.parametrize("name", EVERY)
def test_onnx_files_answer_with_the_logarithm_of_what_they_answer(name, tmp_path):
    case, path = EVERY[name], written(EVERY[name].make(), tmp_path)
    facts = onnx_runtime.inspect(path, LOGS)
    assert {"value", "log_value"} <= facts.scores
    assert facts.activation == ("exp" if name in READ else facts.activation)
    found = onnx_runtime.open_model(path, LOGS).predict({"x": ROWS})
    np.testing.assert_allclose(found[:, 0], case.logs(ROWS), atol=3e-6)
    values = onnx_runtime.open_model(path, VALUES).predict({"x": ROWS})
    np.testing.assert_allclose(values[:, 0], np.exp(case.logs(ROWS)), rtol=3e-6)


def with_exposure(end, **held):
    """A rate of ``x``, made an amount by a second input: the exposure of each row."""
    made = model([N("Gemm", ["x", "w", "b"], ["s"]), N("Exp", ["s"], ["e"]), *end], w=WEIGHTS, b=BIAS, **held)
    made.graph.input.append(helper.make_tensor_value_info("exposure", onnx.TensorProto.FLOAT, [None, 1]))
    return made


EXPOSED = {
    "as the file has it": ([N("Mul", ["e", "exposure"], ["y"])], 1.0),
    "the other way round": ([N("Mul", ["exposure", "e"], ["y"])], 1.0),
    "cast": ([N("Mul", ["e", "exposure"], ["p"]), N("Cast", ["p"], ["y"], to=1)], 1.0),
    "in other units": ([N("Mul", ["exposure", "c"], ["years"]), N("Mul", ["e", "years"], ["y"])], 12.0),
}


@pytest.mark.parametrize("name", EXPOSED)
@pytest.mark.parametrize("framework", [onnx_runtime, onnx_tensorflow])
def test_a_rate_times_an_exposure_is_no_sum_and_its_logarithm_is_taken(name, framework, tmp_path):
    end, unit = EXPOSED[name]
    path = written(with_exposure(end, c=np.float32([unit])), tmp_path)
    facts = onnx_runtime.inspect(path, LOGS)
    assert {"value", "log_value"} <= facts.scores
    assert "LinearModel" not in facts.capabilities
    exposure = np.random.default_rng(2).uniform(0.1, 3.0, (len(ROWS), 1)).astype(np.float32)
    handle = framework.open_model(path, LOGS)
    # ln(exp(s) * units * exposure)
    expected = glm_logs(ROWS) + np.log(unit * exposure[:, 0])
    found = handle.predict({"x": ROWS, "exposure": exposure})
    np.testing.assert_allclose(found[:, 0], expected, atol=3e-6)
    if framework is onnx_tensorflow:
        slopes = handle.gradient({"x": ROWS, "exposure": exposure}, np.zeros(len(ROWS), np.int64))
        np.testing.assert_allclose(slopes["x"], np.tile(WEIGHTS[:, 0], (len(ROWS), 1)), atol=1e-5)
        np.testing.assert_allclose(slopes["exposure"], 1 / exposure, rtol=1e-5)
    exposure[3] = 0.0
    with pytest.raises(ModelFileError, match="row 3 of those asked"):
        handle.predict({"x": ROWS, "exposure": exposure})


def test_a_product_with_what_is_made_of_constants_alone_is_a_sum_still(tmp_path):
    nodes = [N("MatMul", ["x", "w"], ["z"]), N("Neg", ["c"], ["d"]), N("Mul", ["z", "d"], ["y"])]
    facts = onnx_runtime.inspect(written(model(nodes, w=WEIGHTS, c=np.float32([2.0])), tmp_path))
    assert facts.activation == "linear"
    assert "log_value" not in facts.scores


def test_a_classifier_that_ends_in_a_product_keeps_its_logits(tmp_path):
    nodes = [N("MatMul", ["x", "w"], ["z"]), N("Sigmoid", ["z"], ["gate"]), N("Mul", ["z", "gate"], ["y"])]
    w = np.random.default_rng(1).normal(0, 0.4, (5, 3)).astype(np.float32)
    path = written(model(nodes, w=w), tmp_path)
    assert "logit" in onnx_runtime.inspect(path).scores
    z = ROWS.astype(np.float64) @ w
    found = onnx_runtime.open_model(path, View("logit", "classification")).predict({"x": ROWS})
    np.testing.assert_allclose(found, z / (1 + np.exp(-z)), atol=1e-5)


@pytest.mark.parametrize("name", [name for name, case in READ.items() if case.capability])
def test_what_adds_up_below_the_exp_is_offered_there_and_not_above(name, tmp_path):
    case, path = READ[name], written(READ[name].make(), tmp_path)
    kind = {"LinearModel": LinearModel, "TreeEnsemble": TreeEnsemble}[case.capability]
    facts = onnx_runtime.inspect(path)
    assert case.capability in facts.capabilities
    assert (facts.structure == "tree_ensemble") == (case.capability == "TreeEnsemble")
    assert isinstance(onnx_runtime.open_model(path, LOGS), kind)
    assert not isinstance(onnx_runtime.open_model(path, VALUES), kind)


def test_coefficients_are_those_of_the_sum(tmp_path):
    handle = onnx_runtime.open_model(written(READ["an exposure that is a constant"].make(), tmp_path), LOGS)
    np.testing.assert_allclose(handle.coefficients, WEIGHTS, rtol=1e-6)
    np.testing.assert_allclose(handle.intercept, BIAS - np.log(4.0), rtol=1e-6)


def test_a_sum_far_beyond_what_exp_can_hold_is_read(tmp_path):
    # exp(±200) is inf or 0 in float32: the logarithm of the answer would be lost, the sum is not.
    made = model([N("MatMul", ["x", "w"], ["z"]), N("Exp", ["z"], ["y"])], w=np.float32([[100], [0], [0], [0], [0]]))
    x = np.zeros((2, 5), np.float32)
    x[:, 0] = (2.0, -2.0)
    found = onnx_runtime.open_model(written(made, tmp_path), LOGS).predict({"x": x})
    np.testing.assert_allclose(found[:, 0], [200.0, -200.0])


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([N("MatMul", ["x", "w"], ["y"])], "a plain sum"),
        ([N("MatMul", ["x", "w"], ["z"]), N("Relu", ["z"], ["y"])], "0 wherever the sum is below"),
        ([N("MatMul", ["x", "w"], ["z"]), N("Tanh", ["z"], ["y"])], "of either sign"),
        ([trees("y")], "leaves of either sign"),
    ],
)
def test_ends_that_may_be_0_or_below_are_not_offered_and_refused(nodes, said, tmp_path):
    path = written(model(nodes, w=WEIGHTS), tmp_path)
    assert "log_value" not in onnx_runtime.inspect(path).scores, said
    with pytest.raises(ModelFileError, match="cannot give the score `log_value`"):
        onnx_runtime.open_model(path, LOGS)


def test_an_exp_of_a_log_softmax_is_a_softmax_and_no_log_link(tmp_path):
    made = model([N("LogSoftmax", ["x"], ["z"]), N("Exp", ["z"], ["y"])])
    facts = onnx_runtime.inspect(written(made, tmp_path))
    assert facts.activation == ""
    assert "probability" in facts.scores


def test_a_negative_factor_is_no_log_link(tmp_path):
    made = model(
        [N("MatMul", ["x", "w"], ["z"]), N("Exp", ["z"], ["e"]), N("Mul", ["e", "c"], ["y"])],
        w=WEIGHTS,
        c=np.float32(-1),
    )
    facts = onnx_runtime.inspect(written(made, tmp_path))
    assert (facts.activation, "LinearModel" in facts.capabilities) == ("linear", False)
    assert "log_value" not in facts.scores


def test_answers_without_a_logarithm_are_named():
    for bad in (0.0, -1.5, np.nan, np.inf):
        with pytest.raises(ModelFileError, match=r"needs finite values above 0.*row 1 of those asked") as caught:
            log_of_values(np.array([[2.0], [bad]]))
        assert "explain `value`" in caught.value.help
    np.testing.assert_allclose(log_of_values(np.array([[np.e, 1.0]])), [[1.0, 0.0]])


def test_an_answer_of_0_ends_the_call_with_the_row(tmp_path):
    made = model(
        [N("Exp", ["x"], ["e"]), N("Max", ["e", "w"], ["m"]), N("Sub", ["m", "w"], ["d"]), N("Abs", ["d"], ["y"])],
        w=np.float32(1),
    )
    handle = onnx_runtime.open_model(written(made, tmp_path), LOGS)
    x = np.ones((3, 5), np.float32)
    np.testing.assert_allclose(handle.predict({"x": x}), np.log(np.exp(1) - 1), rtol=1e-5)
    x[2] = -1.0
    with pytest.raises(ModelFileError, match="row 2 of those asked"):
        handle.predict({"x": x})


@pytest.mark.parametrize(
    ("asked", "read"), [({"select": [1]}, True), ({"reduce": "max"}, True), ({"reduce": "sum"}, False)]
)
def test_what_is_selected_of_several_values_keeps_its_link_and_their_sum_has_none(asked, read, tmp_path):
    w = np.random.default_rng(1).normal(0, 0.4, (5, 3)).astype(np.float32)
    path = written(model([N("MatMul", ["x", "w"], ["z"]), N("Exp", ["z"], ["y"])], w=w), tmp_path)
    view = View("log_value", "regression", None, Adaptation.of(asked))
    facts = onnx_runtime.inspect(path, view)
    assert facts.activation == ("exp" if read else "")
    z = ROWS @ w
    expected = {"select": z[:, 1], "max": z.max(axis=1), "sum": np.log(np.exp(z).sum(axis=1))}[
        asked.get("reduce", "select")
    ]
    np.testing.assert_allclose(onnx_runtime.open_model(path, view).predict({"x": ROWS})[:, 0], expected, atol=1e-5)


SLOPED = {name: case for name, case in EVERY.items() if case.capability != "TreeEnsemble" and "leaves" not in name}


@pytest.mark.parametrize("name", SLOPED)
def test_the_rebuild_has_the_slopes_of_the_logarithm(name, tmp_path):
    case, path = SLOPED[name], written(SLOPED[name].make(), tmp_path)
    handle = onnx_tensorflow.open_model(path, LOGS)
    np.testing.assert_allclose(handle.predict({"x": ROWS})[:, 0], case.logs(ROWS), atol=3e-6)
    found = handle.gradient({"x": ROWS}, np.zeros(len(ROWS), np.int64))["x"]
    np.testing.assert_allclose(found, differences(case.logs), atol=1e-4)


def test_slopes_where_an_answer_has_no_logarithm_are_refused_and_not_made_up(tmp_path):
    from runtimes.frameworks import tensorflow_native

    # x0 as it is: ln(-2) is none, although d ln(v) / dv = 1 / v would be -0.5.
    made = model(
        [N("Mul", ["x", "w"], ["a"]), N("ReduceSum", ["a", "axis"], ["y"])],
        w=np.float32([1, 0, 0, 0, 0]),
        axis=np.int64([1]),
    )
    handle, x = onnx_tensorflow.open_model(written(made, tmp_path), LOGS), np.ones((2, 5), np.float32)
    np.testing.assert_allclose(handle.gradient({"x": x}, np.zeros(2, np.int64))["x"], [[1, 0, 0, 0, 0]] * 2)
    x[1, 0] = -2.0
    with pytest.raises(ModelFileError, match="0 or below to a row on the way"):
        handle.gradient({"x": x}, np.zeros(2, np.int64))
    import keras

    given = keras.Input((5,), name="x")
    keras.Model(given, given[:, :1]).save(tmp_path / "made.keras")
    handle = tensorflow_native.open_model(tmp_path / "made.keras", LOGS)
    with pytest.raises(ModelFileError, match="0 or below to a row on the way"):
        handle.gradient({"x": x}, np.zeros(2, np.int64))


def differences(logs, step=1e-6):
    """Slopes by differences in float64; no unit of the networks stands within a step of its kink."""
    found = np.zeros(ROWS.shape)
    for column in range(ROWS.shape[1]):
        moved = ROWS.astype(np.float64)
        moved[:, column] += step
        back = ROWS.astype(np.float64)
        back[:, column] -= step
        found[:, column] = (logs(moved) - logs(back)) / (2 * step)
    return found


@pytest.mark.parametrize("end", ["exponential", "layer", "op", "softplus"])
def test_keras_files_answer_with_the_logarithm_and_its_slopes(end, tmp_path):
    from runtimes.frameworks import tensorflow_native

    path = tmp_path / "made.keras"
    keras_network(end).save(path)
    facts = tensorflow_native.inspect(path)
    assert facts.activation == ("softplus" if end == "softplus" else "exp")
    assert {"value", "log_value"} <= facts.scores
    assert not facts.without_rule
    case = RECOVERED["a network and a Softplus"] if end == "softplus" else READ["a network and an Exp"]
    handle, target = tensorflow_native.open_model(path, LOGS), np.zeros(len(ROWS), np.int64)
    np.testing.assert_allclose(handle.predict({"x": ROWS})[:, 0], case.logs(ROWS), atol=3e-6)
    np.testing.assert_allclose(handle.gradient({"x": ROWS}, target)["x"], differences(case.logs), atol=1e-4)
    plain = tensorflow_native.open_model(path, VALUES)
    np.testing.assert_allclose(plain.predict({"x": ROWS})[:, 0], np.exp(case.logs(ROWS)), rtol=3e-6)


@pytest.mark.parametrize("end", ["linear", "relu", "sigmoid", "tanh"])
def test_keras_ends_that_are_no_amounts_offer_no_logarithm(end, tmp_path):
    from runtimes.frameworks import tensorflow_native

    path = tmp_path / "made.keras"
    keras_network(end).save(path)
    assert "log_value" not in tensorflow_native.inspect(path).scores
    with pytest.raises(ModelFileError, match="cannot give the score `log_value`"):
        tensorflow_native.open_model(path, LOGS)


@pytest.mark.parametrize("end", ["exponential", "softplus"])
def test_saved_models_answer_with_the_logarithm_and_its_slopes(end, tmp_path):
    from runtimes.frameworks import tensorflow_native

    keras_network(end).export(tmp_path / "made", verbose=False)
    path = tmp_path / "made" / "saved_model.pb"
    facts = tensorflow_native.inspect(path)
    assert facts.activation == ("exp" if end == "exponential" else "")
    assert "log_value" in facts.scores
    view = View("log_value", "regression", None, Adaptation(beside=facts.beside))
    handle, target = tensorflow_native.open_model(path, view), np.zeros(len(ROWS), np.int64)
    case = RECOVERED["a network and a Softplus"] if end == "softplus" else READ["a network and an Exp"]
    name = facts.inputs[0].name
    np.testing.assert_allclose(handle.predict({name: ROWS})[:, 0], case.logs(ROWS), atol=3e-6)
    np.testing.assert_allclose(handle.gradient({name: ROWS}, target)[name], differences(case.logs), atol=1e-4)


def test_relevance_of_keras_starts_from_the_sum_below_the_exponential(tmp_path):
    from runtimes.capabilities import Rule
    from runtimes.frameworks import tensorflow_native

    path = tmp_path / "made.keras"
    keras_network("exponential").save(path)
    handle = tensorflow_native.open_model(path, LOGS)
    target = np.zeros(len(ROWS), np.int64)
    rules = (("any", Rule("epsilon", epsilon=0.0)),)
    oracle = reference.ReferenceModel(NETWORK, LOGS)
    mine, theirs = handle.relevance({"x": ROWS}, target, rules)["x"], oracle.relevance({"x": ROWS}, target, rules)["x"]
    np.testing.assert_allclose(mine, theirs, atol=1e-4)
    starts = np.zeros_like(ROWS)
    shared = handle.rescaled_contributions({"x": ROWS}, {"x": starts}, target)["x"]
    logs = READ["a network and an Exp"].logs
    np.testing.assert_allclose(shared.sum(axis=1), logs(ROWS) - logs(starts), atol=1e-5)


def test_relevance_of_a_recovered_logarithm_is_refused(tmp_path):
    from runtimes.capabilities import Rule
    from runtimes.frameworks import tensorflow_native

    path = tmp_path / "made.keras"
    keras_network("softplus").save(path)
    handle = tensorflow_native.open_model(path, LOGS)
    with pytest.raises(ValueError, match="relevance starts from"):
        handle.relevance({"x": ROWS}, np.zeros(len(ROWS), np.int64), (("any", Rule("epsilon")),))


NETWORK = reference.Network(
    (HIDDEN.astype(np.float64), LAST.astype(np.float64)), (np.zeros(6), BIAS.astype(np.float64)), ("relu", "exp")
)


def test_the_reference_network_has_both_scores_and_their_slopes():
    target = np.zeros(len(ROWS), np.int64)
    logs, values = reference.ReferenceModel(NETWORK, LOGS), reference.ReferenceModel(NETWORK, VALUES)
    x = {"x": ROWS.astype(np.float64)}
    np.testing.assert_allclose(np.exp(logs.predict(x)), values.predict(x))
    # d ln(v) = d v / v
    np.testing.assert_allclose(logs.gradient(x, target)["x"] * values.predict(x), values.gradient(x, target)["x"])


def test_an_identity_link_that_is_reshaped_is_still_linear(tmp_path):
    made = model(
        [N("MatMul", ["x", "w"], ["p"]), N("Add", ["p", "b"], ["s"]), N("Reshape", ["s", "sizes"], ["y"])],
        w=WEIGHTS[:, 0], b=BIAS, sizes=np.int64([-1, 1]),
    )  # fmt: skip
    path = written(made, tmp_path)
    assert onnx_runtime.inspect(path).activation == "linear"
    handle = onnx_runtime.open_model(path, VALUES)
    assert isinstance(handle, LinearModel)
    np.testing.assert_allclose(handle.coefficients, WEIGHTS, rtol=1e-6)


def test_an_inner_exp_that_another_node_reads_stays_where_it_is(tmp_path):
    made = model(
        [N("Gemm", ["x", "w", "b"], ["z"]), N("Exp", ["z"], ["e"]), N("Mul", ["e", "c"], ["y"]), N("Neg", ["e"], ["other"])],
        w=WEIGHTS, b=BIAS, c=np.float32(2.0),
    )  # fmt: skip
    made.graph.output.append(helper.make_tensor_value_info("other", 1, None))
    path = written(made, tmp_path)
    other = onnx_runtime.open_model(path, View("value", "regression", "other")).predict({"x": ROWS})
    found = onnx_runtime.open_model(path, View("log_value", "regression", "y")).predict({"x": ROWS})
    np.testing.assert_allclose(found, np.log(-2.0 * other), atol=1e-5)
