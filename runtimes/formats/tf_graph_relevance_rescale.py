"""DeepLIFT's rescale rule through a frozen graph; see `runtimes.formats.keras_relevance_rescale`, whose rules these are."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.keras_relevance_rescale import averaged, elementwise, largest, pooled
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graph_relevance_beside import beside_rows
from runtimes.formats.tf_graph_relevance_rules import Trace
from runtimes.formats.tf_graph_relevance_steps import Step
from runtimes.formats.tf_graph_rows import MIXED

_LINEAR = frozenset({"summed", "affine", "shared", "plain"})

Call = Callable[..., Any]


class Differences(Trace):
    """Propagates multipliers: rows and their references go through the graph side by side, rows first."""

    def made(self, tensor: Any, step: Step) -> Any:
        """What a step gives, with its rule backwards."""
        if step.manner in _LINEAR:
            return self.plainly(tensor)
        operation, given = step.operation, step.sources[:1]
        if not step.sources:
            raise ValueError(
                f"differences cannot be followed through the operation `{operation.type}` (`{operation.name}`)"
            )
        rule: Callable[[Call], Call] = averaged
        if step.manner in ("passed", "centred"):
            call: Call = self.through(step)
            rule = elementwise if step.manner == "passed" else averaged
        else:
            given = tuple(one for one in self.steps.operations.lives_of(operation) if one.dtype.is_floating)
            call = self.over(replace(step, sources=given))
            if step.manner == "winning":
                sign = 1.0 if operation.type == "Maximum" else -1.0
                rule = pooled if operation.type in kinds.POOLS else lambda _call: largest(sign)
            elif operation.type in kinds.PRODUCTS | {"Mul", "MulNoNan"}:
                # A product of two is straight enough for the middle of the line, of several for a few points.
                rule = lambda one: averaged(one, by_product=True)  # noqa: E731
        return self._rows_first(step, tensor, given, call, rule)

    def beside(self, tensor: Any, source: Any, given: Any) -> Any:
        """What a tensor is beside as many rows as are given: of rows alone, or of rows and references.

        Only those differ that are made for a number of rows, as a mask that is spread over them.
        """
        return beside_rows(self, tensor, source, given)

    def _rows_first(
        self, step: Step, tensor: Any, sources: Sequence[Any], call: Call, rule: Callable[[Call], Call]
    ) -> Any:
        """What a rule makes of a call, which sees its rows on another axis than the first where they stand there."""
        axes = [self.steps.rows.get(one.name, 0) for one in (*sources, tensor)]
        arrays = [self.read(one) for one in sources]
        if MIXED in axes:
            operation = step.operation
            raise ValueError(
                f"differences cannot be followed through the operation `{operation.type}` (`{operation.name}`): its rows"
                " share an axis with something else"
            )
        if not any(axes):
            return rule(call)(*arrays)
        *before, after = axes

        def turned(*given: Any) -> Any:
            return _moved(call(*[_moved(one, 0, axis) for one, axis in zip(given, before, strict=True)]), after, 0)

        first = [_moved(one, axis, 0) for one, axis in zip(arrays, before, strict=True)]
        return _moved(rule(turned)(*first), 0, after)


def _moved(array: Any, axis: int, to: int) -> Any:
    """An array with one axis at another place."""
    if axis == to:
        return array
    order = [one for one in range(array.shape.rank) if one != axis]
    order.insert(to, axis)
    return tensorflow().transpose(array, order)
