"""Layer-wise relevance propagation through a frozen graph: what each step gives forwards, and its rule backwards."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from runtimes.capabilities import Rule, Rules
from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.keras_relevance_kinds import CONVOLUTIONS
from runtimes.formats.keras_relevance_layers import routed
from runtimes.formats.keras_relevance_linear import Sums
from runtimes.formats.keras_relevance_recurrent import OF_INPUTS
from runtimes.formats.keras_relevance_rules import propagated, stabilised
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graph_operations import again
from runtimes.formats.tf_graph_relevance_steps import Step, Steps
from runtimes.formats.tf_graph_relevance_sums import sums_of

_OF_FIRST = frozenset({"box"})
_SPARED = 1e-6
"""How far denominators of plain sums and means are kept away from zero, as in `keras_relevance_layers`."""

Values = dict[str, Any]


class Trace:
    """One traced pass over a graph, step by step."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.values: Values = {}
        """By the tensor's name."""

    def outputs(self, arrays: Sequence[Any], *, whole: bool) -> list[Any]:
        """The graph's outputs for its inputs in order."""
        frozen = self.steps.operations.frozen
        self.values |= dict(zip(frozen.inputs, arrays, strict=True))
        for tensor in self.steps.needed(whole=whole):
            if tensor.name in self.values:
                continue
            if self.steps.is_step(tensor):
                self.values[tensor.name] = self.made(tensor, self.steps.of(tensor))
            else:
                self.plainly(tensor)
        return [self.read(frozen.graph.get_tensor_by_name(name)) for name in frozen.outputs]

    def made(self, tensor: Any, step: Step) -> Any:
        """What a step gives, with its own way back."""
        raise NotImplementedError

    def plainly(self, tensor: Any) -> Any:
        """What the operation of a tensor gives, with the way back that it has by itself."""
        found = again(tensor.op, [self.read(one) for one in tensor.op.inputs])
        for output, value in zip(tensor.op.outputs, found, strict=True):
            self.values.setdefault(output.name, value)
        return self.values[tensor.name]

    def read(self, tensor: Any) -> Any:
        """What a tensor is: made before, or a constant."""
        if tensor.name not in self.values:
            self.values[tensor.name] = tensorflow().constant(self.steps.operations.value(tensor))
        return self.values[tensor.name]

    def through(self, step: Step, held: frozenset[str] = frozenset()) -> Callable[[Any], Any]:
        """A step as a function of its source; what operations of kinds ``held`` give is taken as given."""
        tf = tensorflow()

        def call(x: Any) -> Any:
            found = {step.root: x}
            for operation in step.chain:
                given = [
                    found[one.name] if one.name in found else self.beside(one, step.sources[0], x)
                    for one in operation.inputs
                ]
                made = again(operation, given)
                if operation.type in held:
                    made = [tf.stop_gradient(one) for one in made]
                found |= {output.name: one for output, one in zip(operation.outputs, made, strict=True)}
            return found[step.operation.outputs[0].name]

        return call

    def over(self, step: Step) -> Callable[..., Any]:
        """A single operation as a function of its sources, everything else taken as given."""
        places = {tensor.name: place for place, tensor in enumerate(step.sources)}

        def call(*terms: Any) -> Any:
            given = [
                terms[places[one.name]] if one.name in places else self.beside(one, step.sources[0], terms[0])
                for one in step.operation.inputs
            ]
            return again(step.operation, given)[0]

        return call

    def beside(self, tensor: Any, _source: Any, _given: Any) -> Any:
        """What a tensor is beside other numbers ``_given`` of a source of its step."""
        return self.read(tensor)


class Backwards(Trace):
    """Propagates relevance."""

    def __init__(self, steps: Steps, rules: Rules) -> None:
        super().__init__(steps)
        self._rules = rules
        self._boxes: dict[str, tuple[Any, Any] | None] = {}
        """What may stand in a tensor that is an input as it is, or moved and rescaled at most."""
        self._biases: Values = {}
        """By tensor, how much of a weighted sum is its bias, be it moved since, or let through by a gate."""
        self._gated: set[str] = set()
        """Those of them that a gate let through."""

    def starts(self, low: Sequence[Any] | None, high: Sequence[Any] | None) -> None:
        """Say what the elements of the inputs may be, where it is known."""
        for place, name in enumerate(self.steps.operations.frozen.inputs):
            self._boxes[name] = None if low is None or high is None else (low[place], high[place])

    def made(self, tensor: Any, step: Step) -> Any:
        """What a step gives, with its rule backwards."""
        sources = [self.read(one) for one in step.sources]
        self._note_bias(tensor, step)
        if step.manner == "fixed":
            return tensorflow().stop_gradient(self.plainly(tensor))
        if step.manner == "shared" and step.operation.type in kinds.ADDING:
            return self._added(tensor, step, sources)
        if step.manner == "summed":
            return self._summed(step, sources[0])
        if step.manner == "weighed":
            return self._weighed(step, sources[0])
        if step.manner == "centred":
            return self._centred(step, sources[0])
        if step.manner == "passed":
            return routed(self.through(step)(sources[0]), sources, lambda relevance: [relevance])
        if step.manner == "affine":
            return self._affine(tensor, step, sources[0])
        if step.manner in ("shared", "gated"):
            return self._shared(self.over(step), sources, 1.0 / len(sources) if step.manner == "gated" else 1.0)
        if step.manner == "refused":
            return self._refused(tensor, step)
        self._note_moved(tensor, step)
        return self.plainly(tensor)

    def _refused(self, tensor: Any, step: Step) -> Any:
        """What has no rule is refused where relevance gets there."""

        def backwards(_relevance: Any) -> list[Any]:
            operation = step.operation
            raise ValueError(f"there is no rule for the operation `{operation.type}` (`{operation.name}`)")

        if not step.sources:
            backwards(None)
        return routed(self.plainly(tensor), [self.read(one) for one in step.sources], backwards)

    def _note_moved(self, tensor: Any, step: Step) -> None:
        """Note what may stand in a tensor that is a moved or rescaled input."""
        if len(step.sources) != 1 or step.root not in self._boxes or step.operation.type not in _STILL:
            return
        if any(one.dtype.is_floating and self.steps.operations.is_shaped(one) for one in step.operation.inputs):
            return  # beside what a cell remembers at the beginning
        box, tf = self._boxes[step.root], tensorflow()
        for made in _together(tensor, step):
            ends = () if box is None else [self._one(made, step, end) for end in box]
            self._boxes[made.name] = (tf.minimum(*ends), tf.maximum(*ends)) if ends else None

    def _one(self, tensor: Any, step: Step, x: Any) -> Any:
        given = [x if one.name == step.root else self.read(one) for one in step.operation.inputs]
        return again(step.operation, given)[list(step.operation.outputs).index(tensor)]

    def _rule(self, kind: str, names: frozenset[str], first: bool) -> Rule:
        places = names | {kind, "any"} | ({"first"} if first else set())
        if kind in CONVOLUTIONS:
            places |= {"convolution", "first_convolution"} if first else {"convolution"}
        for place, rule in self._rules:
            if place in places:
                return rule
        raise ValueError(f"no rule is given for the operation `{min(names, key=len)}` ({kind})")

    def _summed(self, step: Step, x: Any) -> Any:
        linear = step.linear
        assert linear is not None
        operations = self.steps.operations
        sums = sums_of(operations, linear, x, self.read)
        rule = self._rule(linear.kind, linear.names, step.root in self._boxes)
        positive = operations.range(linear.data)[0] >= 0.0
        if len(sums) == 1 and sums[0].bias is not None:
            self._biases[step.operation.outputs[0].name] = sums[0].bias
        return self._by_rule(rule, sums, x, self._boxes.get(step.root), positive, _OF_FIRST)

    def _weighed(self, step: Step, x: Any) -> Any:
        """Sums of values, weighted by what is looked at, which is taken as given."""
        operation, signal = step.operation, step.sources[0]
        place = next(at for at, one in enumerate(operation.inputs) if one.name == signal.name)
        tf = tensorflow()
        weights = tf.stop_gradient(self.read(operation.inputs[1 - place]))

        def apply(values: Any, kernel: Any) -> Any:
            return again(operation, [values, kernel] if place == 0 else [kernel, values])[0]

        rule = self._rule("Attention", frozenset({operation.name}), first=False)
        rule = replace(rule, name="epsilon") if rule.name in OF_INPUTS else rule
        return self._by_rule(rule, [Sums(apply, weights, None)], x, None, False, OF_INPUTS)

    def _by_rule(self, rule: Rule, sums: list[Sums], x: Any, box: Any, positive: bool, of_first: frozenset[str]) -> Any:
        passed = [x]
        for one in sums:
            passed.append(one.forward(passed[-1]))

        def backwards(relevance: Any) -> list[Any]:
            for place in range(len(sums) - 1, -1, -1):
                own = replace(rule, name="epsilon") if place and rule.name in of_first else rule
                relevance = propagated(own, sums[place], passed[place], relevance, box, positive and not place)
            return [relevance]

        return routed(passed[-1], [x], backwards)

    def _spares_bias(self, step: Step) -> bool:
        """Whether what a normalisation adds absorbs nothing."""
        places = {step.operation.name, "any"}
        return not next((rule.biases for place, rule in self._rules if place in places), True)

    def _affine(self, tensor: Any, step: Step, x: Any) -> Any:
        """A number times a constant, or with one added, that stands on no weighted sum."""
        self._note_moved(tensor, step)
        given = self.plainly(tensor)
        same = given.shape.rank == x.shape.rank and list(given.shape) == list(x.shape)
        if same and (step.root in self._boxes or self._spares_bias(step) or _is_activation(step)):
            return routed(given, [x], lambda relevance: [relevance])
        return self._shared(self.over(step), [x], spares=self._spares_bias(step))

    def _note_bias(self, tensor: Any, step: Step) -> None:
        """Note how much of a tensor is a bias: of a weighted sum that was moved or gated, or all of it."""
        if step.manner == "fixed":
            self._biases[tensor.name] = self.plainly(tensor)
            self._gated.add(tensor.name)
        elif len(step.sources) == 1 and step.root in self._biases:
            if step.manner == "plain":
                for made in _together(tensor, step):
                    self._biases[made.name] = self._one(made, step, self._biases[step.root])
            elif step.manner == "gated":
                self._biases[tensor.name] = self.over(step)(self._biases[step.root])
                self._gated.add(tensor.name)

    def _added(self, tensor: Any, step: Step, sources: list[Any]) -> Any:
        """In proportion to the terms; where one was gated, without the biases that a rule leaves out of denominators.

        That is one sum with a factor inside, as a GRU has it that resets what it has weighed already.
        """
        names = [one.name for one in step.sources]
        if not self._gated.intersection(names) or not self._spares_bias(step):
            return self._shared(self.over(step), sources)
        tf = tensorflow()
        made = self.plainly(tensor)
        terms = [
            term - self._biases[name] if name in self._biases else term
            for name, term in zip(names, sources, strict=True)
        ]

        def backwards(relevance: Any) -> list[Any]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(terms)
                summed = self.over(step)(*terms)
            slopes = tape.gradient(summed, terms, output_gradients=relevance / stabilised(summed, _SPARED))
            return [term * slope for term, slope in zip(terms, slopes, strict=True)]

        return routed(made, sources, backwards)

    def _shared(
        self, call: Callable[..., Any], sources: list[Any], weight: float = 1.0, *, spares: bool = False
    ) -> Any:
        """In proportion to the terms of a sum, to the factors of a product alike; to what is added too, unless it is spared."""
        tf = tensorflow()

        def backwards(relevance: Any) -> list[Any]:
            terms = [tf.identity(source) for source in sources]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(terms)
                summed = call(*terms)
            whole = summed - call(*map(tf.zeros_like, sources)) if spares else summed
            slopes = tape.gradient(summed, terms, output_gradients=relevance / stabilised(whole, _SPARED))
            return [weight * term * slope for term, slope in zip(terms, slopes, strict=True)]

        return routed(call(*sources), sources, backwards)

    def _centred(self, step: Step, x: Any) -> Any:
        """A normalisation over numbers of the row itself, linear once its spread is taken as given (Ali et al., 2022)."""
        tf, call = tensorflow(), self.through(step, kinds.SPREADS)
        given = call(x)

        def backwards(relevance: Any) -> list[Any]:
            term = tf.identity(x)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(term)
                made = call(term)
            summed = _without_offset(call, term, made) if self._spares_bias(step) else made
            return [term * tape.gradient(made, term, output_gradients=relevance / stabilised(summed, _SPARED))]

        return routed(given, [x], backwards)


def _without_offset(call: Callable[[Any], Any], x: Any, made: Any) -> Any:
    """The part of an affine function's value that is owed to its argument: the slope of its slope's slope, times that."""
    tf = tensorflow()
    weights = tf.zeros_like(made)
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(weights)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            summed = call(x)
        slope = tape.gradient(summed, x, output_gradients=weights)
    return outer.gradient(slope, weights, output_gradients=x)


def _together(tensor: Any, step: Step) -> list[Any]:
    """What is made at once with a tensor: all parts of what is split."""
    return list(step.operation.outputs) if step.operation.type in kinds.MOVED else [tensor]


def _is_activation(step: Step) -> bool:
    """Whether a single number is added: as in ``x / 6 + 0.5``."""
    constants = [tensor for tensor in step.operation.inputs if tensor.name != step.root]
    return step.operation.type in kinds.ADDING and constants[0].shape.rank == 0


_STILL = kinds.MOVED | kinds.SCALING | kinds.ADDING | kinds.NORMALISED | {"BiasAdd"}
