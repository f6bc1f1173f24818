"""What a model's own signature needs before an audit can use it: fixed inputs, rows and channels in place, one output."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgx_compiler.analysis.context import Context, listed
from pgx_compiler.analysis.resolved import Format, ModelFile
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.modalities import is_pictured, modalities
from pgx_compiler.spec.model import InputSpec, OutputSpec
from pgx_compiler.spec.source import Path_
from runtimes.adaptation import CHANNELS_FIRST, LAYOUTS, Adaptation, InputAdaptation, misfit
from runtimes.capabilities import View
from runtimes.target import ModelFacts, ModelFileError, TensorFacts, framework_for

UNFIT_INPUT = Code(
    4006,
    "unfit-input",
    "Each input of the model gets an array with rows on axis 0 from the data, or is `fixed`. `model.inputs` says what the"
    " file cannot: a value that is given with every row (`fixed`), an axis of rows that is not the first (`batch_axis`),"
    " channels first (`layout`). What it says must fit the input's own axes and type.",
)
UNFIT_OUTPUT = Code(
    4007,
    "unfit-output",
    "What is explained is one number for each row and output. An output with more axes is cut down to that by"
    " `model.output: {name, select, reduce}`: positions first, then the maximum, mean or sum of what is left. An output"
    " without an axis of rows, or of a shape that the file does not say, cannot be explained.",
)

_FEW_CHANNELS = range(1, 5)


def settle_signature(context: Context) -> bool:
    """Settle what is done to each file's inputs and output, and read its facts again; False where it does not fit."""
    good = [_settle_file(context, format_, file) for format_, file in list(context.models.items())]
    return all(good)


def output_name(output: str | int | OutputSpec | None) -> str | int | None:
    """The output that is meant, by name or position."""
    return output.name if isinstance(output, OutputSpec) else output


def output_path(output: str | int | OutputSpec | None, key: str = "name") -> Path_:
    """Where a key of `model.output` stands."""
    given = isinstance(output, OutputSpec) and getattr(output, key) is not None
    return ("model", "output", key) if given else ("model", "output") if output is not None else ("model", "onnx")


def _settle_file(context: Context, format_: Format, file: ModelFile) -> bool:
    facts, declared = file.facts, _own(context, file.facts)
    asked = _asked_of_output(context)
    if format_ == "keras" and not _keras_can(context, declared, asked):
        return False
    inputs = {name: _adaptation(one) for name, one in declared.items()}
    if format_ == "onnx" and is_pictured(context.spec.data.modality):
        inputs |= _channels_first(facts, declared, modalities()[context.spec.data.modality].PLACES)
    inputs = {name: one for name, one in inputs.items() if one != InputAdaptation()}
    plain: dict[str, Any] = {"inputs": {name: _plain(one) for name, one in inputs.items()}} if inputs else {}
    plain |= asked
    if not _inputs_fit(context, facts, inputs):
        return False
    if plain:
        context.adaptations[format_] = plain
    seen = _facts_again(context, format_, file, plain)
    if seen is None:
        return False
    context.models[format_] = replace(file, facts=seen, beside=_digests(seen.beside))
    return _rows_stand(context, seen) and _output_fits(context, format_, seen)


def _own(context: Context, facts: ModelFacts) -> dict[str, InputSpec]:
    """What the spec says of a file's inputs, under the file's own names: a single input may go by the other file's."""
    names = {tensor.name for tensor in facts.inputs}
    found = {name: one for name, one in context.spec.model.inputs.items() if name in names}
    if len(facts.inputs) == 1 and not found and len(context.spec.model.inputs) == 1:
        return {facts.inputs[0].name: next(iter(context.spec.model.inputs.values()))}
    return found


def _adaptation(said: InputSpec) -> InputAdaptation:
    layout = said.layout if said.layout and LAYOUTS[said.layout] != said.layout else ""
    # axis 0 is where rows are looked for anyway; of a fixed input it says that it has rows
    axis = said.batch_axis or (said.batch_axis if said.fixed is not None else None)
    return InputAdaptation(said.fixed, axis, layout)


def _plain(one: InputAdaptation) -> dict[str, Any]:
    given = {"fixed": one.fixed, "batch_axis": one.batch_axis, "layout": one.layout}
    return {key: value for key, value in given.items() if value not in (None, "")}


def _channels_first(facts: ModelFacts, declared: Mapping[str, InputSpec], places: int) -> dict[str, InputAdaptation]:
    """Images whose channels stand first for all to see: few of them there, and not few where they would stand last."""
    found = {}
    for tensor in facts.inputs:
        said = declared.get(tensor.name)
        if len(tensor.shape) != places + 2 or (said and (said.layout or said.batch_axis or said.fixed is not None)):
            continue
        if _first(tensor):
            found[tensor.name] = InputAdaptation(layout=CHANNELS_FIRST[len(tensor.shape)])
    return found


def channels_last(tensor: TensorFacts, places: int) -> TensorFacts:
    """A picture's input as an audit holds it, where its channels stand first for all to see."""
    if len(tensor.shape) != places + 2 or not _first(tensor):
        return tensor
    rows, channels, *sides = tensor.shape
    return replace(tensor, shape=(rows, *sides, channels))


def _first(tensor: TensorFacts) -> bool:
    """Whether few channels stand first, and not few where they would stand last."""
    return tensor.shape[1] in _FEW_CHANNELS and tensor.shape[-1] not in _FEW_CHANNELS


def _asked_of_output(context: Context) -> dict[str, Any]:
    output = context.spec.model.output
    if not isinstance(output, OutputSpec):
        return {}
    given = {"select": output.select, "reduce": output.reduce, "batch_axis": output.batch_axis}
    return {key: value for key, value in given.items() if value}


def _keras_can(context: Context, declared: Mapping[str, InputSpec], asked: Mapping[str, Any]) -> bool:
    """Whether a Keras file is asked for no more than fixed inputs."""
    good = True
    for key in asked:
        message = f"`{key}` is for ONNX files, and the audit has a Keras file too"
        help_ = "end the Keras model where one number is left for each row and output, and export it again"
        context.error(UNFIT_OUTPUT, message, ("model", "output", key), help_, on="key")
        good = False
    for name, one in declared.items():
        tensor = next(t for c in context.models.values() for t in c.facts.inputs if t.name == name)
        first = len(tensor.shape) in (4, 5) and _first(tensor)
        if (
            one.batch_axis
            or (one.layout in CHANNELS_FIRST.values() and "onnx" not in context.models)
            or (one.layout and first)
        ):
            key = "batch_axis" if one.batch_axis else "layout"
            message = f"a Keras file reads rows first and channels last, and `{key}` says otherwise"
            context.error(UNFIT_INPUT, message, ("model", "inputs", name, key), "delete it", on="key")
            good = False
        if one.fixed is not None and context.spec.tuning is not None:
            message = "a model with fixed inputs cannot be tuned"
            help_ = "make the value a constant of the Keras model, or delete `tuning`"
            context.error(UNFIT_INPUT, message, ("model", "inputs", name, "fixed"), help_, on="key")
            good = False
    return good


def _inputs_fit(context: Context, facts: ModelFacts, inputs: Mapping[str, InputAdaptation]) -> bool:
    good = True
    for tensor in facts.inputs:
        said = inputs.get(tensor.name)
        wrong = misfit(tensor.shape, tensor.dtype, said) if said else None
        if said and wrong:
            at = _at(context, tensor.name)
            context.error(UNFIT_INPUT, f"the input `{tensor.name}`: {wrong[0]}", at, wrong[1])
            good = False
    if good and all(t.name in inputs and inputs[t.name].fixed is not None for t in facts.inputs):
        context.error(UNFIT_INPUT, "every input is fixed", ("model", "inputs"), "leave one to the data", on="key")
        return False
    return good


def _at(context: Context, name: str) -> Path_:
    declared = context.spec.model.inputs.get(name)
    if declared is None:
        return ("model", "inputs") if context.spec.model.inputs else ("model", "onnx")
    keys = [key for key in ("batch_axis", "layout", "fixed") if getattr(declared, key) is not None]
    return ("model", "inputs", name, *keys[:1])


def _facts_again(context: Context, format_: Format, file: ModelFile, plain: Mapping[str, Any]) -> ModelFacts | None:
    """The facts of a file as it will be opened; None where it is refused so, which has been said then."""
    named = output_name(context.spec.model.output)
    if format_ == "keras":
        return _facts_of_keras(context, file, plain.get("inputs", {}))
    if not plain and named is None:
        return file.facts
    view = View("value", context.spec.model.task, named, Adaptation.of(plain), file.powers)
    try:
        facts: ModelFacts = framework_for(format_).inspect(file.path, view)
    except ModelFileError as error:
        context.error(UNFIT_OUTPUT, error.reason, output_path(context.spec.model.output), error.help)
        return None
    return facts


def _facts_of_keras(context: Context, file: ModelFile, fixed: Mapping[str, Any]) -> ModelFacts | None:
    """A Keras file's facts for the output that is meant, without the inputs that are fixed."""
    named = output_name(context.spec.model.output)
    facts: ModelFacts = file.facts
    if named is not None:
        try:
            task, signature = context.spec.model.task, context.spec.model.signature or ""
            view = View("value", task, named, powers=file.powers, signature=signature)
            facts = framework_for("keras").inspect(file.path, view)
        except ModelFileError as error:
            context.error(UNFIT_OUTPUT, error.reason, output_path(context.spec.model.output), error.help)
            return None
    return replace(facts, inputs=tuple(tensor for tensor in facts.inputs if tensor.name not in fixed))


def _rows_stand(context: Context, facts: ModelFacts) -> bool:
    """Whether every input that the data gives has rows, and all as many."""
    without = [tensor for tensor in facts.inputs if not tensor.shape]
    if without:
        name = without[0].name
        message = f"the input `{name}` is a single value, without an axis of rows"
        help_ = f"give its value: `model.inputs: {{{name}: {{fixed: VALUE}}}}`"
        context.error(UNFIT_INPUT, message, _at_file(context, name), help_)
        return False
    sizes = {tensor.shape[0] for tensor in facts.inputs} - {1}
    if len(sizes) <= 1:
        return True
    told = listed(f"`{tensor.name}` {_words(tensor)}" for tensor in facts.inputs)
    odd = next(tensor.name for tensor in facts.inputs if tensor.shape[0] not in (None, 1))
    message = f"the inputs do not have the same number of rows on axis 0: {told}"
    help_ = f"if `{odd}` has its rows elsewhere or is no data, say so: `model.inputs: {{{odd}: {{batch_axis: 1}}}}`, `fixed`"
    context.error(UNFIT_INPUT, message, _at_file(context, odd), help_)
    return False


def _words(tensor: TensorFacts) -> str:
    return " × ".join("any" if size is None else str(size) for size in tensor.shape)


def _at_file(context: Context, name: str) -> Path_:
    if name in context.spec.model.inputs:
        return ("model", "inputs", name)
    return ("model", "onnx") if "onnx" in context.models else ("model", "keras")


def _output_fits(context: Context, format_: Format, facts: ModelFacts) -> bool:
    spec = context.spec.model
    if facts.problem is None:
        return True
    if facts.unsaid and spec.classes is not None and spec.task == "classification":
        n = len(spec.classes)
        context.models[format_] = replace(
            context.models[format_], facts=replace(facts, n_outputs=n, problem=None, unsaid=False)
        )
        return True
    key = "select" if isinstance(spec.output, OutputSpec) and spec.output.select else "name"
    context.error(UNFIT_OUTPUT, facts.problem[0], output_path(spec.output, key), facts.problem[1])
    return False


def _digests(files: Mapping[str, Path]) -> dict[str, tuple[Path, str]]:
    return dict(_digested(files))


def _digested(files: Mapping[str, Path]) -> Iterator[tuple[str, tuple[Path, str]]]:
    for location, path in sorted(files.items()):
        with path.open("rb") as file:
            yield location, (path, hashlib.file_digest(file, "sha256").hexdigest())
