"""Reading images at places between their pixels: grids, regions, deformed convolutions, and grids of affine maps."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Unsupported, operator
from runtimes.formats.tf_operators.windows import windows_of

Fold = Callable[[Any, Any], Any]


def _read(call: Call, image: Any, places: Sequence[Any], mode: str, outside: Fold | None) -> list[tuple[Any, Any]]:
    """The pixels around each place, each with its weight.

    Args:
        call: the node.
        image: ``(rows, *space, channels)``, sizes of space known.
        places: for each axis of space, positions in pixels, ``(rows, places)``.
        mode: ``nearest`` (the places are whole then), ``linear`` or ``cubic``.
        outside: brings a position back into an axis: ``(position, axis)``. None: there is nothing but zeros outside.

    Returns:
        ``(weight, pixels)``: ``(rows, places, 1)`` and ``(rows, places, channels)``.
    """
    tf, sizes = call.tf, [int(size) for size in image.shape[1:-1]]
    flat = tf.reshape(image, tf.stack([tf.shape(image)[0], int(np.prod(sizes)), image.shape[-1]]))
    taps = {"nearest": (0,), "linear": (0, 1), "cubic": (-1, 0, 1, 2)}[mode]
    low = [tf.floor(place) for place in places]
    weights = [_weights(call, place - start, mode) for place, start in zip(places, low, strict=True)]
    found = []
    for taken in product(range(len(taps)), repeat=len(sizes)):
        where, much, inside = None, None, None
        for axis, tap in enumerate(taken):
            position = low[axis] + taps[tap]
            if outside is not None:
                position = outside(position, axis)
            here = (position >= 0) & (position <= sizes[axis] - 1)
            index = tf.cast(tf.clip_by_value(position, 0.0, float(sizes[axis] - 1)), "int32")
            where = index if where is None else where * sizes[axis] + index
            much = weights[axis][tap] if much is None else much * weights[axis][tap]
            inside = here if inside is None else inside & here
        pixels = tf.gather(flat, where, axis=1, batch_dims=1)
        found.append((tf.where(inside, much, tf.zeros_like(much))[..., None], pixels))
    return found


def _weights(call: Call, part: Any, mode: str) -> list[Any]:
    """Of each pixel around a place that is some part of a pixel further; of a cubic, those of Keys with -0.75."""
    if mode == "nearest":
        return [call.tf.ones_like(part)]
    if mode == "linear":
        return [1.0 - part, part]
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _spaced(call: Call, x: Any) -> tuple[Any, list[int]]:
    """An image with its channels last, and the sizes of its space. Raises `Unsupported` where they are not known."""
    sizes = x.shape[2:].as_list()
    if None in sizes or x.shape[1] is None:
        raise Unsupported("the size of its image is only known when it runs")
    return call.tf.transpose(x, (0, *range(2, len(x.shape)), 1)), sizes


_MODES = {"bilinear": "linear", "bicubic": "cubic"}


@operator("GridSample")
def grid_sample(call: Call, x: Any, grid: Any) -> Any:
    tf = call.tf
    image, sizes = _spaced(call, x)
    mode = call.attribute("mode", "linear")
    mode, padding = _MODES.get(mode, mode), call.attribute("padding_mode", "zeros")
    corners = bool(call.attribute("align_corners", 0))
    n, shape = len(sizes), tf.shape(grid)
    flat = tf.reshape(grid, tf.stack([shape[0], -1, n]))

    def folded(position: Any, axis: int) -> Any:
        size = sizes[axis]
        if padding == "border":
            return tf.clip_by_value(position, 0.0, size - 1.0)
        low, high = (0.0, size - 1.0) if corners else (-0.5, size - 0.5)
        if high == low:
            return tf.zeros_like(position)
        turn = tf.math.floormod(position - low, 2 * (high - low))
        return low + tf.minimum(turn, 2 * (high - low) - turn)

    places = []
    for axis, size in enumerate(sizes):
        part = flat[..., n - 1 - axis]  # a grid names the last axis first
        place = (part + 1) / 2 * (size - 1) if corners else ((part + 1) * size - 1) / 2
        place = tf.math.rint(place) if mode == "nearest" else place
        # of a cubic, the pixels beyond a border are brought back one by one: the place itself stays
        stays = padding == "zeros" or (padding == "border" and mode == "cubic")
        places.append(place if stays else folded(place, axis))
    read = _read(call, image, places, mode, None if padding == "zeros" else folded)
    made = tf.add_n([tf.cast(much, x.dtype) * pixels for much, pixels in read])
    turned = tf.transpose(made, (0, 2, 1))
    return tf.reshape(turned, tf.concat([shape[:1], [x.shape[1]], shape[1:-1]], 0))


@operator("AffineGrid")
def affine_grid(call: Call, theta: Any, size: Any) -> Any:
    tf, sizes = call.tf, [int(one) for one in call.known(1, "size")[2:]]
    corners = call.attribute("align_corners", 0)
    spans = [np.linspace(-1, 1, n) if corners else (2 * np.arange(n) + 1) / n - 1 for n in sizes]
    axes = np.meshgrid(*spans, indexing="ij")
    points = np.stack([*reversed(axes), np.ones(sizes)], -1).reshape(-1, len(sizes) + 1)
    made = tf.matmul(tf.constant(points, theta.dtype)[None] + tf.zeros_like(theta[:, :1, :1]), theta, transpose_b=True)
    return tf.reshape(made, tf.stack([tf.shape(theta)[0], *sizes, len(sizes)]))


@operator("RoiAlign")
def roi_align(call: Call, x: Any, regions: Any, rows: Any) -> Any:
    tf = call.tf
    image, sizes = _spaced(call, x)
    images = tf.gather(image, rows)
    made = [call.attribute("output_height", 1), call.attribute("output_width", 1)]
    halves = call.opset >= 16 and call.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    corners = regions * call.attribute("spatial_scale", 1.0) - (0.5 if halves else 0.0)
    along, counted, seen, reach = [], [], [], []
    for axis, (start, end) in enumerate(((corners[:, 1], corners[:, 3]), (corners[:, 0], corners[:, 2]))):
        length = end - start if halves else tf.maximum(end - start, 1.0)
        bin_size, ratio = length / made[axis], call.attribute("sampling_ratio", 0)
        number = tf.fill(tf.shape(length), tf.cast(ratio, x.dtype)) if ratio else tf.math.ceil(bin_size)
        steps = tf.range(tf.reduce_max(number))
        bins = tf.range(made[axis], dtype=x.dtype)
        at = bins[None, :, None] + (steps[None, None, :] + 0.5) / number[:, None, None]
        along.append(start[:, None, None] + at * bin_size[:, None, None])  # regions, bins, steps
        counted.append(number)
        seen.append(steps[None] < number[:, None])
        reach.append(tf.shape(steps)[0])
    count = tf.shape(regions)[0]
    whole = tf.stack([count, made[0], made[1], reach[0], reach[1]])
    down = tf.broadcast_to(along[0][:, :, None, :, None], whole)
    across = tf.broadcast_to(along[1][:, None, :, None, :], whole)
    flat = [tf.reshape(one, tf.stack([count, -1])) for one in (down, across)]
    inside = (flat[0] >= -1) & (flat[0] <= sizes[0]) & (flat[1] >= -1) & (flat[1] <= sizes[1])
    places = [tf.clip_by_value(one, 0.0, size - 1.0) for one, size in zip(flat, sizes, strict=True)]
    read = [(tf.where(inside[..., None], much, tf.zeros_like(much)) * pixels) for much, pixels in
            _read(call, images, places, "linear", lambda position, axis: tf.minimum(position, sizes[axis] - 1.0))]  # fmt: skip
    lives = seen[0][:, None, None, :, None, None] & seen[1][:, None, None, None, :, None]
    average = call.attribute("mode", "avg") == "avg"
    samples = tf.add_n(read) if average else tf.reduce_max(tf.stack(read), 0)
    samples = tf.reshape(samples, tf.concat([whole, [x.shape[1]]], 0))
    empty = tf.zeros_like(samples) if average else tf.fill(tf.shape(samples), samples.dtype.min)
    samples = tf.where(lives, samples, empty)
    if average:
        total = tf.reduce_sum(samples, [3, 4])
        pooled = total / tf.maximum(counted[0] * counted[1], 1.0)[:, None, None, None]
    else:
        pooled = tf.reduce_max(samples, [3, 4])
    return tf.transpose(pooled, (0, 3, 1, 2))


@operator("DeformConv")
def deformed_convolution(call: Call, x: Any, weight: Any, offset: Any, bias: Any = None, mask: Any = None) -> Any:
    tf = call.tf
    image, sizes = _spaced(call, x)
    if len(sizes) != 2 or None in weight.shape or None in offset.shape[1:]:
        raise Unsupported("its sizes are only known when it runs, or not those of a plane")
    kernel = [int(one) for one in call.attribute("kernel_shape") or weight.shape[2:]]
    windows, taps = windows_of(call, kernel, sizes), int(np.prod(kernel))
    groups, parts = call.attribute("group", 1), call.attribute("offset_group", 1)
    high, wide = (int(one) for one in offset.shape[2:])
    rows, channels = tf.shape(x)[0], int(x.shape[1])
    moved = tf.reshape(offset, tf.stack([rows, parts, taps, 2, high * wide]))
    places = []
    for axis, (number, other) in enumerate(((high, wide), (wide, high))):
        tap = np.indices(kernel)[axis].reshape(-1) * windows.dilations[axis]
        start = np.arange(number) * windows.strides[axis] - windows.before[axis]
        start = np.repeat(start, other) if axis == 0 else np.tile(start, other)
        places.append(tf.constant(tap[:, None] + start[None, :], x.dtype) + moved[:, :, :, axis])
    each, columns = channels // parts, []
    for part in range(parts):
        flat = [tf.reshape(place[:, part], tf.stack([rows, taps * high * wide])) for place in places]
        read = _read(call, image[..., part * each : (part + 1) * each], flat, "linear", None)
        made = tf.add_n([much * pixels for much, pixels in read])
        made = tf.reshape(made, tf.stack([rows, taps, high * wide, each]))
        if mask is not None:
            made *= tf.reshape(mask, tf.stack([rows, parts, taps, high * wide]))[:, part, :, :, None]
        columns.append(made)
    whole = tf.reshape(tf.concat(columns, -1), tf.stack([rows, taps, high * wide, groups, channels // groups]))
    outputs = int(weight.shape[0])
    filters = tf.reshape(weight, (groups, outputs // groups, channels // groups, taps))
    answer = tf.reshape(tf.einsum("ntpgc,goct->ngop", whole, filters), tf.stack([rows, outputs, high, wide]))
    return answer if bias is None else answer + bias[:, None, None]
