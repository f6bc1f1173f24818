"""What a Keras file says of itself, as `ModelFacts`: tensors, final activation, sizes, and what tuning may address."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from runtimes.capabilities import View
from runtimes.formats.keras_embedding import embedded_inputs, has_gradient, whole_numbers
from runtimes.formats.keras_file import KerasFile, read_keras
from runtimes.formats.keras_layer_facts import inside, layer_facts
from runtimes.formats.keras_relevance_kinds import without_rescaling, without_rule
from runtimes.formats.keras_shapes import shapes_in
from runtimes.formats.keras_sizes import weights_of, work_of
from runtimes.formats.keras_tf_explain import without_tf_explain
from runtimes.formats.keras_tuning import tunables_of
from runtimes.formats.signature import refusing_disorder
from runtimes.powers import NO_POWERS
from runtimes.target import ModelFacts, ModelFileError, TensorFacts

DEFAULT_BATCH_SIZE = 32
DEFAULT_EPOCHS = 5

_SIZE_FIELDS = (
    *("units", "filters", "input_dim", "output_dim", "num_heads", "key_dim", "value_dim", "head_dim"),
    *("num_query_heads", "num_key_value_heads", "depth_multiplier", "kernel_size"),
)
"""Settings of layers that each is a factor of how many weights the layer has."""


@dataclass(frozen=True)
class Head:
    """The end of one output: its last operation and what it applies."""

    output: str
    activation: str
    """``softmax``, ``sigmoid``, ``exp`` (where it can be taken away), ``linear``, another activation's name, or empty where it
    is something else."""
    removable: bool
    """True where the runtime can take the activation away."""


@refusing_disorder("a Keras model")
def facts_of(path: Path, view: View | None = None) -> ModelFacts:
    """Read a Keras file's facts without Keras, as it will answer under a view. Raises `ModelFileError`."""
    file = read_keras(path, view.powers if view else NO_POWERS)
    layers = layers_of(file.config)
    if not layers:
        raise ModelFileError(f"`{path.name}` declares no layers", "save a Sequential or functional model")
    _refuse_unholdable(file, layers)
    inputs = inputs_of(file)
    outputs = outputs_of(file)
    chosen = position_of(file, view.output if view else None)
    head = head_of(file, chosen)
    columns, problem, unsaid = columns_of(outputs[chosen])
    counted = weights_of(layers)
    parameters = file.weights if counted is None else counted
    if parameters > 2 * file.weights_bytes:
        raise ModelFileError(
            f"`{path.name}` declares {parameters:,} weights and holds {file.weights_bytes:,} bytes of them",
            "save the model again with `model.save`",
        )
    capabilities = {"Predictor"}
    embedded = embedded_inputs(file, layers)
    if has_gradient(inputs, embedded):
        capabilities |= {"Differentiable", "EmbeddingDifferentiable"} if embedded else {"Differentiable"}
        capabilities |= {*inside(file.config), "RulePropagating"}
    lacks = {} if "Differentiable" in capabilities else {"Differentiable": whole_numbers(inputs, embedded)}
    reason = without_tf_explain(inputs, outputs, file.config, plain=file.powers == NO_POWERS)
    if reason:
        lacks["TfExplained"] = reason
    else:
        capabilities.add("TfExplained")
    if file.compile_config is not None and len(outputs) == 1 and file.powers == NO_POWERS:
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
        layers=tuple(layer_facts(file.config, layers_of, _plain)),
        tunables=_tunables(file),
        loss=_loss(file),
        work_per_row=work_of(layers),
        problem=problem,
        unsaid=unsaid,
        lacks=lacks,
        without_rule=without_rule(file.config, frozenset(output_names(file))) or "",
        without_rescaling=without_rescaling(file.config) or "",
    )


def layers_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers of a model's configuration, in file order."""
    inner = config.get("config")
    found = inner.get("layers", []) if isinstance(inner, dict) else inner
    if not isinstance(found, list):
        return []
    return [item for item in found if isinstance(item, dict) and isinstance(item.get("config"), dict)]


def _named(value: Any) -> list[str]:
    """Layer names in ``["x", 0, 0]``, ``[["x", 0, 0], …]`` or a mapping of those, in which Keras takes them by key."""
    if isinstance(value, dict):
        return [name for key in sorted(value) for name in _named(value[key])]
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
    shapes = shapes_in(file.config, layers_of)
    found = tuple(TensorFacts(name, shapes.get(name) or (None, None), "float32") for name in output_names(file))
    if not found:
        raise ModelFileError(f"`{file.path.name}` declares no outputs", "save a Sequential or functional model")
    return found


def position_of(file: KerasFile, wanted: str | int | None) -> int:
    """The position of an output by its name or position; the first where none is said.

    Raises:
        ModelFileError: there is none.
    """
    names = output_names(file)
    if isinstance(wanted, str):
        if wanted not in names:
            raise ModelFileError(f"`{file.path.name}` has no output `{wanted}`", f"its outputs are {', '.join(names)}")
        return names.index(wanted)
    position = wanted or 0
    if not 0 <= position < len(names):
        raise ModelFileError(f"`{file.path.name}` has no output {position}", f"it has {len(names)}, counted from 0")
    return position


def columns_of(tensor: TensorFacts) -> tuple[int, tuple[str, str] | None, bool]:
    """Numbers a row of an output; why it cannot be explained, where so; whether that is only because it is not said."""
    sizes = [size for size in tensor.shape[1:] if size != 1]
    if sum(size is None or size > 1 for size in sizes) > 1:
        told = " × ".join("any" if size is None else str(size) for size in tensor.shape[1:])
        help_ = "end the Keras model where one number is left for each row and output, and save it again"
        return 0, (f"the output `{tensor.name}` gives {told} numbers a row", help_), False
    if None in sizes:
        said = f"the file does not say how many numbers its output `{tensor.name}` has a row"
        return 0, (said, "name `model.classes`"), True
    return (sizes[0] or 0) if sizes else 1, None, False


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
    if kind == "Exp":
        removable = once and not nested
        return Head(name, "exp" if removable else "", removable)
    activation = layer["config"].get("activation")
    if isinstance(activation, dict):
        activation = activation.get("config") if isinstance(activation.get("config"), str) else ""
    if activation == "exponential":
        activation = "exp" if once and kind not in ("LSTM", "GRU", "SimpleRNN") else ""
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
    # Of an end that is not known the logarithm is taken where it is asked for, and every answer is looked at.
    logs = {"log_value"} if head.activation in ("exp", "softplus", "") else set()
    return frozenset({"probability", "log_odds", "value", *logs})


def starts_below(head: Head, view: View) -> bool:
    """Whether a score is what the last activation is given."""
    if view.score == "log_value":
        return head.activation == "exp"
    return view.score in ("logit", "log_odds") and head.activation in ("softmax", "sigmoid")


def require_score(path: Path, head: Head, view: View) -> None:
    """Refuse a score that an output cannot give. Raises `ModelFileError`."""
    possible = scores_of(head)
    if view.score not in possible:
        raise ModelFileError(
            f"`{path.name}` cannot give the score `{view.score}` for its output `{head.output}`",
            f"it can give {', '.join(sorted(possible))}",
        )


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
            if isinstance(size, list) and all(isinstance(one, int) for one in size):
                size = prod(size)
            if isinstance(size, int | float) and size > file.weights_bytes:
                raise ModelFileError(
                    f"`{file.path.name}`: layer `{settings.get('name')}` declares {field} = {size:,}, "
                    f"more than {file.weights_bytes:,} bytes of weights can fill",
                    "save the model again with `model.save`",
                )
