"""Looking into a Keras model, layer by layer: what a layer gives, and how the score changes with it.

A layer is looked at while one call of the whole model is traced: its ``call`` is passed through for that long. So nothing
is rebuilt, and it makes no difference whether a model is functional, Sequential (called or not) or nested.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, Inputs, LayerShape
from runtimes.formats.batches import conform, n_rows, slices
from runtimes.formats.keras_rectified import rectifiers
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.formats.layer_calls import LooksIntoLayers, Traced

Through = Callable[[Any], Any]
"""What becomes of what a layer gives."""

_CALLS = ("call", "quantized_call")
"""Keras runs the second one of a layer whose weights are quantised; operations between layers have the first one alone."""


class LooksInside(LooksIntoLayers):
    """Part of a Keras handle; see `runtimes.capabilities.LayerDifferentiable`, `Rectified` and `AttentionReadable`.

    A layer that is used several times in one call has no one output; it is not among the `layers`. Neither are inputs,
    layers with several outputs, and those that give whole numbers.
    """

    _model: Any

    @abstractmethod
    def _raw(self, arrays: Any) -> Any: ...

    @abstractmethod
    def _chosen(self, raw: Any, target: Any) -> Any: ...

    @abstractmethod
    def _specs(self) -> list[Any]: ...

    @property
    def layers(self) -> Sequence[LayerShape]:
        """Layers with one output, in the order of computation; those of nested models as ``outer/inner``."""
        found: Sequence[LayerShape] = self._once("layers", lambda: shapes_in(self._model, self._specs(), self._raw))
        return found

    def attention(self, inputs: Inputs) -> Mapping[str, Floats]:
        """Return what each layer of attention looks at; see `runtimes.capabilities.AttentionReadable`.

        Raises:
            ValueError: the rows are not what the model reads.
        """
        arrays = conform(inputs, self._inputs)
        names, run = self._once("attention", self._to_attention)
        tf = tensorflow()
        parts = [
            [np.asarray(scores.numpy()[:real], np.float64) for scores in run(*map(tf.constant, part.values()))]
            for part, real in slices(arrays, self.rows_per_call, self._fixed)
        ]
        self.spent.forward += n_rows(arrays)
        return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(names) if parts}

    def _find(self, name: str) -> Any:
        return next(layer for path, layer in layers_in(self._model) if path == name)

    def _forward_to(self, layer: str) -> Traced:
        tf, looked_into = tensorflow(), self._find(layer)

        def given(*arrays: Any) -> Any:
            with passing([(looked_into, kept := Kept())]):
                self._raw(list(arrays))
            return kept.tensors[0]

        made: Traced = tf.function(given, input_signature=self._specs(), autograph=False)
        return made

    def _back_to(self, layer: str) -> Traced:
        tf, looked_into = tensorflow(), self._find(layer)

        def slope(target: Any, *arrays: Any) -> Any:
            with (
                tf.GradientTape(watch_accessed_variables=False) as tape,
                passing([(looked_into, kept := Kept(tape.watch))]),
            ):
                chosen = self._chosen(self._raw(list(arrays)), target)
            none = tf.UnconnectedGradients.ZERO
            return kept.tensors[0], tape.gradient(chosen, kept.tensors[0], unconnected_gradients=none)

        signature = [tf.TensorSpec((None,), "int32"), *self._specs()]
        made: Traced = tf.function(slope, input_signature=signature, autograph=False)
        return made

    def _back_to_inputs(self, rule: str, size: int | None) -> Traced:
        tf = tensorflow()

        def slope(target: Any, *arrays: Any) -> Any:
            varied = [array for array in arrays if array.dtype.is_floating]
            with tf.GradientTape(watch_accessed_variables=False) as tape, replaced(rectifiers(self._model, rule)):
                tape.watch(varied)
                chosen = self._chosen(self._raw(list(arrays)), target)
            slopes = iter(tape.gradient(chosen, varied, unconnected_gradients=tf.UnconnectedGradients.ZERO))
            return [next(slopes) if array.dtype.is_floating else tf.zeros_like(array) for array in arrays]

        specs = [tf.TensorSpec((size, *spec.shape[1:]), spec.dtype) for spec in self._specs()]
        signature = [tf.TensorSpec((size,), "int32"), *specs]
        made: Traced = tf.function(slope, input_signature=signature, autograph=False)
        return made

    def _to_attention(self) -> tuple[list[str], Any]:
        """The names of the layers of attention in the order of computation, and a function to what they look at."""
        tf = tensorflow()
        places = {layer.name: place for place, layer in enumerate(self.layers)}
        kind = keras().layers.MultiHeadAttention
        found = {name: layer for name, layer in layers_in(self._model) if isinstance(layer, kind) and name in places}
        names = sorted(found, key=places.__getitem__)

        def given(*arrays: Any) -> Any:
            scores: list[Any] = []
            with replaced([(found[name], "call", _scoring(found[name].call, scores)) for name in names]):
                self._raw(list(arrays))
            return scores

        return names, tf.function(given, input_signature=self._specs(), autograph=False)


def _scoring(call: Any, scores: list[Any]) -> Any:
    """A layer of attention whose scores are kept while it is called."""

    def called(*args: Any, **kwargs: Any) -> Any:
        answer, looked_at = call(*args, **(kwargs | {"return_attention_scores": True}))
        scores.append(looked_at)
        return answer

    return called


class Kept:
    """Keeps what a layer gives; what follows goes through the kept tensor, so that it can be differentiated by it."""

    def __init__(self, watch: Callable[[Any], None] | None = None) -> None:
        self.tensors: list[Any] = []
        self._watch = watch

    def __call__(self, given: Any) -> Any:  # noqa: D102
        # A layer may give what it was given (dropout when predicting): others may read that beside it.
        same = tensorflow().identity(given)
        mask = getattr(given, "_keras_mask", None)
        if mask is not None:
            same._keras_mask = mask
        if self._watch:
            self._watch(same)
        self.tensors.append(same)
        return same


@contextmanager
def passing(layers: Iterable[tuple[Any, Through]]) -> Iterator[None]:
    """While a call of the model is traced, what the layers give passes through functions."""
    changes = [(layer, name, _through(getattr(layer, name), then)) for layer, then in layers for name in _CALLS]
    with replaced(changes):
        yield


def _through(call: Any, then: Through) -> Any:
    return lambda *args, **kwargs: then(call(*args, **kwargs))


def call_of(operation: Any) -> Any:
    """What Keras runs of a layer, or of an operation between layers, when it is called."""
    policy = getattr(operation, "dtype_policy", None)
    return operation.quantized_call if getattr(policy, "quantization_mode", None) else operation.call


def in_place_of_call(operation: Any, called: Any) -> list[tuple[Any, str, Any]]:
    """The changes for `replaced` by which ``called`` is run in place of a layer or operation, quantised or not."""
    return [(operation, name, called) for name in _CALLS if hasattr(operation, name)]


@contextmanager
def replaced(changes: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Attributes of objects, other for a while; past Keras' own bookkeeping of what is set."""
    before: list[tuple[Any, str, bool, Any]] = []
    try:
        for thing, name, value in changes:
            before.append((thing, name, name in vars(thing), vars(thing).get(name)))
            vars(thing)[name] = value
        yield
    finally:
        for thing, name, was_there, value in reversed(before):
            if was_there:
                vars(thing)[name] = value
            else:
                del vars(thing)[name]


def layers_in(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every layer by its name, those of nested models as ``outer/inner``."""
    for layer in model.layers:
        yield f"{prefix}{layer.name}", layer
        if isinstance(layer, keras().Model):
            yield from layers_in(layer, f"{prefix}{layer.name}/")


def shapes_in(model: Any, specs: Sequence[Any], run: Callable[[list[Any]], Any]) -> tuple[LayerShape, ...]:
    """The layers that one call of the model uses once, and that give one array of numbers."""
    tf = tensorflow()
    seen: list[tuple[str, Any]] = []

    def noting(name: str) -> Through:
        def note(given: Any) -> Any:
            seen.append((name, given))
            return given

        return note

    def traced(*arrays: Any) -> Any:
        named: dict[int, tuple[str, Any]] = {}
        for name, layer in layers_in(model):
            named.setdefault(id(layer), (name, layer))
        with passing([(layer, noting(name)) for name, layer in named.values()]):
            return run(list(arrays))

    tf.function(traced, input_signature=list(specs), autograph=False).get_concrete_function()
    kinds = {name: type(layer).__name__ for name, layer in layers_in(model)}
    names = [name for name, _ in seen]
    return tuple(
        LayerShape(name, kinds[name], tuple(given.shape[1:]))
        for name, given in seen
        if names.count(name) == 1 and tf.is_tensor(given) and given.dtype.is_floating and given.shape.rank
    )
