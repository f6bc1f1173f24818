"""An ONNX graph as a TensorFlow function: each node by what `runtimes.formats.tf_operators` says that it computes."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.onnx_differentiable import Graph, named
from runtimes.formats.onnx_folding import folded
from runtimes.formats.onnx_graphs import model_of_body
from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, Use
from runtimes.target import ModelFileError

Array = NDArray[Any]

Through = Callable[[Laid], Laid]
"""What becomes of a tensor."""
Instead = Callable[[Use], Callable[..., Any] | None]
"""What a node computes in place of what its operator does; None: what its operator does."""


class Rebuilt:
    """Outputs of a model as a function of tensors; to be traced by `tf.function`."""

    def __init__(
        self,
        model: Any,
        output: str | Sequence[str],
        folder: Path,
        floats: str = "float32",
        given: Sequence[str] = (),
    ) -> None:
        """Read a model, and compute what rests on its constants alone, once.

        Args:
            model: the ``onnx.ModelProto``.
            output: the tensor that is wanted, or several.
            folder: where its external data is, if it has any.
            floats: what stands for float32; ``float64`` where gradients are held against differences.
            given: tensors inside the graph that are given as inputs are.

        Raises:
            ModelFileError: a node that is not rebuilt.
        """
        self._tf = tensorflow()
        self._floats = floats
        graph = Graph.of(model, output, folder, given)
        self.outputs: tuple[str, ...] = (output,) if isinstance(output, str) else tuple(output)
        self._opsets, self._folder = model.opset_import, folder
        self._constants: dict[str, Array] = {name: self._typed(value) for name, value in graph.constants.items()}
        self._passing: Mapping[str, Through] = {}
        self._instead: Instead = _as_it_is
        self._uses: list[Use] = []
        for use in graph.uses:
            given = [one for one in use.inputs if one]
            if all(one in self._constants for one in given) and (given or use.kind == "Constant"):
                self._fold(use)
            else:
                self._uses.append(use)
        self._whole = (self._uses, self._constants)
        self._uses, self._constants = folded(*self._whole, self.outputs)

    def changed(self, passing: Mapping[str, Through] | None = None, instead: Instead | None = None) -> "Rebuilt":
        """The same function, in which some tensors are passed through something, and some nodes compute otherwise.

        Args:
            passing: by tensor, what becomes of it for those that read it; nothing is drawn into it or it into anything.
            instead: what a node computes instead, called as its operator is; None for those that stay what they are.
        """
        other = copy.copy(self)
        other._passing = passing or {}
        other._instead = instead or _as_it_is
        other._uses, other._constants = folded(*self._whole, (*self.outputs, *other._passing))
        return other

    @property
    def made(self) -> frozenset[str]:
        """The tensors that its nodes make."""
        return frozenset(name for use in self._whole[0] for name in use.outputs if name)

    def _typed(self, value: Array) -> Array:
        return value.astype(self._floats) if value.dtype == np.float32 else value

    def _fold(self, use: Use) -> None:
        with self._tf.init_scope():  # outside of a trace: a graph inside a node is read while the node's is traced
            held = {name: Laid.plainly(self._tf.constant(self._constants[name])) for name in use.inputs if name}
            for name, made in self._made(use, held).items():
                self._constants[name] = made.plain(self._tf).numpy()

    def __call__(self, tensors: Mapping[str, Any]) -> Any:
        """The (first) output for inputs by name, with its axes as ONNX has them."""
        return self.several(tensors)[0]

    def several(self, tensors: Mapping[str, Any]) -> tuple[Any, ...]:
        """All outputs for inputs by name, with their axes as ONNX has them."""
        found = dict(tensors)
        for _, made in self.steps(tensors):
            found |= {name: made[name].plain(self._tf) for name in self.outputs if name in made}
            if all(name in found or name in self._constants for name in self.outputs):
                break
        constants = self._constants
        return tuple(found[name] if name in found else self._tf.constant(constants[name]) for name in self.outputs)

    def constant(self, name: str) -> Array | None:
        """What a tensor always is, where that is known."""
        return self._constants.get(name)

    def source(self, name: str) -> str:
        """The tensor that one is a copy of; itself where it is none."""
        copies = {use.outputs[0]: use.inputs[0] for use in self._uses if use.kind == "Identity"}
        while name in copies:
            name = copies[name]
        return name

    def steps(self, tensors: Mapping[str, Any]) -> Iterator[tuple[Use, dict[str, Laid]]]:
        """Each node with what it makes, one after the other."""
        tf = self._tf
        held: dict[str, Laid] = {name: Laid.plainly(tensor) for name, tensor in tensors.items()}
        last = {name: place for place, use in enumerate(self._uses) for name in use.inputs}
        for place, use in enumerate(self._uses):
            for name in use.inputs:
                if name in self._constants and name not in held:
                    held[name] = Laid.plainly(tf.constant(self._constants[name]))
            made = self._made(use, held)
            made.update({name: self._passing[name](one) for name, one in made.items() if name in self._passing})
            yield use, made
            held.update(made)
            for name in use.inputs:
                if last.get(name) == place:
                    held.pop(name, None)

    def _made(self, use: Use, held: Mapping[str, Laid]) -> dict[str, Laid]:
        operator = operators()[use.domain, use.kind]
        values = tuple(self._constants.get(name) if name else None for name in use.inputs)
        outside = {name: held[name].plain(self._tf) for name in use.captured}
        call = Call(self._tf, use, values, self._floats, lambda attribute: self._body(use, attribute, outside))
        declared = use.inputs[: len(use.inputs) - len(use.captured)]
        given = [held[name] if name else None for name in declared]
        try:
            found = self._run(operator.style, self._instead(use) or operator.run, call, given)
        except Unsupported as error:
            raise ModelFileError(
                f"{named(use)} has no gradient here: {error}",
                "give `model.keras` for gradients",
            ) from error
        except (ValueError, TypeError, NotImplementedError, self._tf.errors.OpError) as error:
            told = " ".join(str(error).split())[:150]
            raise ModelFileError(
                f"{named(use)} has no gradient here: TensorFlow refuses it ({told})",
                "give `model.keras` for gradients",
            ) from error
        several = found if isinstance(found, tuple) else (found,)
        if use.given:
            several = tuple(replace(one, tensor=self._tf.stop_gradient(one.tensor)) for one in several)
        return {name: one for name, one in zip(use.outputs, several, strict=False) if name}

    def _body(self, use: Use, attribute: str, outside: Mapping[str, Any]) -> "_InnerGraph":
        graph = use.attributes[attribute]
        known = {name: self._constants[name] for name in outside if name in self._constants}
        model = model_of_body(graph, self._opsets, known)
        inner = Rebuilt(model, [value.name for value in graph.output], self._folder, self._floats).changed(
            instead=self._instead
        )
        return _InnerGraph(inner, tuple(value.name for value in graph.input), outside)

    def _run(self, style: str, run: Any, call: Call, given: Sequence[Laid | None]) -> Any:
        tf = self._tf
        if style == "laid":
            return run(call, *given)
        if style == "plain":
            made = run(call, *[None if one is None else one.plain(tf) for one in given])
            return tuple(map(Laid.plainly, made)) if isinstance(made, tuple) else Laid.plainly(made)
        order = _common_order(given, call.values)
        made = run(call, *self._slim(given, call.values, order))
        return tuple(Laid(one, order) for one in made) if isinstance(made, tuple) else Laid(made, order)

    def _slim(self, given: Sequence[Laid | None], values: Sequence[Array | None], order: tuple[int, ...]) -> list[Any]:
        """Tensors in one order, without the axes of 1 in front that broadcasting gives them anyway.

        TensorFlow takes what is added to a product for a bias, and refuses one with more axes than its own. One tensor
        keeps all axes: the first that is no constant, where there is one.
        """
        whole = [place for place, one in enumerate(given) if one is not None and one.rank == len(order)]
        kept = min(whole, key=lambda place: (values[place] is not None, place))
        made: list[Any] = []
        for place, (one, value) in enumerate(zip(given, values, strict=True)):
            if one is None:
                made.append(None)
            elif value is None:
                tensor = self._aligned(one, order)
                slim = place != kept and len(tensor.shape) > 1 and tensor.shape[0] == 1
                made.append(self._tf.squeeze(tensor, 0) if slim else tensor)
            else:
                made.append(self._tf.constant(_turned(value, order, place == kept)))
        return made

    def _aligned(self, one: Laid, order: tuple[int, ...]) -> Any:
        """A tensor with its axes in an order, and axes of 1 for those that it does not have."""
        tf = self._tf
        plain = order == tuple(range(len(order)))
        if one.rank == len(order):
            return one.in_order(tf, order)
        tensor = one.plain(tf)
        if one.rank == 0 or plain:
            return tensor
        missing = len(order) - one.rank
        value = tf.reshape(tensor, tf.concat([tf.ones(missing, "int32"), tf.shape(tensor)], 0))
        sizes = [1] * missing + [-1 if size is None else size for size in tensor.shape]
        if sizes.count(-1) <= 1:
            value = tf.reshape(tensor, sizes)
        return Laid.plainly(value).in_order(tf, order)


def direct(function: Any) -> Callable[..., Sequence[Any]]:
    """A function's one trace, called as a single operation, with its tensors as they are.

    It runs in the thread that calls it, where `tf.function` waits for another: nothing is handed over, bound or watched.
    Measured with the networks of digits and credits: 25 % less processor time a call, and no wait on a busy machine.
    """
    tf = tensorflow()
    trace = function.get_concrete_function()
    types = [tensor.dtype for tensor in trace.outputs]

    def call(*tensors: Any) -> Sequence[Any]:
        made: Sequence[Any] = tf.raw_ops.PartitionedCall(args=list(tensors), Tout=types, f=trace.inference_fn)
        return made

    return call


def _as_it_is(use: Use) -> None:
    """Every node computes what its operator does."""


class _InnerGraph:
    """A graph inside a node, with what it reads from around it; see `runtimes.formats.tf_operators.declaring.Body`."""

    def __init__(self, rebuilt: Rebuilt, inputs: tuple[str, ...], outside: Mapping[str, Any]) -> None:
        self._rebuilt, self._inputs, self._outside = rebuilt, inputs, outside
        self.outputs: Sequence[str] = rebuilt.outputs

    def fixed(self, position: int) -> Array | None:
        return self._rebuilt.constant(self.outputs[position])

    def passes(self, position: int) -> str | None:
        name = self._rebuilt.source(self.outputs[position])
        return name if name in self._inputs else None

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        return self._rebuilt.several({**self._outside, **dict(zip(self._inputs, inputs, strict=True))})


def _turned(value: Array, order: tuple[int, ...], keeps: bool) -> Array:
    """A constant with its axes in an order; without axes of 1 in front, unless it keeps them."""
    if not value.ndim:
        return value
    full = value.reshape((1,) * (len(order) - value.ndim) + value.shape)
    turned = np.transpose(full, np.argsort(order))
    while not keeps and turned.ndim > 1 and turned.shape[0] == 1:
        turned = turned[0]
    return np.ascontiguousarray(turned)


def _common_order(given: Sequence[Laid | None], values: Sequence[Array | None]) -> tuple[int, ...]:
    """The order that most of the largest tensors have; those that the file holds are turned without cost."""
    present = [(one, value is not None) for one, value in zip(given, values, strict=True) if one is not None]
    rank = max(one.rank for one, _ in present)
    orders = [one.order for one, constant in present if one.rank == rank and not constant]
    if not orders:
        return tuple(range(rank))
    return max(orders, key=lambda order: (orders.count(order), order != tuple(range(rank))))
