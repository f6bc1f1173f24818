"""Looking into an ONNX graph that was rebuilt in TensorFlow: what a node gives, and how the score changes with it."""

from abc import abstractmethod
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import Any

from runtimes.capabilities import LayerShape
from runtimes.formats.attention_calls import ReadsAttention
from runtimes.formats.graph_attention import Attention
from runtimes.formats.keras_rectified import rectifier
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.layer_calls import LooksIntoLayers, Traced
from runtimes.formats.onnx_layers import OnnxLayer, bound_of, cuts_at_zero
from runtimes.formats.onnx_rebuild import Rebuilt, Through
from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import Call, Laid, Use

_SHARES = 3
"""What the operator ``Attention`` calls the shares of attention, among what it can give beside its answer."""


class LooksInsideRebuilt(LooksIntoLayers, ReadsAttention):
    """Part of a handle on a rebuilt ONNX graph.

    See `runtimes.capabilities.LayerDifferentiable`, `Rectified` and `AttentionReadable`.
    """

    rebuilt: Rebuilt
    declared: Callable[[], Sequence[OnnxLayer]] = tuple
    """The layers that the file says."""
    attentive: Callable[[], Sequence[Attention]] = tuple
    """The attention that the file says."""

    @abstractmethod
    def _by(self, rebuilt: Rebuilt, tensors: Sequence[Any]) -> Any:
        """What a graph answers for the inputs, in their order."""

    @abstractmethod
    def _score(self, raw: Any, target: Any) -> Any:
        """Each row's score of its target column, ``(rows,)``."""

    @abstractmethod
    def _specs(self) -> list[Any]: ...

    @property
    def layers(self) -> Sequence[LayerShape]:
        """Nodes that weigh, activate, normalise, pool or join, in the order of computation."""
        return [LayerShape(one.name, one.kind, one.shape or ()) for one in self._known()]

    def _known(self) -> Sequence[OnnxLayer]:
        found: Sequence[OnnxLayer] = self._once("layers", self._of_the_file)
        return found

    def _of_the_file(self) -> Sequence[OnnxLayer]:
        """The layers that the file says; where it does not say their shapes, those that turn out to have some."""
        known = [one for one in self.declared() if one.tensor in self.rebuilt.made]
        unknown = {one.tensor for one in known if one.shape is None}
        if not unknown:
            return known
        tf, seen = tensorflow(), dict[str, Laid]()

        def noting(name: str) -> Through:
            return lambda given: seen.setdefault(name, given)

        noted = self.rebuilt.changed({name: noting(name) for name in unknown})
        traced = tf.function(lambda *tensors: self._by(noted, tensors), input_signature=self._specs(), autograph=False)
        traced.get_concrete_function()
        sizes = {name: given.sizes() for name, given in seen.items() if given.rank > 1}
        return [
            one.of_sizes(sizes.get(one.tensor, ())) for one in known if one.tensor in sizes or one.shape is not None
        ]

    def _find(self, name: str) -> OnnxLayer:
        return next(one for one in self._known() if one.name == name)

    def _forward_to(self, layer: str) -> Traced:
        tf, one = tensorflow(), self._find(layer)

        def given(*tensors: Any) -> Any:
            kept: list[Any] = []
            self._by(self.rebuilt.changed({one.tensor: _keeping(one, kept)}), tensors)
            return kept[0]

        made: Traced = tf.function(given, input_signature=self._specs(), autograph=False)
        return made

    def _back_to(self, layer: str) -> Traced:
        tf, one = tensorflow(), self._find(layer)

        def slope(target: Any, *tensors: Any) -> Any:
            kept: list[Any] = []
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                inside = self.rebuilt.changed({one.tensor: _keeping(one, kept, tape.watch)})
                score = self._score(self._by(inside, tensors), target)
            return kept[0], tape.gradient(score, kept[0], unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return self._backwards(slope)

    def _back_to_inputs(self, rule: str, size: int | None) -> Traced:
        tf = tensorflow()
        ruled = self.rebuilt.changed(instead=_by_rule(rule))

        def slope(target: Any, *tensors: Any) -> Any:
            varied = [tensor for tensor in tensors if tensor.dtype.is_floating]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(varied)
                score = self._score(self._by(ruled, tensors), target)
            slopes = iter(tape.gradient(score, varied, unconnected_gradients=tf.UnconnectedGradients.ZERO))
            return [next(slopes) if tensor.dtype.is_floating else tf.zeros_like(tensor) for tensor in tensors]

        return self._backwards(slope, size)

    def _attentions(self) -> Sequence[Attention]:
        return [one for one in self.attentive() if one.tensor in self.rebuilt.made]

    def _to_shares(self, attentions: Sequence[Attention]) -> Traced:
        tf = tensorflow()

        def given(*tensors: Any) -> list[Any]:
            kept: dict[str, Any] = {}
            passing = {one.tensor: _noting(one.tensor, kept) for one in attentions if not one.fused}
            fused = {one.tensor for one in attentions if one.fused}
            self._by(self.rebuilt.changed(passing, _telling(fused, kept)), tensors)
            return [kept[one.tensor] for one in attentions]

        made: Traced = tf.function(given, input_signature=self._specs(), autograph=False)
        return made

    def _backwards(self, slope: Traced, size: int | None = None) -> Traced:
        tf = tensorflow()
        specs = [tf.TensorSpec((self._fixed or size, *spec.shape[1:]), spec.dtype) for spec in self._specs()]
        signature = [tf.TensorSpec((self._fixed or size,), "int32"), *specs]
        made: Traced = tf.function(slope, input_signature=signature, autograph=False)
        return made


def _keeping(layer: OnnxLayer, kept: list[Any], watch: Callable[[Any], None] | None = None) -> Through:
    """Keeps what a layer gives, channels last; what follows reads the kept tensor, so that it can be differentiated by it."""

    def keep(given: Laid) -> Laid:
        tf, order = tensorflow(), layer.order(given.rank)
        own = given.in_order(tf, order)
        same = tf.identity(own if layer.steps is None else layer.steps.valued(own))
        if watch:
            watch(same)
        kept.append(same)
        if layer.steps is None:
            return Laid(same, order)
        again = layer.steps.counted(same)
        return Laid(tf.stop_gradient(own - again) + again, order)  # the very whole numbers

    return keep


def _noting(name: str, kept: dict[str, Any]) -> Through:
    """Notes a tensor with its axes as ONNX has them."""

    def note(given: Laid) -> Laid:
        kept[name] = given.plain(tensorflow())
        return given

    return note


def _telling(fused: Set[str], kept: dict[str, Any]) -> Callable[[Use], Callable[..., Any] | None]:
    """Has operators of attention compute what they look at as well, and notes it."""

    def instead(use: Use) -> Callable[..., Any] | None:
        if use.outputs[0] not in fused:
            return None
        run = operators()[use.domain, use.kind].run

        def told(call: Call, *given: Any) -> Any:
            shares = {**use.attributes, "qk_matmul_output_mode": _SHARES}
            kept[use.outputs[0]] = run(replace(call, use=replace(use, attributes=shares)), *given)[3]
            return run(call, *given)

        return told

    return instead


def _by_rule(rule: str) -> Callable[[Use], Callable[..., Any] | None]:
    """What rectifiers compute, with the gradient of a rule."""

    def instead(use: Use) -> Callable[..., Any] | None:
        if not cuts_at_zero(use):
            return None
        run = rectifier(rule, None if use.kind == "Relu" else bound_of(use, 2, "max"))
        return lambda call, x, *bounds: run(x)  # noqa: ARG005  called as its operator is

    return instead
