"""Can the search be done: its addresses, distributions, methods, constraints and cuts?"""

from collections.abc import Mapping
from typing import Any

from pgx_compiler.analysis.checks.capabilities import MISSING_CAPABILITY, WRONG_MODALITY
from pgx_compiler.analysis.checks.dimensions import check_dimension
from pgx_compiler.analysis.checks.names import UNKNOWN_METHOD, WRONG_STAGE
from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.methods.catalogue import catalogue, computing
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.spec.search import Dimension, Tuning
from pgx_compiler.spec.source import Path_
from runtimes.capabilities import CAPABILITIES

UNKNOWN_ADDRESS = Code(
    3050,
    "unknown-address",
    "Tuning searches what the Keras file itself declares: `layers.LAYER.FIELD`, `optimizer.FIELD`, and `fit.epochs`"
    " and `fit.batch_size`. This address is not among them.",
)
UNKNOWN_METRIC = Code(
    3051,
    "unknown-metric",
    "A constraint on a candidate's explanation is named `agreement.METHOD`, with a method of the agreement stage.",
)
UNKNOWN_FINDING = Code(
    3052,
    "unknown-finding",
    "A cut of the space waits for a finding that no precaution step of this audit can make, so it would never happen.",
)
CANNOT_TUNE = Code(
    4070,
    "cannot-tune",
    "Tuning trains the model again from what its Keras file declares: it needs `model.keras`, labelled training data,"
    " and an objective that fits the task.",
)
EMPTY_BOUND = Code(
    4071,
    "empty-bound",
    "A constraint needs a `min`, a `max`, or both with min not above max.",
)

_FIT: Mapping[str, Any] = {"fit.epochs": 5, "fit.batch_size": 32}


def check_tuning(context: Context) -> None:
    """Hold the search against the Keras file and the rest of the audit."""
    tuning = context.spec.tuning
    if tuning is None:
        return
    _check_objective(context, tuning)
    _check_constraints(context, tuning)
    _check_findings(context, tuning)
    if context.rows is not None and context.rows and tuning.explain.rows > context.rows:
        message = f"candidates are explained on {tuning.explain.rows} rows, and the audit explains {context.rows}"
        context.error(CANNOT_TUNE, message, ("tuning", "explain", "rows"), f"at most {context.rows}")
    if context.spec.model.keras is None:
        message = "tuning needs a Keras file, and the audit has none"
        context.error(CANNOT_TUNE, message, ("tuning",), "give `model.keras`, or delete `tuning`", on="key")
        return
    if len(context.outputs) > 1:
        message = "tuning trains on labels of one number, and the model gives several values a row"
        context.error(CANNOT_TUNE, message, ("tuning",), "tune a model with one output, or delete `tuning`", on="key")
    if not context.has_labels("train"):
        message = "tuning needs the labels of the training data"
        context.error(CANNOT_TUNE, message, ("tuning",), "name them: `data.train.target`", on="key")
    if "keras" not in context.models:
        return
    facts = context.models["keras"].facts
    if "Trainable" not in facts.capabilities:
        message = "this Keras file cannot be trained again from what it declares"
        context.error(CANNOT_TUNE, message, ("tuning",), "save the model with its layers' configuration", on="key")
        return
    _check_methods(context, tuning, facts.capabilities)
    known = {**facts.tunables, **_FIT}
    _check_space(context, tuning.space, known, ("tuning", "space"))
    for index, cut in enumerate(tuning.narrow):
        _check_space(context, cut.space, known, ("tuning", "narrow", index, "space"), tuning.space)


def _check_objective(context: Context, tuning: Tuning) -> None:
    objective, at = tuning.objective, ("tuning", "objective")
    given = [key for key in ("minimize", "maximize") if getattr(objective, key)]
    if len(given) != 1:
        message = "the objective has two directions" if given else "the objective has no direction"
        context.error(CANNOT_TUNE, message, at, "write `minimize: validation.loss` or `maximize: validation.accuracy`")
    elif objective.maximize and context.spec.model.task == "regression":
        message = "regression has no accuracy"
        context.error(CANNOT_TUNE, message, (*at, "maximize"), "write `minimize: validation.loss`")


def _check_constraints(context: Context, tuning: Tuning) -> None:
    known = [f"agreement.{name}" for name in catalogue().of_stage("agreement")]
    for name, bound in tuning.explain.require.items():
        at: Path_ = ("tuning", "explain", "require", name)
        if name not in known:
            near = nearest(name, known)
            label = f"did you mean `{near}`?" if near else ""
            message = f"no metric is called `{shortened(name)}`"
            context.error(UNKNOWN_METRIC, message, at, f"one of: {quoted(known)}", label, on="key")
        if bound.min is None and bound.max is None:
            context.error(EMPTY_BOUND, f"`{shortened(name)}` is bound by nothing", at, "add `min` or `max`")
        elif bound.min is not None and bound.max is not None and bound.min > bound.max:
            message = f"nothing is at least {bound.min} and at most {bound.max}"
            context.error(EMPTY_BOUND, message, at, "exchange the two")


def _check_findings(context: Context, tuning: Tuning) -> None:
    if not context.steps_known:
        return
    raised = sorted({code for step in context.of_stage("precaution") for code in step.declaration.codes})
    for index, cut in enumerate(tuning.narrow):
        if cut.finding in raised:
            continue
        everywhere = {code: d.name for d in catalogue().values() for code in d.codes}
        near = nearest(cut.finding, raised)
        label = f"did you mean `{near}`?" if near else ""
        help_ = f"findings of the listed steps: {quoted(raised)}" if raised else "list a precaution step that makes it"
        if cut.finding in everywhere:
            help_ = f"add the precaution step that makes it: `use: {everywhere[cut.finding]}`"
            label = ""
        message = f"no listed precaution step makes the finding `{shortened(cut.finding)}`"
        context.error(UNKNOWN_FINDING, message, ("tuning", "narrow", index, "finding"), help_, label)


def _check_methods(context: Context, tuning: Tuning, offered: frozenset[str]) -> None:
    for index, name in enumerate(tuning.explain.methods):
        at: Path_ = ("tuning", "explain", "methods", index)
        declaration = catalogue().get(name)
        if declaration and declaration.direction and _usable(context, declaration, offered):
            if name in tuning.explain.methods[:index]:
                context.error(CANNOT_TUNE, f"`{name}` is listed twice", at, "list every method once")
            continue
        able = [d.name for d in catalogue().values() if d.direction and _usable(context, d, offered)]
        help_ = f"one of: {quoted(able)}"
        if declaration is None:
            near = nearest(name, able)
            label = f"did you mean `{near}`?" if near else ""
            context.error(UNKNOWN_METHOD, f"no method is called `{shortened(name)}`", at, help_, label)
        elif declaration.direction is None:
            message = f"`{name}` is a method of {declaration.stage}: it makes no explanation"
            context.error(WRONG_STAGE, message, at, help_)
        elif context.spec.data.modality not in declaration.modalities:
            message = f"`{name}` does not work on {context.spec.data.modality} data"
            context.error(WRONG_MODALITY, message, at, help_)
        else:
            context.error(MISSING_CAPABILITY, f"`{name}` cannot be run on a Keras candidate", at, help_)


def _usable(context: Context, declaration: Declaration, offered: frozenset[str]) -> bool:
    """Whether a method can explain a trained candidate: a Keras handle of the audit's shape."""
    if context.spec.data.modality not in declaration.modalities or context.spec.model.task not in declaration.tasks:
        return False
    if declaration.is_request:
        return any(_usable(context, one, offered) for one in computing(declaration.name))
    reached = declaration.capability in offered and declaration.capability in CAPABILITIES
    shape = context.shape()
    if not reached or declaration.admits is None or shape is None or context.score is None:
        return reached
    return declaration.admits(context.models["keras"].facts, shape, context.score) is None


def _check_space(
    context: Context,
    space: Mapping[str, Dimension],
    known: Mapping[str, Any],
    at: Path_,
    whole: Mapping[str, Dimension] | None = None,
) -> None:
    """Check the dimensions of the space, or of a cut of the `whole` space."""
    for address, dimension in space.items():
        place = (*at, address)
        if address not in known:
            near = nearest(address, known)
            label = f"did you mean `{near}`?" if near else ""
            message = f"the Keras file declares nothing at `{shortened(address)}`"
            context.error(UNKNOWN_ADDRESS, message, place, f"addresses: {quoted(known, 30)}", label, on="key")
            continue
        if whole is not None and address not in whole:
            message = f"`{shortened(address)}` is cut, but not searched"
            context.error(UNKNOWN_ADDRESS, message, place, f"searched: {quoted(whole)}", on="key")
            continue
        check_dimension(context, address, dimension, known[address], place)
