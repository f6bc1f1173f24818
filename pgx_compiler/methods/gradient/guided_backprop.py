"""Guided backpropagation (Springenberg, Dosovitskiy, Brox & Riedmiller, 2015): https://arxiv.org/abs/1412.6806."""

from pgx_compiler.methods.declaration import Maps, Params, attribution
from pgx_compiler.methods.gradient._rectified import by_rule, cost
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Rectified

TITLE = "Guided backpropagation"


class GuidedBackpropParams(Params):
    """Guided backpropagation has no parameters."""


@attribution(
    paper="https://arxiv.org/abs/1412.6806",
    cost=cost,
    laws=("mirrored",),
    unit="",
)
def guided_backprop(model: Rectified, rows: Rows, params: GuidedBackpropParams) -> Maps:
    """Take the gradient, but let through each ReLU only what is positive, where the unit was active.

    Reading:
        Sharp pictures of the details that active units respond to. Good for seeing what structure the network can see at
        all; not for what a score rests on.

    Limits:
        It hardly depends on what the model has learnt: with its upper layers randomised the picture stays nearly the
        same (Adebayo and others, 2018), because the rule recovers the input (Nie and others, 2018), and it hardly
        depends on the output that is explained. It is no derivative of anything and adds up to nothing. Only ReLUs are
        treated: other activations keep their own slope.
    """
    return by_rule(model, rows, "guided")
