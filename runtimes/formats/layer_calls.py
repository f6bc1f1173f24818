"""Looking into a network, layer by layer, whatever it is made of: rows in parts, and what is traced only once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, Inputs, Integers, LayerShape, Spent
from runtimes.formats.batches import Arrays, conform, n_rows, slices
from runtimes.formats.keras_rectified import RULES
from runtimes.formats.keras_runtime import tensorflow
from runtimes.target import TensorFacts

Traced = Callable[..., Any]
"""From tensors to tensors."""


class LooksIntoLayers(ABC):
    """Part of a handle; see `runtimes.capabilities.LayerDifferentiable` and `Rectified`."""

    _inputs: tuple[TensorFacts, ...]
    _fixed: int | None
    _compiled_inside: dict[Any, Any]
    rows_per_call: int
    spent: Spent

    @property
    @abstractmethod
    def layers(self) -> Sequence[LayerShape]:
        """Layers with one output, in the order of computation."""

    @abstractmethod
    def _forward_to(self, layer: str) -> Traced:
        """From the inputs to what a layer gives, channels last."""

    @abstractmethod
    def _back_to(self, layer: str) -> Traced:
        """From targets and inputs to what a layer gives and the slope of the score by it, channels last."""

    @abstractmethod
    def _back_to_inputs(self, rule: str, size: int | None) -> Traced:
        """From targets and inputs to what `gradient` would give with a rule for each ReLU, an array an input.

        ``size``: how many rows every call has; None: any number.
        """

    @abstractmethod
    def _width(self) -> int: ...

    def activations(self, inputs: Inputs, layer: str) -> Floats:
        """Return what a layer gives, ``(rows, *layer shape)`` float64. Counts as forward rows.

        Raises:
            ValueError: the rows are not what the model reads, or there is no such layer.
        """
        arrays = conform(inputs, self._inputs)
        shape = self._shape_of(layer)
        run = self._once(("activations", layer), lambda: self._forward_to(layer))
        tf = tensorflow()
        parts = [
            np.asarray(run(*map(tf.constant, part.values())).numpy(), np.float64)[:real]
            for part, real in slices(arrays, self.rows_per_call, self._fixed)
        ]
        self.spent.forward += n_rows(arrays)
        return np.concatenate(parts) if parts else np.zeros((0, *shape))

    def layer_gradient(self, inputs: Inputs, target: Integers, layer: str) -> tuple[Floats, Floats]:
        """Return a layer's activations and d score[row, target[row]] / d activations. Counts as backward rows.

        Raises:
            ValueError: the rows are not what the model reads, a target is no column, or there is no such layer.
        """
        shape = self._shape_of(layer)
        run = self._once(("gradient", layer), lambda: self._back_to(layer))
        parts = self._in_parts(run, conform(inputs, self._inputs), target)
        none = np.zeros((0, *shape)) if not parts else None
        given, slope = (np.concatenate([part[side] for part in parts]) if none is None else none for side in (0, 1))
        return given, slope

    def rectified_gradient(self, inputs: Inputs, target: Integers, rule: str) -> Mapping[str, Floats]:
        """Compute the gradient with another rule backwards through each ReLU; see `runtimes.capabilities.Rectified`.

        Raises:
            ValueError: the rows are not what the model reads, a target is no column, or there is no such rule.
        """
        if rule not in RULES:
            raise ValueError(f"the rules are {sorted(RULES)}, not {rule!r}")
        arrays = conform(inputs, self._inputs)
        # Deconvolution looks at no activation, only at their shapes: with a known number of rows the forward pass falls away.
        size = (self._fixed or min(n_rows(arrays), self.rows_per_call)) if rule == "deconvolution" else None
        run = self._once(("rectified", rule, size), lambda: self._back_to_inputs(rule, size))
        parts = self._in_parts(run, arrays, target, size)
        return {
            name: np.concatenate([part[place] for part in parts]) if parts else np.zeros(array.shape)
            for place, (name, array) in enumerate(arrays.items())
        }

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is traced once for a handle."""
        known = self.__dict__.setdefault("_compiled_inside", {})
        if key not in known:
            known[key] = make()
        return known[key]

    def _shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a layer, 0 for what is not known. Raises ValueError where there is none of that name."""
        shapes = {layer.name: layer.shape for layer in self.layers}
        if name not in shapes:
            raise ValueError(f"the model has no layer `{name}` with one output; there are {', '.join(sorted(shapes))}")
        return tuple(size or 0 for size in shapes[name])

    def _in_parts(self, run: Traced, arrays: Arrays, target: Integers, size: int | None = None) -> list[list[Floats]]:
        """What a backward function gives for each part of the rows; ``size``: how many rows it takes, where that is fixed."""
        tf = tensorflow()
        rows, columns, width = n_rows(arrays), np.asarray(target), self._width()
        if columns.shape != (rows,) or (rows and not 0 <= columns.min() <= columns.max() < width):
            raise ValueError(f"targets must be {rows} column positions from 0 to {width - 1}")
        parts = []
        done = 0
        for part, real in slices(arrays, self.rows_per_call, size or self._fixed):
            wanted = np.pad(columns[done : done + real], (0, n_rows(part) - real), "edge")
            answer = run(tf.constant(wanted, "int32"), *map(tf.constant, part.values()))
            parts.append([np.asarray(found.numpy()[:real], np.float64) for found in answer])
            done += real
        self.spent.backward += rows
        return parts


class LooksInsideEmbedded(ABC):
    """The same for a handle that looks up ids, by the handle above its tables."""

    above: Any

    @abstractmethod
    def embed(self, inputs: Inputs) -> Inputs:
        """What `above` reads."""

    @abstractmethod
    def _parts(self, arrays: Arrays) -> Iterator[tuple[Arrays, int]]: ...

    @property
    def layers(self) -> Sequence[LayerShape]:
        """Layers above the tables, in the order of computation."""
        found: Sequence[LayerShape] = self.above.layers
        return found

    def activations(self, inputs: Inputs, layer: str) -> Floats:
        """Return what a layer gives, ``(rows, *layer shape)`` float64. Counts as forward rows.

        Raises:
            ValueError: the rows are not what the model reads, or there is no such layer.
        """
        return np.concatenate([self.above.activations(self.embed(part), layer) for part, _ in self._parts({**inputs})])

    def layer_gradient(self, inputs: Inputs, target: Integers, layer: str) -> tuple[Floats, Floats]:
        """Return a layer's activations and d score[row, target[row]] / d activations. Counts as backward rows.

        Raises:
            ValueError: the rows are not what the model reads, a target is no column, or there is no such layer.
        """
        parts = [
            self.above.layer_gradient(self.embed(part), np.asarray(target)[at : at + n_rows(part)], layer)
            for part, at in self._parts({**inputs})
        ]
        return np.concatenate([given for given, _ in parts]), np.concatenate([slope for _, slope in parts])

    def attention(self, inputs: Inputs) -> Mapping[str, Floats]:
        """Return what each position looks at, by attention in the order of computation. Counts as forward rows.

        Raises:
            ValueError: the rows are not what the model reads, or an id is none of a table's.
        """
        parts = [self.above.attention(self.embed(part)) for part, _ in self._parts({**inputs})]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def rectified_gradient(self, inputs: Inputs, target: Integers, rule: str) -> Mapping[str, Floats]:
        """Compute the gradient with another rule backwards through each ReLU, of ids summed over what they stand for.

        Raises:
            ValueError: the rows are not what the model reads, a target is no column, or there is no such rule.
        """
        found: dict[str, list[Floats]] = {name: [] for name in inputs}
        for part, at in self._parts({**inputs}):
            columns = np.asarray(target)[at : at + n_rows(part)]
            slopes = self.above.rectified_gradient(self.embed(part), columns, rule)
            for name, parts in found.items():
                slope = slopes[name]
                parts.append(slope.sum(axis=-1) if slope.ndim > part[name].ndim else slope)
        return {name: np.concatenate(parts) for name, parts in found.items()}
