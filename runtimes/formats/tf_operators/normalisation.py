"""Normalisations: over batches (by what was learned), layers, instances, groups and neighbours."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Laid, Use, lasting, operator, positive


def _trains(use: Use) -> str | None:
    if use.attributes.get("training_mode", 0) or any(use.wanted[1:]):
        return "training mode"
    return "statistics of each place (`spatial` 0)" if use.attributes.get("spatial", 1) == 0 else None


@operator("BatchNormalization", style="laid", refuses=_trains)
def batch_normalisation(call: Call, x: Laid, *learned: Laid) -> Laid:
    tf = call.tf
    epsilon = call.attribute("epsilon", 1e-5)
    if all(value is not None for value in call.values[1:5]):
        scale, shift, mean, variance = (np.asarray(value, np.float64) for value in call.values[1:5])
        factor = scale / np.sqrt(variance + epsilon)
        dtype = x.tensor.dtype
        factor_, added = tf.constant(factor, dtype), tf.constant(shift - mean * factor, dtype)
    else:
        scale_, shift_, mean_, variance_ = (tf.cast(one.tensor, x.tensor.dtype) for one in learned)
        factor_ = scale_ * tf.math.rsqrt(variance_ + epsilon)
        added = shift_ - mean_ * factor_
    shape = [1] * x.rank
    if x.rank > 1:
        shape[x.order[1]] = -1
    return Laid(x.tensor * tf.reshape(factor_, shape) + tf.reshape(added, shape), x.order)


@operator("InstanceNormalization", style="laid")
def instance_normalisation(call: Call, x: Laid, scale: Laid, shift: Laid) -> Laid:
    tf = call.tf
    data = x.channels_last(tf)
    axes = list(range(1, x.rank - 1))
    return lasting(_standard(call, data, axes) * scale.tensor + shift.tensor)


def _standard(call: Call, data: Any, axes: list[int]) -> Any:
    """Mean 0 and variance 1 over some axes."""
    return _standard_of(call, data, axes)[0]


def _standard_of(call: Call, data: Any, axes: list[int]) -> tuple[Any, Any, Any]:
    """The same, with the mean and the inverse of the deviation."""
    tf = call.tf
    mean = tf.reduce_mean(data, axes, keepdims=True)
    centred = data - mean
    variance = tf.reduce_mean(tf.square(centred), axes, keepdims=True)
    inverse = tf.math.rsqrt(variance + tf.cast(call.attribute("epsilon", 1e-5), data.dtype))
    return centred * inverse, mean, inverse


def _computing(call: Call, x: Any) -> Any:
    """In the type in which the operator computes (`stash_type`): float32 of halves."""
    return call.tf.cast(x, call.floats) if x.dtype in (call.tf.float16, call.tf.bfloat16) else x


def _asks_statistics(use: Use) -> str | None:
    return "its mean and deviation as outputs" if any(use.wanted[1:]) else None


@operator("LayerNormalization")
def layer_normalisation(call: Call, x: Any, scale: Any, shift: Any = None) -> Any:
    rank = len(x.shape)
    axes = list(range(positive(call.attribute("axis", -1), rank), rank))
    standard, mean, inverse = _standard_of(call, _computing(call, x), axes)
    made = call.tf.cast(standard, x.dtype) * scale
    return made if shift is None else made + shift, mean, inverse


@operator("RMSNormalization")
def rms_normalisation(call: Call, x: Any, scale: Any) -> Any:
    return _by_root_mean_square(call, x, call.attribute("axis", -1)) * scale


@operator("SimplifiedLayerNormalization", refuses=_asks_statistics)
def simplified_layer_normalisation(call: Call, x: Any, scale: Any) -> Any:
    return _by_root_mean_square(call, x, call.attribute("axis", -1)) * scale


def _by_root_mean_square(call: Call, x: Any, axis: int) -> Any:
    tf, rank = call.tf, len(x.shape)
    data = _computing(call, x)
    mean = tf.reduce_mean(tf.square(data), list(range(positive(axis, rank), rank)), keepdims=True)
    return tf.cast(data * tf.math.rsqrt(mean + tf.cast(call.attribute("epsilon", 1e-5), data.dtype)), x.dtype)


@operator("GroupNormalization")
def group_normalisation(call: Call, x: Any, scale: Any, shift: Any) -> Any:
    tf, groups = call.tf, call.attribute("num_groups")
    shape, rank = tf.shape(x), len(x.shape)
    split = tf.reshape(_computing(call, x), tf.concat([shape[:1], [groups, -1], shape[2:]], 0))
    made = tf.cast(_standard(call, split, list(range(2, rank + 1))), x.dtype)
    # one factor a group before opset 21, one a channel since
    wide = [1, groups, 1] if call.opset < 21 else [1, groups, -1]
    wide += [1] * (rank - 2)
    return tf.reshape(made * tf.reshape(scale, wide) + tf.reshape(shift, wide), shape)


@operator("MeanVarianceNormalization")
def mean_variance_normalisation(call: Call, x: Any) -> Any:
    tf, axes = call.tf, list(call.attribute("axes", [0, 2, 3]))
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    return centred / (tf.sqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True)) + tf.cast(1e-9, x.dtype))


@operator("LpNormalization")
def lp_normalisation(call: Call, x: Any) -> Any:
    tf, axis = call.tf, call.attribute("axis", -1)
    if call.attribute("p", 2) == 1:
        norm = tf.reduce_sum(tf.abs(x), axis, keepdims=True)
    else:
        norm = tf.sqrt(tf.reduce_sum(tf.square(x), axis, keepdims=True))
    return tf.math.divide_no_nan(x, norm)


@operator("LRN", style="laid")
def local_response_normalisation(call: Call, x: Laid) -> Laid:
    tf = call.tf
    size, data = call.attribute("size"), x.channels_last(tf)
    # channels from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2)
    sides = [(0, 0)] * (x.rank - 1) + [((size - 1) // 2, size // 2)]
    squares = tf.pad(tf.square(data), sides)
    channels = data.shape[-1]
    total = tf.add_n([squares[..., start : start + channels] for start in range(size)])
    bias, alpha, beta = (call.attribute(name, d) for name, d in (("bias", 1.0), ("alpha", 1e-4), ("beta", 0.75)))
    return lasting(data / tf.pow(bias + alpha / size * total, tf.cast(beta, data.dtype)))
