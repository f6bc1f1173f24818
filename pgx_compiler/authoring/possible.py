"""Which methods a model file can do, before there is a spec: the checks of the language are asked, on a spec made up for it."""

from pathlib import Path

from pgx_compiler.analysis.checks.capabilities import refusal
from pgx_compiler.analysis.checks.model import check_model
from pgx_compiler.analysis.checks.score import check_score
from pgx_compiler.analysis.checks.signature import channels_last
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import ModelFile
from pgx_compiler.authoring.draft import patch_of
from pgx_compiler.authoring.files import read_model
from pgx_compiler.authoring.signature import modality_of, task_of
from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities import is_pictured, modalities
from pgx_compiler.modalities.tabular import feature_map as table_features
from pgx_compiler.spec.parse import parse
from runtimes.target import ModelFacts

_MADE_UP = """apiVersion: pgx/v1
kind: Audit
metadata: {{name: model}}
model: {{{format}: model, task: {task}}}
data: {{modality: {modality}, train: {{path: data}}}}
precaution: [{{use: {any}}}]
"""


def refusals(model: str, modality: str | None = None) -> dict[str, str]:
    """Method to the reason why a model file cannot do it. Raises `AuthorError` where the file cannot be read."""
    format_, facts = read_model(Path(model))
    kind = modality or modality_of(facts).value
    task = task_of([facts], None).value
    text = _MADE_UP.format(format=format_, task=task, modality=kind, any=next(iter(catalogue())))
    parsed = parse(text, "model")
    assert parsed.spec is not None
    context = Context(parsed.spec, parsed.document, Path(model).parent, Diagnostics())
    context.models[format_] = ModelFile(Path(model), Path(model).name, "", facts)
    context.models_known = True
    check_model(context)
    check_score(context)
    context.rows = 1
    _lay_features(context, facts, kind)
    found = {}
    for declaration in catalogue().values():
        if kind not in declaration.modalities:
            found[declaration.name] = f"it does not work on {kind} data"
        elif task not in declaration.tasks:
            found[declaration.name] = f"it is for {', '.join(declaration.tasks)}, the task is {task}"
        elif reason := refusal(context, declaration):
            found[declaration.name] = reason
    return found


def _lay_features(context: Context, facts: ModelFacts, modality: str) -> None:
    """The features of a spec that says nothing of them; none where the file leaves a size open."""
    shape = facts.inputs[0].shape[1:]
    if any(size is None for tensor in facts.inputs for size in tensor.shape[1:]):
        return
    if is_pictured(modality) and patch_of(facts, modality) is not None:
        asked = modalities()[modality]
        shape = channels_last(facts.inputs[0], asked.PLACES).shape[1:]
        shapes = {facts.inputs[0].name: [int(n or 1) for n in shape]}
        context.features = asked.feature_map(shapes, asked.settle({}, shapes))
    elif modality == "tabular":
        shapes = {tensor.name: [int(n or 1) for n in tensor.shape[1:]] for tensor in facts.inputs}
        sizes = [side for sides in shapes.values() for side in (sides[0] if sides else 1,)]
        context.features = table_features(shapes, {"columns": [f"column_{i}" for i in range(sum(sizes))]})
