"""Layer-wise relevance propagation (Bach et al., 2015; composites after Montavon et al., 2019).

Bach et al.: https://doi.org/10.1371/journal.pone.0130140. Montavon et al.: https://doi.org/10.1007/978-3-030-28954-6_10.
Recurrent layers after Arras et al. (2017), https://arxiv.org/abs/1706.07206; attention after Ali et al. (2022),
https://arxiv.org/abs/2202.07304.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import MODALITIES, Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.gradient._relevance_rules import Composite, box_of, rules_of
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import RulePropagating
from runtimes.target import ModelFacts

TITLE = "Layer-wise relevance propagation (LRP)"


class LrpParams(Params):
    """Parameters of layer-wise relevance propagation."""

    composite: Composite = "epsilon_gamma_box"
    """Which rule is applied where. ``epsilon_gamma_box``: gamma on convolutions, epsilon on dense layers, box on a first
    convolution. ``epsilon_plus``: positive contributions alone on convolutions; ``epsilon_alpha_beta``: alpha-beta there;
    either with ``_flat``: the first layer shares evenly. ``epsilon``, ``gamma``, ``alpha_beta`` and ``z_plus``: one rule
    everywhere."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-6
    """Of the epsilon rule, in units of a layer's sums: larger absorbs what is weak or contradictory."""
    gamma: Annotated[float, Field(ge=0)] = 0.25
    """Of the gamma rule: how much contributions of a sum's own sign are favoured."""
    alpha: Annotated[float, Field(ge=1)] = 2.0
    """Of the alpha-beta rule: weight of positive contributions."""
    beta: Annotated[float, Field(ge=0)] = 1.0
    """Of the alpha-beta rule: weight of negative contributions, ``alpha`` - 1. A sum without any hands on ``alpha`` times
    what it was given."""
    biases: bool = True
    """Whether biases take their share of relevance. If not, the score is put down to the input, however much of it the network
    would have said of any input; but for what reaches a unit that is alive by its bias alone, or in which the rule finds
    nothing to share among: ``absorbed`` says how much."""
    first: Literal["box", "flat", "w_squared"] | None = None
    """The rule of the first layer. Left out: as the composite says."""
    low: float | None = None
    """Of the box rule: the lowest value that an element may have. Left out: the lowest of the row and its references, of
    each column in a table, of each channel elsewhere."""
    high: float | None = None
    """Of the box rule: the highest value that an element may have; left out as for ``low``."""

    @model_validator(mode="after")
    def _conserves(self) -> "LrpParams":
        if abs(self.alpha - self.beta - 1.0) > 1e-9:
            raise ValueError("`alpha` - `beta` must be 1, or relevance is not conserved")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("`low` must be below `high`")
        return self


def cost(params: LrpParams, shape: Shape) -> Cost:
    """A score and a way back for each row."""
    return Cost(forward=shape.rows, backward=shape.rows)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A score that is a sum, and a rule for every layer."""
    if facts.without_rule:
        return f"there is no rule that says how relevance passes {facts.without_rule}"
    if (score, facts.activation) in (("log_odds", "sigmoid"), ("log_value", "exp")):
        return None
    if score not in ("logit", "value"):
        return f"relevance starts from a sum, a logit or a value; `explain.score` is {score}"
    return None


@attribution(
    modalities=MODALITIES,
    paper="https://doi.org/10.1371/journal.pone.0130140",
    cost=cost,
    laws=("conservation", "null_feature", "symmetry"),
    admits=admits,
    quantities={"absorbed": Quantity("Relevance absorbed by biases", "share")},
)
def lrp(model: RulePropagating, rows: Rows, params: LrpParams) -> FeatureValues:
    """Hand the score back layer by layer, each layer sharing out what it was given among its inputs by a rule.

    Reading:
        In the score's own unit: the part of the score itself that is put down to the element. The values of one row add
        up to its score, less what biases (and the stabiliser of the rules) have absorbed, which is given as a share of the
        score (below zero: biases speak against it); in a network without biases nothing is. Positive: speaks for the explained output.

    Limits:
        It is the score that is shared out, not its difference to the references of the audit: completeness against them
        does not apply, and in a deep network with biases (those of folded batch normalisation too) nearly all of the score
        may be absorbed: then the order of the values can be read, their size cannot. The rules are
        conventions: gamma, alpha-beta, z-plus and box favour what agrees with the outcome, and show less of what
        contradicts it; the box rule gives relevance to a black pixel for not being white. Rules that drop negative
        contributions look alike for different classes and hardly depend on the upper layers. Batch normalisation is folded
        into the layer below it, or passed unchanged; the largest of a pool takes all. Gates of products get nothing: those of
        recurrent layers (LSTM, GRU), so that what opens or forgets is not shown, only what is remembered; and what attention
        looks at is taken as given, so that queries and keys get nothing, however much they decide. Rules that are made for
        inputs (box, flat, squared weights) give way to epsilon in recurrent layers. A step that has nothing but its bias to
        remember hands relevance on to nobody, whether ``biases`` take a share or not.
        Of Keras files it is the layers that rules are applied to; of SavedModels and ONNX files, which hold operations, it is
        what is known again in them: weighted sums with their bias and normalisation, activations, poolings, sums, gates,
        attention, normalisations over a row. Both give the same, but for what a layer counts as one and a graph writes out:
        of attention the rule for the first layer reaches the values alone, and a GRU that resets what it has weighed parts the
        sums of inputs and of memory. Loops, a softmax that is no gate and operations without a rule are refused by name.
    """
    chosen = params.model_dump(include={"composite", "epsilon", "gamma", "alpha", "beta", "biases", "first"})
    rules = rules_of(**chosen)
    begins = any(place.startswith("first") for place, _ in rules)
    box = box_of(rows, params.low, params.high) if begins else (None, None)
    maps = {
        name: np.asarray(found, np.float64)
        for name, found in model.relevance(rows.inputs, rows.target, rules, *box).items()
    }
    scores = model.predict(rows.inputs)[np.arange(len(rows)), rows.target]
    told = np.sum([found.reshape(len(rows), -1).sum(axis=1) for found in maps.values()], axis=0)
    size = np.abs(scores)
    absorbed = np.divide(scores - told, size, out=np.zeros_like(size), where=size > 0)
    return FeatureValues(rows.features.sum_onto(maps), None, {"absorbed": absorbed}, maps)
