"""DeepLIFT's rescale rule through a graph that takes a fixed number of rows, so that references cannot go beside them.

Each operation is computed twice, of the rows and of their references, and what it makes of both stands one behind the other
along the first axis, whatever that axis is: the rules find them where they look for them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graph_operations import again
from runtimes.formats.tf_graph_relevance_rescale import Call, Differences
from runtimes.formats.tf_graph_relevance_steps import Step, Steps


class DifferencesApart(Differences):
    """Propagates multipliers: rows and their references go through the graph one after the other."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self._side: int | None = None
        """What is read: of the rows (0), of the references (1); None: of both."""

    def plainly(self, tensor: Any) -> Any:
        """What the operation of a tensor gives, with the way back that it has by itself."""
        operation = tensor.op
        sides = [
            self._seen(side, lambda: again(operation, [self.read(one) for one in operation.inputs])) for side in (0, 1)
        ]
        for output, first, second in zip(operation.outputs, *sides, strict=True):
            both = self._is_both(output)
            self.values.setdefault(output.name, _joined(first, second) if both else first)
        return self.values[tensor.name]

    def read(self, tensor: Any) -> Any:
        """What a tensor is: made before, or a constant."""
        value = super().read(tensor)
        return value if self._side is None or not self._is_both(tensor) else _half(value, tensor, self._side)

    def beside(self, tensor: Any, _source: Any, _given: Any) -> Any:
        """What a tensor is: the graph is made for one number of rows alone."""
        return self.read(tensor)

    def _is_both(self, tensor: Any) -> bool:
        return tensor.name in self.steps.operations.frozen.inputs or self.steps.operations.is_live(tensor)

    def _seen(self, side: int, call: Callable[[], Any]) -> Any:
        """A call that reads one side of everything."""
        before, self._side = self._side, side
        try:
            return call()
        finally:
            self._side = before

    def _rows_first(
        self, step: Step, tensor: Any, sources: Sequence[Any], call: Call, rule: Callable[[Call], Call]
    ) -> Any:
        """What a rule makes of a call, which sees one side at a time."""
        size = sources[0].shape[0] if sources[0].shape.rank else 1
        if any(one.shape.rank is None for one in (*sources, tensor)) or size is None:
            operation = step.operation
            raise ValueError(
                f"differences cannot be followed through the operation `{operation.type}` (`{operation.name}`): sizes of"
                " what it reads are only known when it runs"
            )

        def of_side(side: int, given: Sequence[Any]) -> Any:
            shaped = [_half(one, source, 0, of=1) for one, source in zip(given, sources, strict=True)]
            return self._seen(side, lambda: call(*shaped))

        def by_side(*given: Any) -> Any:
            if given[0].shape[0] == size:  # between a row and its reference
                found = of_side(0, given)
                return found if tensor.shape.rank else found[None]
            halves = [[tensorflow().split(one, 2)[side] for one in given] for side in (0, 1)]
            return _joined(of_side(0, halves[0]), of_side(1, halves[1]))

        return rule(by_side)(*[self.read(one) for one in sources])


def _half(value: Any, tensor: Any, side: int, of: int = 2) -> Any:
    """One side of what stands behind one another, in the shape that a tensor of the graph has."""
    part = tensorflow().split(value, of)[side]
    return part if tensor.shape.rank != 0 else part[0]


def _joined(first: Any, second: Any) -> Any:
    """Rows and references one behind the other."""
    tf = tensorflow()
    return tf.concat([first, second], axis=0) if first.shape.rank else tf.stack([first, second])
