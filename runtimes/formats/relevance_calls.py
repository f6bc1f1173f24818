"""Relevance and contributions by rules, whatever a model is made of: rows in parts, and what is traced only once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from runtimes.capabilities import RULES, Floats, Inputs, Integers, Rules, Spent
from runtimes.formats.batches import Arrays, conform, n_rows
from runtimes.formats.keras_relevance_rescale import along_the_way
from runtimes.formats.keras_runtime import tensorflow
from runtimes.target import TensorFacts


class PropagatesByRules(ABC):
    """Part of a handle; see `runtimes.capabilities.RulePropagating`."""

    _inputs: tuple[TensorFacts, ...]
    _fixed: int | None
    rows_per_call: int
    spent: Spent

    @abstractmethod
    def _by_rules(self, arrays: list[Any], rules: Rules, low: list[Any] | None, high: list[Any] | None) -> Any:
        """The raw columns of some rows, ``(rows, columns)``, with a rule for each layer as the way back."""

    @abstractmethod
    def _side_by_side(self, both: list[Any]) -> Any:
        """The raw columns of rows, and of their references behind them, with differences as the way back."""

    @abstractmethod
    def _of_columns(self, columns: Any, target: Any) -> Any:
        """Each row's score of its target column, ``(rows,)``."""

    @abstractmethod
    def _is_sum(self) -> bool:
        """Whether the score is one of the raw columns (or its negative), through activations of single numbers."""

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
        size = self._fixed or self.rows_per_call
        for start in range(0, rows, size):
            part, real = slice(start, start + size), min(size, rows - start)
            more = size - real if self._fixed else 0
            tensors = [tf.constant(_longer(arrays[name][part], more)) for arrays in given for name in names]
            answer = run(tf.constant(_longer(columns[part], more), "int32"), *tensors)
            parts.append([np.asarray(found.numpy()[:real], np.float64) for found in answer])
        if not parts:
            return {name: np.zeros(given[0][name].shape) for name in names}
        return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(names)}

    def _compiled_relevance(self, rules: Rules, sets: int) -> Any:
        tf = tensorflow()

        def relevance(target: Any, *tensors: Any) -> Any:
            arrays, *box = _in_sets(tensors, sets)
            varied = [array for array in arrays if array.dtype.is_floating]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(varied)
                columns = self._by_rules(arrays, rules, *(box or (None, None)))
            score = self._of_columns(columns, target)
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
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(varied)
                columns = self._side_by_side(both)
            score = along_the_way(lambda ends: self._of_columns(ends, target), columns, straight=self._is_sum())
            none = tf.UnconnectedGradients.ZERO
            slopes = iter(tape.gradient(columns, varied, output_gradients=score, unconnected_gradients=none))
            count = tf.shape(rows[0])[0]
            return [
                next(slopes)[:count] * (row - start) if row.dtype.is_floating else tf.zeros_like(row)
                for row, start in zip(rows, starts, strict=True)
            ]

        return tf.function(contributions, input_signature=self._signature(2), autograph=False)

    def _signature(self, sets: int) -> list[Any]:
        return [tensorflow().TensorSpec((self._fixed,), "int32"), *self._specs() * sets]


def _longer(array: Any, more: int) -> Any:
    """An array with its last row several times more."""
    return np.pad(array, [(0, more), *[(0, 0)] * (array.ndim - 1)], "edge") if more else array


def _in_sets(tensors: tuple[Any, ...], sets: int) -> list[list[Any]]:
    size = len(tensors) // sets
    return [list(tensors[start : start + size]) for start in range(0, len(tensors), size)]
