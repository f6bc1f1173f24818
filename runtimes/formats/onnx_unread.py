"""A convolutional graph without the border that none of its answers depends on.

Kernels without padding and poolings that leave the last element of an odd axis out make a network compute rows and columns that
nothing reads: of 28 x 28 pixels two kernels of 3 and two poolings of 2 read 26 x 26, and a seventh of the work goes into the rest.
The answer is the same, and so is every slope: those of the border are zero.
"""

from itertools import count
from math import prod
from typing import Any

import numpy as np

from runtimes.formats.onnx_external import has_external_data
from runtimes.formats.onnx_incremental import axes_to_follow
from runtimes.formats.onnx_incremental_graph import (
    ELEMENT,
    Axes,
    Network,
    Stand,
    as_far_as_read,
    left_out_at,
    network_of,
    reaches,
)
from runtimes.formats.onnx_incremental_parts import network_in

_PAYS = 0.02
"""Share of the network's work that must fall away."""
_SLICE_READS = 10
"""The opset from which what a Slice cuts out is read and not said."""
_COPIED = ELEMENT
"""What it costs to cut an element out; on the way back, of which twice the work falls away, as much again."""


def without_unread(model: Any) -> Any | None:
    """The model with the tensor cut to what is read of it that saves most; None where nothing is worth it."""
    import onnx

    found = None if has_external_data(model) else network_in(model)
    if found is None:
        return None
    name, nodes, weights, shapes = found
    network = network_of(nodes, weights, shapes, name)
    saved, cut, read = max(_savings(network), key=lambda one: one[0], default=(0.0, 0, None))
    if read is None or saved < _PAYS * sum(network.work):
        return None
    name, less = network.cuts[cut], onnx.ModelProto()
    less.CopyFrom(model)
    reader = next(at for at, node in enumerate(less.graph.node) if name in node.input)
    taken = {one for node in model.graph.node for one in (*node.input, *node.output)}
    own = next(own for times in count(1) if not any(one.startswith(own := f"{name}{'/read' * times}") for one in taken))
    said = {"starts": [0] * len(read.axes.place), "ends": read.axes.size.tolist(), "axes": list(read.axes.place)}
    if next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0) < _SLICE_READS:
        sliced = onnx.helper.make_node("Slice", [name], [own], **said)
    else:
        sliced = onnx.helper.make_node("Slice", [name, *(f"{own}/{word}" for word in said)], [own])
        for word, numbers in said.items():
            held = onnx.numpy_helper.from_array(np.array(numbers, np.int64), f"{own}/{word}")
            less.graph.initializer.append(held)
    less.graph.node[reader].input[list(less.graph.node[reader].input).index(name)] = own
    less.graph.node.insert(reader, sliced)
    return less


def _savings(network: Network) -> list[tuple[float, int, Stand]]:
    """For each cut of which something is unread: the work that is saved, the cut, and what is read of it."""
    shape, found = network.shapes[network.cuts[0]], []
    for axes in axes_to_follow(len(shape)):
        image = Stand(shape, Axes.afresh([axis + 1 for axis in axes], [shape[axis] for axis in axes]))
        for cut, stand in {0: image, **reaches(network, 0, image)}.items():
            read = as_far_as_read(network, cut, stand)
            if read.shape == stand.shape:
                continue
            ends = [
                left_out_at(network, cut, stand, axis, int(size))
                for axis, size in enumerate(read.axes.size)
                if size < stand.axes.size[axis]
            ]
            work = sum(network.work[network.ends[cut] : 1 + max(end for end in ends if end is not None)])
            kept = prod(read.shape)
            found.append((work * (1 - kept / prod(stand.shape)) - _COPIED * kept, cut, read))
    return found
