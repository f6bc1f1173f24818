"""Incremental inference: a patch of an image is changed, and only what it can reach is computed anew.

Nakandala, Kumar & Papakonstantinou (SIGMOD 2019, https://doi.org/10.1145/3299869.3319874). The graph is cut into stages.
What the unchanged image leaves at each cut is kept; a stage is run on a crop of it that holds all that the reached box
reads, with the box of the stage before put in. A crop's own edge is padded as if it were the image's: the crop is so
wide that no element of the box reads such padding, and starts at a multiple of the strides. After the last cut, the rest of
the network runs on whole tensors. All crops of a stage are of one size, so that many patches make one batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from runtimes.capabilities import Coalitions, Floats, Inputs, Integers
from runtimes.formats.calls import in_calls, memory_as_one_error
from runtimes.formats.onnx_incremental_graph import Axes, Network, Stand, reaches
from runtimes.formats.onnx_incremental_parts import part_of

if TYPE_CHECKING:
    from runtimes.formats.onnx_composing import Answering

_PAYS = 0.8
"""Estimated work against the whole network's, above which composed rows are handed over as ever."""
_LEAST_WORK = 1e7
"""Work of one row below which moving crops costs what they save: measured on networks of 1 to 2 million."""
_CALL = 3e6
"""What starting a stage costs for a call, in multiply-adds: about 60 microseconds."""
_COPIED = 100.0
"""What an element costs that is moved into a crop and out again, in multiply-adds: about 2 nanoseconds."""
_ROWS_OF_A_STAGE = 32
"""Crops are small: more of them make one call than of whole rows."""

Boxes = tuple[Integers, Integers]
"""Start and stop along each axis of the image, ``(boxes, axes)`` each."""


@dataclass(frozen=True)
class Stop:
    """A cut at which boxes are put into what the unchanged row leaves."""

    cut: int
    axes: Axes
    """Counted from the image."""
    box: Integers
    """``(axes,)``: the one size of all boxes."""

    def laid(self, boxes: Boxes) -> Integers:
        """Where boxes of the one size lie that hold what boxes of the image reach, ``(boxes, axes)``."""
        at: Integers = np.minimum(self.axes.reached(*boxes)[0], self.axes.size - self.box)
        return at

    def holds(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Which boxes reach no more than fits one, ``(boxes,)``."""
        low, high = self.axes.reached(*boxes)
        return np.asarray((high - low <= self.box).all(axis=1), bool)


@dataclass(frozen=True)
class Stage:
    """From one stop to a later one, on crops of one size."""

    first: Stop
    last: Stop
    axes: Axes
    """The image's axes at the last stop, counted from the first."""
    crop: Integers

    def needs(self, boxes: Boxes) -> Boxes:
        """What the boxes at the last stop read of the first, and the boxes of the first, inside of the tensor."""
        at, put = self.last.laid(boxes), self.first.laid(boxes)
        low, high = self.axes.reads(at, at + self.last.box)
        low = np.maximum(np.minimum(low, put), 0) // self.axes.stride * self.axes.stride
        return low, np.minimum(np.maximum(high, put + self.first.box), self.first.axes.size)

    def laid(self, boxes: Boxes) -> Integers:
        """Where crops start, a multiple of the strides."""
        at: Integers = np.minimum(self.needs(boxes)[0], self.first.axes.size - self.crop)
        return at

    def holds(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Which boxes can be computed from a crop, ``(boxes,)``."""
        fits = (self.needs(boxes)[1] <= self.laid(boxes) + self.crop).all(axis=1)
        return fits & self.first.holds(boxes) & self.last.holds(boxes)


def stage_between(first: Stop, last: Stop, axes: Axes, boxes: Boxes) -> Stage:
    """The stage with the least crop from which all boxes can be computed."""
    low, high = Stage(first, last, axes, np.zeros_like(first.box)).needs(boxes)
    wide = (high - low).max(axis=0)
    # A crop at the far edge must start at a multiple of the strides, too.
    wide = np.minimum(wide + (first.axes.size - wide) % axes.stride, first.axes.size)
    return Stage(first, last, axes, wide)


def planned(network: Network, axes: Sequence[int], boxes: Boxes, rows: int) -> tuple[Stage, ...]:
    """The cheapest stages for these boxes; none where none pay.

    Depends on the graph and the features alone, so that the same audit is computed in the same way everywhere.
    """
    shape, whole = network.shapes[network.cuts[0]], sum(network.work)
    if whole < _LEAST_WORK:
        return ()
    image = Stand(shape, Axes.afresh([axis + 1 for axis in axes], [shape[axis] for axis in axes]))
    stands = {0: image, **reaches(network, 0, image)}
    stops = {}
    for cut, stand in stands.items():
        low, high = stand.axes.reached(*boxes)
        stops[cut] = Stop(cut, stand.axes, np.maximum((high - low).max(axis=0), 1))  # what reaches nothing is no box
    best: tuple[float, tuple[Stage, ...]] = (_PAYS * whole, ())
    least: dict[int, tuple[float, tuple[Stage, ...]]] = {0: (0.0, ())}
    call = _CALL / max(rows, _ROWS_OF_A_STAGE)
    for first in sorted(stands):
        if first not in least:
            continue
        so_far, stages = least[first]
        held = prod(network.shapes[network.cuts[first]])
        rest = so_far + sum(network.work[network.ends[first] :]) + _COPIED * held
        if stages and rest < best[0]:
            best = (rest, stages)
        if so_far + call >= best[0]:
            continue
        for last, stand in reaches(network, first, stands[first]).items():
            stage = stage_between(stops[first], stops[last], stand.axes, boxes)
            share = float(np.prod(stage.crop / stops[first].axes.size))
            work = sum(network.work[network.ends[first] : network.ends[last]]) + _COPIED * held
            cost = so_far + share * work + call
            if cost < min(best[0], least.get(last, best)[0]):
                least[last] = (cost, (*stages, stage))
    return best[1]


@dataclass(frozen=True)
class Incremental:
    """A convolutional network, ready to be cut for patches of any size."""

    name: str
    network: Network
    model: Any
    open_session: Callable[[Any], Any]
    sessions: dict[tuple[int, int], Any]
    plans: dict[bytes, tuple[list[int], tuple[Stage, ...]]]

    def run(self, first: int, last: int, tensor: NDArray[Any]) -> NDArray[Any]:
        """What one cut makes of another, whole or a crop; -1: the model's output."""
        if (first, last) not in self.sessions:
            self.sessions[first, last] = self.open_session(part_of(self.model, self.network, first, last))
        answer: NDArray[Any] = self.sessions[first, last].run(None, {self.network.cuts[first]: tensor})[0]
        return answer

    def of_row(
        self, handle: "Answering", row: Inputs, references: Inputs, owners: Mapping[str, NDArray[np.int64]]
    ) -> Coalitions | None:
        """What the unchanged row leaves at each cut, where patches as large as the features pay."""
        owner = owners[self.name]
        boxes = boxes_of(owner)
        if boxes is None:
            return None
        key = owner.tobytes()
        if key not in self.plans:
            self.plans[key] = ([], ())
            for axes in axes_to_follow(owner.ndim):
                stages = planned(self.network, axes, (boxes[0][:, axes], boxes[1][:, axes]), handle.rows_per_call)
                if stages:
                    self.plans[key] = (axes, stages)
                    break
        axes, stages = self.plans[key]
        if not stages:
            return None
        held = {0: np.ascontiguousarray(row[self.name])}
        for stage in stages:
            held[stage.last.cut] = self.run(stage.first.cut, stage.last.cut, held[stage.first.cut])
        around = (boxes[0][:, axes], boxes[1][:, axes])
        return Patched(self, handle, np.asarray(references[self.name]), owner, around, stages, held)


def axes_to_follow(rank: int) -> list[list[int]]:
    """Which axes of a row may be an image's: height and width before or after the channels, or the time of a series."""
    return [[0, 1], [1, 2]] if rank == 3 else [[0], [1]] if rank == 2 else []


def boxes_of(owner: NDArray[np.int64]) -> Boxes | None:
    """The box around each feature, ``(features, axes)`` each."""
    count = int(owner.max(initial=-1)) + 1
    if count == 0 or owner.ndim == 0:
        return None
    own = np.nonzero(owner >= 0)
    low, high = np.full((count, owner.ndim), np.iinfo(np.int64).max), np.zeros((count, owner.ndim), np.int64)
    for axis, place in enumerate(own):
        np.minimum.at(low[:, axis], owner[own], place)
        np.maximum.at(high[:, axis], owner[own], place + 1)
    return np.minimum(low, high), high  # a feature that owns nothing has an empty box at 0


@dataclass(frozen=True)
class Patched:
    """One row with what it leaves at each stop; see `runtimes.capabilities.Coalitions`."""

    of: Incremental
    handle: "Answering"
    references: NDArray[np.float32]
    owner: NDArray[np.int64]
    around: Boxes
    stages: tuple[Stage, ...]
    held: Mapping[int, NDArray[np.float32]]

    def takes(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Masks whose removed features lie together in a box that every stage has room for."""
        boxes = self._removed(masks)
        fits: NDArray[np.bool_] = np.all([stage.holds(boxes) for stage in self.stages], axis=0)
        return fits

    def scores(self, masks: NDArray[np.bool_]) -> Floats:
        """Stage by stage on crops, then the rest of the network on whole tensors."""
        count, step = len(self.references), max(self.handle.rows_per_call, _ROWS_OF_A_STAGE)
        pairs = np.arange(len(masks) * count)
        parts = [pairs[start : start + step] for start in range(0, len(pairs), step)]
        with memory_as_one_error():
            answers = [self._part(masks[part // count], self.references[part % count]) for part in parts]
        self.handle.spent.forward += len(pairs)
        return np.concatenate(answers)

    def _removed(self, masks: NDArray[np.bool_]) -> Boxes:
        """Around what each mask removes; an empty box at 0 where nothing is."""
        absent = ~masks[:, : len(self.around[0]), None]
        low = np.where(absent, self.around[0], np.iinfo(np.int64).max).min(axis=1)
        high = np.where(absent, self.around[1], 0).max(axis=1)
        return np.minimum(low, high), high

    def _part(self, masks: NDArray[np.bool_], references: NDArray[np.float32]) -> Floats:
        boxes = self._removed(masks)
        changed = self._filled(masks, references, boxes)
        for stage in self.stages:
            first, last, start = stage.first, stage.last, stage.laid(boxes)
            crops = windows(self.held[first.cut], first.axes.place, start, stage.crop)
            put(crops, first.axes.place, first.laid(boxes) - start, changed)
            answered = self.of.run(first.cut, last.cut, crops)
            changed = windows(answered, last.axes.place, last.laid(boxes) - start // stage.axes.stride, last.box)
        last = self.stages[-1].last
        at = last.laid(boxes)

        def answer(start: int, stop: int) -> Floats:
            whole = np.repeat(self.held[last.cut], stop - start, axis=0)
            put(whole, last.axes.place, at[start:stop], changed[start:stop])
            return self.handle.view_of(self.of.run(last.cut, -1, whole), stop - start)

        return in_calls(self.handle, len(at), answer)

    def _filled(self, masks: NDArray[np.bool_], references: NDArray[np.float32], boxes: Boxes) -> NDArray[np.float32]:
        """The boxes of the composed rows outside of which they are the row itself."""
        image = self.stages[0].first
        at = image.laid(boxes)
        owners = windows(self.owner[None], image.axes.place, at, image.box)
        padded = np.concatenate([masks[:, : len(self.around[0])], np.ones((len(masks), 1), bool)], axis=1)
        keep = np.take_along_axis(padded, owners.reshape(len(masks), -1) % padded.shape[1], axis=1)
        own = windows(self.held[0], image.axes.place, at, image.box)
        other = windows(references, image.axes.place, at, image.box)
        return np.where(keep.reshape(own.shape), own, other)


def windows(tensor: NDArray[Any], places: Sequence[int], start: Integers, size: Integers) -> NDArray[Any]:
    """A window of each row of a tensor, from where it starts; of one row again and again where there is only one."""
    view, index = _view(tensor, places, start, size)
    taken = view[index]
    return np.ascontiguousarray(np.moveaxis(taken, range(taken.ndim - len(places), taken.ndim), places))


def put(tensor: NDArray[Any], places: Sequence[int], start: Integers, values: NDArray[Any]) -> None:
    """Write a window into each row of a tensor, from where it starts."""
    view, index = _view(tensor, places, start, [values.shape[place] for place in places])
    view[index] = np.moveaxis(values, places, range(values.ndim - len(places), values.ndim))


def _view(tensor: NDArray[Any], places: Sequence[int], start: Integers, size: Any) -> tuple[NDArray[Any], Any]:
    view = sliding_window_view(tensor, tuple(size), tuple(places), writeable=tensor.flags.writeable)
    index: list[Any] = [slice(None)] * tensor.ndim
    index[0] = np.arange(len(start)) if len(tensor) == len(start) else np.zeros(len(start), np.int64)
    for at, place in enumerate(places):
        index[place] = start[:, at]
    return view, tuple(index)
