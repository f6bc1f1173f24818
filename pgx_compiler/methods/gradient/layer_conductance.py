"""Conductance of a layer's channels (Dhamdhere, Sundararajan & Yan, 2019): https://arxiv.org/abs/1805.12233."""

import numpy as np

from pgx_compiler.evidence.results import Measure, Report
from pgx_compiler.evidence.summary import bootstrap_interval
from pgx_compiler.methods.apply import base_values
from pgx_compiler.methods.declaration import MODALITIES, Cost, Shape, global_explanation
from pgx_compiler.methods.gradient._neurons import (
    NeuronParams,
    admits,
    along_paths,
    carried_by,
    cost_of_paths,
    find_layer,
    on_floats,
    per_channel,
    ranked,
)
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, LayerDifferentiable


class LayerConductanceParams(NeuronParams):
    """Parameters of layer conductance."""


def cost(params: LayerConductanceParams, shape: Shape) -> Cost:
    """A layer's gradient for each row, reference and point, and the scores at both ends."""
    return cost_of_paths(params, shape)


@global_explanation(
    modalities=MODALITIES,
    paper="https://arxiv.org/abs/1805.12233",
    cost=cost,
    laws=("conductance_adds_up",),
    measures=("completeness_gap", "channels_for_half"),
    admits=admits,
)
def layer_conductance(model: LayerDifferentiable, rows: Rows, params: LayerConductanceParams) -> Report:
    """Share out each row's difference in score from its references over the channels of a layer, as integrated gradients do over inputs.

    Reading:
        In the score's own unit. What a channel has carried of the score on the way from the references to the row, summed
        over its places and averaged over the rows: positive channels raised the score of the explained output. All
        channels together carry the whole difference; the completeness gap says how much goes around the layer (a skip
        connection) or is lost to the steps. Few channels for half of it: the layer decides by few detectors.

    Limits:
        A channel is a number of the network, not a concept: what it responds to must be looked at by other means. The mean
        over rows hides channels that matter for some classes only; the evidence holds every row. Values depend on the
        references and on the straight path between them and the row, which may leave the data.
    """
    model, rows = on_floats(model, rows)
    layer = find_layer(model, params.layer)
    found = np.stack([per_channel(one) for one in along_paths(model, rows, layer.name, params.steps, conductance)])
    scores = model.predict(rows.inputs)[np.arange(len(rows)), rows.target]
    difference = scores - base_values(model, rows)
    gap = np.abs(found.sum(axis=1) - difference)
    table, chart = ranked(found, "conductance")
    measures = (
        Measure(
            "completeness_gap",
            float(np.median(gap)),
            f"Difference in score that the channels of `{layer.name}` do not account for, median over rows",
            len(gap),
            "score",
            bootstrap_interval(gap, "median"),
            better="lower",
        ),
        Measure(
            "channels_for_half",
            float(carried_by(found)),
            f"Channels of `{layer.name}` ({found.shape[1]} in all) that together carry half of the conductance",
            found.shape[1],
            "channels",
        ),
    )
    return Report(measures, tables=(table,), charts=(chart,), arrays={"conductance": found, "difference": difference})


def conductance(activations: Floats, slopes: Floats) -> Floats:
    """Equation 3 of the paper as a sum over steps of the slope times what the neuron changes, by the trapezoid rule."""
    return np.asarray((0.5 * (slopes[1:] + slopes[:-1]) * np.diff(activations, axis=0)).sum(axis=0), np.float64)
