"""Attention in a graph of operations: which softmax says what positions look at, whatever wrote the graph.

A graph holds no layers of attention. What is one: a softmax of scores, which somewhere below are a product of two tensors that
both follow from the inputs (queries and keys), whose result is multiplied with a third one (values) so that the axis that
it adds up to one over is summed away, and one axis that the values do not have stays: that of the positions that look.
A softmax over what one constant is multiplied with (pooling, a choice of experts, classes) is none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runtimes.capabilities import Floats
from runtimes.formats.graph_layers import Operation

Sizes = tuple[int | None, ...]
Axes = tuple[int | None, ...]
"""Of the last axes of a tensor, which axis of the softmax each is, counted from the end; None: not known."""

FUSED = "Attention"
"""ONNX's operator of opset 23, which can give the shares beside its answer; what it makes has the shape of these here."""
_SOFTENS = "Softmax"
_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"})
_TURNS = "Transpose"
_FOLDS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "ExpandDims"})
_KEEPS = frozenset(
    {"Identity", "IdentityN", "StopGradient", "EnsureShape", "PreventGradient", "CheckNumerics", "Cast", "CastLike"}
    | {"Dropout", "Mul", "Div", "RealDiv", "Where", "Select", "SelectV2", "QuantizeLinear", "DequantizeLinear"}
    | {"FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars"}
)
"""What may become of shares before they multiply values: types, masks, dropout, guards against what is no number."""
_BETWEEN = _KEEPS | frozenset(
    {"Add", "AddV2", "AddN", "Sum", "Sub", "BiasAdd", "Neg", "Max", "Maximum", "Min", "Minimum", "Clip", "ClipByValue"}
    | {"Tanh", "Expand", "BroadcastTo", _TURNS, "Concat", "ConcatV2", "Slice", "StridedSlice", "Pad", "PadV2"}
    | _FOLDS
)
"""What may become of the product of queries and keys before the softmax: scales, masks, positions, caps."""

_FURTHEST = 64
"""Tensors that shares are followed through, and readers of each; more would take a long time, and nobody writes so many."""
_LARGE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Step:
    """One operation, as far as it is looked at here."""

    name: str
    """What people know it by."""
    kind: str
    tensor: str
    """What calls its (first) result."""
    reads: tuple[str, ...]
    """What follows from the inputs and is read, in order."""
    shape: Sizes | None = None
    axis: int | None = -1
    """Of a softmax, from the end; None: over several, or not known."""
    turn: tuple[int, ...] | None = None
    """Of a Transpose."""
    equation: str = ""
    """Of an Einsum."""
    turned: tuple[bool, bool] = (False, False)
    """Of another product: whether the last two axes of what it reads change places."""


@dataclass(frozen=True)
class Attention:
    """One softmax that says what positions look at."""

    name: str
    tensor: str
    query: int
    """The axis of the positions that look, from the end."""
    key: int
    """The axis of those looked at, that the shares add up to one over."""
    positions: tuple[int | None, int | None] = (None, None)
    """How many look, and at how many; None: not known."""
    fused: bool = False
    """Whether it is one operator (``Attention`` of ONNX), asked for its shares as a further result."""

    def order(self, rank: int) -> list[int]:
        """The axes of its tensor with those that look and those looked at last; before them rows and heads."""
        last = [self.query % rank, self.key % rank]
        return [*[axis for axis in range(rank) if axis not in last], *last]


@dataclass(frozen=True)
class Found:
    """The attention of a graph."""

    attentions: tuple[Attention, ...] = ()
    """In the order of computation."""
    unclear: str = ""
    """A softmax of queries and keys of which it is not seen what it weighs; empty where there is none."""

    @property
    def readable(self) -> tuple[Attention, ...]:
        """All of it; none where some may be missing."""
        return () if self.unclear else self.attentions


def attentions_of(steps: Sequence[Step]) -> Found:
    """Find the attention among operations.

    Args:
        steps: what depends on an input, in the order of computation.
    """
    comparing = _comparing(steps)
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for name in dict.fromkeys(step.reads):
            readers.setdefault(name, []).append(step)
    named = Counter(step.name for step in steps)
    found, unclear = [], ""
    for step in steps:
        compares = step.kind == _SOFTENS and len(step.shape or (0, 0, 0)) > 2 and not comparing.isdisjoint(step.reads)
        weighs = _weighed(step, readers) if compares else None
        unclear = unclear or (step.name if compares and not weighs else "")
        if step.kind == FUSED or weighs:
            query, key = weighs or (-2, -1)
            sizes = (step.shape[query], step.shape[key]) if step.shape else (None, None)
            name = step.name if named[step.name] == 1 else step.tensor
            found.append(Attention(name, step.tensor, query, key, sizes, step.kind == FUSED))
    return Found(tuple(found), unclear)


def attentions_among(operations: Sequence[Operation]) -> Found:
    """The same, of operations of a TensorFlow graph."""
    return attentions_of(
        [
            Step(one.place, one.kind, one.name, one.inputs, one.shape, -1, one.turn, one.equation, one.turned)
            for one in operations
        ]
    )


def lacking(found: Found, whose: str) -> str:
    """Why attention cannot be followed from layer to layer, as a clause; empty where it can.

    Args:
        found: of a graph.
        whose: what the clause calls its operations.
    """
    attentions = found.attentions
    if found.unclear:
        return (
            f"its softmax `{found.unclear}` is of a product of queries and keys, and which values it weighs is not seen"
        )
    if not attentions:
        return f"none of {whose} is attention: a softmax of a product of queries and keys, by which values are weighed"
    for one in attentions:
        query, key = one.positions
        if None not in one.positions and query != key:
            return f"its attention `{one.name}` looks from {query} positions at {key} others"
    sizes = {one.positions[0]: one for one in attentions if one.positions[0] is not None}
    if len(sizes) > 1:
        (first, a), (second, b) = list(sizes.items())[:2]
        return f"its attention `{a.name}` is of {first} positions, and `{b.name}` of {second}"
    return ""


def of_first_row(shares: Floats, rows: int) -> Floats:
    """What one row looks at, ``(1, heads, position, position looked at)``, of a call in which every row is that one.

    Args:
        shares: of rows and heads, on one axis or several and in whatever order, then of positions.
        rows: of the call.
    """
    flat = shares.reshape(-1, *shares.shape[-2:])
    if len(flat) % rows:  # the same for all rows
        return np.asarray(flat[None], np.float64)
    by_row = flat.reshape(rows, -1, *shares.shape[-2:])
    if rows > 1 and not np.allclose(by_row, by_row[:1], atol=1e-5):  # heads stand before rows
        by_row = flat.reshape(-1, rows, *shares.shape[-2:]).swapaxes(0, 1)
    return np.asarray(by_row[:1], np.float64)


def _comparing(steps: Sequence[Step]) -> set[str]:
    """The tensors that come from a product of two others that both follow from the inputs, at most scaled, masked or moved."""
    found: set[str] = set()
    for step in steps:
        product = step.kind in _PRODUCTS and len(step.reads) == 2
        if product or (step.kind in _BETWEEN and not found.isdisjoint(step.reads)):
            found.add(step.tensor)
    return found


def _weighed(softmax: Step, readers: Mapping[str, Sequence[Step]]) -> tuple[int, int] | None:
    """The axes of the positions that look and of those looked at, where shares weigh values; None: they do not."""
    key, shape = softmax.axis, softmax.shape
    if key is None:
        return None
    start: Axes = (-2, -1) if shape is None else tuple(range(-len(shape), 0))
    waiting: list[tuple[str, Axes, Sizes | None]] = [(softmax.tensor, start, shape)]
    seen = {softmax.tensor}
    while waiting and len(seen) < _FURTHEST:
        name, axes, sizes = waiting.pop(0)
        for step in readers.get(name, ())[:_FURTHEST]:
            if step.kind in _PRODUCTS:
                query = _kept(step, step.reads.index(name), axes, key)
                if query is not None:
                    return query, key
            elif step.tensor not in seen and (moved := _through(step, axes, sizes)):
                seen.add(step.tensor)
                waiting.append((step.tensor, moved, step.shape))
    return None


def _through(step: Step, axes: Axes, sizes: Sizes | None) -> Axes | None:
    """The axes behind an operation that keeps shares what they are; None: it does not."""
    if step.kind in _KEEPS:
        return axes
    if step.kind == _TURNS and step.turn is not None:
        rank = len(step.turn)
        whole = (*range(-rank, -len(axes)), *axes)
        return tuple(whole[axis] for axis in step.turn)
    if step.kind in _FOLDS and step.shape is not None and sizes is not None:
        return _folded(step.shape, axes, sizes)
    return None


def _folded(after: Sizes, axes: Axes, before: Sizes) -> Axes | None:
    """The axes behind a Reshape that leaves the last two what they are, but for axes of one, and joins or parts those before.

    Sizes that are not known may be any; those that look may be joined with what stands before them.
    """
    here, there = ([at - len(shape) for at, size in enumerate(shape) if size != 1][-2:] for shape in (before, after))
    if len(here) < 2 or len(there) < 2 or -here[0] > len(axes):
        return None
    (first, second), (third, fourth) = ([shape[at] for at in last] for shape, last in ((before, here), (after, there)))
    joined = first is None or third is None or third % first == 0
    if not joined or (None not in (second, fourth) and second != fourth):
        return None
    found: list[int | None] = [None] * len(after)
    found[there[0]], found[there[1]] = axes[here[0]], axes[here[1]]
    return tuple(found)


def _kept(step: Step, side: int, axes: Axes, key: int) -> int | None:
    """The axis of the softmax that stays beside the values, where a product sums its axis of keys away; else None."""
    if len(step.reads) != 2 or step.reads[0] == step.reads[1]:
        return None
    if step.kind == "Einsum":
        return _kept_by_letters(step.equation, side, axes, key)
    summed, stays = (-1, -2) if (side == 0) != step.turned[side] else (-2, -1)
    return axes[stays] if axes[summed] == key else None


def _kept_by_letters(equation: str, side: int, axes: Axes, key: int) -> int | None:
    read, arrow, made = equation.replace(" ", "").partition("->")
    terms = read.split(",")
    if not arrow or len(terms) != 2:
        return None
    hidden = _LARGE[: max(0, len(axes) - len(terms[side].replace("...", "")))]
    letters, other, out = (term.replace("...", hidden) for term in (terms[side], terms[1 - side], made))
    known = (*range(-len(letters), -len(axes)), *axes)
    if len(known) != len(letters) or key not in known:
        return None
    summed = letters[known.index(key)]
    stays = [place for place, letter in enumerate(letters) if letter in out and letter not in other]
    return known[stays[0]] if summed not in out and summed in other and len(stays) == 1 else None
