"""Attention rollout (Abnar & Zuidema, 2020): https://arxiv.org/abs/2005.00928."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from pgx_compiler.methods.declaration import Cost, Maps, Params, Shape, UnfitParams, attribution
from pgx_compiler.methods.gradient._layers import over_input
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import AttentionReadable, Floats

_JOIN: Mapping[str, Callable[[Floats], Floats]] = {
    "mean": lambda scores: np.asarray(scores.mean(axis=1), np.float64),
    "max": lambda scores: np.asarray(scores.max(axis=1), np.float64),
    "min": lambda scores: np.asarray(scores.min(axis=1), np.float64),
}


class AttentionRolloutParams(Params):
    """Parameters of attention rollout."""

    read: Literal["mean", "first", "last"] = "mean"
    """Which position of the last layer the model decides by: the mean of all (pooled), the first (a class token), or the
    last."""
    heads: Literal["mean", "max", "min"] = "mean"
    """How the heads of a layer are joined."""


def cost(params: AttentionRolloutParams, shape: Shape) -> Cost:
    """One forward pass a row."""
    return Cost(forward=shape.rows)


@attribution(
    modalities={"text", "series"},
    paper="https://arxiv.org/abs/2005.00928",
    cost=cost,
    laws=("shares_of_attention",),
    signed=False,
    unit="",
)
def attention_rollout(model: AttentionReadable, rows: Rows, params: AttentionRolloutParams) -> Maps:
    """Follow attention from the last layer back to the input, half of it staying in place at each layer (skip connections).

    Reading:
        The share of each position in what the last layer's position (or the mean of all) can have taken up: shares of one
        row add up to one over all positions, padding included.

    Limits:
        It is the same whatever output is explained, and has no sign: it says what was looked at, not what it did to the
        score. Attention can be changed without changing the answer (Jain & Wallace, 2019). What happens to the values that
        attention weighs, and everything outside its layers (pooling, dense layers, convolutions), is left out; skip
        connections are taken to be there, half and half. Attention of Keras files are layers of `MultiHeadAttention` that are
        used once; of SavedModels and ONNX files every softmax of a product of queries and keys by which values are weighed.
        None of them says what its positions are: attention over as many channels as the input has positions is taken
        for attention over positions. Operators that keep their shares to themselves, loops, and attention to another number
        of positions are refused.
    """
    rolled = np.concatenate([_rolled(model, rows.of_rows(slice(row, row + 1)), params) for row in range(len(rows))])
    read = {"mean": rolled.mean(axis=1), "first": rolled[:, 0], "last": rolled[:, -1]}[params.read]
    maps = over_input(read, rows)
    positions = max(array.shape[1] for name, array in rows.inputs.items() if np.any(maps[name]))
    if positions != read.shape[1]:
        raise UnfitParams(f"the layers of attention have {read.shape[1]} positions, and the input has {positions}")
    return maps


def _rolled(model: AttentionReadable, rows: Rows, params: AttentionRolloutParams) -> Floats:
    """What each position of the last layer can have taken up of each position of the input, ``(rows, positions, positions)``.

    One row at a time: twelve layers of twelve heads over 512 positions are 300 MB for each.
    """
    rolled: Floats | None = None
    for name, scores in model.attention(rows.inputs).items():
        if scores.ndim != 4 or scores.shape[2] != scores.shape[3]:
            raise UnfitParams(f"the attention of `{name}` is not of positions on the same positions")
        joined = _JOIN[params.heads](scores)
        if rolled is not None and rolled.shape != joined.shape:
            raise UnfitParams(f"the attention of `{name}` has other positions than the layer below it")
        joined = joined + np.eye(joined.shape[1])
        joined = joined / joined.sum(axis=-1, keepdims=True)
        rolled = joined if rolled is None else joined @ rolled
    if rolled is None:
        raise UnfitParams("no layer of attention of the model is used exactly once, or none can be read")
    return rolled
