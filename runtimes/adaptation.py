"""How a model's own signature becomes that of an audit: rows on axis 0, images channels last, one column an output.

A file may want its rows on another axis, its channels first, a state or a rate beside the data, and may answer with more
than one number a row and output. Whoever opens it says so once, here; methods never see it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYOUTS: Mapping[str, str] = {
    **dict.fromkeys(("NCHW", "NHWC"), "NHWC"),
    **dict.fromkeys(("NCL", "NLC"), "NLC"),
    **dict.fromkeys(("NCDHW", "NDHWC"), "NDHWC"),
}
"""The order in which a model reads an axis each, to the order in which an audit holds them. N: rows, C: channels."""

CHANNELS_FIRST: Mapping[int, str] = {len(first): first for first, held in LAYOUTS.items() if first != held}
"""By the number of axes, the layout with the channels before the places."""

ALL, OUTPUTS = "all", "outputs"
"""Of `Adaptation.select`: leave the whole axis (to be reduced), or keep it as the outputs."""

REDUCTIONS = ("max", "mean", "sum")

Shape = tuple[int | None, ...]
"""Sizes of the axes of an input, the rows' too; None: any."""

_WORDS = {"zeros": 0, "ones": 1}

Entry = int | tuple[int, ...] | str
"""What becomes of one axis of an output: one position of it, some positions that stay as outputs, `ALL`, or `OUTPUTS`."""


@dataclass(frozen=True)
class InputAdaptation:
    """What a file cannot say of one of its inputs."""

    fixed: Any = None
    """A number, text, nested lists, ``zeros`` or ``ones``: given with every row, never perturbed. None: from the data."""
    batch_axis: int | None = None
    """The axis of the rows (default: 0)."""
    layout: str = ""
    """A key of `LAYOUTS`; empty: the axes stay where they are."""


@dataclass(frozen=True)
class Adaptation:
    """What must be done to a file's inputs and output; the default does nothing."""

    inputs: Mapping[str, InputAdaptation] = field(default_factory=dict)
    """By the file's own input names."""
    select: tuple[Entry, ...] = ()
    """What becomes of each axis of the output after the rows; axes that are not said are left whole."""
    reduce: str = ""
    """A member of `REDUCTIONS`: how what is left becomes one number."""
    batch_axis: int = 0
    """The axis of the rows in the output."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Where a file's external data is, by the location that the file says; empty: beside the file."""

    @property
    def shapes_output(self) -> bool:
        """Whether the output is selected from, reduced or turned."""
        return bool(self.select or self.reduce or self.batch_axis)

    @classmethod
    def of(cls, plain: Mapping[str, Any], beside: Mapping[str, Path] | None = None) -> "Adaptation":
        """From plain values, as they stand in a plan."""
        inputs = {name: InputAdaptation(**said) for name, said in plain.get("inputs", {}).items()}
        select = tuple(tuple(one) if isinstance(one, list) else one for one in plain.get("select", ()))
        return cls(inputs, select, plain.get("reduce", ""), plain.get("batch_axis", 0), beside or {})


def order_of(shape: Shape, said: InputAdaptation) -> tuple[int, ...]:
    """For each axis of the audit's array, the axis of the model's own: rows first, then as `LAYOUTS` says."""
    axes = list(range(len(shape)))
    if said.layout:
        return tuple(said.layout.index(letter) for letter in LAYOUTS[said.layout])
    rows = said.batch_axis or 0
    return (rows, *[axis for axis in axes if axis != rows])


def misfit(shape: Shape, dtype: str, said: InputAdaptation) -> tuple[str, str] | None:
    """What is wrong with an adaptation of one input, with what to do; None where it fits."""
    rank = len(shape)
    if said.layout and said.fixed is not None:
        return "an input that is fixed has no layout", "delete `layout`"
    if said.layout and len(said.layout) != rank:
        return f"`{said.layout}` names {len(said.layout)} axes, the model reads {rank}", "leave `layout` out"
    if said.layout and said.batch_axis:
        return f"`{said.layout}` says where the rows are", "delete `batch_axis`"
    if said.batch_axis is not None and said.batch_axis >= max(rank, 1):
        return f"there is no axis {said.batch_axis}: the model reads {rank} axes", f"at most {max(rank - 1, 0)}"
    if said.fixed is None:
        return None
    try:
        fixed_value(shape, dtype, said)
    except ValueError as error:
        return str(error), "give one value, `zeros`, or a list of the input's own shape"
    return None


def fixed_value(shape: Shape, dtype: str, said: InputAdaptation) -> NDArray[Any]:
    """What is given for one row: 1 on the axis of the rows, where there is one.

    Raises:
        ValueError: it does not fit the input.
    """
    rows = rows_axis(shape, said)
    one = [1 if axis == rows else size for axis, size in enumerate(shape)]
    text = dtype == "str"
    said_value = said.fixed
    if isinstance(said_value, str) and not text:
        if said_value not in _WORDS:
            raise ValueError(f"`{said_value}` is no {dtype}")
        said_value = _WORDS[said_value]
    try:
        given = np.array(said_value, object if text else None)
    except ValueError:
        raise ValueError("its lists are of different lengths") from None
    words = [isinstance(one, str) for one in given.reshape(-1).tolist()]
    if (text and not all(words)) or (not text and given.dtype.kind not in "biuf"):
        raise ValueError(f"the input reads {'text' if text else dtype}, and something else is given")
    if not text:
        with np.errstate(over="ignore"):
            cast = given.astype(dtype)
        if cast.dtype.kind in "iub" and not np.array_equal(cast, given):
            raise ValueError(f"the value given is no {dtype}")
        given = cast
    return _shaped(given, one, rows)


def _shaped(given: NDArray[Any], shape: Sequence[int | None], rows: int | None) -> NDArray[Any]:
    if given.ndim == 0:
        if None in shape:
            raise ValueError("the file does not say how long each of its axes is, so one value does not fill it")
        return np.broadcast_to(given, [size or 1 for size in shape]).copy()
    if rows is not None and given.ndim == len(shape) - 1:
        given = np.expand_dims(given, rows)
    fits = given.ndim == len(shape) and all(
        size is None or size == found for size, found in zip(shape, given.shape, strict=True)
    )
    if not fits:
        wanted = " × ".join("any" if size is None else str(size) for size in shape) or "one value"
        raise ValueError(f"its shape is {' × '.join(map(str, given.shape))}, the input is {wanted}")
    return given


def rows_axis(shape: Shape, said: InputAdaptation) -> int | None:
    """The axis along which a fixed input is repeated for each row; None where it has no rows.

    Without `batch_axis`, an input is repeated where axis 0 has no fixed size; one row is no repetition.
    """
    if not shape:
        return None
    if said.batch_axis is not None:
        return said.batch_axis
    return 0 if shape[0] is None else None
