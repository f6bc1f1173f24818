"""Activation functions with the parameters and defaults of their operators."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, operator, positive


@operator("Relu", style="elementwise")
def relu(call: Call, x: Any) -> Any:
    return call.tf.nn.relu(x)


@operator("LeakyRelu", style="elementwise")
def leaky_relu(call: Call, x: Any) -> Any:
    return call.tf.nn.leaky_relu(x, alpha=call.attribute("alpha", 0.01))


@operator("PRelu", style="elementwise")
def prelu(call: Call, x: Any, slope: Any) -> Any:
    return call.tf.where(x < 0, x * slope, x)


@operator("ThresholdedRelu", style="elementwise")
def thresholded_relu(call: Call, x: Any) -> Any:
    return call.tf.where(x > call.attribute("alpha", 1.0), x, call.tf.zeros_like(x))


@operator("Elu", style="elementwise")
def elu(call: Call, x: Any) -> Any:
    return _exponential(call, x, call.attribute("alpha", 1.0), 1.0)


@operator("Celu", style="elementwise")
def celu(call: Call, x: Any) -> Any:
    alpha = call.attribute("alpha", 1.0)
    return _exponential(call, x, alpha, alpha)


@operator("Selu", style="elementwise")
def selu(call: Call, x: Any) -> Any:
    alpha, gamma = call.attribute("alpha", 1.6732632), call.attribute("gamma", 1.0507010)
    return gamma * _exponential(call, x, alpha, 1.0)


def _exponential(call: Call, x: Any, height: float, width: float) -> Any:
    """``height * (exp(x / width) - 1)`` below 0; the exponential sees no positive number, whose power would overflow."""
    tf = call.tf
    below = tf.minimum(x, tf.zeros_like(x))
    return tf.where(x > 0, x, height * tf.math.expm1(below / width))


@operator("Softplus", style="elementwise")
def softplus(call: Call, x: Any) -> Any:
    return call.tf.math.softplus(x)


@operator("Softsign", style="elementwise")
def softsign(call: Call, x: Any) -> Any:
    return call.tf.nn.softsign(x)


@operator("HardSigmoid", style="elementwise")
def hard_sigmoid(call: Call, x: Any) -> Any:
    return _between(call, call.attribute("alpha", 0.2) * x + call.attribute("beta", 0.5))


@operator("HardSwish", style="elementwise")
def hard_swish(call: Call, x: Any) -> Any:
    return x * _between(call, x / 6.0 + 0.5)


def _between(call: Call, x: Any) -> Any:
    return call.tf.clip_by_value(x, call.scalar(0.0, x), call.scalar(1.0, x))


@operator("Swish", style="elementwise")
def swish(call: Call, x: Any) -> Any:
    return x * call.tf.sigmoid(call.attribute("alpha", 1.0) * x)


@operator("Mish", style="elementwise")
def mish(call: Call, x: Any) -> Any:
    return x * call.tf.tanh(call.tf.math.softplus(x))


@operator("Gelu", style="elementwise")
def gelu(call: Call, x: Any) -> Any:
    return call.tf.nn.gelu(x, approximate=call.attribute("approximate", "none") == "tanh")


@operator("Gelu", style="elementwise", domain="com.microsoft")
def gelu_of_runtime(call: Call, x: Any) -> Any:
    return call.tf.nn.gelu(x, approximate=False)


@operator("QuickGelu", style="elementwise", domain="com.microsoft")
def quick_gelu(call: Call, x: Any) -> Any:
    return x * call.tf.sigmoid(call.attribute("alpha", 1.702) * x)


@operator("FastGelu", style="elementwise", domain="com.microsoft")
def fast_gelu(call: Call, x: Any, bias: Any = None) -> Any:
    return call.tf.nn.gelu(x if bias is None else x + bias, approximate=True)


@operator("Shrink", style="elementwise")
def shrink(call: Call, x: Any) -> Any:
    tf, limit, bias = call.tf, call.attribute("lambd", 0.5), call.attribute("bias", 0.0)
    limit, bias = (tf.cast(one, x.dtype) for one in (limit, bias))
    return tf.where(x < -limit, x + bias, tf.where(x > limit, x - bias, tf.zeros_like(x)))


@operator("Softmax", "LogSoftmax")
def softmax(call: Call, x: Any) -> Any:
    function = call.tf.nn.softmax if call.kind == "Softmax" else call.tf.nn.log_softmax
    return _over_classes(call, x, function)


@operator("Hardmax", flat=True)
def hardmax(call: Call, x: Any) -> Any:
    tf = call.tf

    def first_of_largest(values: Any, axis: int) -> Any:
        return tf.one_hot(tf.argmax(values, axis), tf.shape(values)[axis], axis=axis, dtype=values.dtype)

    return _over_classes(call, x, first_of_largest)


def _over_classes(call: Call, x: Any, function: Any) -> Any:
    """Over one axis; before opset 13 over that axis and all after it as one."""
    if call.opset >= 13:
        return function(x, axis=positive(call.attribute("axis", -1), len(x.shape)))
    tf, axis = call.tf, positive(call.attribute("axis", 1), len(x.shape))
    if axis == len(x.shape) - 1:
        return function(x, axis=axis)
    shape = tf.shape(x)
    width = tf.reduce_prod(shape[axis:])
    known = x.shape[axis:]
    flat = tf.reshape(x, tf.stack([-1, int(np.prod(known)) if known.is_fully_defined() else width]))
    return tf.reshape(function(flat, axis=1), shape)
