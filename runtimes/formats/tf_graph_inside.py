"""Looking into a TensorFlow graph that is no graph of Keras layers: SavedModels, and whatever else can be traced."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, LayerShape
from runtimes.formats.attention_calls import ReadsAttention
from runtimes.formats.batches import probe
from runtimes.formats.graph_attention import Attention, attentions_among
from runtimes.formats.graph_layers import ENDS, ONLY_LOOKS, PASSES_ON, RECTIFIERS, GraphLayer, Operation, layers_of
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.layer_calls import LooksIntoLayers, Traced
from runtimes.formats.tf_graphs import FrozenGraph, frozen, placed
from runtimes.target import ModelFileError

_SAME = 1e-4
"""Largest difference between the slopes of the graph and those that the model itself gives, as a part of the largest."""

_INPUTS = frozenset({"Placeholder", "PlaceholderWithDefault"})


class LooksInsideGraph(LooksIntoLayers, ReadsAttention):
    """Part of a handle on a traced function.

    See `runtimes.capabilities.LayerDifferentiable`, `Rectified` and `AttentionReadable`.
    """

    _answers: Any
    """The traced function, from the inputs to what the score is made of."""
    _slopes: Any
    """The same of the gradient: from targets and inputs to an array an input."""
    _gives_logits: bool

    @abstractmethod
    def _chosen(self, raw: Any, target: Any) -> Any: ...

    @abstractmethod
    def _specs(self) -> list[Any]: ...

    @property
    def layers(self) -> Sequence[LayerShape]:
        """Scopes and operations that weigh, activate, normalise, pool or join, in the order of computation."""
        return [LayerShape(one.name, one.kind, one.shape or ()) for one in self._known()]

    def _known(self) -> Sequence[GraphLayer]:
        def find() -> Sequence[GraphLayer]:
            found = layers_of(operations_of(self._frozen(), below=self._gives_logits), self._fixed)
            return [one for one in found if one.used == 1 and one.shape]

        known: Sequence[GraphLayer] = self._once("layers", find)
        return known

    def _frozen(self) -> FrozenGraph:
        found: FrozenGraph = self._once("graph", lambda: frozen(self._answers))
        return found

    def _believed(self) -> FrozenGraph:
        """The graph, once its slopes are seen to be those of the model.

        Raises:
            ModelFileError: the model brings gradients of its own that are others.
        """
        found: FrozenGraph = self._once("believed", self._compare)
        return found

    def _compare(self) -> FrozenGraph:
        tf, graph = tensorflow(), self._frozen()
        rng = np.random.default_rng(0)
        many = {name: (self._fixed or 2, *array.shape[1:]) for name, array in probe(self._inputs).items()}
        tensors = [
            tf.constant(rng.standard_normal(shape) if spec.dtype.is_floating else np.zeros(shape, int), spec.dtype)
            for shape, spec in zip(many.values(), self._specs(), strict=True)
        ]
        target = tf.zeros(self._fixed or 2, "int32")
        ours, theirs = self._back(graph, {})(target, *tensors), self._slopes(target, *tensors)
        for own, given in zip(ours, theirs, strict=True):
            if _differ(np.asarray(own.numpy(), np.float64), np.asarray(given.numpy(), np.float64)):
                raise ModelFileError(
                    "the model brings a gradient of its own (`tf.custom_gradient`), and layers are seen without it",
                    "export it without that gradient, or use methods that need no layers",
                )
        return graph

    def _tensor(self, layer: str) -> str:
        return f"{next(one.operation for one in self._known() if one.name == layer)}:0"

    def _forward_to(self, layer: str) -> Traced:
        tf, graph, tensor = tensorflow(), self._frozen(), self._tensor(layer)

        def given(*tensors: Any) -> Any:
            (found,) = placed(graph, dict(zip(graph.inputs, tensors, strict=True)), [tensor])
            return found

        made: Traced = tf.function(given, input_signature=self._specs(), autograph=False)
        return made

    def _back_to(self, layer: str) -> Traced:
        tf, graph, tensor = tensorflow(), self._believed(), self._tensor(layer)

        def slope(target: Any, *tensors: Any) -> Any:
            given = dict(zip(graph.inputs, tensors, strict=True))
            found, raw = placed(graph, given, [tensor, graph.outputs[0]])
            (by_layer,) = tf.gradients(self._chosen(raw, target), [found], unconnected_gradients="zero")
            return found, by_layer

        signature = [tf.TensorSpec((None,), "int32"), *self._specs()]
        made: Traced = tf.function(slope, input_signature=signature, autograph=False)
        return made

    def _attentions(self) -> Sequence[Attention]:
        return attentions_among(operations_of(self._frozen(), below=self._gives_logits)).readable

    def _to_shares(self, attentions: Sequence[Attention]) -> Traced:
        tf, graph, tensors = tensorflow(), self._frozen(), [f"{one.tensor}:0" for one in attentions]

        def given(*arrays: Any) -> list[Any]:
            return placed(graph, dict(zip(graph.inputs, arrays, strict=True)), tensors)

        made: Traced = tf.function(given, input_signature=self._specs(), autograph=False)
        return made

    def _back_to_inputs(self, rule: str, size: int | None) -> Traced:
        names = _registered()
        return self._back(self._believed(), {kind: names[rule, kind] for kind in RECTIFIERS}, size)

    def _back(self, graph: FrozenGraph, overrides: dict[str, str], size: int | None = None) -> Traced:
        tf = tensorflow()

        def slope(target: Any, *tensors: Any) -> Any:
            given = dict(zip(graph.inputs, tensors, strict=True))
            (raw,) = placed(graph, given, graph.outputs[:1], overrides)
            varied = [tensor for tensor in tensors if tensor.dtype.is_floating]
            slopes = iter(tf.gradients(self._chosen(raw, target), varied, unconnected_gradients="zero"))
            return [next(slopes) if tensor.dtype.is_floating else tf.zeros_like(tensor) for tensor in tensors]

        rows = self._fixed or size
        specs = [tf.TensorSpec((rows, *spec.shape[1:]), spec.dtype) for spec in self._specs()]
        made: Traced = tf.function(slope, input_signature=[tf.TensorSpec((rows,), "int32"), *specs], autograph=False)
        return made


def _differ(ours: Floats, theirs: Floats) -> bool:
    largest = float(np.abs(theirs).max(initial=0.0))
    return not np.allclose(ours, theirs, rtol=0.0, atol=_SAME * max(largest, 1e-6), equal_nan=True)


@cache
def _registered() -> dict[tuple[str, str], str]:
    """By rule and kind of rectifier, the name under which its gradient is registered with TensorFlow.

    As `runtimes.formats.keras_rectified.rectifier`: what is cut off above is no more active than what is cut off below.
    """
    tf = tensorflow()
    names: dict[tuple[str, str], str] = {}
    for kind in sorted(RECTIFIERS):
        for rule in ("deconvolution", "guided"):
            names[rule, kind] = f"pgx_{rule}_{kind}"
            tf.RegisterGradient(names[rule, kind])(_guided if rule == "guided" else _deconvolved)
    return names


def _deconvolved(operation: Any, slope: Any) -> Any:  # noqa: ARG001  called as gradients are
    tf = tensorflow()
    return tf.maximum(slope, tf.zeros((), slope.dtype))


def _guided(operation: Any, slope: Any) -> Any:
    tf, given = tensorflow(), operation.inputs[0]
    active = given > tf.zeros((), given.dtype)
    if operation.type == "Relu6":
        active &= given < tf.cast(6.0, given.dtype)
    return tf.where(active, _deconvolved(operation, slope), tf.zeros_like(slope))


def operations_of(graph: FrozenGraph, *, below: bool) -> list[Operation]:
    """The operations on the way from the inputs to the output, below its final activation, in the order of computation.

    Args:
        graph: the graph.
        below: whether that activation is gone already.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    end = _node_of(graph.outputs[0])
    while nodes[end].op in PASSES_ON:
        end = _node_of(nodes[end].input[0])
    if nodes[end].op in ENDS and not below:
        end = _node_of(nodes[end].input[0])
    found: dict[str, Operation | None] = {}
    waiting = [(end, False)]
    while waiting:
        name, ready = waiting.pop()
        read = [] if nodes[name].op in ONLY_LOOKS else [_node_of(tensor) for tensor in nodes[name].input]
        if not ready:
            if name not in found:
                found[name] = None
                waiting += [(name, True), *[(one, False) for one in reversed(read)]]
            continue
        live = tuple(one for one in read if found[one] is not None)
        if live or nodes[name].op in _INPUTS:
            del found[name]
            found[name] = _operation(graph, nodes, nodes[name], live)
    return [one for one in found.values() if one is not None and one.kind not in _INPUTS]


def _operation(graph: FrozenGraph, nodes: Mapping[str, Any], node: Any, read: tuple[str, ...]) -> Operation:
    made = graph.graph.get_operation_by_name(node.name).outputs
    if not made:
        return Operation(node.name, node.op, read)
    shape = None if made[0].shape.rank is None else tuple(made[0].shape)
    said = dict(node.attr.items())  # to ask the message itself for what is not there would write it into the node
    equation = said["equation"].s.decode() if "equation" in said else ""
    left, right = (side in said and said[side].b for side in ("adj_x", "adj_y"))
    turn = _turn_of(nodes[_node_of(node.input[1])]) if node.op == "Transpose" else None
    return Operation(node.name, node.op, read, made[0].dtype.name, shape, 0, turn, equation, (left, right))


def _turn_of(order: Any) -> tuple[int, ...] | None:
    """The order that axes are brought into, where a constant says it."""
    return tuple(tensorflow().make_ndarray(order.attr["value"].tensor).tolist()) if order.op == "Const" else None


def _node_of(tensor: str) -> str:
    return tensor.partition(":")[0]
