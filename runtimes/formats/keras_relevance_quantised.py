"""Quantised linear layers, as relevance sees them: weights that are numbers again, inputs as the layer rounds them.

Keras multiplies codes: those of the weights, ``code / scale``, and those of its input, which it rounds anew for each row to
127 steps either side of zero. What a rule shares out is the sum of those very products, so that it is the layer's own sum;
rounding itself is taken as an activation of single numbers, through which relevance passes unchanged.
"""

from typing import Any

from runtimes.formats.keras_layers import replaced
from runtimes.formats.keras_runtime import keras, tensorflow

_WITHIN = ("_query_dense", "_key_dense", "_value_dense", "_gate_dense", "_output_dense", "layer")
"""The layers that a layer of attention is made of, and what `TimeDistributed` holds."""


def is_quantised(layer: Any) -> bool:
    """Whether the weights of a layer are codes."""
    return bool(getattr(layer, "quantization_mode", None))


def not_undone(layer: Any) -> str:
    """Of a quantisation that no rule can be applied to, in words; empty where there is none such.

    What `TimeDistributed` holds Keras runs on its codes as if they were weights; quantised attention it cannot read from a
    file. Other codes than bytes are packed, in blocks with a zero of their own, or no whole numbers.
    """
    mode = getattr(layer, "quantization_mode", None)
    if mode and (mode != "int8" or layer.dtype_policy.quantization_mode != mode):
        return f"quantised to {mode}"
    inner: list[Any] = [getattr(layer, name, None) for name in _WITHIN]
    return next((f"quantised to {one.quantization_mode}" for one in inner if is_quantised(one)), "")


def kernel_of(layer: Any) -> Any:
    """The weights of a layer of weighted sums as numbers, in the shape that it was built with."""
    if not is_quantised(layer):
        return layer.kernel
    ops = keras().ops
    scale = ops.convert_to_tensor(layer.kernel_scale)
    if type(layer).__name__ == "EinsumDense":
        # Scales are kept in the shape of what the layer gives; Keras' own way back to that of its weights is this one.
        scale = layer._adjust_scale_for_dequant(scale)
    kernel = ops.divide(ops.cast(layer._kernel, "float32"), ops.cast(scale, "float32"))
    if layer.lora_enabled:
        kernel += (layer.lora_alpha / layer.lora_rank) * ops.matmul(layer.lora_kernel_a, layer.lora_kernel_b)
    return kernel


def rounded(layer: Any, x: Any) -> Any:
    """The input that a layer's weights are really multiplied by."""
    quantiser = getattr(layer, "inputs_quantizer", None) if is_quantised(layer) else None
    if quantiser is None:
        return x
    tf = tensorflow()
    codes, scale = quantiser(x, axis=getattr(layer, "quantization_axis", -1))
    return tf.stop_gradient(tf.cast(codes, tf.float32) / tf.cast(scale, tf.float32))


def own_sums(layer: Any, call: Any, x: Any) -> Any:
    """What a quantised layer gives below its activation; None of any other, whose sums are computed anyway.

    Sums of the same numbers in another order differ in the last digit, which the next layer may round to another step.
    """
    if not is_quantised(layer):
        return None
    with replaced([(layer, "activation", None)]):
        return call(x)
