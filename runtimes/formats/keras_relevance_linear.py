"""The weighted sums of Keras' linear layers as maps of (input, kernel), so that rules can change the kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtimes.formats.keras_relevance_quantised import kernel_of
from runtimes.formats.keras_runtime import keras, tensorflow


@dataclass(frozen=True)
class Sums:
    """One weighted sum: ``apply(x, kernel) + bias``."""

    apply: Callable[[Any, Any], Any]
    """``(x, kernel)`` to the sums without bias; linear in both."""
    kernel: Any
    bias: Any | None

    def forward(self, x: Any) -> Any:
        """The sums of an input, with bias."""
        summed = self.apply(x, self.kernel)
        return summed if self.bias is None else summed + self.bias

    def backward(self, like: Any, kernel: Any, weights: Any) -> Any:
        """The transposed map under a kernel: what each input element collects of ``weights``, shaped as ``like``."""
        tf = tensorflow()
        with tf.GradientTape() as tape:
            tape.watch(like)
            summed = self.apply(like, kernel)
        return tape.gradient(summed, like, output_gradients=weights)


def sums_of(layer: Any) -> list[Sums]:
    """The weighted sums of a linear layer, one after the other (a separable convolution has two)."""
    ops, kind = keras().ops, type(layer).__name__
    bias = layer.bias if getattr(layer, "use_bias", getattr(layer, "bias", None) is not None) else None
    bias = None if bias is None else _tensor(bias)
    if kind == "Dense":
        return [Sums(ops.matmul, _tensor(kernel_of(layer)), bias)]
    if kind == "EinsumDense":
        return [Sums(lambda x, kernel: ops.einsum(layer.equation, x, kernel), _tensor(kernel_of(layer)), bias)]
    placed = {"data_format": layer.data_format, "dilation_rate": layer.dilation_rate}
    if kind.startswith("Separable"):
        first = _convolving(layer, ops.depthwise_conv, {**placed, "strides": layer.strides})
        second = {"data_format": layer.data_format, "strides": 1, "padding": "valid"}
        return [
            Sums(first, _tensor(layer.depthwise_kernel), None),
            Sums(lambda x, kernel: ops.conv(x, kernel, **second), _tensor(layer.pointwise_kernel), bias),
        ]
    if kind.endswith("Transpose"):
        given = {**placed, "strides": list(layer.strides), "output_padding": layer.output_padding}
        return [Sums(_convolving(layer, ops.conv_transpose, given), _tensor(layer.kernel), bias)]
    operation = ops.depthwise_conv if kind.startswith("Depthwise") else ops.conv
    strides = layer.strides if kind.startswith("Depthwise") else list(layer.strides)
    return [Sums(_convolving(layer, operation, {**placed, "strides": strides}), _tensor(layer.kernel), bias)]


def _convolving(layer: Any, operation: Any, given: dict[str, Any]) -> Callable[[Any, Any], Any]:
    causal = layer.padding == "causal"
    padding = "valid" if causal else layer.padding

    def apply(x: Any, kernel: Any) -> Any:
        if causal:
            x = keras().ops.pad(x, layer._compute_causal_padding())
        return operation(x, kernel, padding=padding, **given)

    return apply


def _tensor(variable: Any) -> Any:
    tf = tensorflow()
    return tf.cast(keras().ops.convert_to_tensor(variable), tf.float32)


def folded(layer: Any, normalisation: Any) -> list[Sums]:
    """A linear layer and the batch normalisation above it as one: ``(x W + b - mean) * scale + offset``."""
    tf = tensorflow()
    *before, last = sums_of(layer)
    mean, variance = _tensor(normalisation.moving_mean), _tensor(normalisation.moving_variance)
    scale = tf.math.rsqrt(variance + normalisation.epsilon)
    if normalisation.scale:
        scale *= _tensor(normalisation.gamma)
    offset = -mean * scale
    if normalisation.center:
        offset += _tensor(normalisation.beta)
    if last.bias is not None:
        offset += last.bias * scale
    kind, kernel = type(layer).__name__, last.kernel
    if kind.startswith("Depthwise"):
        kernel = kernel * tf.reshape(scale, kernel.shape[-2:])
    elif kind.endswith("Transpose"):
        kernel = kernel * scale[:, None]
    else:
        kernel = kernel * scale
    return [*before, Sums(last.apply, kernel, offset)]


def can_fold(layer: Any, normalisation: Any) -> bool:
    """Whether nothing stands between the two: no activation, and the last axis for both."""
    if type(layer).__name__ == "EinsumDense" or layer.activation is not keras().activations.linear:
        return False
    axis, rank = normalisation.axis, len(layer.output.shape)
    return axis in (-1, rank - 1)
