"""Deconvolution (Zeiler & Fergus, 2014): https://arxiv.org/abs/1311.2901."""

from pgx_compiler.methods.declaration import Maps, Params, attribution
from pgx_compiler.methods.gradient._rectified import by_rule, cost
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Rectified

TITLE = "Deconvolution"


class DeconvnetParams(Params):
    """Deconvolution has no parameters."""


@attribution(
    paper="https://arxiv.org/abs/1311.2901",
    cost=cost,
    laws=("mirrored",),
    unit="",
)
def deconvnet(model: Rectified, rows: Rows, params: DeconvnetParams) -> Maps:
    """Take the gradient, but let through each ReLU only what is positive, whether the unit was active or not.

    Reading:
        What input would excite the units that speak for the explained output, going back through the pooling of this
        row. Good for seeing what structure the network can see at all; not for what a score rests on.

    Limits:
        It hardly depends on what the model has learnt or on the output that is explained (Adebayo and others, 2018; Nie
        and others, 2018). Without pooling it does not even depend on the row. It is no derivative of anything and adds up
        to nothing. Only ReLUs are treated: other activations keep their own slope.
    """
    return by_rule(model, rows, "deconvolution")
