"""SavedModels that round by a size which depends on the row: the slope of that size alone is no gradient of the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Differentiable, View
from runtimes.formats.graph_layers import Operation
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.saved_model_rounding import first_by_size
from runtimes.frameworks import tensorflow_native

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(5)
X = RNG.uniform(-1, 1, (5, 4)).astype(np.float32)
KERNEL = RNG.integers(-127, 127, (4, 3)).astype(np.float32)


def saved(folder: Path, call: Callable[[Any], Any]) -> Path:
    tf = tensorflow()
    module = tf.Module()
    module.call = tf.function(lambda x: {"y": call(x)}, input_signature=[tf.TensorSpec((None, 4), "float32", "x")])
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.call)
    return folder / "saved" / "saved_model.pb"


def size(x: Any) -> Any:
    tf = tensorflow()
    return 127.0 / (tf.reduce_max(tf.abs(x), axis=1, keepdims=True) + 1e-7)


def rounded(x: Any) -> Any:
    return tensorflow().round(x * size(x)) / size(x)


def as_bytes(x: Any) -> Any:
    tf, s = tensorflow(), size(x)
    return tf.matmul(tf.cast(tf.cast(tf.round(x * s), "int8"), "float32"), KERNEL) / s


def as_whole_numbers(x: Any) -> Any:
    tf, s = tensorflow(), size(x)
    product = tf.matmul(tf.cast(tf.cast(x * s, "int8"), "int32"), tf.constant(KERNEL.astype(np.int32)))
    return tf.cast(product, "float32") / s


def from_a_zero_point(x: Any) -> Any:
    tf = tensorflow()
    low, high = tf.reduce_min(x, 1, keepdims=True), tf.reduce_max(x, 1, keepdims=True)
    step = (high - low) / 255.0
    zero = tf.round(-low / step)
    return (tf.clip_by_value(tf.round(x / step) + zero, 0.0, 255.0) - zero) * step


def beside_a_gradient(x: Any) -> Any:
    return tensorflow().nn.silu(rounded(x) @ KERNEL)


def beside_the_row(x: Any) -> Any:
    return x + rounded(x)


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        (rounded, "Round"),
        (as_bytes, "Round"),
        (as_whole_numbers, "Cast"),
        (from_a_zero_point, "Round"),
        (beside_a_gradient, "Round"),
        (beside_the_row, "Round"),
    ],
)
def test_what_would_leave_the_slope_of_the_size_alone_is_refused_by_name(
    call: Callable[[Any], Any], operation: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, call)
    facts = tensorflow_native.inspect(path)
    assert facts.capabilities == {"Predictor"}
    assert facts.layers == ()
    for capability in ("Differentiable", "LayerDifferentiable", "RulePropagating"):
        assert f"the SavedModel's operation `{operation}`" in facts.lacks[capability]
        assert "the slope of that size is all that would be left" in facts.lacks[capability]
    handle = tensorflow_native.open_model(path, View("value", "regression"))
    assert not isinstance(handle, Differentiable)
    np.testing.assert_allclose(handle.predict({"x": X}), call(tensorflow().constant(X)), rtol=1e-6)


def by_stopping(x: Any) -> Any:
    tf, s = tensorflow(), size(x)
    scaled = x * s
    return (scaled + tf.stop_gradient(tf.round(scaled) - scaled)) / s @ KERNEL


def by_a_gradient_of_its_own(x: Any) -> Any:
    tf = tensorflow()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def quantised(given: Any) -> Any:
        s = size(given)
        return tf.round(given * s) / s, lambda slope: slope

    return quantised(x) @ KERNEL


def of_two_results(x: Any) -> Any:
    tf = tensorflow()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def quantised(given: Any) -> Any:
        s = size(given)
        return (tf.round(given * s), 1 / s), lambda slope, _: slope * s

    steps, width = quantised(x)
    return steps * width @ KERNEL


@pytest.mark.parametrize("call", [by_stopping, by_a_gradient_of_its_own, of_two_results])
def test_a_gradient_that_the_model_brings_goes_through_the_rounding(call: Callable[[Any], Any], tmp_path: Path) -> None:
    # y = round(x s) W / s, whose slope is W once the rounding hands it on and, by the last two, s is taken as given.
    # `by_stopping`: (x s + c) / s with c = round(x s) - x s gives W - c W / s ds/dx / s, which is W where no size is (below).
    path = saved(tmp_path, call)
    assert "Differentiable" in tensorflow_native.inspect(path).capabilities
    handle: Any = tensorflow_native.open_model(path, View("value", "regression"))
    found = handle.gradient({"x": X}, np.zeros(5))["x"]
    elsewhere = np.abs(X) < np.abs(X).max(axis=1, keepdims=True) if call is by_stopping else np.ones_like(X, bool)
    wanted = np.tile(KERNEL[:, 0], (5, 1))
    np.testing.assert_allclose(found[elsewhere], wanted[elsewhere], rtol=1e-5)


def by_steps_of_one_size(x: Any) -> Any:
    return 2.0 * x + tensorflow().round(10.0 * x) / 10.0


def hour_of_the_day(x: Any) -> Any:
    return 2.0 * x - 24.0 * tensorflow().floor(x / 24.0)


def normalised(x: Any) -> Any:
    """Rounded by one size; the spread of the row is in nothing but what is rounded."""
    tf = tensorflow()
    spread = tf.math.rsqrt(tf.reduce_mean(tf.square(x), 1, keepdims=True))
    return 2.0 * x + tf.round(10.0 * x * spread)


@pytest.mark.parametrize("call", [by_steps_of_one_size, hour_of_the_day, normalised])
def test_a_rounding_by_one_size_keeps_the_slope_that_tensorflow_gives(
    call: Callable[[Any], Any], tmp_path: Path
) -> None:
    path = saved(tmp_path, call)
    handle: Any = tensorflow_native.open_model(path, View("value", "regression"))
    wanted = np.tile([0.0, 2.0, 0.0, 0.0], (5, 1))  # of output 1: 2 x, and steps whose slope is 0
    np.testing.assert_allclose(handle.gradient({"x": X}, np.ones(5))["x"], wanted, rtol=1e-6)


def test_a_tensor_that_is_no_reduction_alone_is_no_size() -> None:
    """Worked by hand: t = x g, y = Round(t) / g, where g is the largest of x, or what a product makes of it."""

    def graph(*between: Operation) -> list[Operation]:
        return [
            Operation("m", "Max", ("x",), "float32"),
            *between,
            Operation("t", "Mul", ("x", "g"), "float32"),
            Operation("r", "Round", ("t",), "float32"),
            Operation("y", "RealDiv", ("r", "g"), "float32"),
        ]

    scaled = first_by_size(graph(Operation("g", "Add", ("m",), "float32")))
    assert scaled is not None
    assert scaled.name == "r"
    assert first_by_size(graph(Operation("g", "MatMul", ("m",), "float32"))) is None
    # a gradient that goes by the arguments (x) and by none of the results (y)
    whole = [
        *graph(Operation("g", "Add", ("m",), "float32")),
        Operation("o", "IdentityN", ("y", "x"), "float32", None, 1),
    ]
    assert first_by_size(whole) is None
    assert first_by_size([]) is None


def test_rounded_rows_of_a_table_are_refused_as_well(tmp_path: Path) -> None:
    tf = tensorflow()
    module = tf.Module()
    module.table = tf.Variable(RNG.normal(size=(9, 4)).astype(np.float32))

    def call(ids: Any) -> Any:
        return {"y": tf.reduce_sum(rounded(tf.gather(module.table, ids)), axis=1)}

    module.call = tf.function(call, input_signature=[tf.TensorSpec((None,), "int32", "ids")])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.call)
    facts = tensorflow_native.inspect(tmp_path / "saved" / "saved_model.pb")
    assert facts.capabilities == {"Predictor"}
    assert "`Round`" in facts.lacks["EmbeddingDifferentiable"]
