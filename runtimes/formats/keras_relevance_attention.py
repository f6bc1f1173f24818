"""Attention as weighted sums of its values, what it looks at taken as given (Ali et al., 2022).

https://arxiv.org/abs/2202.07304: attention weights are gates, that get nothing; so relevance is conserved. What the query and the
key did to them is left out.
"""

from collections.abc import Sequence
from typing import Any

from runtimes.formats.keras_relevance_linear import Sums, sums_of
from runtimes.formats.keras_runtime import keras, tensorflow

PROJECTED = frozenset({"MultiHeadAttention", "GroupedQueryAttention", "GroupQueryAttention"})
"""Values go through weights of their own before they are added up, and afterwards."""


def value_of(layer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The values among a call's arguments."""
    if type(layer).__name__ in PROJECTED:
        return args[1] if len(args) > 1 else kwargs["value"]
    return args[0][1]


def attending(layer: Any, call: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, Any, list[Sums]]:
    """What a layer of attention gives, what it looks at, and its weighted sums from the values on, one after the other."""
    tf, ops = tensorflow(), keras().ops
    given, scores = call(*args, **(kwargs | {"return_attention_scores": True}))
    weights = tf.cast(scores, tf.float32)
    if type(layer).__name__ not in PROJECTED:
        mask = kwargs.get("mask")
        if mask is not None and mask[0] is not None:  # what asks at a masked place is answered nothing
            weights *= tf.cast(mask[0], tf.float32)[..., None]
        return given, scores, [Sums(lambda x, kernel: ops.matmul(kernel, x), weights, None)]
    repeats = getattr(layer, "num_repeats", 1)
    gated = getattr(layer, "_use_gate", False) or getattr(layer, "use_gate", False)
    gate = tf.cast(layer._gate_dense(args[0] if args else kwargs["query"]), tf.float32) if gated else None

    def added(x: Any, kernel: Any) -> Any:
        values = ops.repeat(x, repeats, axis=2) if repeats > 1 else x
        summed = ops.einsum(layer._combine_equation, kernel, values)
        return summed if gate is None else summed * gate

    return given, scores, [*sums_of(layer._value_dense), Sums(added, weights, None), *sums_of(layer._output_dense)]
