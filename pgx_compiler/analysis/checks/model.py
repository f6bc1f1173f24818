"""Are the files one model, with the task, inputs and classes that the spec says?"""

from pgx_compiler.analysis.checks.signature import UNFIT_OUTPUT, output_name, output_path, settle_signature
from pgx_compiler.analysis.context import Context, listed
from pgx_compiler.analysis.resolved import Format
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.model import OutputSpec
from runtimes.target import ModelFacts, TensorFacts

FILES_DISAGREE = Code(
    4001,
    "files-disagree",
    "The Keras and the ONNX file must be the same model, but their inputs or outputs differ. Export one"
    " from the other.",
)
CLASS_COUNT = Code(
    4002,
    "class-count",
    "`model.classes` names another number of classes than the model has outputs. A single sigmoid output counts as"
    " two classes: not, and is. So it is with `names` of `model.output`, which are for the outputs of a regression.",
)
UNKNOWN_TENSOR = Code(
    3011,
    "unknown-tensor",
    "The model has no input or output of this name or position. The help line lists those that its file declares.",
)
NOT_FOR_REGRESSION = Code(
    4003,
    "not-for-regression",
    "Classes, class names as target, and selections by class belong to classification; `model.task` says regression. Of a"
    " regression with several outputs `explain.target` says which are explained, by name or position.",
)
BAD_RANGE = Code(
    4004,
    "bad-range",
    "A pair of numbers must be given as [low, high] with low below high.",
)


def check_model(context: Context) -> None:
    """Settle the inputs, the number of outputs and the names of the classes."""
    spec = context.spec.model
    if spec.task == "regression" and spec.classes is not None:
        message = "a regression model has no classes"
        context.error(NOT_FOR_REGRESSION, message, ("model", "classes"), "delete `classes`", on="key")
    if not context.models_known:
        return
    facts = {format_: file.facts for format_, file in context.models.items()}
    if not _check_declared(context, facts) or not settle_signature(context):
        return
    facts = {format_: file.facts for format_, file in context.models.items()}
    main: Format = "keras" if "keras" in facts else "onnx"
    if not _agree(context, facts):
        return
    context.inputs = facts[main].inputs
    for format_, other in facts.items():
        names = _matched(facts[main].inputs, other.inputs)
        context.renamed[format_] = {mine.name: theirs.name for mine, theirs in names}
    context.n_outputs = _columns(context, facts[main])
    _say_which_output(context, facts[main])
    _settle_classes(context)


def _say_which_output(context: Context, facts: ModelFacts) -> None:
    """Warn where a regression has outputs of several names and the spec means none of them."""
    named = [tensor.name for tensor in facts.outputs if tensor.dtype.startswith("float")]
    if context.spec.model.task != "regression" or len(named) < 2 or output_name(context.spec.model.output) is not None:
        return
    message = (
        f"the model has {len(named)} outputs, and nothing says which is audited: it is the first that holds numbers"
    )
    help_ = f"name one: `model.output: {shortened(named[0])}`; there are {quoted(named)}"
    context.warn(UNFIT_OUTPUT, message, ("model", "task"), help_)


def _matched(mine: tuple[TensorFacts, ...], theirs: tuple[TensorFacts, ...]) -> list[tuple[TensorFacts, TensorFacts]]:
    """Pair inputs by name where the names are the same, else by position."""
    by_name = {tensor.name: tensor for tensor in theirs}
    if all(tensor.name in by_name for tensor in mine):
        return [(tensor, by_name[tensor.name]) for tensor in mine]
    return list(zip(mine, theirs, strict=False))


def _columns(context: Context, facts: ModelFacts) -> int:
    """Columns of a view: a classifier with one number a row has two classes, a regression with a sigmoid one value."""
    if context.spec.model.task == "classification":
        return 2 if facts.n_outputs == 1 else facts.n_outputs
    return 1 if facts.activation == "sigmoid" and facts.n_outputs == 2 else facts.n_outputs


def _agree(context: Context, facts: dict[Format, ModelFacts]) -> bool:
    if len(facts) < 2:
        return True
    keras, onnx = facts["keras"], facts["onnx"]
    help_ = "export one file from the other"
    if len(keras.inputs) != len(onnx.inputs):
        message = f"the Keras file has {len(keras.inputs)} inputs, the ONNX file {len(onnx.inputs)}"
        context.error(FILES_DISAGREE, message, ("model", "onnx"), help_)
        return False
    if len(keras.inputs) > 1 and {t.name for t in keras.inputs} != {t.name for t in onnx.inputs}:
        message = f"the Keras file reads {listed(t.name for t in keras.inputs)}, the ONNX file other inputs"
        context.error(FILES_DISAGREE, message, ("model", "onnx"), help_)
        return False
    for mine, theirs in _matched(keras.inputs, onnx.inputs):
        if not fits(mine.shape[1:], theirs.shape[1:]):
            message = (
                f"the input `{mine.name}` is {in_words(mine.shape[1:])} in the Keras file,"
                f" {in_words(theirs.shape[1:])} in the ONNX file"
            )
            context.error(FILES_DISAGREE, message, ("model", "onnx"), help_)
            return False
    if keras.n_outputs != onnx.n_outputs:
        message = f"the Keras file gives {keras.n_outputs} outputs, the ONNX file {onnx.n_outputs}"
        context.error(FILES_DISAGREE, message, ("model", "onnx"), help_)
        return False
    return True


def fits(first: tuple[int | None, ...], second: tuple[int | None, ...]) -> bool:
    """Whether two shapes may be the same, where None is any size."""
    return len(first) == len(second) and all(
        a is None or b is None or a == b for a, b in zip(first, second, strict=True)
    )


def in_words(shape: tuple[int | None, ...]) -> str:
    """A shape for a message: ``28 × 28 × 1``."""
    return " × ".join("any" if size is None else str(size) for size in shape) or "one number a row"


def _check_declared(context: Context, facts: dict[Format, ModelFacts]) -> bool:
    """Whether every input and output that the spec names is there."""
    spec, said = context.spec.model, len(context.diagnostics)
    inputs = sorted({tensor.name for one in facts.values() for tensor in one.inputs})
    for name, declared in spec.inputs.items():
        at = ("model", "inputs", name)
        if name not in inputs:
            near = nearest(name, inputs)
            label = f"did you mean `{near}`?" if near else ""
            message = f"the model has no input `{shortened(name)}`"
            context.error(UNKNOWN_TENSOR, message, at, f"inputs: {quoted(inputs)}", label, on="key")
        elif declared.value_range and declared.value_range[0] >= declared.value_range[1]:
            message = "the value range is empty"
            context.error(BAD_RANGE, message, (*at, "value_range"), "write [smallest, largest]")
    wanted = output_name(spec.output)
    for format_, one in facts.items() if wanted is not None else ():
        names = [tensor.name for tensor in one.outputs]
        known = wanted in names or (isinstance(wanted, int) and 0 <= wanted < len(names))
        if not known:
            message = f"the {format_} file has no output `{shortened(wanted)}`"
            help_ = f"outputs: {quoted(names)}, or a position from 0"
            near = nearest(str(wanted), names)
            label = f"did you mean `{near}`?" if near else ""
            context.error(UNKNOWN_TENSOR, message, output_path(spec.output), help_, label)
            break
    return len(context.diagnostics) == said


def _check_output_names(context: Context, n: int) -> None:
    output = context.spec.model.output
    names = output.names if isinstance(output, OutputSpec) else None
    at = ("model", "output", "names")
    if names is not None and len(names) != n:
        message = f"{len(names)} outputs are named, but the model gives {n}"
        context.error(CLASS_COUNT, message, at, "name each output, in order")
    elif names is not None and len(set(names)) < n:
        repeated = next(name for name in names if names.count(name) > 1)
        message = f"the output `{shortened(repeated)}` is named twice"
        context.error(CLASS_COUNT, message, at, "give each output a name of its own")


def _settle_classes(context: Context) -> None:
    spec, n = context.spec.model, context.n_outputs
    assert n is not None
    if spec.task == "regression":
        context.classes = ()
        _check_output_names(context, n)
        return
    if isinstance(spec.output, OutputSpec) and spec.output.names is not None:
        message = "the outputs of a classification are classes, and `model.classes` names them"
        context.error(CLASS_COUNT, message, ("model", "output", "names"), "write `model.classes` instead", on="key")
    held = [file.facts.classes for file in context.models.values() if len(file.facts.classes) == n]
    names = spec.classes or list(held[0] if held else map(str, range(n)))
    if len(names) != n:
        message = f"{len(names)} classes are named, but the model gives {n}"
        context.error(CLASS_COUNT, message, ("model", "classes"), "name one class for each output, in order")
        return
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        message = f"the class `{shortened(repeated[0])}` is named twice"
        context.error(CLASS_COUNT, message, ("model", "classes"), "give each output a name of its own")
        return
    context.classes = tuple(names)
