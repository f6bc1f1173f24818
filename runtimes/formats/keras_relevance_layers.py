"""What stands in a Keras layer's place while relevance is propagated: the same forwards, a rule backwards."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from runtimes.capabilities import Rule, Rules
from runtimes.formats import keras_relevance_kinds as kinds
from runtimes.formats.keras_layers import call_of, in_place_of_call
from runtimes.formats.keras_relevance_attention import attending, value_of
from runtimes.formats.keras_relevance_linear import Sums, can_fold, folded, sums_of
from runtimes.formats.keras_relevance_quantised import is_quantised, not_undone, own_sums, rounded
from runtimes.formats.keras_relevance_recurrent import OF_INPUTS, Unrolled
from runtimes.formats.keras_relevance_rules import propagated, stabilised
from runtimes.formats.keras_runtime import keras, tensorflow

Call = Callable[..., Any]

_OF_FIRST = frozenset({"box"})
_SPARED = 1e-6
"""How far denominators of plain sums and means are kept away from zero."""


def operations_in(model: Any, *, through: bool = False) -> Iterator[Any]:
    """Every layer and every operation between layers, those of nested models too, each once.

    ``through``: also those of a model that `TimeDistributed` holds.
    """
    seen: set[int] = set()

    def walk(part: Any) -> Iterator[Any]:
        functional = getattr(part, "_functional", None)
        own = list(getattr(functional or part, "operations", None) or part.layers)
        for operation in own:
            if isinstance(operation, keras().Model):
                yield from walk(operation)
            elif id(operation) not in seen:
                seen.add(id(operation))
                yield operation
                held = getattr(operation, "layer", None)
                if through and type(operation).__name__ == "TimeDistributed" and isinstance(held, keras().Model):
                    yield from walk(held)

    yield from walk(model)


def floats_of(args: Any) -> list[Any]:
    """The arrays of numbers among a call's arguments, in order."""
    tf = tensorflow()
    return [part for part in tf.nest.flatten(args) if tf.is_tensor(part) and part.dtype.is_floating]


def routed(given: Any, sources: Sequence[Any], backwards: Callable[[Any], Sequence[Any]]) -> Any:
    """The same tensor, with a way of its own back to its sources."""
    return routed_together([given], sources, backwards)[0]


def routed_together(given: Sequence[Any], sources: Sequence[Any], backwards: Callable[..., Sequence[Any]]) -> list[Any]:
    """The same tensors, with a way of their own back to their sources, of all together."""
    tf = tensorflow()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def through(*parts: Any) -> Any:
        same = [tf.identity(part) for part in parts[len(sources) :]]
        return same, lambda *upstream: (*backwards(*upstream), *map(tf.zeros_like, upstream))

    found = list(through(*sources, *map(tf.stop_gradient, given)))
    for before, after in zip(given, found, strict=True):
        mask = getattr(before, "_keras_mask", None)
        if mask is not None:
            after._keras_mask = mask
    return found


class Backwards:
    """Propagates relevance through one traced call of a model."""

    def __init__(self, model: Any, rules: Rules) -> None:
        self._model = model
        self._rules = rules
        self._boxes: dict[int, tuple[Any, Any] | None] = {}
        """What may stand in a tensor that is an input as it is, or moved and rescaled at most."""
        self._positive: set[int] = set()
        self._gates: set[int] = set()
        self._fresh: dict[int, tuple[Any, Any]] = {}
        """What a linear layer has just given, with the layer and its input."""
        self._kept: list[Any] = []
        """Tensors named above, so that no other takes their identity."""

    def starts(self, arrays: Sequence[Any], low: Sequence[Any] | None, high: Sequence[Any] | None) -> None:
        """Say what the inputs are and, where it is known, what their elements may be."""
        for place, array in enumerate(arrays):
            if array.dtype.is_floating:
                self._note(self._boxes, array, None if low is None or high is None else (low[place], high[place]))

    def changes(self) -> list[tuple[Any, str, Any]]:
        """What to replace of the model's layers."""
        found = []
        for operation in operations_in(self._model, through=True):
            call = call_of(operation)
            made = self._made(operation, call)
            if made is not None:
                found += in_place_of_call(operation, self._noting(operation, made, call))
        return found

    def _made(self, operation: Any, call: Call) -> Call | None:
        kind = type(operation).__name__
        if kind in kinds.LINEAR | kinds.ATTENDING | {"TimeDistributed"} and not_undone(operation):
            return lambda *args, **kwargs: self._refused(operation, call(*args, **kwargs), floats_of(args))
        if kind in kinds.LINEAR:
            return lambda x, *_args, **_kwargs: self._linear(operation, call, x)
        if kind in kinds.AFFINE:
            return lambda x, *args, **kwargs: self._scaled(operation, call, x, args, kwargs)
        if kind in kinds.ELEMENTWISE | kinds.SCALED:
            return lambda *args, **kwargs: self._passed(call, args, kwargs)
        if kind in kinds.CENTRED:
            return lambda x, *args, **kwargs: self._centred(operation, call, x, args, kwargs)
        if kind in kinds.SHARED or kind == "UpSampling2D":
            return lambda *args, **kwargs: self._shared(call, args, kwargs)
        if kind in kinds.GATED:
            return lambda *args, **kwargs: self._gated(operation, call, args, kwargs)
        if kind in kinds.ATTENDING:
            return lambda *args, **kwargs: self._attending(operation, call, args, kwargs)
        if kind in kinds.RECURRENT and _steps_singly(operation):
            return self._recurrent(operation, call)
        if kind == "Bidirectional":
            return self._both_ways(operation)
        if kind == "TimeDistributed":
            return self._each_time(operation, call)
        if kind in kinds.MOVED | kinds.WINNING | kinds.SAYING:
            return call
        return lambda *args, **kwargs: self._refused(operation, call(*args, **kwargs), floats_of(args))

    def _refused(self, operation: Any, given: Any, sources: list[Any]) -> Any:
        """What has no rule is refused where relevance gets there: a layer of another output is none of our business."""

        def backwards(_relevance: Any) -> list[Any]:
            said = f"{type(operation).__name__} {not_undone(operation)}".strip()
            raise ValueError(f"there is no rule for layer `{operation.name}` ({said})")

        return routed(given, sources, backwards)

    def _noting(self, operation: Any, made: Call, call: Call) -> Call:
        """Also notes of what is given whether it is an input still, a gate, or free of negative numbers."""
        kind = type(operation).__name__

        def called(*args: Any, **kwargs: Any) -> Any:
            given = made(*args, **kwargs)
            sources = floats_of(args)
            if kind in kinds.RECURRENT | {"Embedding"} or not tensorflow().is_tensor(given):
                return given
            if len(sources) == 1 and id(sources[0]) in self._boxes and kind in kinds.MOVED | kinds.AFFINE:
                self._note(
                    self._boxes, given, self._moved_box(sources[0], lambda x: call(*with_floats(args, [x]), **kwargs))
                )
            activation = kinds.activation_name(operation)
            keeps = kind in kinds.MOVED | kinds.WINNING | kinds.SHARED - {"Subtract"}
            if activation in ("relu", "relu6", "softplus", "sigmoid", "exponential") or (
                keeps and sources and all(id(source) in self._positive for source in sources)
            ):
                self._positive.add(id(given))
                self._kept.append(given)
            if activation in kinds.GATING_ACTIVATIONS:
                self._gates.add(id(given))
                self._kept.append(given)
            return given

        return called

    def _note(self, table: dict[int, Any], tensor: Any, value: Any) -> None:
        table[id(tensor)] = value
        self._kept.append(tensor)

    def _moved_box(self, source: Any, call: Call) -> tuple[Any, Any] | None:
        tf = tensorflow()
        box = self._boxes[id(source)]
        if box is None:
            return None
        low, high = call(box[0]), call(box[1])
        return tf.minimum(low, high), tf.maximum(low, high)

    def _rule(self, layer: Any, first: bool) -> Rule:
        kind = type(layer).__name__
        places = {layer.name, kind, "any"} | ({"first"} if first else set())
        if kind in kinds.CONVOLUTIONS:
            places |= {"convolution", "first_convolution"} if first else {"convolution"}
        for place, rule in self._rules:
            if place in places:
                return rule
        raise ValueError(f"no rule is given for layer `{layer.name}` ({kind})")

    def _spares_bias(self, layer: Any) -> bool:
        """Whether what a normalisation adds absorbs nothing."""
        places = {layer.name, type(layer).__name__, "any"}
        return getattr(layer, "center", True) and not next(
            (r.biases for place, r in self._rules if place in places), True
        )

    def _linear(self, layer: Any, call: Call, x: Any) -> Any:
        given = self._summed(layer, sums_of(layer), x, given=own_sums(layer, call, x))
        active = getattr(layer, "activation", None)
        if active is not None and active is not keras().activations.linear:
            inner = given
            if kinds.activation_name(layer) in kinds.TOGETHER:
                return self._refused(layer, active(inner), [inner])
            given = routed(active(inner), [inner], lambda relevance: [relevance])
        else:
            self._note(self._fresh, given, (layer, x))
        return given

    def _summed(
        self, layer: Any, steps: list[Sums], x: Any, of_first: frozenset[str] = _OF_FIRST, given: Any = None
    ) -> Any:
        """A weighted sum (or several, one after the other), by the rule of the layer's place.

        Rules ``of_first`` are for the first sum alone: the others go by epsilon. ``given`` is what the layer itself makes of it.
        """
        rule, box = self._rule(layer, id(x) in self._boxes), self._boxes.get(id(x))
        positive = id(x) in self._positive
        tf, passed = tensorflow(), [rounded(layer, x)]
        for step in steps:
            passed.append(step.forward(passed[-1]))

        def backwards(relevance: Any) -> list[Any]:
            relevance = tf.cast(relevance, passed[-1].dtype)
            for place in range(len(steps) - 1, -1, -1):
                # A box is known of the input alone, so that what follows its first sum takes a rule without one.
                own = replace(rule, name="epsilon") if place and rule.name in of_first else rule
                known = positive and not place
                relevance = propagated(own, steps[place], passed[place], relevance, box, known)
            return [tf.cast(relevance, x.dtype)]

        return routed(passed[-1] if given is None else given, [x], backwards)

    def _scaled(self, operation: Any, call: Call, x: Any, args: Any, kwargs: Any) -> Any:
        """An element times a number plus a number; of a batch normalisation, together with the layer that it stands on."""
        layer, source = self._fresh.get(id(x), (None, None))
        if type(operation).__name__ == "BatchNormalization" and layer is not None and can_fold(layer, operation):
            given = call(x, *args, **kwargs) if is_quantised(layer) else None
            return self._summed(layer, folded(layer, operation), source, given=given)
        if id(x) in self._boxes or self._spares_bias(operation):
            return self._passed(call, (x, *args), kwargs)
        return self._shared(call, (x, *args), kwargs)

    def _passed(self, call: Call, args: Any, kwargs: Any) -> Any:
        given, sources = call(*args, **kwargs), floats_of(args)
        if len(sources) != 1 or given.shape.rank != sources[0].shape.rank:
            return self._shared(call, args, kwargs)
        return routed(given, sources, lambda relevance: [relevance])

    def _gated(self, operation: Any, call: Call, args: Any, kwargs: Any) -> Any:
        """All to the signal of a product, to the numerator of a ratio; to all factors alike where none is a gate."""
        sources = floats_of(args)
        if len(sources) == 1:
            return self._passed(call, args, kwargs)
        if type(operation).__name__ in ("Divide", "TrueDivide"):
            return self._shared(call, args, kwargs, [1.0] + [0.0] * (len(sources) - 1))
        signals = [id(source) not in self._gates for source in sources]
        signals = signals if any(signals) else [True] * len(sources)
        return self._shared(call, args, kwargs, [signal / sum(signals) for signal in signals])

    def _shared(self, call: Call, args: Any, kwargs: Any, weights: Sequence[float] | None = None) -> Any:
        """In proportion to the terms of a sum; of a product, by weights that say which factor is a signal."""
        tf = tensorflow()
        given, sources = call(*args, **kwargs), floats_of(args)

        def backwards(relevance: Any) -> list[Any]:
            terms = [tf.identity(source) for source in sources]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(terms)
                again = call(*with_floats(args, terms), **kwargs)
            slopes = tape.gradient(again, terms, output_gradients=relevance / stabilised(again, _SPARED))
            return [
                weight * term * slope
                for term, slope, weight in zip(terms, slopes, weights or [1.0] * len(terms), strict=True)
            ]

        return routed(given, sources, backwards)

    def _attending(self, operation: Any, call: Call, args: Any, kwargs: Any) -> Any:
        """The values that are added up take all, what decides where to look nothing."""
        given, scores, steps = attending(operation, call, args, kwargs)
        found = self._summed(operation, steps, value_of(operation, args, kwargs), OF_INPUTS)
        mask = getattr(given, "_keras_mask", None)
        if mask is not None:
            found._keras_mask = mask
        return (found, tensorflow().stop_gradient(scores)) if kwargs.get("return_attention_scores") else found

    def _recurrent(self, layer: Any, call: Call) -> Call:
        """Step by step, backwards in time."""
        tf = tensorflow()

        def called(sequences: Any, initial_state: Any = None, mask: Any = None, **kwargs: Any) -> Any:
            given = call(sequences, initial_state=initial_state, mask=mask, **kwargs)
            several = isinstance(given, list | tuple)
            begun = [] if initial_state is None else tf.nest.flatten(initial_state)
            rule = self._rule(layer, id(sequences) in self._boxes)

            def backwards(*owed: Any) -> list[Any]:
                states = begun or tf.nest.flatten(layer.get_initial_state(batch_size=tf.shape(sequences)[0]))
                here, earlier = Unrolled(layer, sequences, states, mask).relevance(rule, owed[0], owed[1:])
                return [here, *earlier[: len(begun)]]

            found = routed_together(list(given) if several else [given], [sequences, *begun], backwards)
            return tuple(found) if several else found[0]

        return called

    def _both_ways(self, operation: Any) -> Call:
        """Two recurrent layers, one of them backwards in time, and what they give joined."""
        tf, layers = tensorflow(), [operation.forward_layer, operation.backward_layer]
        if not all(map(_steps_singly, layers)):
            call = operation.call
            return lambda *args, **kwargs: self._refused(operation, call(*args, **kwargs), floats_of(args))
        ways = [self._recurrent(layer, layer.call) for layer in layers]
        joins = {"sum": lambda one, other: one + other, "ave": lambda one, other: (one + other) / 2}

        def called(sequences: Any, initial_state: Any = None, mask: Any = None, **_kwargs: Any) -> Any:
            half = len(initial_state) // 2 if initial_state is not None else 0
            begun = [None, None] if initial_state is None else [initial_state[:half], initial_state[half:]]
            given = [way(sequences, begin, mask) for way, begin in zip(ways, begun, strict=True)]
            states = [state for one in given for state in one[1:]] if operation.return_state else []
            there, back = [one[0] for one in given] if operation.return_state else given
            back = tf.reverse(back, [1]) if operation.return_sequences else back
            if operation.merge_mode in joins:
                joined = [self._shared(joins[operation.merge_mode], (there, back), {})]
            elif operation.merge_mode == "mul":  # two signals, neither of them a gate
                joined = [self._shared(lambda one, other: one * other, (there, back), {}, [0.5, 0.5])]
            else:
                joined = [there, back] if operation.merge_mode is None else [tf.concat([there, back], -1)]
            return tuple(joined + states) if len(joined + states) > 1 else joined[0]

        return called

    def _each_time(self, operation: Any, call: Call) -> Call:
        """The same layer or model at each time: all times as rows."""
        tf, inner = tensorflow(), operation.layer
        made = inner if isinstance(inner, keras().Model) else self._made(inner, inner.call)

        def called(x: Any, *_args: Any, **_kwargs: Any) -> Any:
            sizes = tf.shape(x)
            rows = self._as_rows(x, sizes)
            given = (made or call)(rows)
            return tf.reshape(given, tf.concat([sizes[:2], tf.shape(given)[1:]], 0))

        return called

    def _as_rows(self, x: Any, sizes: Any) -> Any:
        tf = tensorflow()

        def together(array: Any) -> Any:
            found = tf.reshape(array, tf.concat([[-1], sizes[2:]], 0))
            return tf.ensure_shape(found, (None, *x.shape[2:]))

        rows = together(x)
        if id(x) in self._boxes:
            self._note(self._boxes, rows, self._moved_box(x, together))
        return rows

    def _centred(self, operation: Any, call: Call, x: Any, args: Any, kwargs: Any) -> Any:
        """A layer normalisation, linear once its spread is taken as given (Ali et al., 2022)."""
        tf = tensorflow()
        given = call(x, *args, **kwargs)

        def backwards(relevance: Any) -> list[Any]:
            axes = _normalised_axes(operation, x)
            spread = tf.math.rsqrt(tf.math.reduce_variance(x, axis=axes, keepdims=True) + operation.epsilon)
            shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
            scale = tf.reshape(keras().ops.convert_to_tensor(operation.gamma), shape) if operation.scale else 1.0
            summed = given - keras().ops.reshape(operation.beta, shape) if self._spares_bias(operation) else given
            share = relevance / stabilised(summed, _SPARED) * scale * spread
            return [x * (share - tf.reduce_mean(share, axis=axes, keepdims=True))]

        return routed(given, [x], backwards)


def _steps_singly(layer: Any) -> bool:
    """Whether a recurrent layer has one cell of a known kind, whose activation makes a number of one."""
    cell = getattr(layer, "cell", None)
    return type(cell).__name__ in kinds.CELLS and kinds.activation_name(cell) not in kinds.TOGETHER


def with_floats(args: Any, terms: list[Any]) -> Any:
    """The arguments with other numbers in their places."""
    tf = tensorflow()
    left = iter(terms)
    flat = [next(left) if tf.is_tensor(part) and part.dtype.is_floating else part for part in tf.nest.flatten(args)]
    return tf.nest.pack_sequence_as(args, flat)


def _normalised_axes(operation: Any, x: Any) -> list[int]:
    axis = getattr(operation, "axis", -1)
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    return [one % x.shape.rank for one in axes]
