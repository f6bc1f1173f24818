"""How a family says what its operators compute: a decorator, and what an operator's function is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Style = Literal["plain", "elementwise", "laid"]
"""What a function is given. ``plain``: tensors with the axes as ONNX has them. ``elementwise``: tensors whose axes stand
in one common order, whatever it is. ``laid``: `Laid` tensors, which may hold their axes in another order."""


class Unsupported(Exception):  # noqa: N818
    """An operator is used in a way that is not rebuilt; a clause for the author."""


@dataclass(frozen=True)
class Use:
    """One node, as far as its file says it."""

    kind: str
    attributes: Mapping[str, Any]
    opset: int
    """Version of the operator's own domain."""
    inputs: Sequence[str]
    """Names; empty where an optional one is left out."""
    wanted: tuple[bool, ...]
    """Of each output, whether anybody reads it."""
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """By name: what is known without running anything."""
    domain: str = ""
    outputs: tuple[str, ...] = ()
    """Names."""
    name: str = ""
    """Of the node."""
    captured: tuple[str, ...] = ()
    """The last of the inputs: names that the node's own graphs read from around it."""
    straight: bool = False
    """Whether slopes go through its rounding, and whole numbers that it makes are held as floats: see
    `runtimes.formats.onnx_rounding`."""
    given: bool = False
    """Whether it makes the size of the steps that numbers are rounded to, which is taken as given: no slope goes through."""

    def constant(self, position: int) -> NDArray[Any] | None:
        """The value of an input where the file holds it."""
        name = self.inputs[position] if position < len(self.inputs) else ""
        return self.constants.get(name)

    def has(self, position: int) -> bool:
        """Whether an input is given."""
        return position < len(self.inputs) and bool(self.inputs[position])


@dataclass(frozen=True)
class Operator:
    """What is known of one operator."""

    run: Callable[..., Any]
    """``(call, *inputs)`` to a tensor, or to a tuple of as many as are declared."""
    style: Style
    flat: bool
    """Its slope is 0 wherever it has one: nothing above it reaches what is below."""
    refuses: Callable[[Use], str | None] | None
    """Which uses are not rebuilt: what is asked for in a few words, or None."""
    rounds: bool = False
    """Its first output are whole numbers, which are held as floats where the node is told so."""
    wholes: tuple[int, ...] = ()
    """Inputs that may be whole numbers held as floats."""


REGISTERED: dict[tuple[str, str], Operator] = {}


def operator(
    *names: str,
    style: Style = "plain",
    flat: bool = False,
    refuses: Callable[[Use], str | None] | None = None,
    domain: str = "",
    rounds: bool = False,
    wholes: tuple[int, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare what some operators compute."""

    def declare(run: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            if (domain, name) in REGISTERED:
                raise ValueError(f"the operator {name} is declared twice")
            REGISTERED[domain, name] = Operator(run, style, flat, refuses, rounds, wholes)
        return run

    return declare


@dataclass(frozen=True)
class Call:
    """What an operator's function is told beside its inputs."""

    tf: Any
    use: Use
    values: tuple[NDArray[Any] | None, ...]
    """Of each input, what is known while the graph is built."""
    floats: str = "float32"
    """What stands for float32: ``float64`` where gradients are held against differences."""
    body: Callable[[str], "Body"] | None = None
    """Of a node with graphs of its own: the graph that an attribute holds."""

    @property
    def kind(self) -> str:
        """The operator's name."""
        return self.use.kind

    @property
    def opset(self) -> int:
        """The version of its domain."""
        return self.use.opset

    def attribute(self, name: str, default: Any = None) -> Any:
        """A value that the node says."""
        return self.use.attributes.get(name, default)

    def known(self, position: int, what: str) -> NDArray[Any]:
        """An input that must be known while the graph is built. Raises `Unsupported`."""
        value = self.values[position] if position < len(self.values) else None
        if value is None:
            raise Unsupported(f"its {what} is only known when it runs")
        return value

    def axes(self, position: int, since: int, name: str = "axes") -> list[int] | None:
        """Axes that were an attribute before an opset and are an input since; None where they are left out."""
        if self.opset < since or position >= len(self.values) or not self.use.has(position):
            given = self.attribute(name)
            return None if given is None else [int(axis) for axis in given]
        return [int(axis) for axis in self.known(position, name).reshape(-1)]

    def dtype(self, code: int) -> Any:
        """TensorFlow's name for an ONNX type. Raises `Unsupported`."""
        name = DTYPES.get(code)
        if name is None:
            raise Unsupported(f"it makes ONNX type {code}")
        return self.tf.as_dtype(self.floats if name == "float32" else name)

    def scalar(self, value: float, like: Any) -> Any:
        """A number in another tensor's type."""
        return self.tf.constant(value, like.dtype)


class Body(Protocol):
    """A graph inside a node, as a function."""

    outputs: Sequence[str]
    """Names."""

    def fixed(self, position: int) -> NDArray[Any] | None:
        """What an output always is, where that is known without running anything."""

    def passes(self, position: int) -> str | None:
        """The input that an output is, unchanged; None where it is computed."""

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """The outputs for inputs in their order."""


GATED = "gated"
"""The scope of products of a gate and a signal, where a constant signal is a bias, and no factor of the gate."""

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool"}
DTYPES |= {10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16"}


@dataclass(frozen=True)
class Laid:
    """A tensor whose axes may stand in another order than ONNX's: a Transpose is free, and channels can stay last."""

    tensor: Any
    order: tuple[int, ...]
    """For each of ONNX's axes, the tensor's axis that holds it."""

    @classmethod
    def plainly(cls, tensor: Any) -> "Laid":
        """A tensor with its axes as ONNX has them."""
        return cls(tensor, tuple(range(len(tensor.shape))))

    @property
    def rank(self) -> int:
        """How many axes there are."""
        return len(self.order)

    @property
    def is_plain(self) -> bool:
        """Whether the axes stand as ONNX has them."""
        return self.order == tuple(range(self.rank))

    def in_order(self, tf: Any, order: tuple[int, ...]) -> Any:
        """The tensor with its axes in an order, turned if need be."""
        if order == self.order:
            return self.tensor
        turn = [0] * self.rank
        for mine, theirs in zip(self.order, order, strict=True):
            turn[theirs] = mine
        return tf.transpose(self.tensor, turn)

    def plain(self, tf: Any) -> Any:
        """The tensor as ONNX has it."""
        return self.in_order(tf, tuple(range(self.rank)))

    def channels_last(self, tf: Any) -> Any:
        """The tensor as TensorFlow's convolutions want it: rows, space, channels."""
        return self.in_order(tf, last_order(self.rank))

    def sizes(self) -> tuple[int | None, ...]:
        """Sizes of ONNX's axes, as far as they are known."""
        return tuple(self.tensor.shape[axis] for axis in self.order)


def last_order(rank: int) -> tuple[int, ...]:
    """The order of a tensor with its channels last."""
    return (0, rank - 1, *range(1, rank - 1))


def lasting(tensor: Any) -> Laid:
    """A tensor whose channels stand last."""
    return Laid(tensor, last_order(len(tensor.shape)))


def without_axes(order: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    """The order that is left when some of ONNX's axes go."""
    kept = [axis for index, axis in enumerate(order) if index not in axes]
    ranked = sorted(kept)
    return tuple(ranked.index(axis) for axis in kept)


def positive(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def is_float(dtype: Any) -> bool:
    """Whether a NumPy type has slopes."""
    return bool(np.issubdtype(np.dtype(dtype), np.floating))
