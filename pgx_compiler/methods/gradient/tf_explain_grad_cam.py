"""Grad-CAM as tf-explain computes it (after Selvaraju and others, 2017): https://arxiv.org/abs/1610.02391."""

from typing import Annotated

from pgx_compiler.methods.declaration import Cost, Maps, NamesLayer, Params, Shape, UnfitParams, attribution
from pgx_compiler.methods.gradient._layers import over_input, pick_spatial, spatial_layer
from pgx_compiler.methods.gradient._tf_explain import admits as admits_score
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import TfExplained
from runtimes.target import ModelFacts

TITLE = "Grad-CAM (tf-explain)"
_NESTED = ("Functional", "Sequential")


def last_own_layer(facts: ModelFacts) -> str | None:
    """The layer that is taken where the author names none: as in our Grad-CAM, but none of a nested model."""
    own = (one for one in facts.layers if one.used == 1 and "/" not in one.name and one.kind not in _NESTED)
    return pick_spatial((layer.name, layer.kind, layer.shape) for layer in own)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with a layer of its own that still has places, and a score that tf-explain can see."""
    if last_own_layer(facts) is None:
        return "no layer of the model, outside of those nested in it, gives a value for each place of its input"
    return admits_score(facts, shape, score)


class TfExplainGradCamParams(Params):
    """Parameters of tf-explain's Grad-CAM."""

    layer: Annotated[str | None, NamesLayer(last_own_layer)] = None
    """The layer whose channels are added up, none of a nested model. Left out: the last convolution, behind its
    normalisation and activation, as in `grad_cam`; tf-explain's own choice fails on Keras 3."""
    guided: bool = True
    """Whether slopes count only where they and the layer are positive, which is tf-explain's own default; False: the map of
    the paper before its ReLU."""


def cost(params: TfExplainGradCamParams, shape: Shape) -> Cost:
    """A layer's gradient for each row."""
    return Cost(backward=shape.rows)


@attribution(
    modalities={"image"},
    paper="https://arxiv.org/abs/1610.02391",
    cost=cost,
    laws=("mirrored",),
    unit="",
    admits=admits,
)
def tf_explain_grad_cam(model: TfExplained, rows: Rows, params: TfExplainGradCamParams) -> Maps:
    """Have the library tf-explain weigh the channels of a late layer, and lay their sum over the input.

    Reading:
        With `guided: false` a second opinion on `grad_cam` with `relu: false` by the code of others: both should be equal but
        for rounding. By default it is what users of tf-explain have seen: places where channels are large whose slopes are
        positive somewhere. Values have no unit of their own: compare places of one row, not rows with each other.

    Limits:
        By default it is not the Grad-CAM of the paper: slopes are set to zero where they, or the layer, are not positive, so
        that what speaks against the output is not seen, and the map may even rank places the other way round. The ReLU of the
        paper is missing in both cases. tf-explain itself draws each map between its own smallest and largest value, so that
        its pictures cannot be compared with each other; the values are read here before that. As in `grad_cam`, a place of the
        map stands for all of the input that it can see, and values do not add up to the score.
    """
    layer = spatial_layer(model, params.layer)
    try:
        maps = model.tf_explain_cam(rows.inputs, rows.target, layer.name, params.guided)
    except ValueError as error:
        raise UnfitParams(str(error)) from error
    return over_input(maps, rows)
