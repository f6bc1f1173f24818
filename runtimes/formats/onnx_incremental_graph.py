"""How far a changed patch of an image reaches through a convolutional ONNX graph, and where the graph can be cut.

Along one axis, element i of a tensor reads the elements S·i - L to S·i + R of an earlier tensor: S multiplies through
strides, L and R grow by what each kernel reads to either side. Where two branches meet they must have the same S.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from runtimes.capabilities import Integers
from runtimes.formats.onnx_file import attributes

_POINTWISE = frozenset(
    {"Relu", "Clip", "Sigmoid", "LeakyRelu", "Elu", "Selu", "Tanh", "HardSigmoid", "HardSwish", "Softplus"}
    | {"Identity", "Neg", "Sqrt", "Exp", "Erf", "Abs", "Mish", "Gelu", "Dropout"}
)
_JOINING = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min"})
_WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool"})
ELEMENT = 8
"""An element that is written and read costs about as much as so many multiply-adds; decides what is worth it only."""


class _Unfit(Exception):  # noqa: N818
    """A node through which no reach can be followed."""


@dataclass(frozen=True)
class Axes:
    """The image's axes as a tensor has them; one entry an axis in each field."""

    place: tuple[int, ...]
    """Their positions in the tensor's shape, rows being 0."""
    size: Integers
    stride: Integers
    before: Integers
    after: Integers

    @classmethod
    def afresh(cls, place: Sequence[int], size: Sequence[int]) -> "Axes":
        """The axes of the tensor that reaches are counted from."""
        zero = np.zeros(len(place), np.int64)
        return cls(tuple(place), np.array(size, np.int64), zero + 1, zero, zero)

    def reads(self, start: Integers, stop: Integers) -> tuple[Integers, Integers]:
        """Elements of the earlier tensor that ``start`` to ``stop - 1`` read, ``(boxes, axes)``; may lie outside."""
        return self.stride * start - self.before, self.stride * (stop - 1) + self.after + 1

    def reached(self, start: Integers, stop: Integers) -> tuple[Integers, Integers]:
        """Elements, from first to beyond last, that read any of the earlier tensor's ``start`` to ``stop - 1``."""
        first = -((self.after - start) // self.stride)
        last = (stop - 1 + self.before) // self.stride + 1
        return np.minimum(np.maximum(first, 0), self.size), np.minimum(np.maximum(last, 0), self.size)


@dataclass(frozen=True)
class Stand:
    """A tensor of the graph: its shape for one row, and the image's axes in it."""

    shape: tuple[int, ...]
    """Without the axis of the rows."""
    axes: Axes


@dataclass
class Network:
    """The part of a graph through which the image's axes can be followed."""

    nodes: list[Any]
    """In the order of the graph."""
    weights: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    """Of every tensor that depends on the image, for one row."""
    cuts: list[str] = field(default_factory=list)
    """Tensors that all later ones need alone; the image itself is the first."""
    ends: list[int] = field(default_factory=list)
    """For each cut, how many nodes stand before it."""
    readers: Counter[str] = field(default_factory=Counter)
    """How often each tensor is read."""
    work: list[float] = field(default_factory=list)
    """For each node, multiply-adds and memory of one row."""


def network_of(
    nodes: Sequence[Any], weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], name: str
) -> Network:
    """Find where the graph may be cut, from the image ``name`` on."""
    found = Network(list(nodes), weights, shapes, [name], [0])
    last_read = {read: place for place, node in enumerate(found.nodes) for read in node.input}
    found.readers.update(read for node in found.nodes for read in node.input)
    live = {name}
    for place, node in enumerate(found.nodes):
        found.work.append(_work(node, weights, shapes))
        if live.intersection(node.input):
            live.update(output for output in node.output if output in last_read)
        live = {one for one in live if last_read.get(one, -1) > place}
        if len(live) == 1 and (one := next(iter(live))) in node.output and one in shapes:
            found.cuts.append(one)
            found.ends.append(place + 1)
    return found


def _work(node: Any, weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> float:
    elements = sum(float(prod(shapes[output])) for output in node.output if output in shapes)
    if node.op_type == "Conv" and node.input[1] in weights and elements:
        return float(elements * (prod(weights[node.input[1]].shape[1:]) + ELEMENT))
    return elements * ELEMENT


def reaches(network: Network, cut: int, start: Stand) -> dict[int, Stand]:
    """From one cut, the stand of every later cut that its axes can be followed to."""
    here = Stand(start.shape, Axes.afresh(start.axes.place, start.axes.size.tolist()))
    known: dict[str, Stand] = {network.cuts[cut]: here}
    found: dict[int, Stand] = {}
    at = network.ends[cut]
    for later in range(cut + 1, len(network.cuts)):
        for node in network.nodes[at : network.ends[later]]:
            if not any(read in known for read in node.input):
                continue
            try:
                stand = _through(node, known, network)
            except _Unfit:
                return found
            known[node.output[0]] = stand
        at = network.ends[later]
        if network.cuts[later] not in known:
            return found
        found[later] = known[network.cuts[later]]
    return found


def as_far_as_read(network: Network, cut: int, stand: Stand) -> Stand:
    """A cut's tensor without what no later node reads at the far end of the image's axes.

    A pooling of 2 leaves the last element of an odd axis out, and with it what only that one was made of.
    """
    axes, size = stand.axes, stand.axes.size.copy()
    for axis in range(len(size)):
        while size[axis] > 1 and left_out_at(network, cut, stand, axis, int(size[axis]) - 1) is not None:
            size[axis] -= 1
    shape = list(stand.shape)
    for place, least in zip(axes.place, size.tolist(), strict=True):
        shape[place - 1] = least
    return Stand(tuple(shape), replace(axes, size=size))


def left_out_at(network: Network, cut: int, stand: Stand, axis: int, least: int) -> int | None:
    """The node after the cut that answers the same where an axis of the cut is only so long; None where there is none."""
    name, place = network.cuts[cut], stand.axes.place[axis] - 2
    whole = stand.axes.size[axis]
    for at, node in enumerate(network.nodes[network.ends[cut] :], network.ends[cut]):
        if name not in network.cuts or node.input[0] != name or network.readers[name] != 1 or any(node.output[1:]):
            return None  # what else reads it may read all of it, and a place in a tensor depends on its size
        said, name = attributes(node), node.output[0]
        if node.op_type in _POINTWISE:
            continue
        kernel = said.get("kernel_shape")
        if node.op_type not in _WINDOWED or not kernel or place < 0 or said.get("ceil_mode"):
            return None
        if said.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or any(said.get("pads", ())):
            return None
        wide = (kernel[place] - 1) * said.get("dilations", [1] * len(kernel))[place] + 1
        stride = said.get("strides", [1] * len(kernel))[place]
        if least < wide:
            return None
        whole, least = (whole - wide) // stride + 1, (least - wide) // stride + 1
        if whole == least:
            return at
    return None


def _through(node: Any, known: Mapping[str, Stand], network: Network) -> Stand:
    """The stand of a node's output. Raises `_Unfit`."""
    shape = network.shapes.get(node.output[0])
    if shape is None or node.domain not in ("", "ai.onnx") or any(o in network.shapes for o in node.output[1:]):
        raise _Unfit
    said, kind = attributes(node), node.op_type
    first = known.get(node.input[0])
    if kind in _JOINING:
        return _joined([known.get(read) or _constant(read, network) for read in node.input], shape)
    if first is None:
        raise _Unfit
    if kind in _POINTWISE:
        return Stand(shape, first.axes)
    if kind == "BatchNormalization":
        return _kept(first, shape, lambda place: place if place > 1 else None)
    if kind in _WINDOWED:
        return _windowed(node, first, shape, said, network)
    if kind == "Transpose" and "perm" in said and said["perm"][0] == 0:
        return _kept(first, shape, lambda place: list(said["perm"]).index(place))
    if kind in ("Squeeze", "Unsqueeze") and ("axes" in said or len(node.input) > 1):
        return _reshaped(first, shape)
    if kind == "Reshape" and len(shape) == len(first.shape):
        return _reshaped(first, shape)
    raise _Unfit


def _constant(name: str, network: Network) -> tuple[int, ...]:
    if name not in network.weights:
        raise _Unfit
    return tuple(network.weights[name].shape)


def _joined(sides: Sequence[Stand | tuple[int, ...]], shape: tuple[int, ...]) -> Stand:
    """Tensors of one size joined element by element, and constants that are the same along the image's axes."""
    stands = [side for side in sides if isinstance(side, Stand)]
    axes = stands[0].axes
    for stand in stands:
        if stand.shape != shape or stand.axes.place != axes.place or (stand.axes.stride != axes.stride).any():
            raise _Unfit
    for side in sides:
        if not isinstance(side, Stand):
            padded = (1,) * (len(shape) + 1 - len(side)) + side
            if len(padded) != len(shape) + 1 or any(padded[place] != 1 for place in axes.place):
                raise _Unfit
    before = np.max([stand.axes.before for stand in stands], axis=0)
    return Stand(shape, replace(axes, before=before, after=np.max([stand.axes.after for stand in stands], axis=0)))


def _kept(stand: Stand, shape: tuple[int, ...], to: Callable[[int], int | None]) -> Stand:
    places = [place for place in map(to, stand.axes.place) if place is not None]
    if len(places) < len(stand.axes.place):
        raise _Unfit
    return Stand(shape, replace(stand.axes, place=tuple(places)))


def turned(before: tuple[int, ...], after: tuple[int, ...]) -> list[int] | None:
    """The order of axes that a reshape of one row amounts to, where only axes of size 1 have moved."""
    known, free = ([place for place, size in enumerate(before, 1) if (size == 1) == one] for one in (False, True))
    if len(before) != len(after) or [before[place - 1] for place in known] != [n for n in after if n != 1]:
        return None
    return [0, *(free.pop(0) if size == 1 else known.pop(0) for size in after)]


def _reshaped(stand: Stand, shape: tuple[int, ...]) -> Stand:
    """Axes of size 1 put in or left out: the others keep their order."""
    before = [place for place, size in enumerate(stand.shape, 1) if size != 1]
    after = [place for place, size in enumerate(shape, 1) if size != 1]
    if [stand.shape[place - 1] for place in before] != [shape[place - 1] for place in after]:
        raise _Unfit
    moved = dict(zip(before, after, strict=True))
    return _kept(stand, shape, moved.get)


def _windowed(node: Any, stand: Stand, shape: tuple[int, ...], said: Mapping[str, Any], network: Network) -> Stand:
    spatial = len(stand.shape) - 1
    kernel = said.get("kernel_shape") or list(_constant(node.input[1], network)[2:])
    strides, dilations = said.get("strides", [1] * spatial), said.get("dilations", [1] * spatial)
    pads = explicit_pads(said, stand.shape[1:], kernel)
    if said.get("ceil_mode"):
        raise _Unfit
    axes = stand.axes
    if min(axes.place) < 2:  # every element reads all channels
        raise _Unfit
    at = [place - 2 for place in axes.place]
    wide = (np.array(kernel)[at] - 1) * np.array(dilations)[at]
    low, high = np.array(pads)[at], np.array(pads)[[place + spatial for place in at]]
    if (low > wide).any() or (high > wide).any():
        raise _Unfit
    return Stand(
        shape,
        Axes(
            axes.place,
            np.array([shape[place - 1] for place in axes.place]),
            axes.stride * np.array(strides)[at],
            axes.before + axes.stride * low,
            axes.after + axes.stride * (wide - low),
        ),
    )


def explicit_pads(said: Mapping[str, Any], sizes: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """A window's padding, before and after on each axis, written out at the full size. Raises `_Unfit`."""
    spatial, auto = len(kernel), said.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return list(said.get("pads", [0] * 2 * spatial))
    if auto == "VALID":
        return [0] * 2 * spatial
    strides, dilations = said.get("strides", [1] * spatial), said.get("dilations", [1] * spatial)
    total = np.array(
        [
            (-(-n // s) - 1) * s + (k - 1) * d + 1 - n
            for n, s, k, d in zip(sizes, strides, kernel, dilations, strict=True)
        ]
    )
    if (total < -1).any():  # strides far wider than the kernel: ONNX Runtime then leaves elements out in front as well
        raise _Unfit
    total = np.maximum(total, 0)
    less = total // 2
    first, second = (less, total - less) if auto == "SAME_UPPER" else (total - less, less)
    return [int(n) for n in (*first, *second)]
