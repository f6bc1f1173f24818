"""Attention of an ONNX graph, told without running it: which nodes say what positions look at, and why others do not."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtimes.formats.graph_attention import FUSED, Attention, Sizes, Step, attentions_of, lacking
from runtimes.formats.onnx_differentiable import named
from runtimes.formats.onnx_graphs import nested_graphs
from runtimes.formats.tf_operators.declaring import Use

Shapes = Mapping[str, tuple[int, Sizes | None]]
"""By tensor: its type and shape, as far as they are known."""

_CLOSED = frozenset(
    {"Attention", "MultiHeadAttention", "GroupQueryAttention", "PackedAttention", "PackedMultiHeadAttention"}
    | {"DecoderAttention", "DecoderMaskedSelfAttention", "DecoderMaskedMultiHeadAttention", "LongformerAttention"}
    | {"PagedAttention", "SparseAttention", "QAttention", "QOrderedAttention", "QOrderedLongformerAttention"}
    | {"LinearAttention"}
)
"""Operators that keep what they look at to themselves: those of ONNX Runtime's own domain, and one without a softmax."""
_FIRST_OF_LAST_AXIS = 13
"""The opset since which a Softmax is over one axis; before, over all from that axis on."""


@dataclass(frozen=True)
class Read:
    """What a graph says of attention."""

    attentions: tuple[Attention, ...] = ()
    """In the order of computation."""
    lacks: str = ""
    """Why they cannot be followed from layer to layer, as a clause; empty where they can."""


def read_attention(uses: Sequence[Use], varied: Container[str], shapes: Shapes) -> Read:
    """Find the attention among nodes.

    Args:
        uses: nodes, in their order.
        varied: the tensors that depend on an input.
        shapes: of the tensors.
    """
    closed = closed_attention(uses)
    if closed:
        return Read((), closed)
    steps = [_step(use, varied, shapes) for use in uses if use.outputs and use.outputs[0] in varied]
    found = attentions_of(steps)
    return Read(found.readable, lacking(found, "the ONNX file's operators"))


def closed_attention(uses: Sequence[Use]) -> str:
    """What keeps to itself what positions look at, as a clause; empty where nothing does."""
    for use in uses:
        if use.kind in _CLOSED and (use.domain or use.kind != FUSED):
            return f"{named(use)} does not hand out what positions look at"
        if any(node.op_type in _CLOSED | {"Softmax"} for node in _inside(use.attributes.values())):
            return f"{named(use)} holds a softmax, and what is computed in loops and branches is not read"
    return ""


def _inside(values: Iterable[Any]) -> Iterator[Any]:
    """The nodes of graphs that are among the values of attributes, and of those inside them."""
    waiting = [one for one in values if hasattr(one, "node") and hasattr(one, "initializer")]
    while waiting:
        for node in waiting.pop().node:
            yield node
            waiting += nested_graphs(node)


def _step(use: Use, varied: Container[str], shapes: Shapes) -> Step:
    made = use.outputs[0]
    shape = shapes.get(made, (0, None))[1]
    # whatever else is of a name, in another domain, is another operator
    kind = use.kind if use.domain == "" or use.kind == "FusedMatMul" else ""
    kind = "" if use.attributes.get("transBatchA") or use.attributes.get("transBatchB") else kind
    if use.kind == FUSED:
        shape = _looks(use, shapes)
    return Step(
        use.name or made,
        kind,
        made,
        tuple(name for name in use.inputs if name in varied),
        shape,
        _axis(use, shape) if kind == "Softmax" else -1,
        tuple(use.attributes["perm"]) if kind == "Transpose" and "perm" in use.attributes else None,
        str(use.attributes.get("equation", "")),
        (bool(use.attributes.get("transA", 0)), bool(use.attributes.get("transB", 0))),
    )


def _looks(use: Use, shapes: Shapes) -> Sizes:
    """Rows, heads, positions that look and those looked at, of an operator that gives its shares beside its answer."""
    sizes = [shapes.get(name, (0, None))[1] for name in use.inputs[:2]]
    query, key = (None if not size or len(size) < 3 else size[-2] for size in sizes)
    return None, None, query, None if use.has(4) else key


def _axis(use: Use, shape: Sizes | None) -> int | None:
    """The axis that a Softmax adds up to one over, from the end; None: it is over several, or not known."""
    axis = int(use.attributes.get("axis", -1 if use.opset >= _FIRST_OF_LAST_AXIS else 1))
    if axis >= 0:
        if shape is None:
            return None
        axis -= len(shape)
    return axis if axis == -1 or use.opset >= _FIRST_OF_LAST_AXIS else None
