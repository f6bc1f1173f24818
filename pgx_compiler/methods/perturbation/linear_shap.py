"""Shapley values of linear models in closed form (Štrumbelj & Kononenko, 2014): https://doi.org/10.1007/s10115-013-0679-x."""

import numpy as np

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import LinearModel
from runtimes.target import ModelFacts

LINEAR_SCORES = {
    "linear": {"value", "logit"},
    "sigmoid": {"logit", "log_odds"},
    "softmax": {"logit"},
    "exp": {"log_value"},
    "": {"log_odds"},
}
"""Final activation of a linear model to the scores in which it is linear; empty: a linear classifier's own curve."""


class LinearShapParams(Params):
    """Linear SHAP has no parameters: nothing is sampled."""


def cost(params: LinearShapParams, shape: Shape) -> Cost:
    """No model rows: the coefficients are read from the file."""
    return Cost(bytes=8 * shape.rows * shape.features)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A linear model, in a score below its link."""
    if "LinearModel" not in facts.capabilities:
        return "the model is not linear in its input"
    linear = set(LINEAR_SCORES.get(facts.activation, ()))
    if facts.activation == "softmax" and facts.n_outputs == 2:
        linear.add("log_odds")
    if score not in linear:
        better = " or ".join(sorted(linear & facts.scores)) or "another score"
        return f"this model is not linear in {score}; explain {better}"
    return None


@attribution(
    modalities={"tabular"},
    paper="https://doi.org/10.1007/s10115-013-0679-x",
    cost=cost,
    laws=("completeness", "null_feature", "symmetry", "linearity"),
    estimates="shapley_values",
    exact=True,
    admits=admits,
)
def linear_shap(model: LinearModel, rows: Rows, params: LinearShapParams) -> FeatureValues:
    """Compute the Shapley values of a linear model exactly: coefficient times distance from the mean reference.

    Of a feature that is a group of columns, the parts of its columns are added up. A generalised linear model
    (logistic, Poisson, gamma or Tweedie regression) is explained below its link, where it is linear.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references. A
        positive value has raised the score of the explained output, a negative one has lowered it. There is no
        sampling error; the references are the only thing that was chosen.

    Limits:
        The values describe the model, not the world: they are no causal effects. They depend on the references; and
        removed features are filled independently of those that are kept, so that correlated features are judged on
        rows that may never occur. Values in log-odds are not shares of a probability; those of `log_value` are no amounts but
        factors: a value v multiplies the model's answer by exp(v).
    """
    name = model.input_name
    x = np.asarray(rows.inputs[name], np.float64).reshape(len(rows), -1)
    references = rows.references.inputs[name]
    means = np.asarray(references, np.float64).reshape(*references.shape[:2], -1).mean(axis=1)
    parts = (x - means) * model.coefficients.T[rows.target]
    return FeatureValues(rows.features.sum_onto({name: parts}))
