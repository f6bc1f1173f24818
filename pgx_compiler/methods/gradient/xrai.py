"""XRAI, attribution through regions (Kapishnikov, Bolukbasi, Viégas & Terry, 2019): https://arxiv.org/abs/1906.02825."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.methods.declaration import Cost, Maps, Params, Shape, attribution
from pgx_compiler.methods.gradient._paths import no_path, path_integral
from pgx_compiler.methods.gradient._regions import densest_first, overlapping_regions
from pgx_compiler.modalities._image_axes import axes_of
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable
from runtimes.target import ModelFacts

TITLE = "XRAI"


class XraiParams(Params):
    """Parameters of XRAI."""

    steps: Annotated[int, Field(ge=1, le=4096)] = 64
    """Points of Gauss-Legendre quadrature on the path from each reference to the row: those of the integrated gradients that
    are summed up by region."""


def cost(params: XraiParams, shape: Shape) -> Cost:
    """A gradient for each row, reference and step."""
    return Cost(backward=shape.rows * shape.references * params.steps)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model of pictures whose pixels are no whole numbers."""
    return no_path(facts)


@attribution(
    modalities={"image"},
    paper="https://arxiv.org/abs/1906.02825",
    cost=cost,
    laws=("completeness", "implementation_invariance"),
    admits=admits,
)
def xrai(model: Differentiable, rows: Rows, params: XraiParams) -> Maps:
    """Give each region of the image the mean of its integrated gradients, regions of the highest mean first.

    Each image is cut into segments at six scales, which overlap. The segment with the highest mean over the pixels that no
    other has taken yet comes first, until only slivers are left, which share one mean.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references, as those
        of integrated gradients do, of which they are means over regions. Positive: the region has raised the score of
        the explained output. Neighbouring features with equal values lie in one region.

    Limits:
        Regions follow the edges and colours of the image, not what the model sees: what it reads within a region cannot be
        told apart, and a pixel that it does not read gets the value of its region. Which regions there are depends on
        the order in which they are taken, and that on the model. Otherwise as integrated gradients: the values
        depend on the references (the authors take a black and a white image) and are no causal effects.
    """
    maps = path_integral(model, rows, np.arange(len(rows)), params.steps)
    ((name, images),) = rows.inputs.items()
    axes = axes_of(rows.features.layout, images.shape[1:])
    pictures, values = axes.channels_last(images), axes.channels_last(maps[name])
    spread = np.empty_like(values)
    for row, picture in enumerate(pictures):
        density = densest_first(overlapping_regions(picture), values[row].sum(axis=-1))
        spread[row] = density[..., None] / values.shape[-1]  # all channels of a pixel alike, so that sums stay
    return {name: axes.as_they_were(spread)}
