"""Where the channels of an ONNX graph's tensors stand: what operators say of them, followed through the graph both ways.

A file does not say it. An operator that works on places says that axis 1 of what it reads and makes holds the channels, and
what lies between two of them leaves the axes where they are, or says where it moves them.
"""

from collections.abc import Iterator, Mapping, Sequence

from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import Use

Shapes = Mapping[str, tuple[int, tuple[int | None, ...] | None]]
"""By tensor: its type and shape, as far as they are known."""

_CONVOLVES = "Conv ConvInteger ConvTranspose DeformConv QLinearConv CausalConvWithState"
_NORMALISES = "BatchNormalization GroupNormalization InstanceNormalization LRN"
_POOLS = "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool MaxUnpool RoiAlign"
_OF_QUANTISED = "QLinearAveragePool QLinearGlobalAveragePool"
_PLACES = "DepthToSpace GridSample SpaceToDepth"
_SECOND = frozenset(f"{_CONVOLVES} {_NORMALISES} {_POOLS} {_OF_QUANTISED} {_PLACES}".split())
"""Operators that say themselves that axis 1 holds the channels, of what they read first and of what they make."""
_MAKES_SECOND = frozenset({"Col2Im"})
"""Those that say it of what they make alone."""
_LAST = frozenset(
    {"Gemm", "MatMul", "FusedMatMul", "QGemm", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
    | {"QLinearMatMul", "LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"}
    | {"Attention", "MultiHeadAttention"}
)
"""Operators whose last axis holds what they weigh."""
_MOVES = frozenset({"Transpose", "Squeeze", "Unsqueeze"})
_STRANGERS = frozenset({"Reshape", "Flatten"})
"""Operators behind which an axis is another one, even where there are as many."""
_IN_FLOATS = (
    "CenterCropPad Concat Hardmax LogSoftmax LpNormalization MeanVarianceNormalization Pad Resize Slice Softmax"
)
_IN_STEPS = "QLinearAdd QLinearConcat QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax"
_STAYS = frozenset(
    f"{_IN_FLOATS} Split Upsample DequantizeLinear DynamicQuantizeLinear QuantizeLinear {_IN_STEPS}".split()
)
"""Operators that leave axes where they are, beside those that work number by number."""


def channel_axes(uses: Sequence[Use], shapes: Shapes) -> dict[str, int]:
    """By tensor: the axis of its channels, where that is not the last one by its very nature.

    Args:
        uses: nodes, in their order.
        shapes: of their tensors.
    """
    found: dict[str, int] = {}
    last = {name for use in uses if use.kind in _LAST for name in use.outputs}
    while True:  # each round finds more tensors, or is the last
        known = len(found)
        for use in uses:
            axis = _made(use, found, shapes)
            if axis is not None:
                many = use.outputs if use.kind == "Split" else use.outputs[:1]
                found.update((name, axis) for name in many if name)
        for use in reversed(uses):
            for name, axis in _read(use, found, shapes):
                if name and name not in last:
                    found.setdefault(name, axis)
        if len(found) == known:
            return found


def _made(use: Use, known: Mapping[str, int], shapes: Shapes) -> int | None:
    """The axis of a node's tensor, by its nature or by what it reads."""
    if _says(use) or use.kind in _MAKES_SECOND:
        return 1
    if use.kind in _LAST or not use.outputs:
        return None
    rank = _rank(use.outputs[0], shapes)
    for name in use.inputs:
        axis = known.get(name)
        if axis is None:
            continue
        if use.kind in _MOVES:
            return _moved(use, axis, rank, _rank(name, shapes), back=False)
        same = rank is None or _rank(name, shapes) in (None, rank)
        return axis if same and use.kind not in _STRANGERS else None
    return None


def _read(use: Use, known: Mapping[str, int], shapes: Shapes) -> Iterator[tuple[str, int]]:
    """The axes of what a node reads, by its nature or by what it makes."""
    if _says(use):
        yield use.inputs[0], 1
        return
    axis = next((known[name] for name in use.outputs if name in known), None)
    if axis is None:
        return
    rank = _rank(use.outputs[0], shapes)
    if use.kind in _MOVES:
        before = _moved(use, axis, rank, _rank(use.inputs[0], shapes), back=True)
        if before is not None:
            yield use.inputs[0], before
        return
    operator = operators().get((use.domain, use.kind))
    if use.kind in _STAYS or (operator is not None and operator.style == "elementwise"):
        for name in use.inputs:
            if rank is None or _rank(name, shapes) in (None, rank):
                yield name, axis


def _says(use: Use) -> bool:
    return use.kind in _SECOND and not use.attributes.get("channels_last", 0) and bool(use.inputs)


def _moved(use: Use, axis: int, rank: int | None, before: int | None, *, back: bool) -> int | None:
    """Where an axis is after its tensor was turned, or has lost or won axes of size one; None: nowhere, or not known.

    Args:
        use: a Transpose, Squeeze or Unsqueeze.
        axis: of what it reads; of what it makes, where the way is back.
        rank: of what it makes.
        before: of what it reads.
        back: whether the axis is asked for before the node.
    """
    if use.kind == "Transpose":
        turn = list(use.attributes.get("perm", ()))
        if axis >= len(turn):
            return None
        return int(turn[axis]) if back else turn.index(axis)
    said = use.attributes.get("axes", use.constant(1) if use.has(1) else None)
    many = rank if use.kind == "Unsqueeze" else before
    if said is None or many is None:
        return None
    axes = {int(one) % many for one in said}
    if (use.kind == "Unsqueeze") != back:
        kept = [one for one in range(many) if one not in axes]
        return kept[axis] if axis < len(kept) else None
    return None if axis in axes else axis - sum(one < axis for one in axes)


def _rank(name: str, shapes: Shapes) -> int | None:
    shape = shapes.get(name, (0, None))[1]
    return None if shape is None else len(shape)
