"""The layers of a TensorFlow graph: operations that people would call one, under the names that the graph gives them.

A graph holds operations, and no layers. Keras and its like open a scope for each layer, so that what a scope's operations
give together is that layer's output (``net/conv1`` of ``net/conv1/Conv2D``, ``net/conv1/BiasAdd`` and ``net/conv1/Relu``).
Where a scope holds more than one weighted sum, or its results leave it at several places, each operation is a layer itself.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

Sizes = tuple[int | None, ...]

_WEIGHS = frozenset(
    {"Conv1D", "Conv2D", "Conv3D", "Conv", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3DBackpropInputV2"}
    | {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"}
)
_LOOPS = frozenset({"While", "StatelessWhile"})
_ACTIVATES = frozenset(
    {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Softmax", "LogSoftmax"}
)
_NORMALISES = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "LRN"})
_POOLS = frozenset({"MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D", "Mean", "Max"})
_JOINS = frozenset({"Add", "AddV2", "AddN", "BiasAdd", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "ConcatV2"})
_RESIZES = frozenset({"ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "DepthToSpace", "SpaceToDepth"})
_FLATTENS = frozenset({"Reshape", "Squeeze"})
_LAYERS = _WEIGHS | _ACTIVATES | _NORMALISES | _POOLS | _JOINS | _RESIZES
RECTIFIERS = frozenset({"Relu", "Relu6"})
"""Operations that cut off what is negative."""

PASSES_ON = frozenset({"Identity", "IdentityN", "StopGradient", "EnsureShape", "PreventGradient"})
"""Operations that give their first input as it is."""
ONLY_LOOKS = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "TensorListLength"})
"""Operations that read how large something is, and no number of it: the way to the output does not lead through them."""
ENDS = frozenset({"Softmax", "Sigmoid", "Exp"})
"""Operations at the end of a graph that layers stand below."""

_CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")


@dataclass(frozen=True)
class Operation:
    """One operation of a graph whose calls are written out, as far as it is looked at here."""

    name: str
    """With the names of the calls that lead to it."""
    kind: str
    inputs: tuple[str, ...]
    """Names of the operations that make what it reads."""
    dtype: str = ""
    """Of its first result; empty where that is not said."""
    shape: Sizes | None = None
    results: int = 0
    """How many of the inputs, from the first one on, get no slope: a gradient that the model brings goes by the others."""
    turn: tuple[int, ...] | None = None
    """Of a Transpose: for each axis that it makes, the one that it reads; None: not known."""
    equation: str = ""
    """Of an Einsum."""
    turned: tuple[bool, bool] = (False, False)
    """Of a product of batches of matrices: whether those on the left and on the right are turned."""

    @property
    def place(self) -> str:
        """Its name without those of calls: what people know it by."""
        return place_of(self.name)


@dataclass(frozen=True)
class GraphLayer:
    """One layer of a graph."""

    name: str
    kind: str
    """The operation that weighs, where there is one; else the last."""
    operation: str
    """The one that gives its output, by its full name."""
    shape: Sizes | None
    """Without rows; None: not known."""
    used: int = 1
    """How often one call comes to it."""


def place_of(name: str) -> str:
    """An operation's name without those of calls."""
    return "/".join(part for part in name.split("/") if not _CALL.fullmatch(part))


def layers_of(operations: Sequence[Operation], rows: int | None) -> tuple[GraphLayer, ...]:
    """The layers among operations, in the order of computation.

    Args:
        operations: those on the way from the inputs to the output, in that order; the last one is the output.
        rows: how many rows a call has, where that is fixed.
    """
    order = {one.name: at for at, one in enumerate(operations)}
    scopes = _Scopes(operations)
    found: list[tuple[int, GraphLayer]] = []
    for scope, direct in scopes.direct.items():
        weighs = [one for one in scopes.below[scope] if one.kind in _WEIGHS | _LOOPS]
        ends = scopes.ends(scope)
        if scope and len(weighs) <= 1 and len(ends) == 1:
            kind = weighs[0].kind if weighs else direct[-1].kind
            given = [(scope, kind, ends[0])]
        else:
            given = [(one.place, one.kind, one) for one in direct if one.kind not in _LOOPS]
        found += [
            (order[one.name], GraphLayer(name, kind, one.name, None if one.shape is None else one.shape[1:]))
            for name, kind, one in given
            if _has_rows(one, rows)
        ]
    shortest: dict[str, tuple[int, GraphLayer]] = {}
    for at, layer in sorted(found, key=lambda one: len(one[1].name)):
        shortest.setdefault(layer.operation, (at, layer))
    found = list(shortest.values())
    used = Counter(layer.name for _, layer in found)
    first = {layer.name: (at, layer) for at, layer in sorted(found, key=lambda one: -one[0])}
    return tuple(replace(layer, used=used[layer.name]) for _, layer in sorted(first.values(), key=lambda one: one[0]))


def _has_rows(one: Operation, rows: int | None) -> bool:
    """Whether an operation gives an array of floats for each row, as far as that is known."""
    floats = not one.dtype or one.dtype.startswith(("float", "bfloat"))
    return floats and (one.shape is None or (len(one.shape) > 1 and one.shape[0] in (None, rows)))


def _scope(one: Operation) -> str:
    return one.place.rpartition("/")[0]


class _Scopes:
    """Operations by the scopes that their names tell."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._readers: dict[str, list[Operation]] = {}
        for one in operations:
            for name in one.inputs:
                self._readers.setdefault(name, []).append(one)
        self.direct: dict[str, list[Operation]] = {}
        """What makes a layer, and stands in a scope itself."""
        for one in operations:
            if one.kind in _LAYERS | _LOOPS or self._is_multiplied(one):
                self.direct.setdefault(_scope(one), []).append(one)
        self.below: dict[str, list[Operation]] = {scope: [] for scope in self.direct}
        """All operations of a scope and of those inside it, and one that has the scope's own name."""
        for one in operations:
            parts = one.place.split("/")
            for depth in range(1, len(parts) + 1):
                if (scope := "/".join(parts[:depth])) in self.below:
                    self.below[scope].append(one)

    def _is_multiplied(self, one: Operation) -> bool:
        """Whether an operation gives a plain vector to a product elsewhere: the features that a last layer decides by."""
        readers = [reader for reader in self._readers.get(one.name, ()) if reader.kind == "MatMul"]
        elsewhere = any(_scope(reader) != _scope(one) or not _scope(one) for reader in readers)
        return one.kind in _FLATTENS and len(one.shape or ()) == 2 and elsewhere

    def ends(self, scope: str) -> list[Operation]:
        """The operations of a scope whose results leave it."""
        own = {one.name for one in self.below[scope]}
        return [
            one
            for one in self.below[scope]
            if one.name not in self._readers or any(reader.name not in own for reader in self._readers[one.name])
        ]
