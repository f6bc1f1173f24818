"""Whether a graph that is cut above its tables has the slopes of the model that it comes from.

A model may bring gradients of its own (``tf.custom_gradient``), which the cut graph does not have. Where it does, the slopes by
the rows of its tables, which TensorFlow gives of the model as it is, are held against those above the tables.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats
from runtimes.formats.batches import Arrays
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graph_embedding import Cut

_GRADIENT = "_gradient_op_type"
_TOLERANCE = 1e-3
"""Of the largest slope."""
_ALIKE = 1e-2
"""How near a table is to its variable: half precision rounds to 5e-4 of each number."""
_ROUNDS = frozenset({"Round", "Rint", "Floor", "Ceil", "QuantizeV2", "FakeQuantWithMinMaxVars"})


def lost_slopes(call: Any, cut: Cut, rows: Arrays) -> str | None:
    """Why the cut graph is not believed to have the model's slopes; None where it is.

    Args:
        call: the signature, a concrete function.
        cut: the same above its tables.
        rows: a few that it can read, in its order.
    """
    nodes = [node for function in call.graph.as_graph_def().library.function for node in function.node_def]
    if not any(_GRADIENT in node.attr for node in nodes):
        return None
    reason = "it brings gradients of its own (`tf.custom_gradient`), which are not kept above its tables"
    by_rows = cut.tables.onto_rows(rows, _slopes_above(cut, rows))
    theirs = _slopes_of_variables(call, rows)
    compared = False
    for variable, slopes in theirs:
        own = [
            sums
            for values, sums in by_rows
            if values.shape == variable.shape and np.allclose(values, variable, _ALIKE, _ALIKE)
        ]
        if not own:
            continue
        compared = True
        if float(np.abs(sum(own) - slopes).max(initial=0.0)) > _TOLERANCE * max(
            float(np.abs(slopes).max(initial=0.0)), 1e-6
        ):
            return reason
    if not compared and any(node.op in _ROUNDS for node in nodes):
        return f"{reason}, around numbers that it rounds"
    return None


def _slopes_above(cut: Cut, rows: Arrays) -> dict[str, Floats]:
    tf = tensorflow()
    embedded = {name: tf.constant(array) for name, array in cut.tables.embed(rows).items()}
    varied = {name: one for name, one in embedded.items() if one.dtype.is_floating}
    with tf.GradientTape() as tape:
        tape.watch(list(varied.values()))
        score = _weighed(cut(list(embedded.values())))
    slopes = tape.gradient(score, varied, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return {name: np.asarray(slope, np.float64) for name, slope in slopes.items()}


def _slopes_of_variables(call: Any, rows: Arrays) -> list[tuple[NDArray[Any], Floats]]:
    """The variables of floats, each with the slopes by it."""
    tf = tensorflow()
    variables = [one for one in call.variables if one.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        answer = call(**{name: tf.constant(array) for name, array in rows.items()})
        score = _weighed([answer[name] for name in sorted(answer)])
    slopes = tape.gradient(score, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [
        (np.asarray(one.numpy(), np.float32), np.asarray(tf.convert_to_tensor(slope), np.float64))
        for one, slope in zip(variables, slopes, strict=True)
    ]


def _weighed(outputs: Sequence[Any]) -> Any:
    """One number of all outputs, of which no two parts have the same share."""
    tf, rng = tensorflow(), np.random.default_rng(0)
    floats = [tf.cast(one, "float32") for one in outputs if one.dtype.is_floating]
    return tf.add_n([tf.reduce_sum(one * rng.normal(size=one.shape).astype(np.float32)) for one in floats])
