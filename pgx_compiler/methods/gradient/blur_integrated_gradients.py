"""Blur integrated gradients (Xu, Venugopalan & Sundararajan, 2020): https://arxiv.org/abs/2004.03383."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.gradient._paths import no_path
from pgx_compiler.modalities._image_axes import axes_of
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable, Floats
from runtimes.target import ModelFacts


class BlurIntegratedGradientsParams(Params):
    """Parameters of blur integrated gradients; the defaults are those of the authors' code."""

    steps: Annotated[int, Field(ge=1, le=4096)] = 100
    """Points of Gauss-Legendre quadrature on the path from the blurred image to the row."""
    max_sigma: Annotated[float, Field(gt=0)] = 50.0
    """Standard deviation, in pixels, of the Gaussian blur that the path begins with. Of images up to about 100 pixels
    across, 50 leaves the mean colour alone."""


def cost(params: BlurIntegratedGradientsParams, shape: Shape) -> Cost:
    """A gradient for each row and step, and the scores of the row and of its blurred image."""
    return Cost(forward=2 * shape.rows, backward=shape.rows * params.steps)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model of pictures whose pixels are no whole numbers."""
    return no_path(facts)


@attribution(
    modalities={"image"},
    paper="https://arxiv.org/abs/2004.03383",
    cost=cost,
    laws=("completeness_of_its_own", "null_feature", "linearity", "implementation_invariance"),
    quantities={
        "difference": Quantity("Score minus that of the blurred image", "score"),
        "gap": Quantity("Gap that quadrature leaves to that difference", "score", better="lower"),
    },
    admits=admits,
)
def blur_integrated_gradients(
    model: Differentiable, rows: Rows, params: BlurIntegratedGradientsParams
) -> FeatureValues:
    """Add up the gradient while the row is made sharp, from a strong blur to the image itself.

    The blur is a Gaussian one that reflects at the border, so that no darkness comes in from outside; it and its change
    with sigma are exact (a discrete cosine transform).

    Reading:
        In the score's own unit. The values of one row add up to its score minus the score of its own blurred image,
        which is given as ``difference``, not minus the score of the audit's references: no reference is used.
        Positive: what becomes visible there while the image is made sharp raises the score of the explained output.

    Limits:
        It explains another difference than the other methods of the audit, so that only orders and shares can be
        compared with theirs, and what is left in the blurred image (its mean colours) is not explained at all. A pixel's
        value depends on its surroundings, as they blur into one another: one that the model does not read still
        gets zero, but another can get the merit of its neighbours.
    """
    ((name, images),) = rows.inputs.items()
    shape = images.shape[1:]
    axes = axes_of(rows.features.layout, shape)
    pictures = axes.channels_last(images).astype(np.float64)
    nodes, weights = np.polynomial.legendre.leggauss(params.steps)
    nodes, weights = (nodes + 1) / 2, weights / 2
    waves = _waves(pictures)
    maps = np.zeros(pictures.shape)
    total = len(rows) * params.steps
    start = 0
    while start < total:
        row, step = np.divmod(np.arange(start, min(start + model.rows_per_call, total)), params.steps)
        blurred, change = blurred_waves(waves[row], nodes[step], params.max_sigma)
        points = axes.as_they_were(blurred).astype(images.dtype)
        slope = axes.channels_last(model.gradient({name: points}, rows.target[row])[name])
        # The path runs from sharp (0) to blurred (1): what is gained on the way back has the other sign.
        np.add.at(maps, row, -weights[step][:, None, None, None] * slope * change)
        start += len(row)
    values = rows.features.sum_onto({name: axes.as_they_were(maps)})
    everyone = np.arange(len(rows))
    last = axes.as_they_were(blurred_waves(waves, np.ones(len(rows)), params.max_sigma)[0]).astype(images.dtype)
    scores, base = (model.predict({name: given})[everyone, rows.target] for given in (images, last))
    gap = np.abs(maps.reshape(len(rows), -1).sum(axis=1) - (scores - base))
    return FeatureValues(values, None, {"difference": scores - base, "gap": gap})


def _waves(pictures: Floats) -> Floats:
    """The cosine transform of pictures ``(rows, height, width, channels)``."""
    from scipy.fft import dctn

    return np.asarray(dctn(pictures, axes=(1, 2)), np.float64)


def blurred_waves(waves: Floats, at: Floats, max_sigma: float) -> tuple[Floats, Floats]:
    """Pictures, given as their waves, blurred with sigma = max_sigma · at²; and how they change with ``at``.

    The square puts more points where little is blurred yet: fine detail is gone at a sigma of one or two pixels.
    """
    from scipy.fft import idctn

    down, across = (np.pi * np.arange(side) / side for side in waves.shape[1:3])
    frequency = (down[:, None] ** 2 + across**2)[None, :, :, None]
    sigma = (max_sigma * at**2)[:, None, None, None]
    kept = waves * np.exp(-(sigma**2) * frequency / 2)
    change = kept * (-frequency * sigma * (2 * max_sigma * at)[:, None, None, None])
    return np.asarray(idctn(kept, axes=(1, 2)), np.float64), np.asarray(idctn(change, axes=(1, 2)), np.float64)
