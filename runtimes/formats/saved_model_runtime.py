"""SavedModels opened by TensorFlow: the function of a signature, and the same function below its last activation."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.embedding_tables import LooksUp, drawn_ids
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.layer_calls import LooksInsideEmbedded
from runtimes.formats.saved_model_facts import End
from runtimes.formats.saved_model_file import NAME, SavedModelFile
from runtimes.formats.tf_graph_embedding import Unreadable, cut_above
from runtimes.formats.tf_graph_slopes import lost_slopes
from runtimes.target import ModelFileError, TensorFacts

_ADVICE = "export it again, with the TensorFlow of `pgx doctor`"
_PROBE_ROWS = 3
_TOLERANCE = 1e-4
"""Largest difference above the tables, as for the parity of two files."""


class SignatureModel:
    """A signature called as Keras models are: arrays in the order of its inputs, tensors in the order of its outputs."""

    def __init__(self, call: Any, inputs: Sequence[str], outputs: Sequence[str], loaded: Any) -> None:
        self._call = call
        self._inputs = inputs
        self._outputs = outputs
        self.loaded = loaded  # owns the variables that the function reads

    def __call__(self, arrays: Any, **_: bool) -> list[Any]:
        """The outputs for one array an input (or the only one); a signature has no other way to be called in training."""
        given = arrays if isinstance(arrays, list) else [arrays]
        answer = self._call(**dict(zip(self._inputs, given, strict=True)))
        return [answer[name] for name in self._outputs]


def load_signature(file: SavedModelFile, beside: Mapping[str, Path], without: End | None = None) -> SignatureModel:
    """The function of a file's signature.

    Args:
        file: inspected and found allowed.
        beside: where the variables are, by their place in the folder.
        without: the end of an output, whose last activation is passed over.

    Raises:
        ModelFileError: TensorFlow refuses it.
    """
    tf = tensorflow()
    said = file.signature
    try:
        with tempfile.TemporaryDirectory(prefix="pgx-") as folder:
            for place, source in {NAME: file.path, **beside}.items():
                target = Path(folder) / place
                target.parent.mkdir(exist_ok=True)
                _put(source, target)
            if without is not None:
                content = _passing_over(file, without)
                (Path(folder) / NAME).unlink()
                (Path(folder) / NAME).write_bytes(content)
            loaded = tf.saved_model.load(folder)
        call = loaded.signatures[said.name]
    # TensorFlow raises whatever its loaders raise; the first line says what is missing.
    except Exception as error:
        raise refused(file, error) from error
    return SignatureModel(call, [one.name for one in said.inputs], [one.name for one in said.outputs], loaded)


class SignatureEmbedding(LooksUp, LooksInsideEmbedded):
    """A signature that looks up ids, that can be looked into above its tables."""

    above: Any


def above_tables(
    file: SavedModelFile, model: SignatureModel, handle: Callable[[Any, tuple[TensorFacts, ...]], Any]
) -> LooksUp:
    """A handle on a signature that looks ids up, and one above its tables.

    Args:
        file: inspected and found allowed.
        model: its signature.
        handle: makes one that has gradients, of what is called as a model is and the inputs that it reads.

    Raises:
        ModelFileError: a table that cannot be read, an operation without gradient, or another model above the tables.
    """
    inputs = file.signature.inputs
    try:
        cut = cut_above(model, inputs)
        above = handle(cut, cut.tables.above())
        above.trace()
    except Unreadable as error:
        raise ModelFileError(
            f"`{file.path.name}`: {error}", "name the `.keras` file that it was exported from, for gradients"
        ) from error
    # TensorFlow raises whatever the gradient of an operation raises, or LookupError where there is none.
    except Exception as error:
        raise refused(file, error) from error
    rows = drawn_ids(cut.tables, inputs, inputs[0].shape[0] or _PROBE_ROWS, np.random.default_rng(0))
    tensors = [tensorflow().constant(array) for array in rows.values()]
    embedded = [tensorflow().constant(array) for array in cut.tables.embed(rows).values()]
    for theirs, ours in zip(model(tensors), cut(embedded), strict=True):
        if theirs.dtype.is_floating and not np.allclose(theirs, ours, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
            raise ModelFileError(
                f"`{file.path.name}`: its graph cut above its tables is not the same model",
                "name the `.keras` file that it was exported from, for gradients",
            )
    lost = lost_slopes(model.loaded.signatures[file.signature.name], cut, rows)
    if lost:
        raise ModelFileError(
            f"`{file.path.name}`: {lost}", "name the `.keras` file that it was exported from, for gradients"
        )
    return SignatureEmbedding(above, cut.tables, inputs)


def _put(source: Path, target: Path) -> None:
    """A file at another place: as a link, or as a copy where links may not be made (a sandbox allows none)."""
    try:
        target.symlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _passing_over(file: SavedModelFile, end: End) -> bytes:
    """The ``saved_model.pb`` of a file, in which an activation passes on what it is given.

    So the graph stays what it is otherwise: gradients of its own that an operation brings are kept.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString(file.path.read_bytes())
    library = model.meta_graphs[0].graph_def.library.function
    function = next(one for one in library if one.signature.name == end.function)
    next(node for node in function.node_def if node.name == end.node).op = "Identity"
    for node in function.node_def:
        for place, tensor in enumerate(node.input):
            node.input[place] = _of_identity(tensor, end.node)
    for name, tensor in list(function.ret.items()):
        function.ret[name] = _of_identity(tensor, end.node)
    content: bytes = model.SerializeToString()
    return content


def _of_identity(tensor: str, node: str) -> str:
    """A tensor as a function names it, ``node:result:0``, where the node has become an identity."""
    return f"{node}:output:0" if tensor.startswith(f"{node}:") else tensor


def refused(file: SavedModelFile, error: Exception) -> ModelFileError:
    """What TensorFlow says of a file that it cannot open or differentiate."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    return ModelFileError(f"TensorFlow cannot open `{file.path.name}`: {lines[0][:300]}", _ADVICE)
