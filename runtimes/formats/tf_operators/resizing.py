"""Resize and Upsample: a product with a matrix of weights along each axis, whatever the mode."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, operator, positive

Matrix = NDArray[np.float64]


@operator("Resize", "Upsample", style="laid")
def resize(call: Call, x: Laid, *_: Any) -> Laid:
    axes = list(range(x.rank))
    if call.attribute("axes"):
        axes = [positive(axis, x.rank) for axis in call.attribute("axes")]
    factors, sizes = _asked(call, x, axes)
    tensor = x.tensor
    for place, axis in enumerate(axes):
        factor, size = factors[place], sizes[place]
        length = x.sizes()[axis]
        if factor == 1.0 and (size is None or size == length) and not _crops(call):
            continue
        if length is None:
            raise Unsupported("a size that it changes is only known when it runs")
        made = int(np.floor(length * factor)) if size is None else size
        tensor = _along(call, tensor, x.order[axis], _weights(call, length, made, factor, place, len(axes)))
    return Laid(tensor, x.order)


def _crops(call: Call) -> bool:
    return bool(call.attribute("coordinate_transformation_mode") == "tf_crop_and_resize")


def _asked(call: Call, x: Laid, axes: Sequence[int]) -> tuple[list[float], list[int | None]]:
    """The factor of each axis, and its new size where that is asked for."""
    if call.kind == "Upsample" or call.opset < 11:
        held = call.attribute("scales") if call.opset < 9 else call.known(1, "scales").reshape(-1)
        return [float(one) for one in held], [None] * len(axes)
    scales = call.known(2, "scales").reshape(-1) if call.use.has(2) else np.zeros(0)
    if len(scales):
        return [float(one) for one in scales], [None] * len(axes)
    wanted = [int(size) for size in call.known(3, "sizes").reshape(-1)]
    lengths = [x.sizes()[axis] for axis in axes]
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        ratios = [size / (length or 1) for size, length in zip(wanted, lengths, strict=True)]
        ratio = (min if policy == "not_larger" else max)(ratios)
        sizes = [int(np.floor((length or 1) * ratio + 0.5)) for length in lengths]
        return [ratio] * len(axes), list(sizes)
    # rows are not resized, however many they are
    return [1.0 if length is None else size / length for size, length in zip(wanted, lengths, strict=True)], [
        None if length is None else size for size, length in zip(wanted, lengths, strict=True)
    ]


def _along(call: Call, tensor: Any, axis: int, weights: Matrix) -> Any:
    """A product along one axis."""
    tf = call.tf
    rank = len(tensor.shape)
    turn = [*(one for one in range(rank) if one != axis), axis]
    made = tf.matmul(tf.transpose(tensor, turn), tf.constant(weights.T, tensor.dtype)) if rank > 1 else None
    if made is None:
        return tf.linalg.matvec(tf.constant(weights, tensor.dtype), tensor)
    return tf.transpose(made, [int(one) for one in np.argsort(turn)])


def _weights(call: Call, length: int, made: int, factor: float, place: int, axes: int) -> Matrix:
    """How much each old position gives to each new one, ``(new, old)``."""
    where = _positions(call, length, made, factor, place, axes)
    mode = call.attribute("mode", "nearest")
    weights = np.zeros((made, length))
    if mode == "nearest":
        nearest = np.clip(_rounded(call, where), 0, length - 1).astype(int)
        weights[np.arange(made), nearest] = 1.0
    else:
        _spread(call, weights, where, factor, 1 if mode == "linear" else 2)
    if _crops(call):
        outside = (where < 0) | (where > length - 1)
        if outside.any():
            if call.attribute("extrapolation_value", 0.0):
                raise Unsupported("`extrapolation_value`")
            weights[outside] = 0.0
    return weights


def _positions(call: Call, length: int, made: int, factor: float, place: int, axes: int) -> Matrix:
    """Where each new position lies among the old ones."""
    new = np.arange(made, dtype=np.float64)
    kind = call.attribute("coordinate_transformation_mode", "half_pixel")
    if call.kind == "Upsample" or call.opset < 11:
        kind = "asymmetric"
    if kind == "asymmetric":
        return new / factor
    if kind == "align_corners":
        width = factor * length - 1
        return new * (length - 1) / width if made > 1 and width > 0 else np.zeros(made)
    if kind == "tf_crop_and_resize":
        region = call.known(1, "region").reshape(-1)
        start, end = float(region[place]), float(region[place + axes])
        if made == 1:
            return np.array([0.5 * (start + end) * (length - 1)])
        return start * (length - 1) + new * (end - start) * (length - 1) / (made - 1)
    if kind == "pytorch_half_pixel" and made == 1:
        return np.zeros(1)
    if kind == "half_pixel_symmetric":
        adjustment = made / (factor * length)
        centre = length / 2
        return centre * (1 - adjustment) + (new + 0.5) / factor - 0.5
    return (new + 0.5) / factor - 0.5


def _rounded(call: Call, where: Matrix) -> Matrix:
    how = call.attribute("nearest_mode", "round_prefer_floor")
    if call.kind == "Upsample" or call.opset < 11:
        how = "floor"
    if how == "floor":
        return np.floor(where)
    if how == "ceil":
        return np.ceil(where)
    return np.ceil(where - 0.5) if how == "round_prefer_floor" else np.floor(where + 0.5)


def _spread(call: Call, weights: Matrix, where: Matrix, factor: float, reach: int) -> None:
    """Fill in linear (reach 1) or cubic (reach 2) weights; those beyond an edge go to the edge, or nowhere."""
    length = weights.shape[1]
    narrow = call.attribute("antialias", 0) and factor < 1
    scale = factor if narrow else 1.0
    for row, at in enumerate(where):
        near = np.arange(np.floor(at - reach / scale), np.ceil(at + reach / scale) + 1)
        shares = _kernel(call, (near - at) * scale, reach)
        if call.attribute("exclude_outside", 0):
            shares = np.where((near < 0) | (near >= length), 0.0, shares)
        total = shares.sum()
        shares = shares / total if total else shares
        np.add.at(weights[row], np.clip(near, 0, length - 1).astype(int), shares)


def _kernel(call: Call, distance: Matrix, reach: int) -> Matrix:
    far = np.abs(distance)
    if reach == 1:
        return np.maximum(0.0, 1.0 - far)
    a = float(call.attribute("cubic_coeff_a", -0.75))
    inner = (a + 2) * far**3 - (a + 3) * far**2 + 1
    outer = a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a
    return np.where(far <= 1, inner, np.where(far < 2, outer, 0.0))
