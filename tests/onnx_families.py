"""One small model of each family of ONNX operators, for the tests of their rebuild."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SHAPE = (2, 3, 5, 4)
RNG = np.random.default_rng(3)


def graph(nodes: list[Any], held: Mapping[str, Any], shape: Any = SHAPE, opset: int = 17, domain: str = "") -> Any:
    """A model from ``x`` to ``y``; the first axis of ``x`` is of any size."""
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", *shape[1:]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "made", [x], [y], weights)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def floats(*shape: int, low: float = -1.0) -> Any:
    return RNG.uniform(low, 1.0, shape).astype(np.float32)


def node(kind: str, *more: str, outputs: tuple[str, ...] = ("y",), domain: str = "", **said: Any) -> Any:
    return helper.make_node(kind, ["x", *more], list(outputs), name=f"the {kind}", domain=domain, **said)


# One use of each family's operators, smooth where differences are taken: name, nodes, constants, shape of x, lowest x.
W = {"w": floats(4, 3, 3, 3), "b": floats(4)}
FAMILIES: dict[str, tuple[list[Any], dict[str, Any], tuple[int, ...], float]] = {
    "elementwise": ([node("Tanh", outputs=("t",)), helper.make_node("Mul", ["t", "w"], ["y"])], {"w": floats(3, 1, 4)}, SHAPE, -1),
    "powers": ([node("Pow", "w", outputs=("t",)), helper.make_node("Log", ["t"], ["y"])], {"w": np.float32(1.5)}, SHAPE, 0.2),
    "activation": ([node("Selu", outputs=("t",)), helper.make_node("Mish", ["t"], ["y"])], {}, SHAPE, -1),
    "softmax of old": ([node("Flatten", outputs=("t",), axis=1), helper.make_node("Softmax", ["t"], ["y"])], {}, SHAPE, -1),
    "convolution": ([node("Conv", "w", "b", pads=[1, 0, 2, 1], strides=[2, 1])], W, SHAPE, -1),
    "dilated": ([node("Conv", "w", "b", dilations=[2, 1], strides=[1, 2], pads=[1, 2, 0, 0])], W, SHAPE, -1),
    "grouped": ([node("Conv", "w", group=2)], {"w": floats(6, 2, 2, 2)}, (2, 4, 5, 5), -1),
    "depthwise": ([node("Conv", "w", group=3, strides=[1, 2])], {"w": floats(6, 1, 2, 2)}, SHAPE, -1),
    "one axis": ([node("Conv", "w", group=3, strides=[2])], {"w": floats(3, 1, 2)}, (2, 3, 7), -1),
    "transposed": (
        [node("ConvTranspose", "w", strides=[2, 3], output_padding=[1, 2], pads=[1, 0, 0, 1])],
        {"w": floats(3, 2, 3, 3)}, SHAPE, -1,
    ),
    "largest": ([node("MaxPool", kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1])], {}, SHAPE, -1),
    "average": (
        [node("AveragePool", kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 2], ceil_mode=1)], {}, SHAPE, -1,
    ),
    "over all": ([node("GlobalLpPool", p=3)], {}, SHAPE, 0.1),
    "batch": (
        [node("BatchNormalization", "s", "t", "m", "v")],
        {"s": floats(3), "t": floats(3), "m": floats(3), "v": floats(3, low=0.2)}, SHAPE, -1,
    ),
    "instance": ([node("InstanceNormalization", "s", "t")], {"s": floats(3), "t": floats(3)}, SHAPE, -1),
    "layer": ([node("LayerNormalization", "s", "t", axis=2)], {"s": floats(5, 4), "t": floats(5, 4)}, SHAPE, -1),
    "neighbours": ([node("LRN", size=3, alpha=0.3)], {}, SHAPE, -1),
    "product": ([node("MatMul", "w")], {"w": floats(4, 2)}, SHAPE, -1),
    "gemm": ([node("Gemm", "w", "b", alpha=0.5, beta=2.0, transB=1)], {"w": floats(2, 4), "b": floats(1, 2)}, (3, 4), -1),
    "einsum": ([node("Einsum", "w", equation="abcd,de->abe c".replace(" ", ""))], {"w": floats(4, 2)}, SHAPE, -1),
    "reduction": ([node("ReduceL2", axes=[1, 3], keepdims=0)], {}, SHAPE, 0.1),
    "running sum": ([node("CumSum", "w", exclusive=1, reverse=1)], {"w": np.int64(2)}, SHAPE, -1),
    "largest few": ([node("TopK", "k", outputs=("y", "i"), axis=2, largest=0)], {"k": np.array([2])}, SHAPE, -1),
    "reshaped": (
        [node("Transpose", outputs=("t",), perm=[0, 2, 3, 1]), helper.make_node("Reshape", ["t", "s"], ["y"])],
        {"s": np.array([0, -1, 6])}, SHAPE, -1,
    ),
    "cut and joined": (
        [
            node("Split", outputs=("a", "b"), axis=2, num_outputs=2),
            helper.make_node("Slice", ["a", "from", "to", "axis", "step"], ["c"]),
            helper.make_node("Concat", ["c", "b"], ["y"], axis=2),
        ],
        {"from": np.array([-1]), "to": np.array([-9]), "axis": np.array([2]), "step": np.array([-2])}, SHAPE, -1,
    ),
    "gathered": ([node("Gather", "i", axis=1)], {"i": np.array([[2, -3], [0, 0]])}, SHAPE, -1),
    "scattered": ([node("ScatterElements", "i", "u", axis=3)], {"i": np.zeros((2, 3, 1, 1), np.int64), "u": floats(2, 3, 1, 1)}, SHAPE, -1),
    "padded": ([node("Pad", "p", mode="edge")], {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1])}, SHAPE, -1),
    "space to depth": ([node("SpaceToDepth", blocksize=2)], {}, (2, 3, 4, 4), -1),
    "resized": (
        [node("Resize", "", "f", mode="cubic", coordinate_transformation_mode="align_corners")],
        {"f": np.array([1, 1, 1.6, 0.5], np.float32)}, SHAPE, -1,
    ),
    "lstm": (
        [node("LSTM", "w", "r", "b", hidden_size=2, direction="bidirectional")],
        {"w": floats(2, 8, 3), "r": floats(2, 8, 2), "b": floats(2, 16)}, (3, 2, 3), -1,
    ),
    "gru": (
        [node("GRU", "w", "r", "b", hidden_size=2, linear_before_reset=1)],
        {"w": floats(1, 6, 3), "r": floats(1, 6, 2), "b": floats(1, 12)}, (3, 2, 3), -1,
    ),
    "dequantised": (
        [helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0), node("MatMul", "w")],
        {"q": RNG.integers(-9, 9, (4, 2)).astype(np.int8), "s": floats(4, low=0.1)}, (3, 4), -1,
    ),
    "scaled": (
        [
            node("Scaler", outputs=("t",), domain="ai.onnx.ml", offset=[0.5, -1.0, 0.0, 2.0], scale=[2.0, 1.0, 3.0, -1.0]),
            helper.make_node("LinearRegressor", ["t"], ["y"], domain="ai.onnx.ml", coefficients=[1.0, 2.0, -1.0, 0.5],
                             intercepts=[0.3]),
        ],
        {}, (3, 4), -1,
    ),
}  # fmt: skip
OPSETS = {"reduction": 17, "cut and joined": 18, "activation": 18, "centre": 18, "patches": 18, "attention": 23}
OPSETS |= {"rotated": 23, "deformed": 19}


def inner(
    name: str, nodes: list[Any], reads: list[str], makes: list[str], held: Mapping[str, Any] | None = None
) -> Any:
    """A graph inside a node; names that begin with an `i` are whole numbers, those with a `c` truths."""
    kinds = {"i": TensorProto.INT64, "c": TensorProto.BOOL}
    weights = [numpy_helper.from_array(np.asarray(value), key) for key, value in (held or {}).items()]
    values = [
        [
            helper.make_tensor_value_info(one, kinds.get(one[0], TensorProto.FLOAT), [] if one[0] in kinds else None)
            for one in names
        ]
        for names in (reads, makes)
    ]
    return helper.make_graph(nodes, name, *values, weights)


SUM_OF = [
    helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
    helper.make_node("Greater", ["total", "zero"], ["c"]),
]
BRANCHES = {
    "then_branch": inner("then", [helper.make_node("Mul", ["x", "w"], ["t"])], [], ["t"]),
    "else_branch": inner("else", [helper.make_node("Sin", ["x"], ["e"])], [], ["e"]),
}
STEP = [
    helper.make_node("Mul", ["s", "w"], ["p"]), helper.make_node("Tanh", ["p"], ["s_after"]),
    helper.make_node("ReduceSum", ["s_after"], ["each"], keepdims=0), helper.make_node("Less", ["each", "limit"], ["c_after"]),
]  # fmt: skip
UNTIL = inner("body", STEP, ["i", "c", "s"], ["c_after", "s_after", "each"])
THREE = inner(
    "body",
    [*STEP[:3], helper.make_node("Identity", ["c"], ["c_after"])],
    ["i", "c", "s"],
    ["c_after", "s_after", "each"],
)
OVER = inner("body", [helper.make_node("Mul", ["s", "now"], ["p"]), helper.make_node("Add", ["p", "w"], ["s_after"]), helper.make_node("Sin", ["p"], ["each"])],
             ["s", "now"], ["s_after", "each"])  # fmt: skip
JOIN = [helper.make_node("ReduceSum", ["scan"], ["q"], keepdims=0), helper.make_node("Add", ["end", "q"], ["y"])]
NESTED: dict[str, tuple[list[Any], dict[str, Any], tuple[int, ...], float]] = {
    "either": ([*SUM_OF, helper.make_node("If", ["c"], ["y"], **BRANCHES)], {"zero": np.float32(0), "w": floats(3, 1, 4)}, SHAPE, -1),
    "or": ([*SUM_OF, helper.make_node("If", ["c"], ["y"], **BRANCHES)], {"zero": np.float32(1e6), "w": floats(3, 1, 4)}, SHAPE, -1),
    "three times": (
        [helper.make_node("Loop", ["n", "", "x"], ["end", "scan"], body=THREE), *JOIN],
        {"n": np.int64(3), "w": np.float32(0.7)}, SHAPE, 0.1,
    ),
    "until": (
        [helper.make_node("Loop", ["", "go", "x"], ["end", "scan"], body=UNTIL), *JOIN],
        {"go": np.array(True), "w": np.float32(1.8), "limit": np.float32(90)}, SHAPE, 0.1,
    ),
    "over": (
        [helper.make_node("Scan", ["w", "x"], ["end", "scan"], body=OVER, num_scan_inputs=1, scan_input_axes=[1],
                          scan_input_directions=[1], scan_output_axes=[2]),
         helper.make_node("Squeeze", ["scan", "two"], ["z"]), helper.make_node("Add", ["end", "z"], ["y"])],
        {"w": floats(2, 4), "two": np.array([2])}, (2, 1, 4), -1,
    ),
}  # fmt: skip
FAMILIES |= NESTED
GRID = floats(2, 6, 5, 2) * np.float32(1.3)
FAMILIES |= {
    f"grid {mode} {fill} {corners}": (
        [node("GridSample", "g", mode=mode, padding_mode=fill, align_corners=corners)], {"g": GRID}, SHAPE, -1,
    )
    for mode in ("bilinear", "nearest", "bicubic") for fill in ("zeros", "border", "reflection") for corners in (0, 1)
}  # fmt: skip
FAMILIES |= {
    "regions": (
        [node("RoiAlign", "r", "b", output_height=3, output_width=2, sampling_ratio=2, spatial_scale=0.5)],
        {"r": np.array([[0, 1, 7, 8], [2, 0, 5, 6]], np.float32), "b": np.array([1, 0])}, SHAPE, -1,
    ),
    "regions of any size": (
        [node("RoiAlign", "r", "b", output_height=2, output_width=2)],
        {"r": np.array([[0, 1, 3, 4], [0.5, 0, 2.5, 3.5]], np.float32), "b": np.array([1, 0])}, SHAPE, -1,
    ),
    "deformed": (
        [node("DeformConv", "w", "o", "b", pads=[1, 0, 1, 0])],
        {"w": floats(2, 3, 3, 2), "o": floats(2, 12, 5, 3) * np.float32(0.8), "b": floats(2)}, SHAPE, -1,
    ),
    "class loss": ([node("SoftmaxCrossEntropyLoss", "t", "w", ignore_index=1)], {"t": np.array([[0, 1, 2], [2, 2, 0]]), "w": floats(4, low=0.1)}, (2, 4, 3), -1),
    "likelihood": ([node("NegativeLogLikelihoodLoss", "t", reduction="none")], {"t": np.array([3, 0])}, (2, 4), -1),
    "spectrum": ([node("DFT", axis=1, onesided=1)], {}, (2, 7, 1), -1),
    "centre": ([node("CenterCropPad", "s", axes=[2, 3])], {"s": np.array([2, 7])}, SHAPE, -1),
    "patches": ([node("Col2Im", "s", "k", strides=[2, 1], pads=[1, 0, 0, 1])], {"s": np.array([4, 5]), "k": np.array([2, 3])}, (2, 12, 8), -1),
    "attention": (
        [node("Attention", "k", "v", "m", is_causal=1, q_num_heads=4, kv_num_heads=2, softcap=1.5)],
        {"k": floats(2, 5, 6), "v": floats(2, 5, 6), "m": floats(3, 5)}, (2, 3, 12), -1,
    ),
    "rotated": ([node("RotaryEmbedding", "c", "s", "p", num_heads=2, interleaved=1)], {"c": floats(9, 2), "s": floats(9, 2), "p": np.array([[0, 3, 8], [1, 2, 4]])}, (2, 3, 8), -1),
}  # fmt: skip

FOUR = numpy_helper.to_array(helper.make_tensor("q", TensorProto.INT4, [4, 2], [-8, 7, 3, 0, -1, 5, 2, -4]))
FAMILIES["four bits"] = (
    [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0), node("MatMul", "w")],
    {"q": FOUR, "s": floats(4, low=0.1), "z": FOUR.reshape(-1)[:4]}, (3, 4), -1,
)  # fmt: skip
OPSETS["four bits"] = 21
