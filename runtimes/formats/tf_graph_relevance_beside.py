"""What a graph makes for a number of rows (a mask that is spread over them), for fewer rows than stand in a trace."""

from typing import Any

from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graph_operations import again
from runtimes.formats.tf_graph_relevance_rules import Trace
from runtimes.formats.tf_graph_rows import MIXED


def beside_rows(trace: Trace, tensor: Any, source: Any, given: Any) -> Any:
    """What a tensor is where a source of a step has as many rows as the numbers given for it.

    Args:
        trace: rows and references side by side.
        tensor: what the step reads besides.
        source: a tensor that the step hands on to.
        given: what stands for it: the rows of all, or of the first half.
    """
    if not trace.steps.operations.is_shaped(tensor):
        return trace.read(tensor)
    tf, axis = tensorflow(), trace.steps.rows.get(source.name, 0)
    share = tf.shape(given)[axis], tf.shape(trace.read(source))[axis]
    return _Fewer(trace, share).of(tensor)


class _Fewer:
    """Tensors that depend on how many rows there are, computed for a part of them."""

    def __init__(self, trace: Trace, share: tuple[Any, Any]) -> None:
        self._trace, self._share = trace, share
        self._made: dict[str, Any] = {}

    def of(self, tensor: Any) -> Any:
        waiting = [tensor]
        while waiting:
            one = waiting[-1]
            lacking = (
                [] if one.name in self._made else [read for read in self._read_by(one) if read.name not in self._made]
            )
            if lacking:
                waiting += lacking
            elif waiting.pop().name not in self._made:
                self._make(one)
        return self._made[tensor.name]

    def _read_by(self, tensor: Any) -> list[Any]:
        shaped = self._trace.steps.operations.is_shaped
        return [one for one in tensor.op.inputs if shaped(one)] if shaped(tensor) else []

    def _make(self, tensor: Any) -> None:
        operation, held = tensor.op, self._trace.steps.operations
        if operation.type in kinds.SHAPES and any(held.is_live(one) for one in operation.inputs):
            given = [self._fewer(one) if held.is_live(one) else self._trace.read(one) for one in operation.inputs]
        else:
            given = [self._made[one.name] if held.is_shaped(one) else self._trace.read(one) for one in operation.inputs]
        for output, found in zip(operation.outputs, again(operation, given), strict=True):
            found.set_shape(output.shape)
            self._made[output.name] = found

    def _fewer(self, tensor: Any) -> Any:
        """The first rows of a tensor that has rows."""
        tf, axis = tensorflow(), self._trace.steps.rows.get(tensor.name)
        value = self._trace.read(tensor)
        if axis is None:
            return value
        if axis == MIXED:
            raise ValueError(
                f"differences cannot be followed beside the operation `{tensor.op.type}` (`{tensor.op.name}`): its rows"
                " share an axis with something else"
            )
        part, whole = self._share
        size = tf.shape(value)[axis] * part // whole
        return tf.gather(value, tf.range(size), axis=axis)
