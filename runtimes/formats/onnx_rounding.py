"""Where whole numbers of a quantised network may be held as floats, so that slopes go straight through their rounding.

A rounding has the slope 0 wherever it has one. What a quantised network is meant to compute is the network without it, and the
slope of that, at the rounded values, is what its quantised training follows: Bengio, Léonard and Courville (2013),
https://arxiv.org/abs/1308.3432. It needs every reader of the whole numbers to take floats as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from runtimes.formats.onnx_graphs import graphs_of
from runtimes.formats.onnx_written_rounding import Written, written_out_in
from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import Use
from runtimes.formats.tf_operators.small_types import FLOATS

_CARRIED = "Expand Flatten Gather GatherElements GatherND Identity MaxPool Reshape Slice Split Squeeze Tile Transpose Unsqueeze"
_CARRYING = frozenset({*_CARRIED.split(), "DepthToSpace", "SpaceToDepth"})
"""ONNX's own operators that hand on the numbers of their first input, whatever their type."""
_LOOKING = frozenset({"Shape", "Size"})
FLOAT_CODES = frozenset({1, 10, 11, 16})
"""ONNX types of floats that have slopes."""


def straight(uses: Sequence[Use], outputs: Sequence[str]) -> list[Use]:
    """The nodes, each that rounds told whether its whole numbers are held as floats.

    Args:
        uses: the nodes of one graph, in their order.
        outputs: what is asked of it: whole numbers that are an answer stay what they are.
    """
    makers = {name: use for use in uses for name in use.outputs if name}
    readers: dict[str, list[tuple[Use, int]]] = {}
    for use in uses:
        for place, name in enumerate(use.inputs):
            readers.setdefault(name, []).append((use, place))
    written = written_out_in(uses)
    held = set(_made(uses, written))
    while True:
        out = {
            name
            for name in held
            if name in outputs or not all(_takes(one, place, held) for one, place in readers.get(name, []))
        }
        # what carries several hands on floats only where all of them are
        out |= {name for name in held if not all(one in held for one in carried(makers[name]))}
        if not out:
            break
        held -= out
    found = []
    for use in uses:
        whole = use.outputs[:1] if use.outputs else ("",)
        cast = whole[0] in written.casts and whole[0] in held
        goes = cast or whole[0] in written.roundings or (_rounds(use) and whole[0] in held)
        found.append(replace(use, straight=goes, given=whole[0] in written.sizes))
    return found


def _made(uses: Sequence[Use], written: Written) -> Iterator[str]:
    """Whole numbers that are rounded to, and what is carried from them."""
    found: set[str] = set()
    for use in uses:
        here: Sequence[str] = use.outputs[:1] if _rounds(use) or written.casts.intersection(use.outputs) else ()
        if found.intersection(carried(use)):
            here = use.outputs
        found.update(name for name in here if name)
    yield from found


def _rounds(use: Use) -> bool:
    """Whether a node makes numbers of few bits; a QGemm that is given no scale of its own makes floats."""
    if use.kind == "Cast" and not use.domain:
        return use.attributes.get("to") in FLOATS
    operator = operators().get((use.domain, use.kind))
    return operator is not None and operator.rounds and (use.kind != "QGemm" or use.has(7))


def carried(use: Use) -> Sequence[str]:
    """Those of a node's inputs whose numbers it hands on as they are."""
    if use.domain:
        return ()
    return use.inputs if use.kind == "Concat" else use.inputs[:1] if use.kind in _CARRYING else ()


def _takes(use: Use, place: int, held: set[str]) -> bool:
    """Whether a reader does with floats what it does with whole numbers."""
    operator = operators().get((use.domain, use.kind))
    if operator is None or use.captured:
        return False
    if not use.domain and use.kind in _LOOKING:
        return True
    if not use.domain and use.kind == "Cast":
        return use.attributes.get("to") in FLOAT_CODES
    if use.inputs[place] in carried(use):
        return all(name in held for name in use.outputs if name)
    return place in operator.wholes


def cuts(use: Use) -> bool:
    """Whether a node's slope is 0 everywhere."""
    operator = operators()[use.domain, use.kind]
    if use.given:
        return True
    if _rounds(use) or use.straight:
        return not use.straight
    return operator.flat or (use.kind == "Cast" and use.attributes.get("to") not in FLOAT_CODES)


_HALVES = frozenset({10, 16})
"""ONNX types of floats of 16 bits."""


def is_coarse(model: Any) -> bool:
    """Whether a model computes in half precision or rounds to whole numbers on its way."""
    return bool(first_rounding(model)) or any(tensor.data_type in _HALVES for tensor in model.graph.initializer)


def first_rounding(model: Any) -> str:
    """The first node that rounds to whole numbers, in words; empty where there is none."""
    kinds = {kind for (_, kind), operator in operators().items() if operator.rounds}
    for graph in graphs_of(model):
        written = written_out_in([_looked_at(node, graph) for node in graph.node]).roundings
        for node in graph.node:
            if node.op_type in kinds or written.intersection(node.output):
                return f"the ONNX file's operator `{node.op_type}`" + (f" (node {node.name})" if node.name else "")
    return ""


def _looked_at(node: Any, graph: Any) -> Use:
    said = {one.name: one.i for one in node.attribute if one.name == "to"}
    held = dict.fromkeys([one.name for one in graph.initializer], _SOME)
    inputs = tuple(node.input)
    constants = {name: held[name] for name in inputs if name in held}
    return Use(node.op_type, said, 0, inputs, (), constants, node.domain, tuple(node.output), node.name)


_SOME = np.zeros(())
"""A constant whose value is not asked for."""
