"""What a Keras file says of itself, as `ModelFacts`: tensors, final activation, sizes, and what tuning may address."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.formats.keras_file import KerasFile, count_weights, read_keras
from runtimes.formats.keras_sizes import weights_of, work_of
from runtimes.formats.keras_tuning import tunables_of
from runtimes.formats.signature import refusing_disorder
from runtimes.target import LayerFacts, ModelFacts, ModelFileError, TensorFacts

DEFAULT_BATCH_SIZE = 32
DEFAULT_EPOCHS = 5

_SIZE_FIELDS = ("units", "filters", "input_dim", "output_dim")


@dataclass(frozen=True)
class Head:
    """The end of one output: its last operation and what it applies."""

    output: str
    activation: str
    """``softmax``, ``sigmoid``, ``linear``, another activation's name, or empty where it is something else."""
    removable: bool
    """True where the runtime can take the activation away."""


@refusing_disorder("a Keras model")
def facts_of(path: Path) -> ModelFacts:
    """Read a Keras file's facts without Keras. Raises `ModelFileError`."""
    file = read_keras(path)
    layers = layers_of(file.config)
    if not layers:
        raise ModelFileError(f"`{path.name}` declares no layers", "save a Sequential or functional model")
    _refuse_unholdable(file, layers)
    inputs = inputs_of(file)
    outputs = outputs_of(file)
    head = head_of(file)
    columns = (outputs[0].shape[-1] or 0) if len(outputs[0].shape) > 1 else 0
    counted = weights_of(layers)
    parameters = count_weights(file) if counted is None else counted
    if parameters > 2 * file.weights_bytes:
        raise ModelFileError(
            f"`{path.name}` declares {parameters:,} weights and holds {file.weights_bytes:,} bytes of them",
            "save the model again with `model.save`",
        )
    capabilities = {"Predictor"}
    if all(tensor.dtype.startswith("float") for tensor in inputs):
        capabilities.add("Differentiable")
    if file.compile_config is not None and len(outputs) == 1:
        capabilities.add("Trainable")
    kinds = [str(layer["class_name"]) for layer in layers]
    return ModelFacts(
        format="keras",
        structure=_structure(layers),
        inputs=inputs,
        outputs=outputs,
        capabilities=frozenset(capabilities),
        scores=scores_of(head),
        n_outputs=2 if head.activation == "sigmoid" and columns == 1 else columns,
        parameters=parameters,
        operators={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        producer=f"keras {file.version}".strip(),
        activation=head.activation,
        layers=tuple(LayerFacts(layer["config"]["name"], layer["class_name"], _plain(layer)) for layer in layers),
        tunables=_tunables(file),
        loss=_loss(file),
        work_per_row=work_of(layers),
    )


def layers_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers of a model's configuration, in file order."""
    inner = config.get("config")
    found = inner.get("layers", []) if isinstance(inner, dict) else inner
    if not isinstance(found, list):
        return []
    return [item for item in found if isinstance(item, dict) and isinstance(item.get("config"), dict)]


def _named(value: Any) -> list[str]:
    """Layer names in ``["x", 0, 0]``, ``[["x", 0, 0], …]`` or a mapping of those."""
    if isinstance(value, dict):
        return [name for item in value.values() for name in _named(item)]
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [value[0]]
    return [name for item in value or [] for name in _named(item)] if isinstance(value, list) else []


def inputs_of(file: KerasFile) -> tuple[TensorFacts, ...]:
    """The model's inputs in order.

    Raises:
        ModelFileError: the model was saved before its input shape was known.
    """
    layers = {layer["config"].get("name"): layer for layer in layers_of(file.config)}
    names = _named(file.config["config"].get("input_layers")) if file.config.get("class_name") != "Sequential" else []
    chosen = [layers[name] for name in names if name in layers]
    chosen = chosen or [layer for layer in layers.values() if layer["class_name"] == "InputLayer"]
    found = []
    for layer in chosen:
        settings = layer["config"]
        shape = settings.get("batch_shape") or settings.get("batch_input_shape")
        if isinstance(shape, list) and len(shape) >= 1:
            dtype = settings.get("dtype")
            dtype = dtype if isinstance(dtype, str) else "float32"
            # A row axis of fixed size is what calling an unbuilt model once leaves behind; it is opened as dynamic.
            found.append(TensorFacts(str(settings["name"]), (None, *shape[1:]), dtype))
    if not found:
        raise ModelFileError(
            f"`{file.path.name}` does not declare its input's shape", "add keras.Input to the model, and save it again"
        )
    return tuple(found)


def output_names(file: KerasFile) -> list[str]:
    """The names of the layers that make the outputs, in order."""
    layers = layers_of(file.config)
    if file.config.get("class_name") == "Sequential":
        return [str(layers[-1]["config"].get("name"))]
    return _named(file.config["config"].get("output_layers"))


def outputs_of(file: KerasFile) -> tuple[TensorFacts, ...]:
    """The model's outputs; a size that the configuration does not say is None."""
    shapes = {layer["config"].get("name"): _output_shape(file, layer) for layer in layers_of(file.config)}
    found = tuple(TensorFacts(name, shapes.get(name, (None,)), "float32") for name in output_names(file))
    if not found:
        raise ModelFileError(f"`{file.path.name}` declares no outputs", "save a Sequential or functional model")
    return found


_KEEPS_SHAPE = frozenset(
    {"Activation", "Softmax", "Sigmoid", "Dropout", "ReLU", "LeakyReLU", "PReLU", "ELU", "Identity"}
    | {"BatchNormalization"}
    | {"LayerNormalization", "Normalization", "Rescaling", "GaussianNoise", "GaussianDropout", "AlphaDropout"}
    | {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "UnitNormalization"}
)
"""Layers whose output is shaped as their (first) input."""


def _output_shape(file: KerasFile, layer: Mapping[str, Any]) -> tuple[int | None, ...]:
    """A layer's output shape, where its own settings and its input's shape say it."""
    settings, kind = layer["config"], layer["class_name"]
    if layers_of(layer):
        inner = layers_of(layer)
        return _output_shape(file, inner[-1]) if kind == "Sequential" else (None, None)
    shape = _input_shape(layer)
    if kind == "Dense" and shape:
        return (None, *shape[1:-1], int(settings["units"]))
    if kind == "Dense":
        return (None, int(settings["units"]))
    if kind in _KEEPS_SHAPE and shape:
        return (None, *shape[1:])
    if kind in _KEEPS_SHAPE:
        previous = _previous(file, layer)
        return _output_shape(file, previous) if previous else (None, None)
    if kind.startswith("Global") and shape:
        return (None, shape[-1])
    return (None, None)


def _input_shape(layer: Mapping[str, Any]) -> list[int | None] | None:
    shape = (layer.get("build_config") or {}).get("input_shape")
    if isinstance(shape, list) and all(size is None or isinstance(size, int) for size in shape):
        return shape
    for node in layer.get("inbound_nodes") or []:
        for tensor in _keras_tensors(node):
            found = tensor.get("shape")
            return found if isinstance(found, list) else None
    return None


def _keras_tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"]
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _keras_tensors(item)


def _previous(file: KerasFile, layer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The layer that feeds this one, where there is exactly one."""
    layers = layers_of(file.config)
    if file.config.get("class_name") == "Sequential":
        place = next((i for i, item in enumerate(layers) if item is layer), 0)
        return layers[place - 1] if place else None
    sources = {str(tensor["keras_history"][0]) for tensor in _keras_tensors(layer.get("inbound_nodes"))}
    if len(sources) != 1:
        return None
    name = sources.pop()
    return next((item for item in layers if item["config"].get("name") == name), None)


def head_of(file: KerasFile, output: int = 0) -> Head:
    """The last operation of one output, through nested models."""
    name = output_names(file)[output]
    layer = next(item for item in layers_of(file.config) if item["config"].get("name") == name)
    nested = False
    while layers_of(layer):
        inner = layers_of(layer)
        if layer["class_name"] == "Sequential":
            layer = inner[-1]
        else:
            last = _named(layer["config"].get("output_layers"))
            layer = next((item for item in inner if item["config"].get("name") in last), inner[-1])
        nested = True
    once = len(layer.get("inbound_nodes") or [None]) == 1
    kind = layer["class_name"]
    if kind in ("Softmax", "Sigmoid"):
        last_axis = layer["config"].get("axis", -1) in (-1, 1, [-1])
        return Head(name, kind.lower() if last_axis else "", last_axis and once and not nested)
    activation = layer["config"].get("activation")
    if isinstance(activation, dict):
        activation = activation.get("config") if isinstance(activation.get("config"), str) else ""
    if isinstance(activation, str) and kind not in ("LSTM", "GRU", "SimpleRNN"):
        return Head(name, activation, once)
    return Head(name, "", False)


def scores_of(head: Head) -> frozenset[str]:
    """The scores that one output can give."""
    if head.activation == "linear":
        return frozenset({"logit", "value"})
    scores = {"probability", "log_odds"} | ({"logit"} if head.removable else set())
    if head.activation == "softmax":
        return frozenset(scores)
    if head.activation == "sigmoid":
        return frozenset(scores | {"value"})
    return frozenset({"probability", "log_odds", "value"})


def _structure(layers: list[dict[str, Any]]) -> str:
    kinds = [layer["class_name"] for layer in layers if layer["class_name"] not in ("InputLayer", "Dropout", "Flatten")]
    plain = kinds == ["Dense"] and layers[-1]["config"].get("activation") in ("linear", "sigmoid", "softmax")
    return "linear" if plain else "network"


def _plain(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers, booleans, words and lists of numbers of a layer's configuration."""
    found = {}
    for key, value in layer["config"].items():
        numbers = isinstance(value, list) and all(isinstance(item, int | float) for item in value)
        if key != "name" and (isinstance(value, bool | int | float | str) or numbers):
            found[key] = tuple(value) if isinstance(value, list) else value
    return found


def _tunables(file: KerasFile) -> dict[str, Any]:
    found = {address: place.value for address, place in tunables_of(file, output_names(file)).items()}
    if file.compile_config is not None:
        found |= {"fit.batch_size": DEFAULT_BATCH_SIZE, "fit.epochs": DEFAULT_EPOCHS}
    return found


def _loss(file: KerasFile) -> str | None:
    loss = (file.compile_config or {}).get("loss")
    if isinstance(loss, dict):
        return str((loss.get("config") or {}).get("name") or loss.get("class_name"))
    return loss if isinstance(loss, str) else None


def _refuse_unholdable(file: KerasFile, layers: list[dict[str, Any]]) -> None:
    """Refuse sizes that the weights in the file cannot fill: they would be allocated before being compared."""
    for layer in layers:
        if layers_of(layer):
            _refuse_unholdable(file, layers_of(layer))
        settings = layer["config"]
        if settings.get("stateful") is True:
            raise ModelFileError(
                f"`{file.path.name}`: layer `{settings.get('name')}` is stateful: its answers depend on earlier calls",
                "rebuild the layer with stateful=False",
            )
        for field in _SIZE_FIELDS:
            size = settings.get(field)
            if isinstance(size, int | float) and size > file.weights_bytes:
                raise ModelFileError(
                    f"`{file.path.name}`: layer `{settings.get('name')}` declares {field} = {size:,}, "
                    f"more than {file.weights_bytes:,} bytes of weights can fill",
                    "save the model again with `model.save`",
                )
