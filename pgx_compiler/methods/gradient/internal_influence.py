"""Internal influence of a layer's channels (Leino, Sen, Datta, Fredrikson & Li, 2018): https://arxiv.org/abs/1802.03788."""

import numpy as np

from pgx_compiler.evidence.results import Measure, Report
from pgx_compiler.methods.declaration import MODALITIES, Cost, Shape, global_explanation
from pgx_compiler.methods.gradient._neurons import (
    NeuronParams,
    admits,
    along_paths,
    carried_by,
    find_layer,
    on_floats,
    per_channel,
    ranked,
)
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, LayerDifferentiable


class InternalInfluenceParams(NeuronParams):
    """Parameters of internal influence."""


def cost(params: InternalInfluenceParams, shape: Shape) -> Cost:
    """A layer's gradient for each row, reference and point."""
    return Cost(backward=shape.rows * shape.references * params.steps)


@global_explanation(
    modalities=MODALITIES,
    paper="https://arxiv.org/abs/1802.03788",
    cost=cost,
    laws=("influence_is_slope",),
    measures=("channels_for_half",),
    admits=admits,
)
def internal_influence(model: LayerDifferentiable, rows: Rows, params: InternalInfluenceParams) -> Report:
    """Average the gradient of the score by each channel of a layer over the paths from the references to the rows.

    Reading:
        Score per unit of the channel: how fast the score of the explained output rises with the channel, summed over its
        places and averaged over the path (the paper's distribution of interest) and the rows. Negative: the channel speaks
        against the output.

    Limits:
        A channel may have influence and never be active: `layer_conductance` says what it did carry. Channels have
        different scales, so that influences compare only where the layer is normalised. A channel is a number of the
        network, not a concept.
    """
    model, rows = on_floats(model, rows)
    layer = find_layer(model, params.layer)
    found = np.stack([per_channel(one) for one in along_paths(model, rows, layer.name, params.steps, influence)])
    table, chart = ranked(found, "influence")
    measure = Measure(
        "channels_for_half",
        float(carried_by(found)),
        f"Channels of `{layer.name}` ({found.shape[1]} in all) that together have half of the influence",
        found.shape[1],
        "channels",
    )
    return Report((measure,), tables=(table,), charts=(chart,), arrays={"influence": found})


def influence(activations: Floats, slopes: Floats) -> Floats:
    """The mean slope along the path, by the trapezoid rule."""
    return np.asarray((0.5 * (slopes[1:] + slopes[:-1])).mean(axis=0), np.float64)
