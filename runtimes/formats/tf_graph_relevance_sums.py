"""Weighted sums in a frozen graph: a product or convolution with constant weights, and the constants that stand on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.keras_relevance_linear import Sums
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graph_operations import Array, Operation, Operations, again

Read = Callable[[Any], Any]
"""A function from a tensor of the graph to its numbers in a trace."""


@dataclass(frozen=True)
class Linear:
    """``moved(x) W * factor + offset``, moved again."""

    data: Any
    """The tensor that is summed up."""
    before: tuple[Operation, ...]
    """What moves the data first: padding, above all."""
    products: tuple[Operation, ...]
    """The products themselves: one, or two of a separable convolution."""
    after: tuple[Operation, ...]
    """What stands on the last product: factors, summands, moves."""
    kind: str
    """The Keras layer that does the same."""
    names: frozenset[str]
    """What it is called."""

    @property
    def chain(self) -> tuple[Operation, ...]:
        """All of its operations."""
        return (*self.before, *self.products, *self.after)


_PADDING = frozenset({"Pad", "PadV2", "SpaceToBatchND", "ExpandDims", "Transpose"}) | kinds.SAME
_MOVING = (
    frozenset({"Squeeze", "ExpandDims", "BatchToSpaceND", "Reshape", "Transpose", "StridedSlice", "Slice"}) | kinds.SAME
)
_RESERVED = frozenset({"first", "first_convolution", "convolution", "any"})


def linear_of(held: Operations, last: Operation) -> Linear | None:
    """The weighted sum that an operation ends; None where it ends none."""
    if last.type not in kinds.KERNELS and not _is_constant_step(held, last):
        return None
    after: list[Operation] = []
    operation = last
    while operation.type not in kinds.KERNELS:
        if operation.type not in _MOVING and not _is_constant_step(held, operation):
            return None
        lives = held.lives_of(operation)
        if len(lives) != 1 or lives[0].name in held.frozen.inputs or _widens(operation, lives[0]):
            return None
        after.insert(0, operation)
        operation = lives[0].op
    if not _has_constant_kernel(held, operation) or not _factors_fit(held, operation, after):
        return None
    data, before = _before(held, operation.inputs[_places(held, operation)[0]])
    products = [operation]
    spread = data.op.type == "DepthwiseConv2dNative" and _has_constant_kernel(held, data.op)
    if spread and _is_pointwise(operation) and not before:
        products.insert(0, data.op)
        data, before = _before(held, data.op.inputs[0])
    return Linear(data, tuple(before), tuple(products), tuple(after), _kind(products), _names(products, after))


def _widens(operation: Operation, given: Any) -> bool:
    """Whether a factor or summand has more places than what it stands on, which is then not one sum any more.

    Sizes that are only known when it runs are believed to be those of a constant beside them, but for the first axis.
    """
    made = operation.outputs[0].shape
    if operation.type in _MOVING or made.rank is None or given.shape.rank is None:
        return False
    if made.rank != given.shape.rank or list(made)[:1] != list(given.shape)[:1]:
        return True
    return any(had not in (None, size) for size, had in zip(list(made)[1:], list(given.shape)[1:], strict=True))


def _places(held: Operations, product: Operation) -> tuple[int, int]:
    """The positions of data and kernel among the inputs of a product: the kernel of some stands first."""
    data, kernel = kinds.KERNELS[product.type]
    if product.type in kinds.PRODUCTS and len(product.inputs) == 2 and held.is_constant(product.inputs[data]):
        return kernel, data
    return data, kernel


def _before(held: Operations, data: Any) -> tuple[Any, list[Operation]]:
    found: list[Operation] = []
    while data.op.type in _PADDING and len(held.lives_of(data.op)) == 1 and data.name not in held.frozen.inputs:
        if data.op.type == "PadV2" and np.any(held.value(data.op.inputs[2])):
            break
        found.insert(0, data.op)
        data = held.lives_of(data.op)[0]
    return data, found


def _has_constant_kernel(held: Operations, operation: Operation) -> bool:
    data, kernel = _places(held, operation)
    inputs = operation.inputs
    return len(inputs) > max(data, kernel) and held.is_live(inputs[data]) and held.is_constant(inputs[kernel])


def _is_constant_step(held: Operations, operation: Operation) -> bool:
    """Whether an operation multiplies by a constant or adds one: as a bias or a normalisation does."""
    if operation.type in kinds.NORMALISED:
        return not operation.get_attr("is_training") and len(held.lives_of(operation)) == 1
    if operation.type == "BiasAdd":
        return held.is_constant(operation.inputs[1])
    if operation.type not in kinds.ADDING | kinds.SCALING:
        return False
    constants = [tensor for tensor in operation.inputs if held.is_constant(tensor)]
    if len(constants) != 1 or (operation.type in kinds.DIVIDING and constants[0] is not operation.inputs[1]):
        return False
    # A single number that is added belongs to an activation (``x / 6 + 0.5``); a bias is a list, be it of one.
    return operation.type in kinds.SCALING or bool(constants[0].shape.rank)


def _factors_fit(held: Operations, product: Operation, after: list[Operation]) -> bool:
    """Whether the factors behind a product can be drawn into its kernel: one for each column, or one for all."""
    keeps, wide = True, _channels(held, product)
    for operation in after:
        if operation.type in _MOVING:
            (before,), made = held.lives_of(operation), operation.outputs[0]
            keeps = keeps and before.shape.rank is not None and made.shape.rank is not None
            keeps = keeps and before.shape[-1] == made.shape[-1] is not None and _keeps_last(held, operation)
            continue
        factor = _factor(held, operation)
        if factor is None or factor.size == 1:
            continue
        if not keeps or wide is None or factor.size != factor.shape[-1] or factor.size != wide:
            return False
    return True


def _keeps_last(held: Operations, operation: Operation) -> bool:
    if operation.type != "Transpose":
        return True
    turn = operation.inputs[1]
    return held.is_constant(turn) and int(held.value(turn)[-1]) == len(held.value(turn)) - 1


def _channels(held: Operations, product: Operation) -> int | None:
    """How many columns a product has, where its kernel has one slice for each of them."""
    if _places(held, product) != kinds.KERNELS[product.type]:
        return None
    found: int | None = product.outputs[0].shape[-1]
    if product.type == "Einsum":
        read, made = product.get_attr("equation").decode().split("->")
        return found if made[-1:] == read.split(",")[1][-1:] else None
    return found


def _factor(held: Operations, operation: Operation) -> Array | None:
    """What an operation multiplies by; None where it adds."""
    if operation.type in kinds.NORMALISED:
        scale, variance = held.value(operation.inputs[1]), held.value(operation.inputs[4])
        return np.asarray(scale / np.sqrt(variance + operation.get_attr("epsilon")))
    if operation.type == "Sub" and held.is_constant(operation.inputs[0]):
        return np.asarray(-1.0)  # a constant less the sum
    if operation.type not in kinds.SCALING:
        return None
    constant = next(held.value(tensor) for tensor in operation.inputs if held.is_constant(tensor))
    return np.asarray(1 / constant if operation.type in kinds.DIVIDING else constant)


def _is_pointwise(operation: Operation) -> bool:
    kernel = operation.inputs[1].shape if operation.type == "Conv2D" else None
    return kernel is not None and list(kernel[:2]) == [1, 1] and list(operation.get_attr("strides")) == [1, 1, 1, 1]


def _kind(products: list[Operation]) -> str:
    """What Keras calls the layer that does the same."""
    kind = products[0].type
    space = "1D" if _is_flat(products[0]) else "2D"
    if len(products) > 1:
        return f"SeparableConv{space}"
    named = {
        "Conv2D": f"Conv{space}",
        "DepthwiseConv2dNative": f"DepthwiseConv{space}",
        "Conv3D": "Conv3D",
        "Conv2DBackpropInput": f"Conv{space}Transpose",
        "Conv3DBackpropInputV2": "Conv3DTranspose",
        "Einsum": "EinsumDense",
    }
    return named.get(kind, "Dense")


def _is_flat(product: Operation) -> bool:
    """Whether a convolution in the plane has an axis of 1 that it does nothing along: it is one over a series."""
    place = kinds.KERNELS[product.type][0]
    data, kernel = product.inputs[place].shape, product.inputs[1].shape
    if data.rank != 4 or kernel.rank != 4:
        return False
    return sorted(data[axis] == kernel[axis - 1] == 1 for axis in (1, 2)) == [False, True]


def _names(products: list[Operation], after: list[Operation]) -> frozenset[str]:
    found: set[str] = set()
    for operation in [*products, *after]:
        found |= {operation.name, *operation.name.split("/")}
    return frozenset(found) - _RESERVED


def sums_of(held: Operations, linear: Linear, x: Any, read: Read) -> list[Sums]:
    """The weighted sums of some data as maps of (input, kernel), so that rules can change the kernel."""
    tf, found = tensorflow(), []
    for place, product in enumerate(linear.products):
        last = place == len(linear.products) - 1
        before, after = () if place else linear.before, linear.after if last else ()
        kernel = held.value(product.inputs[_places(held, product)[1]])
        for operation in after:
            factor = _factor(held, operation)
            if factor is not None:
                kernel = _scaled(product, kernel, factor)
        moves = [operation for operation in after if operation.type in _MOVING]
        apply = _applying(held, product, before, moves, read)
        bias = None
        if any(operation.type not in _MOVING | kinds.SCALING for operation in after):
            weights = tf.constant(kernel)
            bare = _applying(held, product, before, [], read)(x, weights)
            bias = run(held, after, tf.zeros_like(bare), read)
        found.append(Sums(apply, tf.constant(kernel), bias))
        x = found[-1].forward(x) if not last else x
    return found


def _scaled(product: Operation, kernel: Array, factor: Array) -> Array:
    """A kernel whose product is multiplied by a factor for each column."""
    flat: Array = factor.reshape(-1)
    if flat.size > 1:
        if product.type == "DepthwiseConv2dNative":
            flat = flat.reshape(kernel.shape[-2:])
        elif _turns_kernel(product):
            flat = flat[:, None]
    return (kernel * flat).astype(kernel.dtype)


def _turns_kernel(product: Operation) -> bool:
    """Whether the columns stand on the last axis of a kernel but one."""
    if product.type in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):
        return True
    if product.type == "MatMul":
        return bool(product.get_attr("transpose_b"))
    return product.type.startswith("BatchMatMul") and bool(product.get_attr("adj_y"))


def _applying(
    held: Operations, product: Operation, before: Sequence[Operation], moves: Sequence[Operation], read: Read
) -> Callable[[Any, Any], Any]:
    data, weights = _places(held, product)

    def apply(x: Any, kernel: Any) -> Any:
        x = run(held, before, x, read)
        given = [x if at == data else kernel if at == weights else read(one) for at, one in enumerate(product.inputs)]
        return run(held, moves, again(product, given)[0], read)

    return apply


def run(held: Operations, chain: Sequence[Operation], value: Any, read: Read) -> Any:
    """What operations, each of which follows the one before it, make of other numbers."""
    for operation in chain:
        given = [value if held.is_live(tensor) else read(tensor) for tensor in operation.inputs]
        value = again(operation, given)[0]
    return value
