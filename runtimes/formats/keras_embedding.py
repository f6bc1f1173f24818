"""Inputs of a Keras model that are looked up in a table: which they are, and the model above the table."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import IDS, Integers
from runtimes.formats.keras_file import KerasFile
from runtimes.formats.keras_layers import in_place_of_call, replaced
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.target import TensorFacts


def embedded_inputs(file: KerasFile, layers: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Input name to the names of the embedding layers that read it directly; each of them is used once.

    Args:
        file: the model.
        layers: of its configuration, in file order (`runtimes.formats.keras_facts.layers_of`).
    """
    inputs = [str(layer["config"].get("name")) for layer in layers if layer["class_name"] == "InputLayer"]
    found: dict[str, tuple[str, ...]] = {}
    if file.config.get("class_name") == "Sequential":
        first = next((layer for layer in layers if layer["class_name"] != "InputLayer"), None)
        if first is not None and first["class_name"] == "Embedding" and len(inputs) == 1:
            found[inputs[0]] = (str(first["config"]["name"]),)
        return found
    for layer in layers:
        if layer["class_name"] != "Embedding" or len(layer.get("inbound_nodes") or []) != 1:
            continue
        sources = set(_sources(layer["inbound_nodes"]))
        for name in inputs:
            if sources == {name}:
                found[name] = (*found.get(name, ()), str(layer["config"]["name"]))
    return found


def _sources(value: Any) -> Iterator[str]:
    """The layers that a node comes from, as Keras 3 (``keras_history``) and Keras 2 (``["x", 0, 0, {}]``) write them."""
    if isinstance(value, dict):
        history = value.get("keras_history")
        if isinstance(history, list) and history:
            yield str(history[0])
        for item in value.values():
            yield from _sources(item)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
        else:
            for item in value:
                yield from _sources(item)


def has_gradient(inputs: Sequence[TensorFacts], embedded: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the score can be differentiated by all that a model reads.

    Each input is floating-point, or looked up; or goes along with tokens that are: whole numbers of the same length, such
    as a mask of attention, which is given.
    """
    lengths = {tensor.shape[1:] for tensor in inputs if tensor.name in embedded and tensor.shape[1:] not in ((), (1,))}
    return any(tensor.name in embedded or tensor.dtype.startswith("float") for tensor in inputs) and all(
        tensor.name in embedded or tensor.dtype.startswith("float") or tensor.shape[1:] in lengths for tensor in inputs
    )


def whole_numbers(inputs: Sequence[TensorFacts], embedded: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """Why a model without gradient has none: an input that is neither floating-point nor looked up."""
    whole = [one for one in inputs if not one.dtype.startswith("float") and one.name not in (embedded or {})]
    if not whole:
        return "nothing that it reads is floating-point"
    return (
        f"its input `{whole[0].name}` is {whole[0].dtype}, and no embedding looks it up; save it with a float32 input"
    )


def above(
    inputs: Sequence[TensorFacts], embedded: Mapping[str, tuple[str, ...]], model: Any
) -> tuple[TensorFacts, ...]:
    """What a model reads above its embeddings: floats with one axis more for each looked-up input, and the ids as well."""
    found: list[TensorFacts] = []
    for tensor in inputs:
        if tensor.name not in embedded:
            found.append(tensor)
            continue
        width = sum(int(model.get_layer(name).output_dim) for name in embedded[tensor.name])
        found.append(TensorFacts(tensor.name, (*tensor.shape, width), "float32"))
        found.append(TensorFacts(f"{tensor.name}{IDS}", tensor.shape, tensor.dtype))
    return tuple(found)


@contextmanager
def looked_up_as(model: Any, embedded: Mapping[str, tuple[str, ...]], given: Mapping[str, Any]) -> Iterator[None]:
    """While a call of the model is traced, its embedding layers give what they are given, not what the table says.

    Masks are still made of the ids, by the layers themselves.
    """
    changes: list[tuple[Any, str, Any]] = []
    for name, layers in embedded.items():
        start = 0
        for layer in map(model.get_layer, layers):
            stop = start + int(layer.output_dim)
            changes += in_place_of_call(layer, _giving(given[name][..., start:stop]))
            start = stop
    with replaced(changes):
        yield


def _giving(part: Any) -> Any:
    return lambda _ids: part


def looked_up(table: Any, ids: Integers) -> NDArray[np.float32]:
    """What an embedding layer gives for ids, ``(*ids, width)`` float32.

    Raises:
        ValueError: the table is quantised in a manner that Keras' own lookup does not undo.
    """
    mode = table.dtype_policy.quantization_mode
    if not mode:
        return np.asarray(table.embeddings)[ids]
    if mode not in ("int8", "int4"):
        raise ValueError(f"what layer `{table.name}` (Embedding quantised to {mode}) looks up is not known as numbers")
    # The weights are codes, packed in pairs where they have four bits. The layer itself makes numbers of them, each id once.
    known, places = np.unique(ids, return_inverse=True)
    found = keras().ops.convert_to_numpy(table.quantized_call(tensorflow().constant(known, "int32")))
    return np.asarray(found, np.float32)[places.reshape(ids.shape)]
