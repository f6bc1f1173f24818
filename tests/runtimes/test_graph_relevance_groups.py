"""Relevance through convolutions in groups and the constants that stand on them: held against dense matrices in NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Rule, View
from runtimes.frameworks import onnx_tensorflow

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(3)
EPSILON, GAMMA = 1e-3, 0.25
SPACE = (5, 4)
X = RNG.normal(size=(2, 4, *SPACE)).astype(np.float32)
TARGET = np.array([0, 2])
RULES = {
    "epsilon": Rule("epsilon", epsilon=EPSILON),
    "gamma": Rule("gamma", epsilon=EPSILON, gamma=GAMMA),
    "alpha-beta": Rule("alpha_beta", epsilon=EPSILON, alpha=2.0, beta=1.0),
}


def drawn(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


HELD = {"kernel": drawn(6, 2, 3, 3), "last": drawn(6 * 5 * 4, 3), "scale": drawn(6), "shift": drawn(6)}
HELD |= {
    "mean": drawn(6),
    "variance": np.abs(drawn(6)) + 0.5,
    "by_place": drawn(1, 6, *SPACE),
    "by_row": drawn(1, 6, 5, 1),
}
HELD |= {"of_plane": drawn(*SPACE), "by_channel": drawn(6, 1, 1), "half": np.float32(-0.5), "bias": drawn(6)}


def node(kind: str, read: list[str], made: str, **said: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, read, [made], **said)


def written(folder: Path, between: list[Any], space: tuple[Any, Any] = SPACE) -> Path:
    """A convolution of ``x`` to ``c``, what stands on it from ``c`` to ``s``, a ReLU, and a last product."""
    import onnx
    from onnx import helper, numpy_helper

    nodes = [node("Conv", ["x", "kernel", "bias"], "c", group=2, pads=[1, 1, 1, 1]), *between]
    nodes += [node("Relu", ["s"], "r"), node("Flatten", ["r"], "f"), node("MatMul", ["f", "last"], "y")]
    read = {name for one in nodes for name in one.input}
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in HELD.items() if name in read]
    ends = [helper.make_tensor_value_info("x", 1, ["N", 4, *space]), helper.make_tensor_value_info("y", 1, ["N", 3])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "m.onnx")
    return folder / "m.onnx"


def dense(kernel: Any) -> Any:
    """A convolution in two groups as a matrix from all numbers of ``x`` to all of its sums, padded by one."""
    matrix = np.zeros((4, *SPACE, 6, *SPACE))
    for out, inner, a, b in np.ndindex(kernel.shape):
        for y, x in np.ndindex(SPACE):
            if 0 <= y + a - 1 < SPACE[0] and 0 <= x + b - 1 < SPACE[1]:
                matrix[2 * (out // 3) + inner, y + a - 1, x + b - 1, out, y, x] = kernel[out, inner, a, b]
    return matrix.reshape(4 * 20, 6 * 20)


def shared_out(rule: Rule, weights: Any, bias: Any, x: Any, relevance: Any) -> Any:
    """One step of relevance by the equations at `runtimes.capabilities.RULES`, contribution by contribution."""
    parts = x[:, None] * weights
    z = parts.sum(axis=0) + bias
    up = np.maximum(parts, 0).sum(axis=0) + np.maximum(bias, 0)
    down = np.minimum(parts, 0).sum(axis=0) + np.minimum(bias, 0)
    if rule.name == "alpha_beta":
        positive = np.maximum(parts, 0) * (relevance / (up + rule.epsilon))
        negative = np.minimum(parts, 0) * (relevance / (down - rule.epsilon))
        return (rule.alpha * positive - rule.beta * negative).sum(axis=1)
    gamma = rule.gamma if rule.name == "gamma" else 0.0
    own = np.where(z > 0, parts + gamma * np.maximum(parts, 0), parts + gamma * np.minimum(parts, 0))
    below = z + gamma * np.where(z > 0, up, down)
    return (own * (relevance / (below + np.where(below >= 0, rule.epsilon, -rule.epsilon)))).sum(axis=1)


def wanted(rule: Rule, factor: Any, summand: Any, scaled: Any = 1.0) -> Any:
    """The relevance of ``x`` by hand, where ``s`` is a factor for each channel times the bare sums, and a summand; scaled."""
    kernel = HELD["kernel"].astype(np.float64) * np.reshape(factor, (-1, 1, 1, 1))
    weights, bias = dense(kernel), np.broadcast_to(summand, (6, *SPACE)).reshape(-1).astype(np.float64)
    found = []
    for row, column in zip(X.reshape(2, -1).astype(np.float64), TARGET, strict=True):
        active = np.maximum((row @ weights + bias) * np.reshape(scaled, -1), 0)
        last = HELD["last"].astype(np.float64)
        score = np.where(np.arange(3) == column, active @ last, 0.0)
        found.append(shared_out(rule, weights, bias, row, shared_out(rule, last, np.zeros(3), active, score)))
    return np.reshape(found, X.shape)


CHANNEL = HELD["bias"][:, None, None].astype(np.float64)
SPREAD = HELD["scale"] / np.sqrt(HELD["variance"].astype(np.float64) + 1e-5)
NORMALISED = ["scale", "shift", "mean", "variance"]
WIDE = {name: HELD[name].astype(np.float64)[:, None, None] for name in ("shift", "mean")}
ONE = np.ones(6)
CASES: dict[str, tuple[list[Any], Any, Any]] = {
    "for each place": ([node("Add", ["c", "by_place"], "s")], ONE, CHANNEL + HELD["by_place"][0]),
    "for each row": ([node("Add", ["by_row", "c"], "s")], ONE, CHANNEL + HELD["by_row"][0]),
    "for all channels": ([node("Sub", ["c", "of_plane"], "s")], ONE, CHANNEL - HELD["of_plane"]),
    "twice": (
        [node("Add", ["c", "by_place"], "a"), node("Sub", ["a", "by_channel"], "b"), node("Add", ["b", "by_row"], "s")],
        ONE,
        CHANNEL + HELD["by_place"][0] - HELD["by_channel"] + HELD["by_row"][0],
    ),
    "below a normalisation": (  # ((c + p) - mean) spread + shift
        [node("Add", ["c", "by_place"], "a"), node("BatchNormalization", ["a", *NORMALISED], "s")],
        SPREAD,
        (CHANNEL + HELD["by_place"][0] - WIDE["mean"]) * SPREAD[:, None, None] + WIDE["shift"],
    ),
    "above a normalisation and a factor": (  # ((c - mean) spread + shift) (-1/2) + p
        [
            node("BatchNormalization", ["c", *NORMALISED], "a"),
            node("Mul", ["a", "half"], "b"),
            node("Add", ["b", "by_place"], "s"),
        ],
        -0.5 * SPREAD,
        -0.5 * ((CHANNEL - WIDE["mean"]) * SPREAD[:, None, None] + WIDE["shift"]) + HELD["by_place"][0],
    ),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("name", CASES)
def test_a_summand_for_each_place_stands_on_the_sums_of_each_group(name: str, rule: Rule, tmp_path: Path) -> None:
    between, factor, summand = CASES[name]
    path = written(tmp_path, between)
    assert onnx_tensorflow.inspect(path).without_rule == ""
    handle: Any = onnx_tensorflow.open_model(path, View("value", "regression"))
    (given,) = (tensor.name for tensor in handle._inputs)
    found = handle.relevance({given: X}, TARGET, (("any", rule),))[given]
    by_hand = wanted(rule, factor, summand)
    np.testing.assert_allclose(found, by_hand, atol=1e-4 * np.abs(by_hand).max())


@pytest.mark.parametrize("between", [
    [node("Transpose", ["c"], "t", perm=[0, 1, 3, 2]), node("Add", ["t", "turned"], "s")],
    [node("Add", ["c", "by_place"], "a"), node("Relu", ["a"], "q"), node("Add", ["a", "by_row"], "b"), node("Add", ["b", "q"], "s")],
    [node("Div", ["c", "half"], "a"), node("Add", ["a", "by_place"], "s")],
])  # fmt: skip
def test_what_cannot_be_drawn_into_each_group_is_refused_by_name(
    between: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved before it is added; read by another as well; divided first."""
    monkeypatch.setitem(HELD, "turned", drawn(1, 6, 4, 5))
    said = onnx_tensorflow.inspect(written(tmp_path, between)).without_rule
    assert "`Add`" in said
    assert "on a Conv in groups" in said


def test_sizes_that_the_file_leaves_open_are_those_of_what_is_added(tmp_path: Path) -> None:
    between, factor, summand = CASES["for each place"]
    path = written(tmp_path, between, ("height", "width"))
    handle: Any = onnx_tensorflow.open_model(path, View("value", "regression"))
    (given,) = (tensor.name for tensor in handle._inputs)
    found = handle.relevance({given: X}, TARGET, (("any", RULES["gamma"]),))[given]
    by_hand = wanted(RULES["gamma"], factor, summand)
    np.testing.assert_allclose(found, by_hand, atol=1e-4 * np.abs(by_hand).max())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_factor_for_each_place_hands_on_what_it_gets(rule: Rule, tmp_path: Path) -> None:
    """As on a convolution that has no groups: it cannot be drawn into a kernel, and is a step of its own."""
    path = written(tmp_path, [node("Mul", ["c", "by_place"], "s")])
    assert onnx_tensorflow.inspect(path).without_rule == ""
    handle: Any = onnx_tensorflow.open_model(path, View("value", "regression"))
    (given,) = (tensor.name for tensor in handle._inputs)
    found = handle.relevance({given: X}, TARGET, (("any", rule),))[given]
    by_hand = wanted(rule, ONE, CHANNEL, HELD["by_place"])
    np.testing.assert_allclose(found, by_hand, atol=1e-4 * np.abs(by_hand).max())
