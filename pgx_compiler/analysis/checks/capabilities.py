"""Can the model and the data do what each step asks of them? If not, which methods can?"""

from pgx_compiler.analysis.context import Context, NamedStep, listed
from pgx_compiler.analysis.resolved import Format
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.methods.catalogue import catalogue, computing
from pgx_compiler.methods.declaration import Declaration
from runtimes.target import framework_for

MISSING_CAPABILITY = Code(
    4010,
    "missing-capability",
    "The method needs something of the model that none of its files offers: gradients need a Keras file, or an ONNX file"
    " whose operators all have one here; a tree ensemble has none. The help line lists the methods that this model can do.",
)
NOT_ADMITTED = Code(
    4011,
    "not-admitted",
    "The method has a condition on the model, the number of features or the score that does not hold here.",
)
WRONG_MODALITY = Code(
    4012,
    "wrong-modality",
    "The method is not made for this kind of data; `pgx methods` says which modalities each method is made for.",
)
WRONG_TASK = Code(
    4013,
    "wrong-task",
    "The method is made for classification or for regression alone, and `model.task` says the other.",
)
MISSING_DATA = Code(
    4014,
    "missing-data",
    "The method needs labels (`target`), a test split (`data.test`), or a feature whose role is `sensitive`, which the"
    " spec does not name.",
)
NOTHING_TO_JUDGE = Code(
    4015,
    "nothing-to-judge",
    "Agreement compares the attributions of at least two steps, faithfulness judges those of at least one; steps under"
    " `explain.perturbation` and `explain.gradient` make them.",
)

MOST_PROPOSED = 10
"""Methods named instead of one that cannot be used."""

_IN_WORDS = {
    "Predictor": "predictions",
    "Differentiable": "gradients",
    "LayerDifferentiable": "layers that can be looked into",
    "Rectified": "gradients through rectifiers (ReLU)",
    "TfExplained": "a model that tf-explain can be run on",
    "AttentionReadable": "layers of attention",
    "RulePropagating": "a way back layer by layer",
    "TreeEnsemble": "the trees of an ensemble, added up or averaged",
    "LinearModel": "a linear or logistic model (or one whose score here is linear)",
    "Trainable": "a model that can be trained again",
}
_NEEDS = {
    "labels": ("labels", "name the labels: `data.train.target`"),
    "test": ("a test split", "add `data.test`"),
    "sensitive": ("a sensitive feature", "mark one: `data.features: {NAME: {role: sensitive}}`"),
}


def check_capabilities(context: Context) -> None:
    """Hold every step against the model's files, the data, the task and the modality."""
    for named in context.named:
        declaration, at = named.declaration, (*named.path, "use")
        if context.spec.data.modality not in declaration.modalities:
            message = f"`{declaration.name}` does not work on {context.spec.data.modality} data"
            context.error(WRONG_MODALITY, message, at, _instead(context, named))
        elif context.spec.model.task not in declaration.tasks:
            message = f"`{declaration.name}` is for {listed(sorted(declaration.tasks))}, the task is {_task(context)}"
            context.error(WRONG_TASK, message, at, "delete this step")
        elif context.models_known and (reason := refusal(context, declaration, named.id)):
            code = NOT_ADMITTED if runs_on(context, declaration, named.id) else MISSING_CAPABILITY
            context.error(code, f"`{declaration.name}` cannot be used: {reason}", at, _instead(context, named))
        for need in sorted(declaration.needs):
            if not context.has(need):
                words, help_ = _NEEDS.get(need, (need, f"give the data's {need}"))
                context.error(MISSING_DATA, f"`{declaration.name}` needs {words}, and the spec names none", at, help_)
    _check_judges(context)


def _task(context: Context) -> str:
    return context.spec.model.task


def _check_judges(context: Context) -> None:
    if not context.steps_known:
        return
    there = len(context.attributions)
    for stage, least in (("agreement", 2), ("faithfulness", 1)):
        for named in context.of_stage(stage)[:1]:
            if there < least:
                message = f"{stage} needs at least {least} explanation{'s' * (least > 1)}, and the audit makes {there}"
                help_ = "add steps under `explain.perturbation` or `explain.gradient`, or delete these"
                context.error(NOTHING_TO_JUDGE, message, (*named.path, "use"), help_)
    grounds = [context.ground_name(named.id) for named in context.attributions]
    for named in context.of_stage("agreement")[:1]:
        if len(grounds) > 1 and len(set(grounds)) == len(grounds):
            message = "agreement needs two explanations of the same rows and features, and every step has its own"
            help_ = "give two steps the same `rows` and `features`, or delete those of the steps"
            context.error(NOTHING_TO_JUDGE, message, (*named.path, "use"), help_)


def data_lacks(context: Context, declaration: Declaration) -> str | None:
    """What a method needs of the data and the spec does not name, with what to declare; None where it has all."""
    for need in sorted(declaration.needs):
        if not context.has(need):
            words, help_ = _NEEDS.get(need, (need, f"give the data's {need}"))
            return f"it needs {words}, and the spec names none; {help_}"
    return None


def runs_on(context: Context, declaration: Declaration, step: str = "") -> Format | None:
    """The cheapest file that offers what a method needs; of a request, what its algorithms need.

    `step` is the id of the step that asks, whose rows and features may be its own.
    """
    if declaration.is_request:
        files = [runs_on(context, one, step) for one in computing(declaration.name) if not refusal(context, one, step)]
        return next((file for file in files if file), None)
    able = [format_ for format_, file in context.models.items() if declaration.capability in file.facts.capabilities]
    needed = declaration.capability or "Predictor"
    return min(able, key=lambda format_: framework_for(format_, needed).TARGET.price, default=None)


def refusal(context: Context, declaration: Declaration, step: str = "") -> str | None:
    """Why the model cannot do a method, or None where it can (or where too little is known to say)."""
    if declaration.is_request:
        reasons = [(one.name, refusal(context, one, step)) for one in computing(declaration.name)]
        if not reasons or any(reason is None for _, reason in reasons):
            return None if reasons else "no method computes it"
        return "; ".join(f"{name}: {reason}" for name, reason in reasons)
    if not declaration.capability:
        return None
    if context.explains_outputs and "labels" in declaration.needs:
        return "a label is one number, and several outputs are explained; name one: `explain.target`"
    file = runs_on(context, declaration, step)
    if file is None:
        has = listed(
            f"{format_} ({model.facts.structure.replace('_', ' ')})" for format_, model in context.models.items()
        )
        said = [one.facts.lacks.get(declaration.capability, "") for one in context.models.values()]
        why = "".join(f": {reason}" for reason in said if reason)
        return f"it needs {_IN_WORDS.get(declaration.capability, declaration.capability)}, and the model is {has}{why}"
    if context.spec.data.modality not in declaration.modalities:
        return f"it does not work on {context.spec.data.modality} data"
    shape = context.shape(step)
    if declaration.admits is None or shape is None or context.score is None:
        return None
    return declaration.admits(context.models[file].facts, shape, context.score)


def _instead(context: Context, named: NamedStep) -> str:
    """Methods that would do, derived from the catalogue: of both directions for an attribution, and of the same result."""
    explains = named.declaration.explains
    algorithms = {one.name for d in catalogue().values() if d.is_request for one in computing(d.name)}
    words = []
    for other in catalogue().values():
        alike = other.gives == named.declaration.gives if explains else other.stage == named.stage
        fit = context.spec.data.modality in other.modalities and context.spec.model.task in other.tasks
        if not alike or not fit or other.name == named.declaration.name or refusal(context, other):
            continue
        if other.name in algorithms and other.exact:
            continue  # said beside the request that chooses it
        chosen = [one.name for one in computing(other.name) if one.exact and not refusal(context, one)]
        exact = f" (exact, by {chosen[0]})" if other.is_request and chosen else ""
        words.append((not exact, f"`{other.name}`{exact}"))
    if not words:
        return "no other method would do: delete this step"
    shown = [word for _, word in sorted(words)]
    more = f" and {len(shown) - MOST_PROPOSED} more (`pgx methods`)" if len(shown) > MOST_PROPOSED else ""
    can = f"methods that this model and data can do: {', '.join(shown[:MOST_PROPOSED])}{more}"
    needs_white_box = named.declaration.capability == "Differentiable" and "keras" not in context.models
    trees = any(model.facts.structure == "tree_ensemble" for model in context.models.values())
    return f"give `model.keras`, or use one of the {can}" if needs_white_box and not trees else can
