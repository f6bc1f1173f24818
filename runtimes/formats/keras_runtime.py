"""TensorFlow, imported once with one thread and deterministic operations, and Keras models rebuilt from their files."""

import copy
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from runtimes.formats.keras_file import KerasFile
from runtimes.formats.keras_legacy_weights import load_weights
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFileError


@cache
def tensorflow() -> Any:
    """TensorFlow on one CPU thread, silent, with deterministic operations.

    Raises:
        RuntimeError: somebody used TensorFlow in this process with other threads before.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _native_stderr_held():
        found: Any = importlib.import_module("tensorflow")
    found.get_logger().setLevel("ERROR")
    if found.config.threading.get_intra_op_parallelism_threads() != 1:
        found.config.threading.set_intra_op_parallelism_threads(1)
    if found.config.threading.get_inter_op_parallelism_threads() != 1:
        found.config.threading.set_inter_op_parallelism_threads(1)
    found.config.set_visible_devices([], "GPU")
    found.config.experimental.enable_op_determinism()
    return found


@contextmanager
def _native_stderr_held() -> Iterator[None]:
    """Hold back what native code writes to stderr: TensorFlow's import logs before it reads its own log level.

    What was held back is written out after all where the import fails.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@cache
def keras() -> Any:
    """Keras on TensorFlow's backend."""
    tensorflow()
    return importlib.import_module("keras")


def load(path: Path, powers: Powers = NO_POWERS) -> Any:
    """The model of an inspected file, without its optimizer.

    Args:
        path: the file.
        powers: what a person has trusted exactly this file to do.

    Raises:
        ModelFileError: Keras refuses it.
    """
    try:
        found = keras().saving.load_model(
            path, custom_objects=objects_of(path.name, powers), compile=False, safe_mode=not powers.lambdas
        )
    except ModelFileError:
        raise
    # Keras raises whatever its layers raise; the first line says which layer and why.
    except Exception as error:
        raise _refused(path.name, error) from error
    _keep_padding(found)
    return found


def _keep_padding(model: Any) -> None:
    """Let nothing be fused into a model's 3D convolutions where a padding of its own comes before one that pads as well.

    TensorFlow 2.21 with oneDNN fuses the two, and drops the first: the compiled model then computes something else.
    """
    layers = list(model._flatten_layers()) if hasattr(model, "_flatten_layers") else []
    kinds = {type(layer).__name__ for layer in layers}
    same = any(type(one).__name__ == "Conv3D" and one.padding == "same" for one in layers)
    if same and "ZeroPadding3D" in kinds:
        tensorflow().config.optimizer.set_experimental_options({"remapping": False})


def objects_of(name: str, powers: Powers) -> dict[str, Any]:
    """The classes and functions of others that a file may use, from the modules that a person has named.

    Importing such a module registers what it registers with Keras; what it does not register is taken by its name, and
    only where it was written in that module: what a module itself has imported is not meant.

    Raises:
        ModelFileError: a module does not bring what was granted.
    """
    found: dict[str, Any] = {}
    brought = []
    for module in powers.modules:
        try:
            brought.append(importlib.import_module(module))
        except Exception as error:  # a module may raise whatever it likes
            raise _refused(name, error) from error
    registered = keras().saving.get_custom_objects()
    for wanted in sorted(powers.custom_objects):
        known = [one for key, one in registered.items() if key.rpartition(">")[2] == wanted]
        known += [getattr(module, wanted, None) for module in brought]
        own = [one for one in known if _is_from(one, powers.modules)]
        if not own:
            raise ModelFileError(
                f"`{name}` needs `{wanted}`, which {' and '.join(powers.modules) or 'no trusted module'} does not bring",
                "trust the file again with the module that defines it: `pgx trust add … --module NAME`",
            )
        found[wanted] = own[0]
    return found


def _is_from(one: Any, modules: Sequence[str]) -> bool:
    home = getattr(one, "__module__", None) or ""
    return any(home == module or home.startswith(f"{module}.") for module in modules)


def rebuild(
    name: str,
    config: Mapping[str, Any],
    weights: Sequence[NDArray[Any]] | None = None,
    powers: Powers = NO_POWERS,
) -> Any:
    """A model from its declaration, with fresh or given weights, and rows of any number.

    Raises:
        ModelFileError: the declaration makes no model (a pooling window larger than what is left, for example).
    """
    plain = _without_built_shapes(copy.deepcopy(dict(config)))
    plain.pop("compile_config", None)
    try:
        model = keras().saving.deserialize_keras_object(
            plain, custom_objects=objects_of(name, powers), safe_mode=not powers.lambdas
        )
        if weights is not None:
            model.set_weights(list(weights))
    except ModelFileError:
        raise
    except Exception as error:
        raise _refused(name, error) from error
    return _by_position(model)


def _by_position(model: Any) -> Any:
    """The same model called with its inputs in a row, where it was made to be called with a dictionary of them."""
    given = [getattr(model, side, None) for side in ("input", "output")]
    return keras().Model(model.inputs, model.outputs) if any(isinstance(one, dict) for one in given) else model


def _refused(name: str, error: Exception) -> ModelFileError:
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    # Around what a layer says Keras writes which layer it was, with all of its settings.
    causes = [line.partition("Exception encountered:")[2].strip() for line in lines if "Exception encountered:" in line]
    reason = next((cause for cause in reversed(causes) if cause), lines[0])
    return ModelFileError(
        f"Keras cannot build the model of `{name}`: {reason[:300]}", "check the layers' sizes, or save it again"
    )


def _without_built_shapes(value: Any) -> Any:
    """Shapes that a build remembered contradict changed sizes; a fixed row axis comes from the first call alone."""
    if isinstance(value, list):
        return [_without_built_shapes(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_built_shapes(item) for key, item in value.items() if key not in _BUILT}
    shape = kept.get("batch_shape")
    if isinstance(shape, list) and shape:
        kept["batch_shape"] = [None, *shape[1:]]
    return kept


_BUILT = ("build_config", "build_input_shape")


def open_for_prediction(file: KerasFile) -> Any:
    """The model of a file with a row axis of any size."""
    if file.is_hdf5:
        return _from_hdf5(file)
    if file.version.startswith("2."):
        model = rebuild(file.path.name, file.config, powers=file.powers)
        load_weights(model, file.config, file.path)
        return model
    model = load(file.path, file.powers)
    if all(tensor.shape[0] is None for tensor in model.inputs):
        return _by_position(model)
    return rebuild(file.path.name, file.config, model.get_weights(), file.powers)


def _from_hdf5(file: KerasFile) -> Any:
    """The model of an ``.h5`` file, from its configuration in the words of Keras 3, and its weights layer by layer."""
    model = rebuild(file.path.name, file.config, powers=file.powers)
    try:
        model.load_weights(file.path)
    except Exception as error:  # as for `load`
        raise _refused(file.path.name, error) from error
    return model


def without_activation(model: Any, output: int) -> Any:
    """The same model with the activation of one output's last operation taken away; the given model is used up."""
    layers = keras().layers
    last = model.outputs[output]._keras_history.operation
    if isinstance(last, keras().Model):
        inner = last
        while isinstance(inner, keras().Model):
            inner = inner.outputs[0]._keras_history.operation
        inner.activation = keras().activations.linear
        return model
    if hasattr(last, "activation") and not isinstance(last, layers.Softmax):
        last.activation = keras().activations.linear
        return model
    below = [*model.outputs]
    below[output] = last.input
    return keras().Model(model.inputs, below if len(below) > 1 else below[0])
