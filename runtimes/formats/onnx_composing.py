"""Ways of an ONNX model to score coalitions of features without being handed the perturbed rows.

A network that begins with a dense layer needs no composed rows: what its first layer answers is a sum over columns, so
that each feature adds its own part, and a mask chooses the parts (`_of_dense`). A convolutional network on an image of
which little is removed keeps most of what it has computed for the whole one (`runtimes.formats.onnx_incremental`); whatever
is removed, what its first layers can answer is looked up in a table (`runtimes.formats.onnx_tabulated`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Coalitions, Floats, Inputs
from runtimes.formats.calls import Calling, in_calls, memory_as_one_error
from runtimes.formats.onnx_external import has_external_data
from runtimes.formats.onnx_file import attributes
from runtimes.formats.onnx_graphs import written_out
from runtimes.formats.onnx_incremental import Incremental
from runtimes.formats.onnx_incremental_graph import network_of
from runtimes.formats.onnx_incremental_parts import network_in
from runtimes.formats.onnx_tabulated import Tabulated

Owners = Mapping[str, NDArray[np.int64]]
_FLOAT32 = 1
_MOST_BYTES = 2**25
"""Parts of features times references: 32 MiB. Above that composed rows are leaner."""


class Answering(Calling, Protocol):
    """What composing needs of the handle that it works for."""

    def view_of(self, raw: NDArray[Any], rows: int) -> Floats:
        """The view's score of a session's raw answer, ``(rows, outputs)``."""
        ...


class Composing:
    """Finds out once which way a model has; then serves one game after the other.

    Args:
        model: makes the ``ModelProto`` with the one output that the view is made of.
        session: opens a session on a model.
        handle: counts the rows and knows the view.
    """

    def __init__(self, model: Callable[[], Any], session: Callable[[Any], Any], handle: Answering) -> None:
        self._model = model
        self._session = session
        self._handle = handle
        self._found: _Dense | _Convolutional | None = None
        self._looked = False

    def coalitions(self, row: Inputs, references: Inputs, owners: Owners) -> Coalitions | None:
        """See `runtimes.capabilities.Composer`."""
        if not self._looked:
            self._looked = True
            model = written_out(self._model())
            if not has_external_data(model):
                self._found = _of_dense(model, self._session) or _of_convolutions(model, self._session)
        if self._found is None or not _plain_numbers(row, references):
            return None
        return self._found.of_row(self._handle, row, references, owners)


def _plain_numbers(row: Inputs, references: Inputs) -> bool:
    """Nothing missing or infinite: in a sum, a part that is not chosen would still make the whole not a number."""
    return all(
        array.dtype == np.float32 and np.isfinite(array).all() for held in (row, references) for array in held.values()
    )


@dataclass(frozen=True)
class _Dense:
    """A network whose input is read by one dense layer alone."""

    name: str
    weights: Floats
    """``(columns, units)``, the layer's scale included."""
    bias: Floats
    """``(units,)``."""
    session: Any
    """Reads ``coalitions/masks (n, features + 1)``, the last column ones, and ``coalitions/parts (features + 1,
    references * units)``, the last row what the layer answers to the references; answers ``(n * references, outputs)``."""

    def of_row(self, handle: Answering, row: Inputs, references: Inputs, owners: Owners) -> Coalitions | None:
        """The parts of one row's features."""
        owner = owners[self.name].reshape(-1)
        count, others = int(owner.max(initial=-1)) + 1, references[self.name].astype(np.float64)
        units = self.weights.shape[1]
        if count == 0 or 4 * count * len(others) * units > _MOST_BYTES:
            return None
        own = row[self.name].astype(np.float64)[0]
        member = owner == np.arange(count)[:, None]
        # (features, references, units): what a feature adds to the layer when it comes from the row.
        differs = member[:, None, :] * (own - others)
        parts = (differs.reshape(-1, len(own)) @ self.weights).astype(np.float32)
        start = np.where(owner < 0, own, others) @ self.weights + self.bias
        rest = start.reshape(1, -1).astype(np.float32)
        return _DenseRow(handle, self.session, np.concatenate([parts.reshape(count, -1), rest]), len(others))


@dataclass(frozen=True)
class _DenseRow:
    handle: Answering
    session: Any
    parts: NDArray[np.float32]
    references: int

    def takes(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.ones(len(masks), bool)

    def scores(self, masks: NDArray[np.bool_]) -> Floats:
        def answer(start: int, stop: int) -> Floats:
            part = np.empty((stop - start, len(self.parts)), np.float32)
            part[:, :-1] = masks[start:stop, : len(self.parts) - 1]
            part[:, -1] = 1
            raw = self.session.run(None, {"coalitions/masks": part, "coalitions/parts": self.parts})[0]
            return self.handle.view_of(raw, len(part) * self.references)

        with memory_as_one_error():  # for one coalition over all references
            answers = in_calls(self.handle, len(masks), answer, rows=self.references)
        self.handle.spent.forward += len(answers)
        return answers


@dataclass(frozen=True)
class _Convolutional:
    """A network with one image or series as its input, as far as it is convolutional."""

    incremental: Incremental
    tabulated: Tabulated

    def of_row(self, handle: Answering, row: Inputs, references: Inputs, owners: Owners) -> Coalitions | None:
        """The ways that pay for these features: of a mask that both take, the first."""
        patched = self.incremental.of_row(handle, row, references, owners)
        table = self.tabulated.of_row(handle, row, references, owners)
        return _Either(patched, table) if patched and table else patched or table


@dataclass(frozen=True)
class _Either:
    first: Coalitions
    second: Coalitions

    def takes(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        taken = self.first.takes(masks)
        taken[~taken] = self.second.takes(masks[~taken])
        return taken

    def scores(self, masks: NDArray[np.bool_]) -> Floats:
        mine = self.first.takes(masks)
        if mine.all():
            return self.first.scores(masks)
        if not mine.any():
            return self.second.scores(masks)
        ours, theirs = self.first.scores(masks[mine]), self.second.scores(masks[~mine])
        references = (len(ours) + len(theirs)) // len(masks)
        found = np.empty((len(masks), references, ours.shape[1]))
        found[mine] = ours.reshape(-1, *found.shape[1:])
        found[~mine] = theirs.reshape(-1, *found.shape[1:])
        return found.reshape(-1, ours.shape[1])


def _of_convolutions(model: Any, open_session: Callable[[Any], Any]) -> _Convolutional | None:
    found = network_in(model)
    if found is None:
        return None
    name, nodes, weights, shapes = found
    network = network_of(nodes, weights, shapes, name)
    if len(network.cuts) < 2:
        return None
    return _Convolutional(
        Incremental(name, network, model, open_session, {}, {}), Tabulated(name, network, model, open_session)
    )


def _of_dense(model: Any, open_session: Callable[[Any], Any]) -> _Dense | None:
    """The model with its first layer replaced by a sum of chosen parts, where it begins with a dense layer."""
    import onnx

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != _FLOAT32:
        return None
    shape = inputs[0].type.tensor_type.shape.dim
    readers = [node for node in model.graph.node if inputs[0].name in node.input]
    if len(shape) != 2 or shape[0].dim_value > 0 or len(readers) != 1 or _has_graphs(model):
        return None
    found = _dense_layer(readers[0], inputs[0].name, weights)
    if found is None:
        return None
    (matrix, bias), layer = found, readers[0]
    after_it = [node for node in model.graph.node if layer.output[0] in node.input]
    if len(after_it) == 1 and layer.output[0] not in {value.name for value in model.graph.output}:
        more = _added(after_it[0], layer.output[0], weights, matrix.shape[1])
        if more is not None:
            bias, layer = bias + more, after_it[0]
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph, helper = changed.graph, onnx.helper
    kept = [node for node in graph.node if node.output not in (readers[0].output, layer.output)]
    after = [
        helper.make_node("MatMul", ["coalitions/masks", "coalitions/parts"], ["coalitions/all"]),
        helper.make_node("Reshape", ["coalitions/all", "coalitions/shape"], list(layer.output)),
        *(type(node).FromString(node.SerializeToString()) for node in kept),
    ]
    del graph.node[:], graph.input[:], graph.value_info[:]
    graph.node.extend(after)
    sizes: Mapping[str, list[Any]] = {
        "coalitions/masks": ["n", "parts"],
        "coalitions/parts": ["parts", "wide"],
    }
    graph.input.extend(helper.make_tensor_value_info(name, _FLOAT32, size) for name, size in sizes.items())
    row_of_units = np.array([-1, matrix.shape[1]], np.int64)
    graph.initializer.append(onnx.numpy_helper.from_array(row_of_units, "coalitions/shape"))
    return _Dense(inputs[0].name, matrix, bias, open_session(changed))


def _dense_layer(node: Any, name: str, weights: Mapping[str, Any]) -> tuple[Floats, Floats] | None:
    """A layer's matrix ``(columns, units)`` and its bias ``(units,)``."""
    import onnx

    said = attributes(node)
    plain = node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not said.get("transA") and said.get("beta", 1.0) == 1.0
    )
    if not plain or node.input[0] != name or node.input[1] not in weights:
        return None
    matrix = onnx.numpy_helper.to_array(weights[node.input[1]]).astype(np.float64)
    if matrix.ndim != 2:
        return None
    matrix = (matrix.T if said.get("transB") else matrix) * said.get("alpha", 1.0)
    bias = np.zeros(matrix.shape[1])
    if len(node.input) > 2 and node.input[2]:
        held = _for_each_unit(weights.get(node.input[2]), len(bias))
        if held is None:
            return None
        bias = held
    return matrix, bias


def _added(node: Any, name: str, weights: Mapping[str, Any], units: int) -> Floats | None:
    """What a node adds to each unit of a layer, ``(units,)``; None where it does anything else."""
    other = [given for given in node.input if given != name]
    return _for_each_unit(weights.get(other[0]), units) if node.op_type == "Add" and len(other) == 1 else None


def _for_each_unit(tensor: Any, units: int) -> Floats | None:
    """Numbers that are the same for every row, ``(units,)``; None where they are no weights of the model, or of another shape."""
    import onnx

    if tensor is None:
        return None
    held = onnx.numpy_helper.to_array(tensor).astype(np.float64)
    if held.ndim > 2 or held.shape[-1:] not in ((), (1,), (units,)) or held.size not in (1, units):
        return None
    return np.broadcast_to(held.reshape(-1), (units,))


def _has_graphs(model: Any) -> bool:
    """Whether a node holds a graph of its own, which may read the input from outside."""
    return any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute)
