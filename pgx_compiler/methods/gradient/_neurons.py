"""What a layer's channels carry of a score, over the paths from the references to each row."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Curve, Table
from pgx_compiler.methods.declaration import Cost, NamesLayer, Params, Shape
from pgx_compiler.methods.embedding import above_embedding
from pgx_compiler.methods.gradient._layers import layer_called, pick_spatial
from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Floats, Integers, LayerDifferentiable, LayerShape
from runtimes.target import ModelFacts

MOST_SHOWN = 20
"""Channels in the table and the chart; all are in the evidence."""


def last_hidden_layer(facts: ModelFacts) -> str | None:
    """The last convolution; in a network without one, the last but one layer that has weights of its own."""
    used = [layer for layer in facts.layers if layer.used == 1]
    spatial = pick_spatial((layer.name, layer.kind, layer.shape) for layer in used)
    dense = list(_weighted((layer.name, layer.kind) for layer in used))
    return spatial or (dense[-2] if len(dense) > 1 else None)


_LAYERS = frozenset({"Dense", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "While"})
_PRODUCTS = frozenset({"MatMul", "Gemm", "BatchMatMulV2", "Einsum", "MatMulInteger", "QLinearMatMul", "QGemm"})
_FOLLOW = frozenset({"Add", "AddV2", "BiasAdd", "Relu", "Relu6", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu"})
_FOLLOW |= {"Sigmoid", "Tanh", "Softplus", "Clip", "HardSwish", "Swish", "Mish"}
_FOLLOW |= {"QLinearAdd", "QLinearLeakyRelu", "QLinearSigmoid"}
"""Operations that a file without layers writes out behind a product: its bias and its activation."""


def _weighted(layers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The layers with weights of their own; products behind the bias and the activation that belong to them."""
    product = ""
    for name, kind in layers:
        if product and kind in _FOLLOW:
            product = name
            continue
        if product:
            yield product
        product = name if kind in _PRODUCTS else ""
        if kind in _LAYERS:
            yield name
    if product:
        yield product


class NeuronParams(Params):
    """Parameters of methods that follow a path through a layer."""

    layer: Annotated[str | None, NamesLayer(last_hidden_layer)] = None
    """The layer whose channels are ranked; one in a nested model as ``outer/inner``. Left out: the last convolution, behind
    its normalisation and activation, or the last hidden dense layer; the plan says which it is."""
    steps: Annotated[int, Field(ge=2, le=4096)] = 33
    """Points on the straight path from each reference to the row, both ends included."""


def cost_of_paths(params: NeuronParams, shape: Shape) -> Cost:
    """A layer's gradient for each row, reference and point, and the scores at both ends: references may be shared."""
    ends = shape.rows * (1 + shape.references)
    return Cost(forward=ends, backward=shape.rows * shape.references * params.steps)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that can be varied continuously."""
    floats = any(tensor.dtype.startswith(("float", "bfloat")) for tensor in facts.inputs)
    if not floats and "EmbeddingDifferentiable" not in facts.capabilities:
        return "the model reads no floating-point numbers, so there is no path between two of its inputs"
    return None


def on_floats(model: LayerDifferentiable, rows: Rows) -> tuple[LayerDifferentiable, Rows]:
    """The model and the rows as they are, or above its tables of ids: a path leads through numbers."""
    seen, above = above_embedding(model, rows)
    assert isinstance(seen, LayerDifferentiable)
    return seen, above


def find_layer(model: LayerDifferentiable, name: str | None) -> LayerShape:
    """The layer of that name; where none is named, the last with places, else the last hidden one.

    Raises:
        UnfitParams: there is none.
    """
    if name is None and pick_spatial((layer.name, layer.kind, layer.shape) for layer in model.layers) is None:
        name = model.layers[-2].name if len(model.layers) > 1 else model.layers[-1].name
    return layer_called(model, name)


Sum = Callable[[Floats, Floats], Floats]
"""From a layer's activations and slopes along a path, ``(steps, *layer shape)``, to what is summed, ``(*layer shape,)``."""


def along_paths(model: LayerDifferentiable, rows: Rows, layer: str, steps: int, add: Sum) -> Iterator[Floats]:
    """For each row the mean over its references of what the path gives, ``(*layer shape,)``."""
    shares = np.linspace(0.0, 1.0, steps)
    for row in range(len(rows)):
        end = {name: array[row] for name, array in rows.inputs.items()}
        references = rows.references.of_row(row)
        found: list[Floats] = []
        for reference in range(len(rows.references)):
            points = {
                name: _between(references[name][reference], value, shares, rows.features.of_row(row).owners[name])
                for name, value in end.items()
            }
            target = np.full(steps, rows.target[row])
            found.append(add(*model.layer_gradient(points, target, layer)))
        yield np.asarray(np.mean(found, axis=0), np.float64)


def _between(start: Floats, end: Floats, shares: Floats, owner: Integers) -> Floats:
    """Points on the straight path; what is whole or never perturbed stays as it is in the row."""
    if not np.issubdtype(end.dtype, np.floating):
        return np.repeat(end[None], len(shares), axis=0)
    begin = np.where(owner == FIXED, end, start).astype(np.float64)
    spread = shares.reshape(-1, *([1] * end.ndim))
    return np.asarray((begin + spread * (end - begin)).astype(end.dtype))


def per_channel(values: Floats) -> Floats:
    """Sum over the places: ``(*places, channels)`` to ``(channels,)``."""
    return np.asarray(values.reshape(-1, values.shape[-1]).sum(axis=0), np.float64)


def ranked(values: Floats, word: str) -> tuple[Table, Chart]:
    """The channels by mean magnitude over the rows, ``values (rows, channels)``."""
    size = np.abs(values).mean(axis=0)
    order = np.argsort(-size, kind="stable")[:MOST_SHOWN]
    top = np.abs(values).argmax(axis=1)
    whole = size.sum()
    table = Table(
        f"Channels by mean size of their {word}",
        ("channel", f"mean {word}", f"mean size of {word}", "share of all", "rows where it is the largest"),
        tuple(
            (
                int(k),
                float(values[:, k].mean()),
                float(size[k]),
                float(size[k] / whole) if whole else None,
                int((top == k).sum()),
            )
            for k in order
        ),
    )
    names = tuple(f"channel {k}" for k in order)
    bars = Curve(word, names, tuple(float(v) for v in values[:, order].mean(axis=0)))
    return table, Chart("bars", f"Mean {word} of a channel over the rows", "channel", word, (bars,))


def carried_by(values: Floats, share: float = 0.5) -> int:
    """How many channels together have a share of the mean magnitude."""
    size = np.sort(np.abs(values).mean(axis=0))[::-1]
    return int(np.searchsorted(np.cumsum(size), share * size.sum()) + 1) if size.sum() else 0
