"""What an ONNX file says of names: of its classes (labels of its own operators, metadata) and of its columns (metadata)."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.formats.onnx_file import Tail, attributes

_CLASSES = ("class_names", "classes", "class_labels", "labels", "names")
_FEATURES = ("feature_names", "features", "columns", "feature_columns")
_LONGEST = 100_000
"""Characters of a metadata value that is still looked at."""


def class_names(model: Any, tail: Tail, columns: int) -> tuple[str, ...]:
    """Names of the classes in the order of the columns; empty where the file has none for so many columns.

    The labels that operators answer with come before metadata: they are what the model itself says.
    """
    for found in (_labels_of_operators(model, tail), _metadata(model, _CLASSES)):
        if found and len(found) == columns and len(set(found)) == len(found) and all(found):
            return tuple(found)
    return ()


def feature_names(model: Any) -> tuple[str, ...]:
    """Names of the columns of the input, from metadata; empty where there are none, or not one for each column."""
    found = _metadata(model, _FEATURES)
    return tuple(found) if len(set(found)) == len(found) and all(found) else ()


def _labels_of_operators(model: Any, tail: Tail) -> list[str]:
    labelled: list[list[str]] = []
    for node in model.graph.node:
        held = attributes(node) if node.domain == "ai.onnx.ml" else {}
        labels = held.get("classlabels_strings") or held.get("classlabels_int64s") or held.get("classlabels_ints")
        if not labels:
            continue
        if node.op_type == "ZipMap" and node.input[0] == tail.scores:
            return [str(label) for label in labels]
        labelled.append([str(label) for label in labels])
    if labelled:
        return labelled[0] if all(one == labelled[0] for one in labelled) else []
    return _labels_looked_up(model)


def _labels_looked_up(model: Any) -> list[str]:
    """Labels that stand in a constant, of which an ArrayFeatureExtractor takes the best class's."""
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:
            tensor = constants[node.input[0]]
            if tensor.data_type == onnx.TensorProto.STRING:
                return [one.decode("utf-8", "replace") for one in tensor.string_data]
            if tensor.data_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64):
                return [str(int(one)) for one in onnx.numpy_helper.to_array(tensor).reshape(-1)]
    return []


def _metadata(model: Any, keys: Sequence[str]) -> list[str]:
    held: Mapping[str, str] = {entry.key.lower(): entry.value for entry in model.metadata_props}
    for key in keys:
        if key in held and len(held[key]) <= _LONGEST:
            found = _names(held[key])
            if found:
                return found
    return []


def _names(text: str) -> list[str]:
    """A list of names, as JSON, as Python writes it (``{0: 'cat', 1: 'dog'}``), or separated by commas."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            return _by_position(value)
        if isinstance(value, list | tuple):
            return [str(one) for one in value] if all(isinstance(one, str | int) for one in value) else []
    separated = [part.strip() for part in text.replace("\n", ",").split(",")]
    return separated if len(separated) > 1 else []


def _by_position(value: Mapping[Any, Any]) -> list[str]:
    """Names by position (``{0: cat}``, ``{"0": cat}``), if the positions start at 0 and leave none out."""
    try:
        ordered = {int(key): name for key, name in value.items()}
    except (TypeError, ValueError):
        return []
    return [str(ordered[key]) for key in range(len(ordered))] if set(ordered) == set(range(len(ordered))) else []
