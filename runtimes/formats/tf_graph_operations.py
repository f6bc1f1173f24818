"""The operations of a frozen graph, looked at and computed again one by one, so that each can have a way back of its own."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graphs import FrozenGraph, in_order

Operation = Any
Array = NDArray[Any]
Range = tuple[float, float]

_ANY: Range = (-np.inf, np.inf)
_RANGES: Mapping[str, Range] = {
    **dict.fromkeys(("Sigmoid", "Softmax"), (0.0, 1.0)),
    **dict.fromkeys(("Relu", "Softplus", "Exp", "Abs", "Square", "Sqrt", "Rsqrt", "SquaredDifference"), (0.0, np.inf)),
    "Relu6": (0.0, 6.0),
    "Tanh": (-1.0, 1.0),
}
_KEEPING = (kinds.MOVED - {"Pad", "MirrorPad", "ScatterNd", "MatrixDiag"}) | kinds.POOLS | {"Mean", "AvgPool"}
_SMALL = 16
"""Elements. Limits of numbers are read of constants smaller than this."""


class Operations:
    """What is known of a graph's operations before any row is seen."""

    def __init__(self, frozen: FrozenGraph) -> None:
        self.frozen = frozen
        ends = (*frozen.inputs, *frozen.outputs)
        self.ordered = in_order(frozen.graph.get_tensor_by_name(name).op for name in ends)
        self._inputs = frozenset(frozen.inputs)
        self._values: dict[str, Array] = {}
        self._live: set[str] = set()
        """Tensors whose numbers depend on those of the inputs."""
        self._shaped: set[str] = set()
        """Tensors that depend on how many rows there are, and on nothing else of the inputs."""
        self._carrying: set[str] = set()
        """Tensors that depend on inputs of floats by way of numbers that are not whole."""
        for operation in self.ordered:
            self._place(operation)
        self._ranges = self._limits()

    def _place(self, operation: Operation) -> None:
        names = [tensor.name for tensor in operation.outputs]
        read = [tensor.name for tensor in operation.inputs]
        if self._inputs.intersection(names) or any(name in self._carrying for name in read):
            self._carrying.update(
                one.name for one in operation.outputs if not (one.dtype.is_integer or one.dtype.is_bool)
            )
        if self._inputs.intersection(names):
            self._live.update(names)
        elif any(name in self._live for name in read):
            (self._shaped if operation.type in kinds.SHAPES else self._live).update(names)
        elif any(name in self._shaped for name in read):
            self._shaped.update(names)

    def is_live(self, tensor: Any) -> bool:
        """Whether a tensor's numbers depend on those of the inputs."""
        return tensor.name in self._live

    def carries(self, tensor: Any) -> bool:
        """Whether a tensor holds numbers that change with inputs of floats: masks and what is made of positions do not."""
        return tensor.dtype.is_floating and tensor.name in self._live and tensor.name in self._carrying

    def is_constant(self, tensor: Any) -> bool:
        """Whether a tensor is always the same."""
        return tensor.name not in self._live and tensor.name not in self._shaped

    def is_shaped(self, tensor: Any) -> bool:
        """Whether a tensor depends on how many rows there are, and on nothing else of the inputs."""
        return tensor.name in self._shaped

    def lives_of(self, operation: Operation) -> list[Any]:
        """The inputs of an operation that depend on the model's inputs, each once."""
        return list({tensor.name: tensor for tensor in operation.inputs if self.is_live(tensor)}.values())

    def chain(self, operation: Operation, root: str) -> list[Operation]:
        """The operations from a tensor to one that depends on the inputs by way of it alone, each after what it reads."""
        found: dict[str, Operation] = {}
        waiting = [operation]
        while waiting:
            one = waiting[-1]
            lacking = [t.op for t in self.lives_of(one) if t.name != root and t.op.name not in found]
            if one.name in found or not lacking:
                found.setdefault(waiting.pop().name, one)
            else:
                waiting += lacking
        return list(found.values())

    def value(self, tensor: Any) -> Array:
        """What a constant tensor is."""
        waiting = [tensor]
        while waiting:
            one = waiting[-1]
            lacking = [read for read in one.op.inputs if read.name not in self._values]
            if one.name in self._values:
                waiting.pop()
            elif lacking:
                waiting += lacking
            else:
                waiting.pop()
                with tensorflow().init_scope():
                    made = again(one.op, [tensorflow().constant(self._values[read.name]) for read in one.op.inputs])
                    for output, found in zip(one.op.outputs, made, strict=True):
                        self._values[output.name] = found.numpy()
        return self._values[tensor.name]

    def range(self, tensor: Any) -> Range:
        """Between what the numbers of a tensor lie, as far as that is known."""
        return self._ranges.get(tensor.name, _ANY)

    def _limits(self) -> dict[str, Range]:
        found: dict[str, Range] = {}
        for operation in self.ordered:
            if not operation.outputs or not operation.outputs[0].dtype.is_floating:
                continue
            if not self.is_live(operation.outputs[0]):
                tensor = operation.outputs[0]
                if self.is_constant(tensor) and (tensor.shape.num_elements() or _SMALL + 1) <= _SMALL:
                    held = self.value(tensor)
                    found[tensor.name] = (float(held.min()), float(held.max()))
                continue
            given = [found.get(tensor.name, _ANY) for tensor in operation.inputs if tensor.dtype.is_floating]
            true = operation.type == "Cast" and operation.inputs[0].dtype.is_bool
            limits = (0.0, 1.0) if true else _limits_of(operation.type, given)
            found |= {tensor.name: limits for tensor in operation.outputs}
        return found


def _limits_of(kind: str, given: Sequence[Range]) -> Range:
    if kind in _RANGES:
        return _RANGES[kind]
    if not given:  # what is cast from whole numbers, or from true and false
        return _ANY
    if kind in _KEEPING:
        return min(low for low, _ in given), max(high for _, high in given)
    if kind == "Pad":
        return min(0.0, given[0][0]), max(0.0, given[0][1])
    if kind == "ClipByValue":
        return max(given[0][0], given[1][0]), min(given[0][1], given[2][1])
    if kind in ("Maximum", "Minimum"):
        side = max if kind == "Maximum" else min
        return side(low for low, _ in given), side(high for _, high in given)
    if kind in ("Add", "AddV2"):
        return given[0][0] + given[1][0], given[0][1] + given[1][1]
    if kind == "Sub":
        return given[0][0] - given[1][1], given[0][1] - given[1][0]
    if kind == "Mul" or (kind in kinds.DIVIDING and given[1][0] > 0):
        first, other = given
        if kind != "Mul":
            other = (0.0 if np.isinf(other[1]) else 1 / other[1], 1 / other[0])
        ends = [a * b for a in first for b in other]
        return _ANY if any(map(np.isnan, ends)) else (min(ends), max(ends))
    return _ANY


def sides_of(chain: Iterable[Operation], root: str) -> Iterator[Any]:
    """The tensors that a chain of operations reads from elsewhere."""
    made = {root}
    for operation in chain:
        yield from (tensor for tensor in operation.inputs if tensor.name not in made)
        made.update(tensor.name for tensor in operation.outputs)


def again(operation: Operation, given: Sequence[Any]) -> list[Any]:
    """What an operation gives for other inputs."""
    tf = tensorflow()
    if operation.type == "Const":
        return [tf.constant(tf.make_ndarray(operation.get_attr("value")))]
    if operation.type in kinds.SAME:
        return [tf.identity(given[0])]
    if operation.type == "IdentityN":
        return [tf.identity(one) for one in given]
    said, at = {}, 0
    names, attributes = _parameters(operation)
    for argument, name in zip(operation.op_def.input_arg, names, strict=True):
        several = argument.number_attr or argument.type_list_attr
        if not several:
            said[name] = given[at]
            at += 1
            continue
        counted = operation.get_attr(several)
        count = counted if argument.number_attr else len(counted)
        said[name] = list(given[at : at + count])
        at += count
    said |= {_CALLED_OTHERWISE.get(name, name): operation.get_attr(name) for name in attributes}
    found = getattr(tf.raw_ops, operation.type)(**said)
    return list(found) if isinstance(found, list | tuple) else [found]


_CALLED_OTHERWISE = {"squeeze_dims": "axis"}
"""Attributes that have another name in ``tf.raw_ops``."""
_CALLED: dict[str, tuple[list[str], list[str]]] = {}


def _parameters(operation: Operation) -> tuple[list[str], list[str]]:
    """What ``tf.raw_ops`` calls the inputs of an operation, and which of its attributes it takes.

    A few inputs have another name there (``axis`` for ``reduction_indices``): those that are left over, in their order.
    """
    if operation.type not in _CALLED:
        definition = operation.op_def
        taken = inspect.signature(getattr(tensorflow().raw_ops, operation.type)).parameters
        own, attributes = [one.name for one in definition.input_arg], [one.name for one in definition.attr]
        others = iter([name for name in taken if name not in {*own, *attributes, "name"}])
        names = [name if name in taken else next(others) for name in own]
        _CALLED[operation.type] = names, [name for name in attributes if _CALLED_OTHERWISE.get(name, name) in taken]
    return _CALLED[operation.type]
