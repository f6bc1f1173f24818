"""Layer-wise relevance propagation and DeepLIFT through Keras models of any shape.

While one call of the model is traced, every layer's ``call`` is replaced by one that gives the same, and that backwards
hands on relevance (or multipliers) by a rule in place of the slope. Automatic differentiation then does the rest: it
walks the graph, adds up what comes back along several ways, and leaves layers that only move elements as they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from runtimes.capabilities import RULES, Floats, Inputs, Integers, Rules, Spent, View
from runtimes.formats.batches import Arrays, conform, n_rows
from runtimes.formats.keras_facts import Head
from runtimes.formats.keras_layers import replaced
from runtimes.formats.keras_relevance_layers import Backwards
from runtimes.formats.keras_relevance_rescale import Differences, along_the_way
from runtimes.formats.keras_runtime import tensorflow
from runtimes.target import TensorFacts


class Propagates(ABC):
    """Part of a Keras handle; see `runtimes.capabilities.RulePropagating`."""

    _model: Any
    _inputs: tuple[TensorFacts, ...]
    _view: View
    _head: Head
    _gives_logits: bool
    rows_per_call: int
    spent: Spent

    @abstractmethod
    def _raw(self, arrays: Any) -> Any: ...

    @abstractmethod
    def _chosen(self, raw: Any, target: Any) -> Any: ...

    @abstractmethod
    def _width(self) -> int: ...

    @abstractmethod
    def _specs(self) -> list[Any]: ...

    @abstractmethod
    def _once(self, key: Any, make: Callable[[], Any]) -> Any: ...

    def relevance(
        self, inputs: Inputs, target: Integers, rules: Rules, low: Inputs | None = None, high: Inputs | None = None
    ) -> Mapping[str, Floats]:
        """Return what each element is owed of its row's score; see `runtimes.capabilities.RulePropagating`.

        Raises:
            ValueError: the rows are not what the model reads, a target is no column, a rule or a layer's rule is not
                known, or the score is no sum that could be shared out.
        """
        for _, rule in rules:
            if rule.name not in RULES:
                raise ValueError(f"the rules are {sorted(RULES)}, not {rule.name!r}")
        if not self._is_sum():
            raise ValueError("relevance starts from a logit or a value; a probability of several classes is no sum")
        arrays = conform(inputs, self._inputs)
        given = [arrays]
        if low is not None and high is not None:
            given += [conform(low, self._inputs), conform(high, self._inputs)]
        run = self._once(("relevance", rules, len(given)), lambda: self._compiled_relevance(rules, len(given)))
        found = self._pairs(run, given, target)
        self.spent.backward += n_rows(arrays)
        return found

    def rescaled_contributions(self, inputs: Inputs, references: Inputs, target: Integers) -> Mapping[str, Floats]:
        """Return what each element adds on the way from its row's reference; see `runtimes.capabilities.RulePropagating`.

        Raises:
            ValueError: the rows are not what the model reads, or a target is no column.
        """
        arrays, starts = conform(inputs, self._inputs), conform(references, self._inputs)
        run = self._once("rescaled", self._compiled_rescaled)
        found = self._pairs(run, [arrays, starts], target)
        self.spent.forward += n_rows(arrays)
        self.spent.backward += n_rows(arrays)
        return found

    def _pairs(self, run: Any, given: list[Arrays], target: Integers) -> dict[str, Floats]:
        """Call with rows of several sets of inputs side by side, a part at a time."""
        tf = tensorflow()
        names, rows, columns, width = list(given[0]), n_rows(given[0]), np.asarray(target), self._width()
        if columns.shape != (rows,) or (rows and not 0 <= columns.min() <= columns.max() < width):
            raise ValueError(f"targets must be {rows} column positions from 0 to {width - 1}")
        parts: list[list[Floats]] = []
        for start in range(0, rows, self.rows_per_call):
            part = slice(start, start + self.rows_per_call)
            tensors = [tf.constant(arrays[name][part]) for arrays in given for name in names]
            answer = run(tf.constant(columns[part], "int32"), *tensors)
            parts.append([np.asarray(found.numpy(), np.float64) for found in answer])
        if not parts:
            return {name: np.zeros(given[0][name].shape) for name in names}
        return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(names)}

    def _is_sum(self) -> bool:
        """Whether the score is one of the raw columns (or its negative), through activations of single numbers."""
        if self._head.activation in ("softmax", "log_softmax") and not self._gives_logits:
            return False
        single = self._head.activation == "sigmoid" or self._model.outputs[0].shape[-1] == 1
        if self._view.score == "log_odds":
            return single and self._gives_logits
        return self._view.score in ("logit", "value")

    def _compiled_relevance(self, rules: Rules, sets: int) -> Any:
        tf = tensorflow()

        def relevance(target: Any, *tensors: Any) -> Any:
            arrays, *box = _in_sets(tensors, sets)
            varied = [array for array in arrays if array.dtype.is_floating]
            backwards = Backwards(self._model, rules)
            backwards.starts(arrays, *(box or (None, None)))
            with tf.GradientTape(watch_accessed_variables=False) as tape, replaced(backwards.changes()):
                tape.watch(varied)
                raw = self._raw(arrays)
                columns = tf.reshape(raw, (tf.shape(raw)[0], int(np.prod(raw.shape[1:]))))
            score = self._chosen(raw, target)
            place = target if columns.shape[1] > 1 else tf.zeros_like(target)
            start = tf.one_hot(place, columns.shape[1], dtype=columns.dtype) * score[:, None]
            none = tf.UnconnectedGradients.ZERO
            found = iter(tape.gradient(columns, varied, output_gradients=start, unconnected_gradients=none))
            return [next(found) if array.dtype.is_floating else tf.zeros_like(array) for array in arrays]

        return tf.function(relevance, input_signature=self._signature(sets), autograph=False)

    def _compiled_rescaled(self) -> Any:
        tf = tensorflow()

        def contributions(target: Any, *tensors: Any) -> Any:
            rows, starts = _in_sets(tensors, 2)
            both = [tf.concat([row, start], axis=0) for row, start in zip(rows, starts, strict=True)]
            varied = [array for array in both if array.dtype.is_floating]
            differences = Differences(self._model)
            with tf.GradientTape(watch_accessed_variables=False) as tape, replaced(differences.changes()):
                tape.watch(varied)
                raw = self._raw(both)
            score = along_the_way(lambda columns: self._chosen(columns, target), raw, straight=self._is_sum())
            none = tf.UnconnectedGradients.ZERO
            slopes = iter(tape.gradient(raw, varied, output_gradients=score, unconnected_gradients=none))
            count = tf.shape(rows[0])[0]
            return [
                next(slopes)[:count] * (row - start) if row.dtype.is_floating else tf.zeros_like(row)
                for row, start in zip(rows, starts, strict=True)
            ]

        return tf.function(contributions, input_signature=self._signature(2), autograph=False)

    def _signature(self, sets: int) -> list[Any]:
        return [tensorflow().TensorSpec((None,), "int32"), *self._specs() * sets]


def _in_sets(tensors: tuple[Any, ...], sets: int) -> list[list[Any]]:
    size = len(tensors) // sets
    return [list(tensors[start : start + size]) for start in range(0, len(tensors), size)]
