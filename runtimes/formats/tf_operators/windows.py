"""Where windows over space lie: ONNX's pads, strides and rounding as plain padding and windows without any."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtimes.formats.tf_operators.declaring import Call, Unsupported


@dataclass(frozen=True)
class Windows:
    """The windows of a convolution or pooling, an entry for each axis of space."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[Any, ...]
    """Padding before each axis; a number, or a tensor where the size is only known when it runs."""
    after: tuple[Any, ...]

    @property
    def pads(self) -> bool:
        """Whether there is anything to pad."""
        return any(not isinstance(one, int) or one != 0 for one in (*self.before, *self.after))


def windows_of(call: Call, kernel: Sequence[int], sizes: Sequence[Any]) -> Windows:
    """Read a node's windows.

    Args:
        call: the node.
        kernel: sizes of the kernel.
        sizes: of the input's space; numbers, or tensors where they are not known.
    """
    n = len(kernel)
    strides = tuple(call.attribute("strides") or [1] * n)
    dilations = tuple(call.attribute("dilations") or [1] * n)
    auto = call.attribute("auto_pad", "NOTSET")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pairs = [
            _same(call, size, r, s, auto == "SAME_LOWER") for size, r, s in zip(sizes, reach, strides, strict=True)
        ]
        before, after = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    else:
        pads = [0] * (2 * n) if auto == "VALID" else list(call.attribute("pads") or [0] * (2 * n))
        before, after = tuple(pads[:n]), tuple(pads[n:])
    return Windows(tuple(kernel), strides, dilations, before, after)


def _same(call: Call, size: Any, reach: int, stride: int, lower: bool) -> tuple[Any, Any]:
    """Padding under which there are ``ceil(size / stride)`` windows."""
    whole = (-(-size // stride) - 1) * stride + reach - size
    whole = max(whole, 0) if isinstance(size, int) else call.tf.maximum(whole, 0)
    small = whole // 2
    return (whole - small, small) if lower else (small, whole - small)


def space_of(call: Call, tensor: Any) -> list[Any]:
    """Sizes of the space of a tensor with its channels last."""
    dynamic = None
    sizes: list[Any] = []
    for axis, size in enumerate(tensor.shape[1:-1], 1):
        if size is None:
            dynamic = call.tf.shape(tensor) if dynamic is None else dynamic
            sizes.append(dynamic[axis])
        else:
            sizes.append(int(size))
    return sizes


def padded(call: Call, tensor: Any, windows: Windows, value: Any = 0) -> Any:
    """A tensor with its channels last, padded as the windows say; what is less than nothing is cut off."""
    if not windows.pads:
        return tensor
    pairs = [(0, 0), *zip(windows.before, windows.after, strict=True), (0, 0)]
    return call.tf.pad(tensor, pairs, constant_values=call.tf.cast(value, tensor.dtype))


def rounded_up(call: Call, windows: Windows, sizes: Sequence[Any]) -> Windows:
    """The windows with room at the end for a last one that does not fit wholly, where the node asks for it."""
    if not call.attribute("ceil_mode", 0):
        return windows
    after = []
    of = zip(sizes, windows.kernel, windows.strides, windows.dilations, windows.before, windows.after, strict=True)
    for size, k, s, d, before, behind in of:
        if not isinstance(size, int):
            raise Unsupported("its windows are rounded up over a size that is only known when it runs")
        reach = (k - 1) * d + 1
        number = -(-(size + before + behind - reach) // s) + 1
        if (number - 1) * s >= size + before:  # a window must begin in the input or its padding before
            number -= 1
        after.append(max(behind, (number - 1) * s + reach - size - before))
    return Windows(windows.kernel, windows.strides, windows.dilations, windows.before, tuple(after))
