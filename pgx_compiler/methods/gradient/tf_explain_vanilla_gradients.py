"""The gradient as tf-explain takes it (Simonyan, Vedaldi & Zisserman, 2013): https://arxiv.org/abs/1312.6034."""

import numpy as np

from pgx_compiler.methods.declaration import Cost, Maps, Params, Shape, attribution
from pgx_compiler.methods.gradient._tf_explain import admits
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import TfExplained

TITLE = "Vanilla gradients (tf-explain)"


class TfExplainVanillaGradientsParams(Params):
    """tf-explain's gradient has no parameters."""


def cost(params: TfExplainVanillaGradientsParams, shape: Shape) -> Cost:
    """One gradient a row."""
    return Cost(backward=shape.rows)


@attribution(
    modalities={"image"},
    paper="https://arxiv.org/abs/1312.6034",
    cost=cost,
    laws=("mirrored",),
    signed=False,
    unit="score per input unit",
    admits=admits,
)
def tf_explain_vanilla_gradients(model: TfExplained, rows: Rows, params: TfExplainVanillaGradientsParams) -> Maps:
    """Have the library tf-explain take the gradient, and read its size at every element before it is drawn.

    Reading:
        A second opinion on `saliency` by the code of others: both are the absolute gradient, and should be equal but for
        rounding. Where they are not, one of the two computes something else than it says, and neither should be believed.

    Limits:
        As those of `saliency`: it says where the score is sensitive, not what it rests on. tf-explain itself shows less than
        is read here: it adds up the channels, takes the mean over all pictures of a call off, divides by their standard
        deviation and turns that into whole numbers from 0 to 255, in which what is less than the mean overflows.
    """
    gradient = model.tf_explain_gradient(rows.inputs, rows.target)
    return {name: np.abs(values).astype(np.float64, copy=False) for name, values in gradient.items()}
