"""Tables of what the first layers of a convolutional network answer: masks look it up instead of computing it.

A place of an early layer reads a small window of the image, in which few features lie. Whatever a mask does, the layer can
answer there in no more ways than those few features can be present or absent. The features are coloured so that no window
holds two of one colour; then one image for each set of colours that may be present gives all answers of all places, each
place as many as its own features have sets. A mask becomes one number a place, which says where in the table its answer
stands, and only the rest of the network is computed.
The sums are those of the network itself: nothing is approximated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Coalitions, Floats, Inputs, Integers
from runtimes.formats.calls import in_calls, memory_as_one_error
from runtimes.formats.onnx_incremental import Boxes, axes_to_follow, boxes_of
from runtimes.formats.onnx_incremental_graph import Axes, Network, Stand, as_far_as_read, reaches
from runtimes.formats.onnx_incremental_parts import part_of

if TYPE_CHECKING:
    from runtimes.formats.onnx_composing import Answering

MOST_COLOURS = 8
"""Of features: 256 images fill the table then. A grid of patches needs four, superpixels of a photograph five to eight."""
_MOST_BYTES = 2**23
"""Of a table. One of 8 MiB still lies in the caches of the processors that this was measured on."""
_LOOKED_UP = 20.0
"""What an element costs that is looked up and handed on, in multiply-adds."""
_PLACE = 100.0
"""What a place costs for which the number is made, in multiply-adds."""
_PAYS = 0.9
"""Estimated work against the whole network's, above which composed rows are handed over as ever."""
_MASKS = 1024
"""Among which the images of a table are divided where cuts are compared."""
_FILLS = 4
"""Masks for each image of the table, below which filling it costs too much of what it saves."""


@dataclass(frozen=True)
class Plan:
    """Where the network is cut for one division of the image into features."""

    cut: int
    stand: Stand
    colours: Integers
    """``(features,)``."""
    own: Integers
    """``(places, most)``: the features that each place reads; the number of features where it reads no more."""

    @property
    def images(self) -> int:
        """Sets of colours that may be present."""
        return int(2 ** (1 + self.colours.max(initial=-1)))

    @property
    def lines(self) -> Integers:
        """``(places,)``: sets of the place's own features that may be present."""
        return np.asarray(2 ** (self.own < len(self.colours)).sum(axis=1))


@dataclass
class Tabulated:
    """A convolutional network, ready to be cut for features of any form."""

    name: str
    network: Network
    model: Any
    open_session: Callable[[Any], Any]
    heads: dict[int, Any] = field(default_factory=dict)
    rests: dict[tuple[int, tuple[int, ...], tuple[int, ...]], Any] = field(default_factory=dict)
    planned: tuple[bytes, Plan | None] = (b"", None)
    """The features last asked for, and their plan."""

    def of_row(
        self, handle: "Answering", row: Inputs, references: Inputs, owners: Mapping[str, NDArray[np.int64]]
    ) -> Coalitions | None:
        """The table of one row's features, where looking up costs less than computing."""
        owner = owners[self.name]
        key = repr((owner.shape, len(references[self.name]))).encode() + owner.tobytes()
        if key != self.planned[0]:
            self.planned = key, plan_of(self.network, owner, len(references[self.name]))
        plan = self.planned[1]
        return TableOfRow(self, handle, plan, row[self.name], references[self.name], owner) if plan else None

    def head(self, plan: Plan, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the first layers answer to whole images."""
        if plan.cut not in self.heads:
            self.heads[plan.cut] = self.open_session(part_of(self.model, self.network, 0, plan.cut))
        answer: NDArray[np.float32] = self.heads[plan.cut].run(None, {self.network.cuts[0]: images})[0]
        return answer

    def rest(self, plan: Plan) -> Any:
        """A session that reads ``coalitions/laid (rows, *places, *others)``, and answers as the network does."""
        key = (plan.cut, plan.stand.shape, plan.stand.axes.place)
        if key not in self.rests:
            part = part_of(self.model, self.network, plan.cut, -1)
            self.rests[key] = self.open_session(_laid(part, self.network.cuts[plan.cut], plan.stand))
        return self.rests[key]


def _laid(part: Any, name: str, stand: Stand) -> Any:
    """The rest of a network that reads a tensor with the image's axes first."""
    import onnx

    helper = onnx.helper
    order = [*stand.axes.place, *(place for place in range(1, len(stand.shape) + 1) if place not in stand.axes.place)]
    perm = [0, *(order.index(place) + 1 for place in sorted(order))]
    kept = [type(node).FromString(node.SerializeToString()) for node in part.graph.node]
    del part.graph.node[:], part.graph.input[:]
    part.graph.node.extend([helper.make_node("Transpose", ["coalitions/laid"], [name], perm=perm), *kept])
    sizes: list[str | int | None] = ["n", *(stand.shape[place - 1] for place in order)]
    part.graph.input.append(helper.make_tensor_value_info("coalitions/laid", onnx.TensorProto.FLOAT, sizes))
    return part


def plan_of(network: Network, owner: NDArray[np.int64], references: int) -> Plan | None:
    """The cut after which the least is left to do; None where none pays.

    Depends on the graph and the features alone, so that the same audit is computed in the same way everywhere.
    """
    shape, boxes = network.shapes[network.cuts[0]], boxes_of(owner)
    if boxes is None or owner.shape != shape:
        return None
    for axes in axes_to_follow(owner.ndim):
        image = Stand(shape, Axes.afresh([axis + 1 for axis in axes], [shape[axis] for axis in axes]))
        cuts = _worth_it(network, reaches(network, 0, image), references)
        if cuts:
            found = _cheapest(cuts, Features(owner, axes, (boxes[0][:, axes], boxes[1][:, axes])), references)
            if found is not None:
                return found
    return None


@dataclass(frozen=True)
class _Cut:
    cut: int
    stand: Stand
    cost: float
    """Of one row, in multiply-adds: of looking up, and of what is left."""

    before: float
    """What the image takes to come so far."""

    def with_images(self, images: int) -> float:
        """Cost with a mask's share of the images that fill the table."""
        return self.cost + self.before * images / _MASKS

    def table(self, lines: float, references: int) -> float:
        """Bytes of a table with so many lines for a place."""
        return 4 * lines * references * prod(self.stand.shape)


def _worth_it(network: Network, stands: Mapping[int, Stand], references: int) -> list[_Cut]:
    """Cuts that would pay if no place read more than one feature, from the first on."""
    found = []
    for cut, whole in stands.items():
        stand = as_far_as_read(network, cut, whole)
        left = sum(network.work[network.ends[cut] :])
        cost = left + _LOOKED_UP * prod(stand.shape) + _PLACE * prod(stand.axes.size.tolist())
        one = _Cut(cut, stand, cost, sum(network.work) - left)
        if cost < _PAYS * sum(network.work) and one.table(2, references) <= _MOST_BYTES:
            found.append(one)
    return found


def _cheapest(cuts: Sequence[_Cut], features: "Features", references: int) -> Plan | None:
    """The cut of least cost with few enough features for each place; a later cut reads no less than an earlier one."""
    tried: dict[int, Plan | None] = {}

    def plan(at: int) -> Plan | None:
        if at not in tried:
            tried[at] = _plan_at(cuts[at], features)
        return tried[at]

    low, high = 0, len(cuts)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if plan(middle) is None else (middle + 1, high)
    found = [(cuts[at], one) for at in range(low) if (one := plan(at)) is not None]
    fit = [held for held in found if held[0].table(float(held[1].lines.mean()), references) <= _MOST_BYTES]
    return min(fit, key=lambda held: held[0].with_images(held[1].images), default=(None, None))[1]


def _plan_at(cut: _Cut, features: "Features") -> Plan | None:
    """None where a place reads too many features."""
    touched = features.touched(cut.stand.axes)
    if touched.sum(axis=0, dtype=np.int64).max() > MOST_COLOURS:
        return None
    colours = coloured(touched)
    if colours.max() >= MOST_COLOURS:
        return None
    return Plan(cut.cut, cut.stand, colours, _own(touched))


class Features:
    """Where the features of an image lie."""

    def __init__(self, owner: NDArray[np.int64], axes: Sequence[int], boxes: Boxes) -> None:
        self._boxes = boxes
        spaces = np.moveaxis(owner, axes, range(len(axes)))
        self._sums: list[NDArray[np.int64] | None] = []
        """For each feature, how many of its places lie before each corner of its box; None where it fills the box."""
        for feature, (low, high) in enumerate(zip(*boxes, strict=True)):
            box = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
            inside = (spaces[box] == feature).any(axis=tuple(range(len(axes), owner.ndim)))
            self._sums.append(None if inside.all() else _summed(inside))

    def touched(self, axes: Axes) -> NDArray[np.bool_]:
        """Which features each place of a tensor reads, ``(features, places)``."""
        low, high = axes.reached(*self._boxes)
        found = np.zeros((len(self._sums), *axes.size), bool)
        for feature, sums in enumerate(self._sums):
            if (self._boxes[0][feature] == self._boxes[1][feature]).any():  # a feature that owns nothing
                continue
            region: tuple[int | slice, ...] = (
                feature,
                *(slice(a, b) for a, b in zip(low[feature].tolist(), high[feature].tolist(), strict=True)),
            )
            if sums is None:
                found[region] = True
                continue
            counts = sums
            for axis in range(len(axes.size)):
                at, edge = np.arange(low[feature, axis], high[feature, axis]), self._boxes[0][feature, axis]
                start, stop = axes.stride[axis] * at - axes.before[axis], axes.stride[axis] * at + axes.after[axis] + 1
                most = sums.shape[axis] - 1
                ends = [np.clip(end - edge, 0, most) for end in (stop, start)]
                counts = np.take(counts, ends[0], axis=axis) - np.take(counts, ends[1], axis=axis)
            found[region] = counts > 0
        return found.reshape(len(found), -1)


def _summed(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    found = np.zeros([size + 1 for size in inside.shape], np.int64)
    held = inside.astype(np.int64)
    for axis in range(inside.ndim):
        held = np.cumsum(held, axis=axis)
    found[(slice(1, None),) * inside.ndim] = held
    return found


def coloured(touched: NDArray[np.bool_]) -> Integers:
    """A colour for each feature ``(features,)``, such that no place reads two of one colour.

    Each takes the first that is free, in their own order (a grid of patches then needs four) or those with most neighbours
    first (Welsh & Powell, 1967; superpixels often need one less), whichever needs fewer.
    """
    together = touched.astype(np.float32) @ touched.T.astype(np.float32) > 0
    orders = (np.arange(len(touched)), np.argsort(-together.sum(axis=1), kind="stable"))
    return min((_first_free(together, order) for order in orders), key=lambda colours: int(colours.max(initial=0)))


def _first_free(together: NDArray[np.bool_], order: Integers) -> Integers:
    colours = np.full(len(together), -1, np.int64)
    for feature in order:
        used = set(colours[together[feature]].tolist())
        colours[feature] = next(colour for colour in range(len(together) + 1) if colour not in used)
    return colours


def _own(touched: NDArray[np.bool_]) -> Integers:
    """The features that each place reads, ``(places, most)``, filled up with the number of features."""
    counts = touched.sum(axis=0, dtype=np.int64)
    found = np.full((touched.shape[1], int(counts.max(initial=0))), len(touched), np.int64)
    places, features = np.nonzero(touched.T)
    found[places, np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)] = features
    return found


class TableOfRow:
    """One row with what its early places may answer; see `runtimes.capabilities.Coalitions`."""

    def __init__(
        self,
        of: Tabulated,
        handle: "Answering",
        plan: Plan,
        row: NDArray[np.float32],
        references: NDArray[np.float32],
        owner: NDArray[np.int64],
    ) -> None:
        self._of, self._handle, self._plan = of, handle, plan
        self._row, self._references, self._owner = row, references, owner
        self._table: NDArray[np.float32] | None = None
        others = [size for place, size in enumerate(plan.stand.shape, 1) if place not in plan.stand.axes.place]
        self._sizes = (*plan.stand.axes.size.tolist(), *others)
        ends = np.cumsum(plan.lines)
        self._starts = np.arange(len(references))[:, None] * ends[-1] + (ends - plan.lines)

    def takes(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All, once there are so many that the table is worth it."""
        enough = self._table is not None or len(masks) >= _FILLS * self._plan.images
        return np.full(len(masks), enough)

    def scores(self, masks: NDArray[np.bool_]) -> Floats:
        """Look up what the early layers answer, and compute the rest."""
        session, references, codes = self._of.rest(self._plan), len(self._references), self._codes(masks)

        def answer(start: int, stop: int) -> Floats:
            at = codes[start:stop, None] + self._starts
            # Clipping checks nothing, and no position is out of bounds.
            laid = np.take(table, at.reshape(-1), axis=0, mode="clip").reshape(-1, *self._sizes)
            return self._handle.view_of(session.run(None, {"coalitions/laid": laid})[0], len(laid))

        with memory_as_one_error():  # for one coalition over all references
            table = self._table = self._filled() if self._table is None else self._table
            answers = in_calls(self._handle, len(masks), answer, rows=references)
        self._handle.spent.forward += len(answers)
        return answers

    def _codes(self, masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """For each place which of its own features are present, a bit for each, ``(masks, places)``."""
        count = len(self._plan.colours)
        present = np.zeros((count + 1, len(masks)), np.uint8)  # the last line is that of no feature
        present[:count] = masks[:, :count].T
        found = np.zeros((len(self._plan.own), len(masks)), np.uint8)
        for features in self._plan.own.T[::-1]:
            found <<= 1
            found |= present[features]
        return np.ascontiguousarray(found.T)

    def _filled(self) -> NDArray[np.float32]:
        """What each place of each reference answers to each set of its features, ``(references * lines, others)``."""
        plan, axes = self._plan, self._plan.stand.axes
        count, lines = len(plan.colours), plan.lines
        place = np.repeat(np.arange(len(lines)), lines)
        code = np.arange(len(place)) - np.repeat(np.cumsum(lines) - lines, lines)
        colours = np.append(plan.colours, 0)[plan.own]
        image = sum(((code >> at & 1) << colours[place, at] for at in range(plan.own.shape[1])), np.zeros_like(code))

        table = np.empty((len(self._references), len(place), prod(self._sizes[len(axes.place) :])), np.float32)
        inside = (slice(None), *(slice(size) for size in plan.stand.shape))
        step = max(1, self._handle.rows_per_call)
        for start in range(0, plan.images, step):
            present = np.arange(start, min(start + step, plan.images))[:, None] >> np.arange(plan.colours.max() + 1) & 1
            padded = np.concatenate([present[:, plan.colours] == 1, np.ones((len(present), 1), bool)], axis=1)
            asked = np.flatnonzero((image >= start) & (image < start + len(present)))
            for reference, found in zip(self._references, table, strict=True):
                answered = self._of.head(plan, np.where(padded[:, self._owner % (count + 1)], self._row, reference))
                laid = np.moveaxis(answered[inside], axes.place, range(1, len(axes.place) + 1))
                found[asked] = laid.reshape(len(present), len(lines), -1)[image[asked] - start, place[asked]]
        return table.reshape(-1, table.shape[-1])
