"""What tf-explain calls integrated gradients (after Sundararajan, Taly & Yan, 2017): https://arxiv.org/abs/1703.01365."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.methods.declaration import Cost, Maps, Params, Shape, attribution
from pgx_compiler.methods.gradient._tf_explain import admits
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import TfExplained

TITLE = "Integrated gradients (tf-explain)"


class TfExplainIntegratedGradientsParams(Params):
    """Parameters of tf-explain's integrated gradients."""

    steps: Annotated[int, Field(ge=2, le=4096)] = 10
    """Points on the way from zeros to the row, both ends among them. 10 is tf-explain's own."""


def cost(params: TfExplainIntegratedGradientsParams, shape: Shape) -> Cost:
    """A gradient for each point of the way."""
    return Cost(backward=shape.rows * params.steps)


@attribution(
    modalities={"image"},
    paper="https://arxiv.org/abs/1703.01365",
    cost=cost,
    laws=("mirrored",),
    unit="score per input unit",
    admits=admits,
)
def tf_explain_integrated_gradients(model: TfExplained, rows: Rows, params: TfExplainIntegratedGradientsParams) -> Maps:
    """Have the library tf-explain average the gradient on the way from a picture of zeros to the row.

    Reading:
        Score per unit of the input: how fast the score changes, on average, while the picture fades in from zeros, with its
        sign. Held against `integrated_gradients` it shows what the factor that tf-explain leaves out is worth.

    Limits:
        It is not the integrated gradients of the paper: the factor (row − baseline) is missing. So values do not add up to a
        difference of scores, and an element that is the same in row and baseline may get a value. The baseline is always
        zeros, whatever the audit fills with (`explain.fill`), which in a rescaled input may be no black. Both ends of the way
        count as much as the points between, and nothing says whether the points were enough. tf-explain draws the size
        without the sign; the sign is kept here.
    """
    found = model.tf_explain_path(rows.inputs, rows.target, params.steps)
    return {name: np.asarray(values, np.float64) for name, values in found.items()}
