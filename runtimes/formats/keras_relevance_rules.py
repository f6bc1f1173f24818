"""The rules of layer-wise relevance propagation for one weighted sum z_j = sum over i of x_i w_ij + b_j.

Bach et al. (2015), https://doi.org/10.1371/journal.pone.0130140; Montavon et al. (2017), deep Taylor decomposition,
https://doi.org/10.1016/j.patcog.2016.11.008; Montavon et al. (2019), the overview with the gamma rule and the four steps
(forward, divide, backward, multiply) that each rule is computed by here, https://doi.org/10.1007/978-3-030-28954-6_10.
Where activations may be negative, contributions x_i w_ij are parted by their sign, not weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

from runtimes.capabilities import Rule
from runtimes.formats.keras_relevance_linear import Sums
from runtimes.formats.keras_runtime import tensorflow

Box = tuple[Any, Any] | None
"""The lowest and highest values that the elements may have, shaped as the input."""


def propagated(rule: Rule, sums: Sums, x: Any, relevance: Any, box: Box, positive: bool) -> Any:
    """The relevance of a weighted sum's inputs, shaped as ``x``.

    Args:
        rule: how; its equation stands at `runtimes.capabilities.RULES`.
        sums: the weighted sum.
        x: its input.
        relevance: of its outputs.
        box: needed by the rule ``box`` alone.
        positive: no element of ``x`` is negative, which saves half of the work.
    """
    sums = sums if rule.biases else Sums(sums.apply, sums.kernel, None)
    return _RULES[rule.name](rule, sums, x, relevance, box, positive)


def stabilised(z: Any, epsilon: float) -> Any:
    """Return z pushed away from zero by epsilon; zero counts as positive."""
    tf = tensorflow()
    return z + tf.where(z >= 0, tf.cast(epsilon, z.dtype), tf.cast(-epsilon, z.dtype))


def _epsilon(rule: Rule, sums: Sums, x: Any, relevance: Any, _box: Box, _positive: bool) -> Any:
    share = relevance / stabilised(sums.forward(x), rule.epsilon)
    return x * sums.backward(x, sums.kernel, share)


class _Parts:
    """A weighted sum parted into its positive and its negative contributions."""

    def __init__(self, sums: Sums, x: Any, positive: bool) -> None:
        tf = tensorflow()
        self._sums = sums
        self._ups, self._downs = tf.maximum(sums.kernel, 0.0), tf.minimum(sums.kernel, 0.0)
        self._above = x if positive else tf.maximum(x, 0.0)
        self._below = None if positive else tf.minimum(x, 0.0)

    def total(self, sign: int) -> Any:
        """The sum of the contributions of one sign, with the bias where it has that sign."""
        tf = tensorflow()
        kernel, other = (self._ups, self._downs) if sign > 0 else (self._downs, self._ups)
        found = self._sums.apply(self._above, kernel)
        if self._below is not None:
            found += self._sums.apply(self._below, other)
        if self._sums.bias is not None:
            found += tf.maximum(self._sums.bias, 0.0) if sign > 0 else tf.minimum(self._sums.bias, 0.0)
        return found

    def shared(self, sign: int, share: Any) -> Any:
        """What each input gets by its contributions of one sign: sum over j of (x_i w_ij) of that sign times share_j."""
        kernel, other = (self._ups, self._downs) if sign > 0 else (self._downs, self._ups)
        found = self._above * self._sums.backward(self._above, kernel, share)
        if self._below is not None:
            found += self._below * self._sums.backward(self._below, other, share)
        return found


def _alpha_beta(rule: Rule, sums: Sums, x: Any, relevance: Any, _box: Box, positive: bool) -> Any:
    parts = _Parts(sums, x, positive)
    found = parts.shared(1, rule.alpha * relevance / stabilised(parts.total(1), rule.epsilon))
    if rule.beta:
        negative = parts.total(-1) - rule.epsilon
        found -= parts.shared(-1, rule.beta * relevance / negative)
    return found


def _gamma(rule: Rule, sums: Sums, x: Any, relevance: Any, _box: Box, positive: bool) -> Any:
    tf = tensorflow()
    parts, z = _Parts(sums, x, positive), sums.forward(x)
    zero = tf.zeros_like(z)
    up, found = z > 0, tf.zeros_like(x)
    shares = []
    for sign, here in ((1, up), (-1, ~up)):
        share = tf.where(here, relevance / stabilised(z + rule.gamma * parts.total(sign), rule.epsilon), zero)
        found += rule.gamma * parts.shared(sign, share)
        shares.append(share)
    return found + x * sums.backward(x, sums.kernel, shares[0] + shares[1])


def _box(rule: Rule, sums: Sums, x: Any, relevance: Any, box: Box, _positive: bool) -> Any:
    tf = tensorflow()
    if box is None:
        raise ValueError("the rule `box` needs the lowest and highest values of the elements")
    low, high = box
    ups, downs = tf.maximum(sums.kernel, 0.0), tf.minimum(sums.kernel, 0.0)
    z = sums.apply(x, sums.kernel) - sums.apply(low, ups) - sums.apply(high, downs)
    share = relevance / stabilised(z, rule.epsilon)
    ends = low * sums.backward(x, ups, share) + high * sums.backward(x, downs, share)
    return x * sums.backward(x, sums.kernel, share) - ends


def _flat(rule: Rule, sums: Sums, x: Any, relevance: Any, _box: Box, _positive: bool) -> Any:
    return _by_weights(rule, sums, x, relevance, tensorflow().ones_like(sums.kernel))


def _w_squared(rule: Rule, sums: Sums, x: Any, relevance: Any, _box: Box, _positive: bool) -> Any:
    return _by_weights(rule, sums, x, relevance, sums.kernel**2)


def _by_weights(rule: Rule, sums: Sums, x: Any, relevance: Any, weights: Any) -> Any:
    ones = tensorflow().ones_like(x)
    share = relevance / stabilised(sums.apply(ones, weights), rule.epsilon)
    return sums.backward(ones, weights, share)


_RULES: Mapping[str, Callable[..., Any]] = {
    "epsilon": _epsilon,
    "gamma": _gamma,
    "alpha_beta": _alpha_beta,
    "box": _box,
    "flat": _flat,
    "w_squared": _w_squared,
}
