"""Where the spec says ``use: auto``, or names no step at all: which methods does the strategy choose?"""

from typing import Any

from pydantic import ConfigDict, Field

from pgx_compiler.analysis.checks.capabilities import data_lacks, refusal
from pgx_compiler.analysis.checks.names import AUTO_FORM, UNKNOWN_METHOD, WRONG_STAGE
from pgx_compiler.analysis.context import Context, NamedStep, steps_of
from pgx_compiler.analysis.strategy.choice import Choice, Choices, place_of, reasons
from pgx_compiler.analysis.strategy.choose import choose, implied
from pgx_compiler.analysis.strategy.price import Pricing, algorithm_of_candidates, cost_of_trial
from pgx_compiler.analysis.strategy.rules import QUESTIONS, RULES
from pgx_compiler.analysis.strategy.situation import Auto, Named, Situation
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.documented import Documented
from pgx_compiler.ir.repeats import rows_repeated
from pgx_compiler.ir.trials import BASELINE
from pgx_compiler.methods.algorithms import best_first
from pgx_compiler.methods.catalogue import STAGES, catalogue
from pgx_compiler.methods.declaration import Declaration, Shape, Stage
from pgx_compiler.modalities.data import MOST_ROWS
from pgx_compiler.spec.model import STEP_PATHS, ExplainStep
from pgx_compiler.spec.model import Step as SpecStep
from pgx_compiler.spec.source import Path_
from pgx_compiler.spec.validate import Schema, problems
from runtimes.target import framework_for

NOTHING_CHOSEN = Code(
    4080,
    "nothing-chosen",
    "The strategy was left to choose (`use: auto`, or an audit without steps), and no method could be taken. `pgx compile"
    " --why` gives the reason for every method. It is an error where the whole audit is empty then.",
)
UNANSWERED = Code(
    4081,
    "unanswered-question",
    "No method that is left in the audit answers this question of the strategy, for this model, this data and this"
    " budget. The help line says what would change that.",
)
SMALL_BUDGET = Code(
    4082,
    "small-budget",
    "Methods were refused for the sake of `strategy.budget.model_rows` until nothing was left of a stage. Allow more"
    " model rows, explain fewer rows, or ask fewer questions.",
)

_EXPLAINING = ("perturbation", "gradient")


class AutoParams(Documented):
    """What the author may say beside ``use: auto``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    without: tuple[str, ...] = ()
    """Methods that are not taken, whatever the rules say."""
    only: tuple[str, ...] | None = None
    """The rules may take these methods and no others."""
    params: dict[str, dict[str, Any]] = Field(default={})
    """Parameters by method, should it be taken; the rules' own are put aside."""


def check_strategy(context: Context) -> None:
    """Let the strategy choose where it is asked to; what it takes becomes named steps like the author's own."""
    autos, good = _autos(context)
    if not autos:
        context.steps_known = context.steps_known and not (context.salvaged and not context.named)
        return
    if not _enough_known(context):
        context.steps_known = False
        return
    context.choices = choose(_situation(context, autos))
    for choice in context.choices.chosen:
        path = context.auto.get(choice.stage, ("strategy",))
        kind = ExplainStep if choice.stage in _EXPLAINING else SpecStep
        step = kind.model_validate({"use": choice.method, "with": dict(choice.params)})
        named = NamedStep(choice.stage, choice.step, catalogue()[choice.method], path, step, choice.note)
        context.named.append(named)
    context.named.sort(key=lambda one: STAGES.index(one.stage))
    context.steps_known = context.steps_known and good
    if good and not context.salvaged:
        _complain(context, autos)


def weigh(context: Context) -> Choices:
    """Every method of the catalogue, taken or refused, for a spec in which nothing is wrong."""
    return context.choices or choose(_situation(context, {}))


def may_explain(context: Context) -> bool:
    """Whether the strategy may choose explanations, as far as its questions say."""
    if not context.all_auto and not set(_EXPLAINING) & set(context.auto):
        return False
    strategy = context.spec.strategy
    judged = bool(context.of_stage("agreement", "faithfulness"))
    asked = set(strategy.questions or QUESTIONS) | implied(bool(strategy.expectations), judged)
    return any(rule.stage in _EXPLAINING and asked & set(rule.questions) for rule in RULES)


def _enough_known(context: Context) -> bool:
    """Whether nothing that the rules need to know is missing; what is has been complained about."""
    if not context.models_known or "train" not in context.data:
        return False
    return None not in (context.features, context.score, context.rows, context.n_outputs)


def _autos(context: Context) -> tuple[dict[Stage, Auto], bool]:
    """What the author says of each stage that is left to the strategy; False where some of it is wrong."""
    if context.all_auto:
        return {path[-1]: Auto() for path in STEP_PATHS}, True  # type: ignore[misc]
    found: dict[Stage, Auto] = {}
    whole = True
    steps = {path: step for _, path, step in steps_of(context.spec)}
    for stage, path in context.auto.items():
        step = steps[path]
        at = (*path, "with")
        params, complaints = problems(Schema(AutoParams, "`use: auto`"), step.with_, context.document, at)
        for item in complaints:
            context.diagnostics.add(item)
        span = context.document.value_span((*path, "use"))
        good = params is not None
        params = params or AutoParams()
        good = _check_form(context, step, path) and good
        for key, names in (("without", params.without), ("only", params.only or ())):
            for index, name in enumerate(names):
                good = _check_name(context, stage, name, (*at, key, index)) and good
        fitting = {
            name: own
            for name, own in params.params.items()
            if _check_params(context, stage, name, own, (*at, "params", name))
        }
        good = good and len(fitting) == len(params.params)
        only = None if params.only is None else frozenset(params.only)
        found[stage] = Auto(span.line if span else None, frozenset(params.without), only, fitting)
        whole = whole and good
    return found, whole


def _check_form(context: Context, step: SpecStep, path: Path_) -> bool:
    extra = [name for name in type(step).model_fields if name in step.model_fields_set - {"use", "with_"}]
    for key in extra:
        message = f"`{key}` has no meaning beside `use: auto`"
        context.error(AUTO_FORM, message, (*path, key), "delete it, or write the step out", on="key")
    return not extra


def _check_name(context: Context, stage: Stage, name: str, at: Path_, on: Any = "value") -> bool:
    here = [d.name for d in catalogue().values() if d.stage == stage]
    if name in here:
        return True
    help_ = f"methods of `{place_of(stage)}`: {quoted(here)}"
    if name in catalogue():
        message = f"`{name}` belongs under `{place_of(catalogue()[name].stage)}`, not under `{place_of(stage)}`"
        context.error(WRONG_STAGE, message, at, help_, on=on)
    else:
        near = nearest(name, here)
        label = f"did you mean `{near}`?" if near else ""
        context.error(UNKNOWN_METHOD, f"no method is called `{shortened(name)}`", at, help_, label, on=on)
    return False


def _check_params(context: Context, stage: Stage, name: str, given: dict[str, Any], at: Path_) -> bool:
    if not _check_name(context, stage, name, at, on="key"):
        return False
    schema: Schema[Any] = Schema(catalogue()[name].params, f"the parameters of `{name}`")
    params, complaints = problems(schema, given, context.document, at)
    for item in complaints:
        context.diagnostics.add(item)
    return params is not None


def _situation(context: Context, autos: dict[Stage, Auto]) -> Situation:
    """The facts of this audit, as the rules may know them."""
    spec = context.spec
    methods = catalogue().values()
    impossible = {d.name: reason for d in methods if (reason := _impossible(context, d))}
    pricing = _pricing(context)
    return Situation(
        modality=spec.data.modality,
        risk=spec.strategy.risk,
        audience=tuple(spec.strategy.audience),
        questions=tuple(spec.strategy.questions),
        sensitive=any(feature.role == "sensitive" for feature in spec.data.features.values()),
        expectations=bool(spec.strategy.expectations),
        rows=min(file.facts.rows for file in context.data.values()),
        gradients=any("Differentiable" in file.facts.capabilities for file in context.models.values()),
        impossible=impossible,
        algorithms={
            d.name: _algorithm(d, impossible, pricing.explained)
            for d in methods
            if d.is_request and d.name not in impossible
        },
        auto=autos,
        named=tuple(_named(context, step) for step in context.named),
        pricing=pricing,
        budget=spec.strategy.budget.model_rows,
    )


def _named(context: Context, step: NamedStep) -> Named:
    span = context.document.value_span((*step.path, "use"))
    own = context.shape(step.id) if step.id in context.grounds else None
    line = span.line if span else None
    return Named(step.stage, step.id, step.declaration.name, step.step.with_, line, context.ground_name(step.id), own)


def _impossible(context: Context, declaration: Declaration) -> str | None:
    """Why this model and data cannot do a method, whoever asks for it."""
    spec = context.spec
    if spec.data.modality not in declaration.modalities:
        return f"it does not work on {spec.data.modality} data"
    if spec.model.task not in declaration.tasks:
        return f"it is for {' and '.join(sorted(declaration.tasks))}, and the task is {spec.model.task}"
    return data_lacks(context, declaration) or refusal(context, declaration)


def _algorithm(declaration: Declaration, impossible: dict[str, str], shape: Shape) -> str:
    """What `specialise` will compute a request by."""
    able, _ = best_first(declaration.name, shape, lambda one: impossible.get(one.name))
    return able[0].name


def _pricing(context: Context) -> Pricing:
    rows = {split: file.facts.rows for split, file in context.data.items()}
    judged = rows.get("test", rows["train"])
    outputs = max((file.facts.n_outputs for file in context.models.values()), default=1)
    assert context.features is not None
    assert context.rows is not None
    held = (sum(rows.values()), rows.get("test", 0))
    # as in `passes.price`: of a large table some rows stand for all
    most = MOST_ROWS if context.spec.data.modality == "tabular" else sum(rows.values())
    stand = (sum(min(n, most) for n in rows.values()), min(rows.get("test", 0), most))
    explained = Shape(context.rows, len(context.features), context.references, outputs, *stand)
    checked = Shape(judged, len(context.features), context.references, outputs, *held)
    # each file predicts the judged split and is asked again, the first one predicts the training data as well; twice each
    predicted = (2 * judged + rows_repeated(judged)) * len(context.models)
    predicted += 2 * rows["train"] if "test" in rows else 0
    return Pricing(explained, checked, predicted + _search(context, rows["train"]), _work(context))


def _work(context: Context) -> dict[str, int]:
    """What a row costs on the file that the plan places a step on, by the capability that the step needs."""
    found = {}
    for capability in sorted({name for file in context.models.values() for name in file.facts.capabilities}):
        able = [format_ for format_, file in context.models.items() if capability in file.facts.capabilities]
        best = min(able, key=lambda format_: (framework_for(format_, capability).TARGET.price, format_))
        found[capability] = context.models[best].facts.work_per_row
    return found


def _search(context: Context, train: int) -> int:
    """Model rows of the search: every candidate is trained, validated and explained."""
    tuning = context.spec.tuning
    if tuning is None:
        return 0
    assert context.features is not None
    shape = Shape(tuning.explain.rows, len(context.features), context.references)
    explained = [name for name in tuning.explain.methods if name in catalogue()] if tuning.explain.require else []
    facts = context.models["keras"].facts if "keras" in context.models else None
    if facts is None or context.score is None:
        return 0  # said elsewhere: there is nothing to search
    by = [algorithm_of_candidates(name, facts, shape, context.score) for name in explained]
    methods: list[tuple[str, dict[str, Any]]] = [(one.name, {}) for one in by]
    said = tuning.model_dump(include={"fit", "space"})
    first, other = (
        cost_of_trial(n, train, said["fit"], said["space"], methods, shape) for n in (BASELINE, BASELINE + 1)
    )
    return first.forward + first.backward + (tuning.trials - 1) * (other.forward + other.backward)


def _complain(context: Context, autos: dict[Stage, Auto]) -> None:
    """Say which stages stay empty and which questions stay open."""
    empty = not context.named
    choices = context.choices
    assert choices is not None
    budget = _said_of_budget(context, autos)
    if empty and not budget:
        at: Path_ = ("strategy",) if context.all_auto else next(iter(context.auto.values()))
        posed = set(context.spec.strategy.questions or QUESTIONS)
        meant = {rule.method for rule in RULES if posed & set(rule.questions) and not rule.refuses}
        why = reasons(choice for choice in choices.methods if choice.stage in autos and choice.method in meant)
        help_ = f"name a step yourself; {why}" if why else "name a step yourself, or ask another question"
        context.error(NOTHING_CHOSEN, "the strategy chooses no method at all", at, help_)
        return
    for stage, path in context.auto.items():
        if any(step.stage == stage and step.chosen for step in context.named) or stage in budget:
            continue
        refused = [choice for choice in choices.methods if choice.stage == stage and not choice.taken]
        if not refused:
            continue  # the author has named every method already
        message = f"`auto` chooses nothing under `{place_of(stage)}`"
        context.warn(NOTHING_CHOSEN, message, (*path, "use"), f"delete it, or: {reasons(refused)}")
    asked = context.spec.strategy.questions
    for answer in choices.answers:
        if answer.methods or answer.question not in asked:
            continue
        at = ("strategy", "questions", asked.index(answer.question))
        if budget and set(QUESTIONS[answer.question].stages) & set(autos) <= budget:
            continue  # said where the budget stands
        message = f"nothing answers `{answer.question}` here: {answer.reason}"
        context.warn(UNANSWERED, message, at, f"{answer.mend}, or delete the question")


def _said_of_budget(context: Context, autos: dict[Stage, Auto]) -> set[Stage]:
    """The stages that the budget left empty, said once where the budget stands."""
    choices = context.choices
    assert choices is not None
    short: dict[Stage, list[Choice]] = {}
    for stage in autos:
        mine = [choice for choice in choices.methods if choice.stage == stage]
        dear = [choice for choice in mine if choice.dear]
        if dear and not any(choice.taken for choice in mine):
            short[stage] = dear
    if short:
        places = ", ".join(f"`{place_of(stage)}`" for stage in short)
        message = f"the budget is too small for any method of {places}"
        why = reasons([choice for dear in short.values() for choice in dear])
        at = ("strategy", "budget", "model_rows")
        (context.error if not context.named else context.warn)(
            SMALL_BUDGET, message, at, f"raise it, or explain fewer rows; {why}"
        )
    return set(short)
