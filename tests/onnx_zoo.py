"""Small ONNX models of every kind of signature, each with rows and what they must give, worked out beside ONNX Runtime."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(5)
X = RNG.normal(size=(7, 3)).astype(np.float32)
W = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]], np.float32)
B = np.array([0.1, -0.2], np.float32)
LOGITS = X.astype(np.float64) @ W + B


def softmax(z: np.ndarray) -> np.ndarray:
    shifted = np.exp(z - z.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Signature:
    """One model, how it is asked, and what it must answer."""

    name: str
    model: Callable[[], Any]
    inputs: Mapping[str, np.ndarray]
    """As an audit holds them: rows on axis 0, channels last, without what is fixed."""
    expected: Callable[[], np.ndarray]
    score: str = "value"
    task: str = "regression"
    output: str | int | None = None
    adaptation: Mapping[str, Any] = field(default_factory=dict)
    rows_per_call: int | None = None
    tolerance: float = 1e-5
    columns: int | None = None
    """Columns that the file says it has; 0 where it does not; None: those of the answer."""

    def __repr__(self) -> str:
        return self.name


def tensor(name: str, shape: Sequence[int | str | None] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def make(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
    ml: int = 3,
    metadata: Mapping[str, str] | None = None,
) -> Any:
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "made", list(inputs), list(outputs), held)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    if metadata:
        helper.set_model_props(model, dict(metadata))
    if all(value.type.HasField("sequence_type") or value.type.tensor_type.HasField("shape") for value in outputs):
        onnx.checker.check_model(model)
    return model


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def ml(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), list(outputs), domain="ai.onnx.ml", **attributes)


WB = {"w": W, "b": B}
GEMM = node("Gemm", ["x", "w", "b"], ["z"])


def dense(kind: int, dtype: Any, rows: int | None = None, end: str = "") -> Any:
    """z = x w + b, and softmax where asked for."""
    nodes = [node("Gemm", ["x", "w", "b"], ["z" if end else "y"])] + ([node(end, ["z"], ["y"])] if end else [])
    weights = {name: array.astype(dtype) for name, array in WB.items()}
    return make(nodes, [tensor("x", [rows, 3], kind)], [tensor("y", [rows, 2], kind)], weights)


# quantised


def qdq(output: int = TensorProto.FLOAT) -> Any:
    """The softmax of a product with every tensor rounded to eight bits; its output rounded too."""
    weights = {**WB, "s": np.float32(0.05), "o": np.int8(0), "p": np.float32(1 / 255), "u": np.uint8(0)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "o"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "o"], ["xd"]),
        node("Gemm", ["xd", "w", "b"], ["z"]),
        node("Softmax", ["z"], ["f"]),
        node("QuantizeLinear", ["f", "p", "u"], ["y" if output == TensorProto.UINT8 else "fq"]),
    ]
    if output == TensorProto.FLOAT:
        nodes.append(node("DequantizeLinear", ["fq", "p", "u"], ["y"]))
    return make(nodes, [tensor("x", [None, 3])], [tensor("y", [None, 2], output)], weights)


def _rounded(x: np.ndarray) -> np.ndarray:
    return np.clip(np.round(x / np.float32(0.05)), -128, 127) * np.float32(0.05)


QDQ_PROBABILITIES = softmax(_rounded(X).astype(np.float64) @ W + B)

# several inputs


def mixed() -> Any:
    """One input a column: words by their own table, a whole number, a number, a flag."""
    nodes = [
        ml(
            "LabelEncoder",
            ["job"],
            ["jobs"],
            keys_strings=["clerk", "smith"],
            values_floats=[1.0, -2.0],
            default_float=0.25,
        ),
        node("Cast", ["years"], ["y0"], to=TensorProto.FLOAT),
        node("Cast", ["owns"], ["o0"], to=TensorProto.FLOAT),
        node("Concat", ["jobs", "y0", "income", "o0"], ["all"], axis=1),
        node("MatMul", ["all", "v"], ["y"]),
    ]
    kinds = {
        "job": TensorProto.STRING,
        "years": TensorProto.INT64,
        "income": TensorProto.FLOAT,
        "owns": TensorProto.BOOL,
    }
    inputs = [tensor(name, [None, 1], kind) for name, kind in kinds.items()]
    return make(nodes, inputs, [tensor("y", [None, 1])], {"v": np.array([[1], [0.5], [2], [4]], np.float32)})


JOBS = np.array([["clerk"], ["smith"], ["baker"], ["clerk"], [""]], object)
MIXED = {
    "job": JOBS,
    "years": np.array([[1], [2], [3], [4], [5]], np.int64),
    "income": np.array([[0.5], [1.0], [1.5], [2.0], [-1.0]], np.float32),
    "owns": np.array([[True], [False], [True], [False], [True]]),
}
# by hand: 1 job + 0.5 years + 2 income + 4 owns
MIXED_ANSWER = np.array([[1 + 0.5 + 1 + 4], [-2 + 1 + 2], [0.25 + 1.5 + 3 + 4], [1 + 2 + 4], [0.25 + 2.5 - 2 + 4]])


def voice(rows: int | None) -> Any:
    """A detector with a rate (a scalar) and a state whose rows are on axis 1, as (2, rows, 4)."""
    nodes = [
        node("ReduceSum", ["state", "first"], ["s"], keepdims=0),  # (rows, 4)
        node("ReduceSum", ["s", "last"], ["s1"], keepdims=1),  # (rows, 1)
        node("Cast", ["sr"], ["rate"], to=TensorProto.FLOAT),
        node("Div", ["rate", "k"], ["khz"]),
        node("MatMul", ["x", "v"], ["xv"]),
        node("Mul", ["xv", "khz"], ["m"]),
        node("Add", ["m", "s1"], ["z"]),
        node("Sigmoid", ["z"], ["p"]),
        node("Identity", ["state"], ["stateN"]),
    ]
    weights = {
        "first": np.array([0]),
        "last": np.array([1]),
        "k": np.float32(16000),
        "v": np.array([[1], [2], [-1]], np.float32),
    }
    inputs = [tensor("x", [rows, 3]), tensor("state", [2, rows, 4]), tensor("sr", [], TensorProto.INT64)]
    return make(nodes, inputs, [tensor("p", [rows, 1]), tensor("stateN", [2, rows, 4])], weights)


VOICE = X.astype(np.float64) @ np.array([1.0, 2, -1])  # times the rate in 16 kHz, plus the sum of the state

# images


IMAGES = RNG.uniform(size=(5, 6, 8, 3)).astype(np.float32)


def channels_first(rows: int | None = None) -> Any:
    """Mean of each channel of the upper half, which must be the rows of the image and not its columns or channels."""
    weights = {"from": np.array([0]), "to": np.array([3]), "axis": np.array([2])}
    nodes = [
        node("Slice", ["image", "from", "to", "axis"], ["upper"]),
        node("ReduceMean", ["upper"], ["y"], axes=[2, 3], keepdims=0),
    ]
    return make(nodes, [tensor("image", [rows, 3, 6, 8])], [tensor("y", [rows, 3])], weights)


def rows_on_axis_one() -> Any:
    """(steps, rows, channels) in, (steps, rows, channels) out: the running sum over steps."""
    weights = {"axis": np.array(0)}
    return make(
        [node("CumSum", ["x", "axis"], ["y"])], [tensor("x", [4, None, 2])], [tensor("y", [4, None, 2])], weights
    )


STEPS = RNG.normal(size=(5, 4, 2)).astype(np.float32)


def detector() -> Any:
    """(rows, 3) to (rows, 9, 4): the product of x's sum with a table."""
    table = np.arange(36, dtype=np.float32).reshape(1, 9, 4)
    nodes = [
        node("ReduceSum", ["x", "one"], ["s"], keepdims=1),
        node("Unsqueeze", ["s", "two"], ["s3"]),
        node("Mul", ["s3", "t"], ["detection"]),
        node("Sigmoid", ["detection"], ["squashed"]),
    ]
    weights = {"one": np.array([1]), "two": np.array([2]), "t": table}
    outputs = [tensor("squashed", [None, 9, 4]), tensor("detection", [None, 9, 4])]
    return make(nodes, [tensor("x", [None, 3])], outputs, weights)


TABLE = np.arange(36).reshape(9, 4)
SUMS = X.astype(np.float64).sum(axis=1)
DETECTED = SUMS[:, None, None] * TABLE


def if_positive() -> Any:
    """If the sum over all rows is above zero, x w + b, else the same with twice the weights; reads outer names."""

    def branch(factor: float, name: str) -> Any:
        nodes = [
            node("Constant", [], [f"f{name}"], value=numpy_helper.from_array(np.float32(factor))),
            node("Mul", ["w", f"f{name}"], [f"w{name}"]),
            node("Gemm", ["x", f"w{name}", "b"], [f"y{name}"]),
        ]
        return helper.make_graph(nodes, name, [], [tensor(f"y{name}", [None, 2])])

    nodes = [
        node("Cast", ["switch"], ["s"], to=TensorProto.BOOL),
        node("If", ["s"], ["y"], then_branch=branch(1.0, "then"), else_branch=branch(2.0, "else")),
    ]
    inputs = [tensor("x", [None, 3]), tensor("switch", [1], TensorProto.INT64)]
    return make(nodes, inputs, [tensor("y", [None, 2])], WB)


def loop() -> Any:
    """Three times y = y + x, from zero."""
    body = helper.make_graph(
        [node("Add", ["before", "x"], ["after"]), node("Identity", ["go"], ["on"])],
        "body",
        [tensor("i", [], TensorProto.INT64), tensor("go", [], TensorProto.BOOL), tensor("before", [None, 3])],
        [tensor("on", [], TensorProto.BOOL), tensor("after", [None, 3])],
    )
    nodes = [node("Sub", ["x", "x"], ["zero"]), node("Loop", ["three", "yes", "zero"], ["y"], body=body)]
    weights = {"three": np.array(3), "yes": np.array(True)}
    return make(nodes, [tensor("x", [None, 3])], [tensor("y", [None, 3])], weights)


# ai.onnx.ml


def linear_classifier(post: str, zipmap: str = "", labels: Sequence[Any] = ("no", "yes", "maybe")) -> Any:
    """Three classes of x; as probabilities, as scores, as a list of maps."""
    named = {"classlabels_strings": list(labels)}
    coefficients = np.concatenate([W.T, [[0.3, 0.2, -0.1]]]).astype(np.float32)
    nodes = [
        ml(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            coefficients=coefficients.reshape(-1).tolist(),
            intercepts=[0.1, -0.2, 0.0],
            multi_class=1,
            post_transform=post,
            **named,
        )
    ]
    outputs = [tensor("label", [None], TensorProto.STRING)]
    if zipmap:
        nodes.append(ml("ZipMap", ["scores"], ["map"], **named))
        kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
        outputs.append(helper.make_value_info("map", helper.make_sequence_type_proto(kind)))
    else:
        outputs.append(tensor("scores", [None, 3]))
    return make(nodes, [tensor("x", [None, 3])], outputs)


THREE = X.astype(np.float64) @ np.concatenate([W.T, [[0.3, 0.2, -0.1]]]).T + np.array([0.1, -0.2, 0.0])


def map_from_a_branch() -> Any:
    """A list of maps that no ZipMap of the main graph makes."""
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))

    def branch(name: str) -> Any:
        zipped = ml("ZipMap", ["p"], [f"m{name}"], classlabels_strings=["no", "yes"])
        return helper.make_graph(
            [zipped], name, [], [helper.make_value_info(f"m{name}", helper.make_sequence_type_proto(kind))]
        )

    nodes = [
        GEMM,
        node("Softmax", ["z"], ["p"]),
        node("If", ["yes"], ["map"], then_branch=branch("then"), else_branch=branch("else")),
    ]
    outputs = [helper.make_value_info("map", helper.make_sequence_type_proto(kind))]
    return make(nodes, [tensor("x", [None, 3])], outputs, {**WB, "yes": np.array(True)})


def list_of_tensors() -> Any:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None, 2]))
    nodes = [GEMM, node("Neg", ["z"], ["n"]), node("SequenceConstruct", ["z", "n"], ["all"])]
    return make(nodes, [tensor("x", [None, 3])], [helper.make_value_info("all", kind)], WB)


def list_cut_by_row(keeps_axis: int, parts: Any = None, element: Sequence[int | None] | None = None) -> Any:
    """A softmax, cut into a list along its rows: one tensor for each row, or for some."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, element))
    weights = {**WB} if parts is None else {**WB, "parts": np.array(parts)}
    given = ["p"] if parts is None else ["p", "parts"]
    cut = node("SplitToSequence", given, ["all"], axis=0, keepdims=keeps_axis)
    outputs = [helper.make_value_info("all", kind)]
    return make([GEMM, node("Softmax", ["z"], ["p"]), cut], [tensor("x", [None, 3])], outputs, weights)


def scaled_and_hot() -> Any:
    """Scaler and OneHotEncoder side by side, then Normalizer, then a product."""
    nodes = [
        ml("Scaler", ["x"], ["xs"], offset=[1.0, 0.0, -1.0], scale=[2.0, 1.0, 0.5]),
        ml("OneHotEncoder", ["c"], ["hot"], cats_strings=["a", "b"], zeros=1),
        node("Reshape", ["hot", "flat"], ["h"]),
        node("Concat", ["xs", "h"], ["all"], axis=1),
        ml("Normalizer", ["all"], ["n"], norm="L2"),
        node("MatMul", ["n", "v"], ["y"]),
    ]
    weights = {"flat": np.array([-1, 2]), "v": np.array([[1], [2], [3], [4], [5]], np.float32)}
    inputs = [tensor("x", [None, 3]), tensor("c", [None, 1], TensorProto.STRING)]
    return make(nodes, inputs, [tensor("y", [None, 1])], weights)


LETTERS = np.array([["a"], ["b"], ["c"], ["a"], ["b"], ["z"], ["a"]], object)


def _scaled_and_hot() -> np.ndarray:
    xs = (X.astype(np.float64) - [1.0, 0.0, -1.0]) * [2.0, 1.0, 0.5]
    whole = np.concatenate([xs, (LETTERS == ["a", "b"]).astype(float)], axis=1)
    return (whole / np.linalg.norm(whole, axis=1, keepdims=True)) @ np.array([[1.0], [2], [3], [4], [5]])


def svm_regressor() -> Any:
    """Two support vectors, linear kernel: 0.5 <x, v1> - 2 <x, v2> + 0.25."""
    vectors = np.array([[1, 0, 2], [0, 1, -1]], np.float32)
    regressor = ml(
        "SVMRegressor",
        ["x"],
        ["y"],
        coefficients=[0.5, -2.0],
        support_vectors=vectors.reshape(-1).tolist(),
        rho=[0.25],
        n_supports=2,
        kernel_type="LINEAR",
        kernel_params=[0.0, 0.0, 0.0],
        post_transform="NONE",
    )
    return make([regressor], [tensor("x", [None, 3])], [tensor("y", [None, 1])])


def trees_of_opset_5(post: int = 0, targets: int = 1) -> Any:
    """TreeEnsemble of ai.onnx.ml 5: x0 <= 0 gives leaf 0, else leaf 1; NaN goes left."""
    ensemble = ml(
        "TreeEnsemble",
        ["x"],
        ["y"],
        n_targets=targets,
        aggregate_function=1,
        post_transform=post,
        tree_roots=[0],
        nodes_modes=numpy_helper.from_array(np.array([0], np.uint8)),
        nodes_featureids=[0],
        nodes_splits=numpy_helper.from_array(np.array([0.0], np.float32)),
        nodes_truenodeids=[0],
        nodes_trueleafs=[1],
        nodes_falsenodeids=[1],
        nodes_falseleafs=[1],
        nodes_missing_value_tracks_true=[1],
        leaf_targetids=[0, targets - 1],
        leaf_weights=numpy_helper.from_array(np.array([-1.5, 2.5], np.float32)),
    )
    return make([ensemble], [tensor("x", [None, 3])], [tensor("y", [None, targets])], opset=21, ml=5)


MISSING = X.copy()
MISSING[::2, 0] = np.nan


def unknown_width() -> Any:
    return make([GEMM], [tensor("x", [None, 3])], [tensor("z", [None, None])], WB)


def squeezed_batch() -> Any:
    """Declares that it answers one row at a time, and does: the mean over rows is taken."""
    nodes = [GEMM, node("ReduceMean", ["z"], ["y"], axes=[0], keepdims=1)]
    return make(nodes, [tensor("x", [None, 3])], [tensor("y", [1, 2])], WB)


def _signatures() -> list[Signature]:
    wide = {"x": X}
    p = softmax(LOGITS)
    yes = 1 / (1 + np.exp(-VOICE / 1))
    fixed = {"inputs": {"sr": {"fixed": 16000}, "state": {"fixed": "zeros", "batch_axis": 1}}}
    return [
        Signature("float32", lambda: dense(TensorProto.FLOAT, np.float32), wide, lambda: LOGITS),
        Signature("float64", lambda: dense(TensorProto.DOUBLE, np.float64), {"x": X.astype(np.float64)}, lambda: LOGITS,
                  tolerance=1e-12),
        Signature("float16", lambda: dense(TensorProto.FLOAT16, np.float16), {"x": X.astype(np.float16)}, lambda: LOGITS,
                  tolerance=2e-2),
        Signature("float16 softmax", lambda: dense(TensorProto.FLOAT16, np.float16, end="Softmax"),
                  {"x": X.astype(np.float16)}, lambda: p, "probability", "classification", tolerance=5e-3),
        Signature("batch fixed at 1", lambda: dense(TensorProto.FLOAT, np.float32, 1), wide, lambda: LOGITS, rows_per_call=1),
        Signature("batch fixed at 3", lambda: dense(TensorProto.FLOAT, np.float32, 3), wide, lambda: LOGITS, rows_per_call=3),
        Signature("answers one row at a time", squeezed_batch, wide, lambda: LOGITS, rows_per_call=1),
        Signature("logits only, as probabilities", lambda: dense(TensorProto.FLOAT, np.float32), wide, lambda: p,
                  "probability", "classification"),
        Signature("logits only, as logits", lambda: dense(TensorProto.FLOAT, np.float32), wide, lambda: LOGITS, "logit",
                  "classification"),
        Signature("QDQ", qdq, wide, lambda: np.round(QDQ_PROBABILITIES * 255) / 255, "probability", "classification",
                  tolerance=1 / 255),
        Signature("QDQ below the softmax", qdq, wide, lambda: _rounded(X).astype(np.float64) @ W + B, "logit",
                  "classification"),
        Signature("uint8 out", lambda: qdq(TensorProto.UINT8), wide, lambda: QDQ_PROBABILITIES, "probability",
                  "classification"),
        Signature("one input a column", mixed, MIXED, lambda: MIXED_ANSWER),
        Signature("fixed rate and state", lambda: voice(None), wide,
                  lambda: np.stack([1 - yes, yes], axis=1), "probability", "classification", adaptation=fixed, columns=2),
        Signature("fixed rate of 8 kHz, ones as state", lambda: voice(None), wide,
                  lambda: np.stack([-(VOICE / 2 + 8), VOICE / 2 + 8], axis=1), "logit", "classification",
                  adaptation={"inputs": {"sr": {"fixed": 8000}, "state": {"fixed": "ones", "batch_axis": 1}}}, columns=2),
        Signature("fixed state for one row a call", lambda: voice(1), wide,
                  lambda: np.stack([1 - yes, yes], axis=1), "probability", "classification", adaptation=fixed,
                  rows_per_call=1, columns=2),
        Signature("fixed state for three rows a call", lambda: voice(3), wide,
                  lambda: np.stack([1 - yes, yes], axis=1), "probability", "classification", adaptation=fixed,
                  rows_per_call=3, columns=2),
        Signature("state as an output is not looked at", lambda: voice(None), wide,
                  lambda: np.full((7, 1), 8.0), output="stateN",
                  adaptation={"inputs": {"sr": {"fixed": 16000}, "state": {"fixed": "ones", "batch_axis": 1}},
                              "batch_axis": 1, "reduce": "sum"}),
        Signature("text that is fixed", mixed, {name: MIXED[name] for name in ("years", "income", "owns")},
                  lambda: np.array([[6.5], [4.0], [9.5], [7.0], [5.5]]),  # every job a clerk: 1 + what the rest gives
                  adaptation={"inputs": {"job": {"fixed": "clerk"}}}),
        Signature("channels first", channels_first, {"image": IMAGES},
                  lambda: IMAGES[:, :3].astype(np.float64).mean(axis=(1, 2)),
                  adaptation={"inputs": {"image": {"layout": "NCHW"}}}),
        Signature("channels first, one image a call", lambda: channels_first(1), {"image": IMAGES},
                  lambda: IMAGES[:, :3].astype(np.float64).mean(axis=(1, 2)),
                  adaptation={"inputs": {"image": {"layout": "NCHW"}}}, rows_per_call=1),
        Signature("rows on axis 1", rows_on_axis_one, {"x": STEPS}, lambda: STEPS.astype(np.float64).sum(axis=1),
                  adaptation={"inputs": {"x": {"batch_axis": 1}}, "batch_axis": 1, "select": [-1, "outputs"]}),
        Signature("index and index", detector, wide, lambda: DETECTED[:, 8, 1][:, None], output="detection",
                  adaptation={"select": [8, 1]}),
        Signature("index, then the largest of the rest", detector, wide, lambda: DETECTED[:, 8].max(axis=1)[:, None],
                  output="detection", adaptation={"select": [8], "reduce": "max"}),
        Signature("the largest of all", detector, wide, lambda: DETECTED.max(axis=(1, 2))[:, None], output=1,
                  adaptation={"reduce": "max"}),
        Signature("mean over the first axis, one output each of the second", detector, wide,
                  lambda: DETECTED.mean(axis=1), output="detection", adaptation={"select": ["all", "outputs"], "reduce": "mean"}),
        Signature("sum over some positions, others stay", detector, wide,
                  lambda: DETECTED[:, :, [0, 3]].sum(axis=1), output="detection",
                  adaptation={"select": ["all", [0, 3]], "reduce": "sum"}),
        Signature("a sigmoid selected, its logit", detector, wide,
                  lambda: np.stack([-DETECTED[:, 8, 1], DETECTED[:, 8, 1]], axis=1), "logit", "classification",
                  output="squashed", adaptation={"select": [8, 1]}, columns=2),
        Signature("If, with a flag that is fixed", if_positive, wide, lambda: X.astype(np.float64) @ (2 * W) + B,
                  adaptation={"inputs": {"switch": {"fixed": 0}}}),
        Signature("Loop", loop, wide, lambda: 3 * X.astype(np.float64)),
        Signature("linear classifier of words", lambda: linear_classifier("SOFTMAX"), wide, lambda: softmax(THREE),
                  "probability", "classification"),
        Signature("linear classifier, scores", lambda: linear_classifier("NONE"), wide, lambda: THREE, "logit", "classification"),
        Signature("a list of maps", lambda: linear_classifier("SOFTMAX", "ZipMap"), wide, lambda: softmax(THREE),
                  "probability", "classification"),
        Signature("a list of maps out of an If", map_from_a_branch, wide, lambda: p, "probability", "classification", columns=0),
        Signature("a list of tensors", list_of_tensors, wide, lambda: -LOGITS, adaptation={"select": [1]}),
        Signature("a list of rows", lambda: list_cut_by_row(0), wide, lambda: p, "probability", "classification"),
        Signature("a list of rows that keep their axis", lambda: list_cut_by_row(1, element=[1, 2]), wide, lambda: LOGITS,
                  "logit", "classification"),
        Signature("a list of several rows each", lambda: list_cut_by_row(1, 2), wide, lambda: p, "probability",
                  "classification"),
        Signature("Scaler, OneHotEncoder, Normalizer", scaled_and_hot, {"x": X, "c": LETTERS}, _scaled_and_hot),
        Signature("support vectors", svm_regressor, wide,
                  lambda: 0.25 + X.astype(np.float64) @ np.array([[0.5], [-2.0], [1.0 + 2.0]])),
        Signature("TreeEnsemble of ai.onnx.ml 5, NaN", trees_of_opset_5, {"x": MISSING},
                  lambda: np.where((MISSING[:, :1] <= 0) | np.isnan(MISSING[:, :1]), -1.5, 2.5)),
        Signature("TreeEnsemble of ai.onnx.ml 5, two targets", lambda: trees_of_opset_5(targets=2), {"x": X},
                  lambda: np.where(X[:, :1] <= 0, [[-1.5, 0.0]], [[0.0, 2.5]])),
        Signature("a width that only inference tells", unknown_width, wide, lambda: LOGITS),
    ]  # fmt: skip


SIGNATURES = _signatures()
