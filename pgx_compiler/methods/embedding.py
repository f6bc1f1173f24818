"""Rows of ids, such as the tokens of a text, as gradient methods can use them: by what the ids are looked up as."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from runtimes.capabilities import EmbeddingDifferentiable, Floats, Inputs, Predictor


def above_embedding(model: Predictor, rows: Rows) -> tuple[Predictor, Rows]:
    """The model and the rows above its tables of ids; both as they are where it has none.

    A feature owns all axes of what its ids stand for. Whole numbers are given: between two of them there is nothing.
    """
    if not isinstance(model, EmbeddingDifferentiable):
        return model, rows
    inputs = model.embed(rows.inputs)
    owners: dict[str, NDArray[np.int64]] = {}
    for name, array in inputs.items():
        shape = array.shape if rows.features.varies else array.shape[1:]
        if name not in rows.features.owners or array.dtype.kind != "f":
            owners[name] = np.full(shape, FIXED, np.int64)
            continue
        owner = rows.features.owners[name]
        owners[name] = np.broadcast_to(owner.reshape(*owner.shape, *([1] * (len(shape) - owner.ndim))), shape)
    features = FeatureMap(rows.features.names, owners, rows.features.layout, rows.features.counts, rows.features.labels)
    references = References(_embedded_references(model, rows, inputs), rows.references.name)
    return model.above, Rows(inputs, rows.target, references, features)


def _embedded_references(model: EmbeddingDifferentiable, rows: Rows, inputs: Inputs) -> dict[str, NDArray[Any]]:
    """References above the tables, ``(rows or 1, references, *feature shape)``; ids and other whole numbers are the row's."""
    given = rows.references.inputs
    leading = max(len(array) for array in given.values())
    count = len(rows.references)
    flat = {
        name: np.broadcast_to(array, (leading, *array.shape[1:])).reshape(-1, *array.shape[2:])
        for name, array in given.items()
    }
    found = {name: array.reshape(leading, count, *array.shape[1:]) for name, array in model.embed(flat).items()}
    whole = [name for name, array in inputs.items() if array.dtype.kind != "f"]
    return found | {
        name: np.broadcast_to(inputs[name][:, None], (len(rows), count, *inputs[name].shape[1:])) for name in whole
    }


def onto_inputs(maps: Mapping[str, Floats], rows: Rows) -> dict[str, Floats]:
    """Maps above the tables as maps on the model's own inputs: summed over the axes of what was looked up."""
    return {
        name: maps[name].reshape(*array.shape, -1).sum(axis=-1) if maps[name].ndim > array.ndim else maps[name]
        for name, array in rows.inputs.items()
        if name in maps
    }
