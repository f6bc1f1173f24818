"""Layer-wise relevance propagation and DeepLIFT through dense layers in NumPy: every contribution z_ij written out.

Slow and plain; what `keras_relevance` does by four steps and automatic differentiation is held against it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from runtimes.capabilities import Floats, Rule, Rules

Activation = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Layer:
    """act(x W + b)."""

    name: str
    weights: Floats
    bias: Floats
    activation: Activation
    slope: Activation


def relevance(
    layers: Sequence[Layer], x: Floats, start: Floats, rules: Rules, box: tuple[Floats, Floats] | None
) -> Floats:
    """Relevance of the inputs, ``(rows, inputs)``.

    Args:
        layers: from the input on.
        x: ``(rows, inputs)``.
        start: ``(rows, outputs)``: relevance of what the last layer gives.
        rules: by place, see `runtimes.capabilities.Rules`.
        box: the lowest and highest values of the inputs, shaped as ``x``.
    """
    passed = [x]
    for layer in layers:
        passed.append(layer.activation(passed[-1] @ layer.weights + layer.bias))
    found = start
    for place in range(len(layers) - 1, -1, -1):
        rule = _rule(rules, layers[place].name, first=place == 0 and box is not None)
        found = propagated(rule, layers[place].weights, layers[place].bias, passed[place], found, box)
    return found


def _rule(rules: Rules, name: str, *, first: bool) -> Rule:
    places = {name, "Dense", "any"} | ({"first"} if first else set())
    return next(rule for place, rule in rules if place in places)


def propagated(
    rule: Rule, weights: Floats, bias: Floats, x: Floats, relevant: Floats, box: tuple[Floats, Floats] | None = None
) -> Floats:
    """Relevance of the inputs of one dense layer, by the equation of its rule."""
    z, bias = x[:, :, None] * weights, bias * float(rule.biases)
    if rule.name == "alpha_beta":
        up = np.maximum(z, 0.0) / _spared(np.maximum(z, 0.0).sum(axis=1) + np.maximum(bias, 0.0), rule)[:, None]
        down = np.minimum(z, 0.0) / (np.minimum(z, 0.0).sum(axis=1) + np.minimum(bias, 0.0) - rule.epsilon)[:, None]
        shares = rule.alpha * up - rule.beta * down
    elif rule.name == "gamma":
        total = z.sum(axis=1) + bias
        same = np.where((total > 0)[:, None], np.maximum(z, 0.0), np.minimum(z, 0.0))
        of_bias = np.where(total > 0, np.maximum(bias, 0.0), np.minimum(bias, 0.0))
        shares = (z + rule.gamma * same) / _spared(total + rule.gamma * (same.sum(axis=1) + of_bias), rule)[:, None]
    else:
        terms, offset = _terms(rule, z, weights, box), bias if rule.name == "epsilon" else 0.0
        shares = terms / _spared(terms.sum(axis=1) + offset, rule)[:, None]
    return np.asarray((shares * relevant[:, None]).sum(axis=2), np.float64)


def _terms(rule: Rule, z: Floats, weights: Floats, box: tuple[Floats, Floats] | None) -> Floats:
    """What each rule shares in proportion to, ``(rows, inputs, outputs)``."""
    if rule.name == "epsilon":
        return z
    if rule.name == "flat":
        return np.ones_like(z)
    if rule.name == "w_squared":
        return np.broadcast_to(weights**2, z.shape)
    if rule.name != "box" or box is None:
        raise ValueError(f"the rule {rule.name!r} is not known, or lacks what the elements may be")
    low, high = (side[:, :, None] for side in box)
    return np.asarray(z - low * np.maximum(weights, 0.0) - high * np.minimum(weights, 0.0))


def _spared(z: Floats, rule: Rule) -> Floats:
    return z + np.where(z >= 0, rule.epsilon, -rule.epsilon)


def rescaled(layers: Sequence[Layer], x: Floats, reference: Floats, start: Floats) -> Floats:
    """Contributions of the inputs to the difference of the score, ``(rows, inputs)``, by DeepLIFT's rescale rule.

    Args:
        layers: from the input on.
        x: ``(rows, inputs)``.
        reference: shaped as ``x``.
        start: ``(rows, outputs)``: d score / d what the last layer gives.
    """
    sums: list[tuple[Floats, Floats]] = []
    at, other = x, reference
    for layer in layers:
        sums.append((at @ layer.weights + layer.bias, other @ layer.weights + layer.bias))
        at, other = layer.activation(sums[-1][0]), layer.activation(sums[-1][1])
    multipliers = start
    for layer, (above, below) in zip(reversed(layers), reversed(sums), strict=True):
        apart = above - below
        close = np.abs(apart) < 1e-9
        ratio = (layer.activation(above) - layer.activation(below)) / np.where(close, 1.0, apart)
        multipliers = (multipliers * np.where(close, layer.slope((above + below) / 2), ratio)) @ layer.weights.T
    return np.asarray(multipliers * (x - reference), np.float64)
