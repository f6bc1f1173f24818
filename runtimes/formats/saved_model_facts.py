"""What a SavedModel says of itself, as `ModelFacts`: its signature, its last operation, its size."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtimes.capabilities import View
from runtimes.formats.graph_layers import PASSES_ON
from runtimes.formats.keras_embedding import has_gradient, whole_numbers
from runtimes.formats.keras_facts import Head, columns_of, scores_of
from runtimes.formats.saved_model_attention import without_attention
from runtimes.formats.saved_model_embedding import looked_up
from runtimes.formats.saved_model_file import GraphNode, SavedModelFile, read_saved_model
from runtimes.formats.saved_model_layers import Place, inside, last_of, layer_facts, maker_of
from runtimes.formats.saved_model_rounding import lost_in_rounding
from runtimes.formats.signature import refusing_disorder
from runtimes.formats.tf_graph_relevance_paths import Ways, first_own_rounding, ways_through_signature
from runtimes.powers import NO_POWERS
from runtimes.target import ModelFacts, ModelFileError

_LINEAR = frozenset({"BiasAdd", "MatMul", "BatchMatMulV2", "Conv2D"})
_ADDS = frozenset({"Add", "AddV2"})
_OF_PLUMBING = frozenset(
    {"Const", "Identity", "NoOp", "Placeholder", "ReadVariableOp", "VarHandleOp", "PartitionedCall"}
    | {"StatefulPartitionedCall", "DisableCopyOnRead", "IdentityN"}
)


@dataclass(frozen=True)
class End:
    """The end of one output of a signature."""

    head: Head
    function: str = ""
    """Where its last operation stands."""
    node: str = ""
    """Its last operation."""


@refusing_disorder("a SavedModel")
def saved_model_facts(path: Path, view: View | None = None) -> ModelFacts:
    """Read a SavedModel's facts without TensorFlow, as it will answer under a view. Raises `ModelFileError`."""
    file = read_saved_model(path, view.powers if view else NO_POWERS, view.signature if view else "")
    _refuse_unholdable(file)
    inputs, outputs = file.signature.inputs, file.signature.outputs
    chosen = output_position(file, view.output if view else None)
    head = end_of(file, chosen).head
    columns, problem, unsaid = columns_of(outputs[chosen])
    counted = Counter(
        node.op for node in file.reached() if node.op not in _OF_PLUMBING and node.op not in file.functions
    )
    embedded = looked_up(file, chosen)
    differentiable = has_gradient(inputs, embedded)
    cut = frozenset(name for names in embedded.values() for name in names)
    lost = lost_in_rounding(file, chosen, cut) if differentiable else ""
    differentiable = differentiable and not lost
    rounding = first_own_rounding(file, chosen) if differentiable else ""
    layers = layer_facts(file, chosen, cut) if differentiable and not rounding else ()
    capabilities = {
        "Predictor",
        *(["Differentiable"] if differentiable else []),
        *(inside(file, chosen, cut) if layers else ()),
    }
    unread = without_attention(file, chosen, cut) if layers else ""
    if layers and not unread:
        capabilities.add("AttentionReadable")
    if differentiable and embedded:
        capabilities.add("EmbeddingDifferentiable")
    ways = ways_through_signature(file, chosen) if differentiable else Ways()
    if differentiable:
        capabilities.add("RulePropagating")
    return ModelFacts(
        format="keras",
        structure="network",
        inputs=inputs,
        outputs=outputs,
        capabilities=frozenset(capabilities),
        scores=scores_of(head),
        n_outputs=2 if head.activation == "sigmoid" and columns == 1 else columns,
        parameters=file.parameters,
        operators=dict(sorted(counted.items())),
        producer=f"tensorflow {file.version}".strip(),
        activation=head.activation,
        layers=layers,
        work_per_row=file.parameters,
        problem=problem,
        unsaid=unsaid,
        beside=file.beside,
        lacks={
            name: why
            for name, why in _lacks(file, embedded, rounding, lost, unread, differentiable=differentiable).items()
            if name not in capabilities
        },
        without_rule=ways.without_rule,
        without_rescaling=ways.without_rescaling,
    )


_OF_LAYERS = ("LayerDifferentiable", "Rectified", "AttentionReadable", "RulePropagating", "TfExplained")


def _lacks(
    file: SavedModelFile,
    embedded: Mapping[str, tuple[str, ...]],
    rounding: str,
    lost: str,
    unread: str,
    *,
    differentiable: bool,
) -> dict[str, str]:
    """Why a SavedModel offers no gradient, or nothing that needs layers, and what does."""
    no_layers = (
        "a SavedModel holds operations, and does not say which of them are a layer of Keras; name the `.keras` file that it was"
        " exported from"
    )
    found = dict.fromkeys(_OF_LAYERS, no_layers)
    if rounding:
        own = f"it brings a gradient of its own for {rounding}, which rounds, and layers are seen without it"
        return {**found, "LayerDifferentiable": own, "Rectified": own, "AttentionReadable": own}
    if differentiable:
        found["LayerDifferentiable"] = (
            "none of its operations weighs, activates, normalises, pools or joins rows of floats"
        )
        found["Rectified"] = "none of its operations is a ReLU"
        found["AttentionReadable"] = unread or found["LayerDifferentiable"]
        return found
    said = lost or whole_numbers(file.signature.inputs, embedded)
    return {**dict.fromkeys(("EmbeddingDifferentiable", *_OF_LAYERS), said), "Differentiable": said}


def output_position(file: SavedModelFile, wanted: str | int | None) -> int:
    """The position of an output of the signature, by its name or position; the first where none is said.

    Raises:
        ModelFileError: there is none.
    """
    names = [tensor.name for tensor in file.signature.outputs]
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    position = wanted if isinstance(wanted, int) else 0 if wanted is None else -1
    if not 0 <= position < len(names):
        raise ModelFileError(f"`{file.path.name}` has no output `{wanted}`", f"its outputs are {', '.join(names)}")
    return position


def end_of(file: SavedModelFile, output: int) -> End:
    """The last operation of an output, through the functions that the signature calls."""
    name = file.signature.outputs[output].name
    made = last_of(file, output)
    if made is None:
        return End(Head(name, "", removable=False))
    place, node = made
    if node.op in ("Softmax", "Sigmoid"):
        removable = _is_used_once(file, place, node)
        return End(Head(name, node.op.lower(), removable), place.function, node.name)
    if node.op == "Exp" and _is_used_once(file, place, node):
        return End(Head(name, "exp", removable=True), place.function, node.name)
    if node.op in _LINEAR or (node.op in _ADDS and any(_is_product(file, place, tensor) for tensor in node.inputs)):
        return End(Head(name, "linear", removable=False))
    return End(Head(name, "", removable=False))


def _is_used_once(file: SavedModelFile, place: Place, node: GraphNode) -> bool:
    """Whether nothing of the signature but the output depends on an operation, so that it can be taken away."""
    if not place.function:
        return False
    calls = [place]
    while calls[-1].above is not None and calls[-1].above.function:
        calls.append(calls[-1].above)
    reached = file.reached()
    once = all(sum(call.function in other.calls for other in reached) == 1 for call in calls)
    readers = sum(
        tensor.partition(":")[0].lstrip("^") == node.name for other in place.nodes.values() for tensor in other.inputs
    )
    function = file.functions[place.function]
    return once and readers + sum(said.partition(":")[0] == node.name for said in function.returns.values()) == 1


def _is_product(file: SavedModelFile, place: Place, tensor: str) -> bool:
    made = maker_of(file, place, tensor, PASSES_ON)
    return made is not None and made[1].op in _LINEAR


def _refuse_unholdable(file: SavedModelFile) -> None:
    """Refuse variables that the files beside cannot fill."""
    if not file.beside:
        return
    stored = sum(path.stat().st_size for path in file.beside.values())
    if file.parameters > stored:
        raise ModelFileError(
            f"`{file.path.name}` declares {file.parameters:,} weights, and {stored:,} bytes of variables stand beside it",
            "save the model again, and copy its whole folder",
        )
