"""TensorFlow graphs that say everything themselves: variables as constants, functions written out, cut where one likes.

What a SavedModel, a subclassed Keras model and a rebuilt ONNX file have in common below their differences.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runtimes.formats.keras_runtime import tensorflow

_WRITTEN_OUT = "Func/"
"""What begins the names of identities that TensorFlow leaves for the arguments and results of a function."""

_PLACED = "PartitionedCall"
"""What begins the names of a graph that is written into another: as those of what is called, they go by without it."""

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})

_GRADIENT = "_gradient_op_type"
"""The attribute that names an operation's gradient where it is another than that of its kind."""

Spec = tuple[tuple[int | None, ...] | None, str]
"""Shape (None: not known) and type of a tensor."""


@dataclass(frozen=True)
class FrozenGraph:
    """The graph of one function."""

    graph_def: Any
    """Its ``GraphDef``: variables are constants, and calls of functions are written out."""
    inputs: tuple[str, ...]
    """Tensors (``x:0``) in the order of the function's arguments."""
    outputs: tuple[str, ...]

    @cached_property
    def graph(self) -> Any:
        """The same as a ``tf.Graph``, to look at its operations and what is known of their shapes."""
        tf = tensorflow()
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(self.graph_def, name="")
        return graph

    def spec(self, tensor: str) -> Spec:
        """Shape and type of a tensor."""
        found = self.graph.get_tensor_by_name(tensor)
        return (None if found.shape.rank is None else tuple(found.shape), found.dtype.name)


def frozen(concrete: Any) -> FrozenGraph:
    """The graph of a traced function (``tf.function(…).get_concrete_function()``).

    Loops and branches stay what they are (``While``, ``If``), so that they keep their gradients. Operations keep their names
    below those of the calls that lead to them (``StatefulPartitionedCall/net/conv1/Conv2D``). Gradients that a function brings
    itself (``tf.custom_gradient``) are lost: they are closures over the trace that they come from. What is left is the
    derivative of what is computed, which `tf.nn.silu` and its like write in another order only.
    """
    constants = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    found = constants.convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    inputs, outputs = ([one.name for one in side] for side in (found.inputs, found.outputs))
    return FrozenGraph(
        _tidied(_written_out(found.graph.as_graph_def()), [*inputs, *outputs]), tuple(inputs), tuple(outputs)
    )


def _written_out(definition: Any) -> Any:
    """A graph without calls: TensorFlow leaves those of functions that are to be compiled (``jit_compile``) as they are."""
    library = {one.signature.name: one for one in definition.library.function}
    while calls := {
        one.name: one for one in definition.node if one.op in _CALLS and one.attr["f"].func.name in library
    }:
        written, renamed = [], dict[str, str]()
        for name, call in calls.items():
            nodes, results = _body(library[call.attr["f"].func.name], call)
            written += nodes
            renamed |= {f"{name}:{place}": tensor for place, tensor in enumerate(results)}
        made = type(definition)(versions=definition.versions, library=definition.library)
        made.node.extend([*(one for one in definition.node if one.name not in calls), *written])
        for node in made.node:
            read = [_renamed(tensor, renamed) for tensor in node.input if not tensor.startswith("^")]
            del node.input[:]
            node.input.extend(read)
        definition = made
    return definition


def _renamed(tensor: str, renamed: Mapping[str, str]) -> str:
    while (name := tensor if ":" in tensor else f"{tensor}:0") in renamed:
        tensor = renamed[name]
    return tensor


def _body(function: Any, call: Any) -> tuple[list[Any], list[str]]:
    """The nodes of a function under the name of its call, and the tensors that are its results."""
    writing = importlib.import_module("tensorflow.python.framework.function_def_to_graph")
    body, flat = writing.function_def_to_graph_def(function)
    given = [tensor for tensor in call.input if not tensor.startswith("^")]
    arguments = dict(zip([one.name for one in function.signature.input_arg], given, strict=True))

    def found_at(tensor: str) -> str:
        name, colon, port = tensor.partition(":")
        return arguments.get(name) or f"{call.name}/{name}{colon}{port}"

    nodes = [node for node in body.node if node.name not in arguments]
    for node in nodes:
        read = [found_at(tensor) for tensor in node.input if not tensor.startswith("^")]
        del node.input[:]
        node.input.extend(read)
        node.name = f"{call.name}/{node.name}"
    return nodes, [found_at(flat[function.ret[one.name]]) for one in function.signature.output_arg]


def _tidied(definition: Any, kept: Sequence[str]) -> Any:
    """A graph without the identities that writing out functions leaves, and without what orders effects: it has none."""
    nodes = {node.name: node for node in definition.node}
    passes = {
        name: node.input[0] for name, node in nodes.items() if node.op == "Identity" and name.startswith(_WRITTEN_OUT)
    }
    needed: dict[str, None] = {}
    waiting = [tensor.partition(":")[0] for tensor in kept]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed[name] = None
        read = []
        for tensor in (one for one in nodes[name].input if not one.startswith("^")):
            while tensor in passes:
                tensor = passes[tensor]
            read.append(tensor)
        del nodes[name].input[:]
        nodes[name].input.extend(read)
        waiting += [tensor.partition(":")[0] for tensor in read]
    made = type(definition)(versions=definition.versions, library=definition.library)
    made.node.extend(node for node in definition.node if node.name in needed)
    for node in _all_nodes(made):
        if _GRADIENT in node.attr:
            del node.attr[_GRADIENT]
    return made


def function_of(
    graph: FrozenGraph,
    feeds: Sequence[str],
    fetches: Sequence[str],
    overrides: Mapping[str, str] | None = None,
) -> Callable[..., list[Any]]:
    """A function from some tensors of a graph to others, that can be called eagerly, traced, and differentiated.

    Args:
        graph: the graph.
        feeds: tensors that the arguments stand for; what they are computed from is not computed.
        fetches: tensors that are given, one each.
        overrides: by kind of operation (``Relu``), the name under which its gradient is registered with
            ``tf.RegisterGradient``, where it shall be another than its own.
    """
    tf = tensorflow()
    shapes = [graph.spec(name) for name in feeds]
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in shapes]

    def run(*tensors: Any) -> Any:
        return placed(graph, dict(zip(feeds, tensors, strict=True)), fetches, overrides)

    made: Callable[..., list[Any]] = tf.function(
        run, input_signature=signature, autograph=False
    ).get_concrete_function()
    return made


def placed(
    graph: FrozenGraph, given: Mapping[str, Any], fetches: Sequence[str], overrides: Mapping[str, str] | None = None
) -> list[Any]:
    """Write a graph into the function that is being traced, and return some of its tensors there.

    A tape sees nothing of it: ``tf.gradients`` differentiates by whichever tensor one likes.

    Args:
        graph: the graph.
        given: by tensor of the graph, the one of the function that stands for it.
        fetches: tensors that are returned.
        overrides: as in `function_of`.
    """
    definition = _with_own_functions(_with_gradients(graph.graph_def, overrides or {}))
    found: list[Any] = tensorflow().graph_util.import_graph_def(
        definition, input_map=dict(given), return_elements=list(fetches), name=_PLACED
    )
    return found


def _with_gradients(definition: Any, overrides: Mapping[str, str]) -> Any:
    """A copy in which operations of some kinds name the gradients that they shall have."""
    if not overrides:
        return definition
    made = type(definition)()
    made.CopyFrom(definition)
    for node in _all_nodes(made):
        if node.op in overrides:
            node.attr[_GRADIENT].s = overrides[node.op].encode()
    return made


def _with_own_functions(definition: Any) -> Any:
    """A copy whose loops and branches call functions of other names than those of any copy before.

    TensorFlow names the functions of a loop's gradient after the loop's own, and refuses two of one name.
    """
    if not definition.library.function:
        return definition
    number = importlib.import_module("tensorflow.python.framework.ops").uid()
    made = type(definition)()
    made.CopyFrom(definition)
    names = {function.signature.name for function in made.library.function}
    for function in made.library.function:
        function.signature.name = f"{function.signature.name}_{number}"
    for node in _all_nodes(made):
        for attribute in node.attr.values():
            for called in (*([attribute.func] if attribute.HasField("func") else []), *attribute.list.func):
                if called.name in names:
                    called.name = f"{called.name}_{number}"
    here = importlib.import_module("tensorflow.python.eager.context").context()
    for function in made.library.function:
        here.add_function_def(function)  # importing a graph alone leaves them unknown to whoever runs it
    return made


def _all_nodes(definition: Any) -> list[Any]:
    """The nodes of a graph, and of what its loops and branches call."""
    return [*definition.node, *[node for function in definition.library.function for node in function.node_def]]


def in_order(wanted: Iterable[Any]) -> list[Any]:
    """Operations of a graph and all that they need, each after what it reads."""
    done: dict[str, Any] = {}
    waiting = list(wanted)[::-1]
    while waiting:
        operation = waiting[-1]
        lacking = [tensor.op for tensor in operation.inputs if tensor.op.name not in done]
        if operation.name in done or not lacking:
            done.setdefault(waiting.pop().name, operation)
        else:
            waiting += lacking
    return list(done.values())
