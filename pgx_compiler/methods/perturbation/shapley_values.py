"""Shapley values (Shapley, 1953; Lundberg & Lee, 2017), asked for as a quantity; the compiler picks the algorithm."""

from typing import Annotated, Literal

from pydantic import Field

from pgx_compiler.methods.declaration import Params, request


class ShapleyValuesParams(Params):
    """What may be asked of Shapley values, whichever algorithm computes them."""

    samples: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Coalitions that may be asked of the model for each row where only sampling is possible; ``auto``: 2 for each
    feature, and 2048. An exact algorithm does not read it."""
    precision: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Where only sampling is possible, stop as soon as the largest standard error of the row's values is below this share of
    the difference between score and base value (or of the largest value, where that is larger); ``samples`` is then the
    most that is asked."""


@request(paper="https://arxiv.org/abs/1705.07874")
def shapley_values(params: ShapleyValuesParams) -> None:
    """Share the difference between a row's score and the average reference score fairly among its features.

    A feature's value is its marginal contribution, averaged over all orders in which features can be switched from
    the references to the row. The compiler computes it exactly where the model admits it, and samples otherwise.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references. A
        positive value has raised the score of the explained output, a negative one has lowered it. The plan says
        which algorithm was used and why; a sampled one comes with a standard error.

    Limits:
        The values describe the model, not the world: they are no causal effects. They depend on the references, and
        removed features are filled independently of those that are kept, so that correlated features are judged on
        rows that may never occur. A small value does not mean that the feature could be left out of training.
    """
