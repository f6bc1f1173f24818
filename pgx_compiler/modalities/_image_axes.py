"""Where height, width and channels stand in an image: the one place that knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS_FIRST = "channels_first"
"""Key of what `settle` gives, and of a feature map's layout, where a model reads channels × height × width."""


@dataclass(frozen=True)
class Axes:
    """Axes of an image without the row axis."""

    height: int
    width: int
    channel: int | None
    """None where an image has height and width alone."""

    def plane(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width."""
        return int(shape[self.height]), int(shape[self.width])

    def spread(self, plane: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
        """What is said of each pixel, ``(…, height, width)``, said of all its channels: ``(…, *shape)``."""
        if self.channel is None:
            return plane
        before = plane.ndim - 2
        return np.broadcast_to(np.expand_dims(plane, before + self.channel), (*plane.shape[:before], *shape)).copy()

    def channels_last(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images ``(rows, *shape)`` as ``(rows, height, width, channels)``."""
        if self.channel is None:
            return images[..., None]
        return np.moveaxis(images, 1 + self.channel, -1)

    def as_they_were(self, images: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `channels_last`."""
        if self.channel is None:
            return images[..., 0]
        return np.moveaxis(images, -1, 1 + self.channel)


def axes_of(described: Mapping[str, Any], shape: Sequence[int]) -> Axes:
    """The axes of images of a shape (without the row axis), from what a feature or its layout says of them."""
    if len(shape) == 2:
        return Axes(0, 1, None)
    return Axes(1, 2, 0) if described.get(CHANNELS_FIRST) else Axes(0, 1, 2)
