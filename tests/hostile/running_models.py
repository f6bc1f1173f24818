"""Models that harm only when they run: what the sandbox of workers has to contain. Each is written into a folder as an audit.

Read by the tests here and by those of the engines. The files and hosts that they reach for are temporary ones of the test.
"""

from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.keras_runtime import keras, tensorflow
from tests.hostile.pieces import graph, onnx_audit, spec, table


def _given() -> list[Any]:
    from onnx import TensorProto, helper

    return [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])]


def _held(**arrays: Any) -> list[Any]:
    from onnx import numpy_helper

    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def _ending(*before: Any, **arrays: Any) -> Any:
    """A classifier whose scores are x · w + ``more``, where ``before`` makes ``more``."""
    from onnx import helper

    nodes = [*before, helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Add", ["z", "more"], ["s"])]
    nodes.append(helper.make_node("Softmax", ["s"], ["p"], axis=1))
    return graph(nodes, _given(), _held(w=np.ones((4, 2), np.float32), **arrays))


def endless_loop(folder: Path) -> None:
    """B9, B10: an ONNX Loop that never ends, and does not hear SIGINT."""
    from onnx import TensorProto, helper

    named = helper.make_tensor_value_info
    inside = [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Add", ["v", "v"], ["next"])]
    body = helper.make_graph(
        inside,
        "body",
        [named("i", TensorProto.INT64, []), named("on", TensorProto.BOOL, []), named("v", TensorProto.FLOAT, [])],
        [named("still", TensorProto.BOOL, []), named("next", TensorProto.FLOAT, [])],
    )
    loop = helper.make_node("Loop", ["", "yes", "zero"], ["more"], body=body)
    onnx_audit(folder, _ending(loop, yes=np.array(True), zero=np.float32(0)))


def dies_of_sigfpe(folder: Path) -> None:
    """B11: the least of all int32 divided by -1, which ends the process (ONNX Runtime 1.32)."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["none"]),
        helper.make_node("Cast", ["none"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Add", ["whole", "least"], ["top"]),
        helper.make_node("Sub", ["whole", "one"], ["minus"]),
        helper.make_node("Div", ["top", "minus"], ["divided"]),
        helper.make_node("Cast", ["divided"], ["more"], to=TensorProto.FLOAT),
    ]
    held = {"zero": np.float32(0), "least": np.array([-(2**31)], np.int32), "one": np.array([1], np.int32)}
    onnx_audit(folder, _ending(*nodes, **held))


def takes_all_memory(folder: Path, numbers: int = 10**13) -> None:
    """B15: a tensor of as many numbers as one likes, of which the file holds none."""
    from onnx import helper

    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["vast"]),
        helper.make_node("ReduceSum", ["vast"], ["more"], keepdims=0),
    ]
    onnx_audit(folder, _ending(*nodes, size=np.array([numbers], np.int64)))


def answers(folder: Path, value: float) -> None:
    """B17: every score is the same number, which may be none: NaN or infinite."""
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Mul", ["z", "zero"], ["none"]),
        helper.make_node("Add", ["none", "value"], ["p"]),
    ]
    held = _held(w=np.ones((4, 2), np.float32), zero=np.float32(0), value=np.float32(value))
    onnx_audit(folder, graph(nodes, _given(), held))


def answers_by_chance(folder: Path) -> None:
    """B18: other scores at every call."""
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("RandomNormalLike", ["z"], ["noise"]),
        helper.make_node("Softmax", ["noise"], ["p"], axis=1),
    ]
    onnx_audit(folder, graph(nodes, _given(), _held(w=np.ones((4, 2), np.float32))))


def answers_of_other_rows(folder: Path) -> None:
    """B17: one row, however many are asked for."""
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("ReduceMean", ["z"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Softmax", ["mean"], ["p"], axis=1),
    ]
    onnx_audit(folder, graph(nodes, _given(), _held(w=np.ones((4, 2), np.float32))))


def answers_twice(folder: Path) -> None:
    """B17: twice as many rows as are asked for."""
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Concat", ["z", "z"], ["both"], axis=0),
        helper.make_node("Softmax", ["both"], ["p"], axis=1),
    ]
    onnx_audit(folder, graph(nodes, _given(), _held(w=np.ones((4, 2), np.float32))))


def saved_model_that(folder: Path, does: str, target: Path) -> None:
    """B7, B8: a SavedModel that really reads (``reads``) or writes (``writes``) a file when it is called."""
    tf = tensorflow()
    module = tf.Module()
    module.weights = tf.Variable(np.arange(8, dtype=np.float32).reshape(4, 2) / 8)

    def call(x: Any) -> Any:
        if does == "reads":
            touched = tf.strings.length(tf.io.read_file(str(target)))
        else:
            with tf.control_dependencies([tf.io.write_file(str(target), "written by a model")]):
                touched = tf.constant(0)
        return {"p": tf.nn.softmax(x @ module.weights + tf.cast(touched, tf.float32))}

    signature = [tf.TensorSpec((None, 4), tf.float32, "x")]
    module.call = tf.function(call, input_signature=signature, autograph=False)
    table(folder)
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.call.get_concrete_function())
    spec(folder, {"keras": "saved"})


def lambda_that_touches(folder: Path, target: Path) -> None:
    """B1: a Keras model whose Lambda layer makes a file when it is called."""
    k = keras()
    code = f"lambda x: (open({str(target)!r}, 'w').close(), x)[1]"
    given = k.Input((4,), name="x")
    evil = k.layers.Lambda(eval(code), name="evil", output_shape=(4,))(given)  # noqa: S307  our own text
    model = k.Model(given, k.layers.Dense(2, "softmax", name="out")(evil))
    target.unlink(missing_ok=True)  # building the model has called the layer once
    table(folder)
    model.save(folder / "model.keras")
    spec(folder)
