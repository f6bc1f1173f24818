"""Do the gates stand on facts that some step makes, with what each kind of fact needs?"""

from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.facts_made import FactName, NotMade, facts_made, facts_not_made
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.model import Gate
from pgx_compiler.spec.source import Path_

UNKNOWN_FACT = Code(
    3040,
    "unknown-fact",
    "No step of the audit makes this fact, so the gate could never be judged. Facts are `precaution.STEP.MEASURE`,"
    " `explain.STEP.MEASURE`, `agreement.STEP`, `faithfulness.STEP`, `model.parity.MEASURE`,"
    " `model.performance.MEASURE`, `reliance.FEATURE.EFFECT.MEASURE.STEP` and `tuning.MEASURE`; a step is called by"
    " its `id`, else by its method. A factsheet lists the ids of all its facts, docs/methods.md the measures of each"
    " precaution.",
)
INCOMPARABLE = Code(
    4061,
    "incomparable-steps",
    "A gate compares two steps that explain different rows, or the same rows on different features: `rows` and `features`"
    " of a step override those of the stage. Only steps that explain the same can agree or disagree.",
)
UNKNOWN_STEP = Code(
    3041,
    "unknown-step",
    "`between` and `of` name steps under `explain.perturbation` and `explain.gradient`, by `id` or else by method.",
)
GATE_FORM = Code(
    4060,
    "gate-form",
    "A gate needs a `min`, a `max` or both. A fact with one value for each row (agreement, faithfulness) also needs"
    " `aggregate`; agreement needs `between: [STEP, STEP]`, faithfulness `of: STEP`; no other fact takes these keys."
    " `bound` holds the end of an interval against the threshold: a minimum or maximum over rows has none.",
)

_LACKS = {
    "labels": ("the training data has no labels", "name the labels: `data.train.target`"),
    "test": ("the audit has no test split", "add `data.test`"),
    "test_labels": ("the test data has no labels", "name the labels: `data.test.target`"),
    "unseen_labels": ("the rows that it is measured on have no labels", "name the labels: `data.test.target`"),
    "sensitive": ("no feature is marked as sensitive", "mark one: `data.features: {NAME: {role: sensitive}}`"),
    "classification": ("the task is regression", ""),
    "one_output": ("a label is one number, and several outputs are explained", "name one: `explain.target`"),
}
"""What a fact would need of the audit: why there is none, and what to do about it, if anything can be done."""

_PER_ROW = ("agreement", "faithfulness")
_OF_STEPS = (*_PER_ROW, "precaution", "explain", "reliance")


def check_gates(context: Context) -> None:
    """Look up every gate's fact and steps, and its form."""
    names: set[str] = set()
    made = facts_made(context) if context.spec.gates else []
    alone = {fact.shown for fact in made if fact.certain}
    families = [fact for fact in made if not fact.certain]
    for index, gate in enumerate(context.spec.gates):
        at: Path_ = ("gates", index)
        _check_threshold(context, gate, at)
        if gate.fact in alone or any(family.covers(gate.fact) for family in families):
            _check_keys(context, gate, gate.fact.split(".", 1)[0], at)
        else:
            _say_unknown(context, gate.fact, (*at, "fact"), made)
        if gate.id is not None and gate.id in names:
            context.error(GATE_FORM, f"two gates are called `{gate.id}`", (*at, "id"), "give one of them another id")
        names |= {gate.id} if gate.id else set()


def _check_threshold(context: Context, gate: Gate, at: Path_) -> None:
    if gate.min is None and gate.max is None:
        message = "the gate has no threshold"
        context.error(GATE_FORM, message, at, "add `min: NUMBER` or `max: NUMBER`", "needs `min` or `max`")
    elif gate.min is not None and gate.max is not None and gate.min > gate.max:
        message = f"nothing is at least {gate.min} and at most {gate.max}"
        context.error(GATE_FORM, message, (*at, "max"), "exchange the two, or delete one")


def _say_unknown(context: Context, fact: str, at: Path_, made: list[FactName]) -> None:
    stage = fact.split(".", 1)[0]
    if stage in _OF_STEPS and not context.steps_known:
        return  # its step may be one of those that were complained about
    if stage == "model" and _say_missing(context, fact, at):
        return
    if _say_not_made(context, fact, at):
        return
    beside = [one.shown for one in made if one.shown.rpartition(".")[0] == fact.rpartition(".")[0]]
    near = _meant(fact, [name for one in made for name in ((one.shown,) if one.certain else one.members)])
    label = f"did you mean `{near}`?" if near else ""
    listed = beside or [one.shown for one in made if one.shown.startswith(f"{stage}.")] or [one.shown for one in made]
    help_ = f"facts: {quoted(listed, 20)}" if listed else "add a step that makes it"
    context.error(UNKNOWN_FACT, f"no step makes the fact `{shortened(fact)}`", at, help_, label)


def _say_not_made(context: Context, fact: str, at: Path_) -> bool:
    """Say which parameters keep a step from making a fact that it knows, or what the audit lacks for it."""
    found = next((one for one in facts_not_made(context) if one.name.covers(fact)), None)
    if found is None:
        return False
    message = f"`{shortened(found.step.id)}` does not make the fact `{shortened(fact)}`"
    if found.lacking:
        reasons, ways = _lacking(found)
        message = f"{message}: {reasons}"
    else:
        is_now = next(step.params for step in context.steps if step.id == found.step.id)
        now = " and ".join(f"`{name}: {getattr(is_now, name)}`" for name in found.short_of)
        message, ways = f"{message} with {now}", []
    if found.short_of:
        wanted = " and ".join(f"`{name}: {least}`" for name, least in found.short_of.items())
        least = any(isinstance(one, int) for one in found.short_of.values())
        ways.append(f"give the step {'at least ' if least else ''}{wanted} under `with`")
    context.error(
        UNKNOWN_FACT, message, at, f"{', and '.join(ways)}, or delete the gate" if ways else "delete the gate"
    )
    return True


def _lacking(found: NotMade) -> tuple[str, list[str]]:
    """Why an audit cannot have a fact, and what it would have to be given for it, if there is anything."""
    words = [_LACKS[need.had] for need in found.lacking]
    instead = "".join(
        dict.fromkeys(
            f", give the step another `{need.where[0]}` than `{need.where[1]}`" for need in found.lacking if need.where
        )
    )
    reasons = " and ".join(dict.fromkeys(reason for reason, _ in words))
    if not all(way for _, way in words):  # what cannot be given is not asked for
        return reasons, []
    return reasons, [" and ".join(dict.fromkeys(way for _, way in words)) + instead]


def _meant(fact: str, known: list[str]) -> str | None:
    """The fact that a mistyped one most likely meant; of a step that there is, by its measures alone."""
    step, _, measure = fact.rpartition(".")
    measures = [one.rpartition(".")[2] for one in known if one.rpartition(".")[0] == step]
    if not measures:
        return nearest(fact, known)
    # features that are named together stand in the order of the table
    turned = next((one for one in measures if sorted(one.split("_")) == sorted(measure.split("_"))), None)
    near = turned or nearest(measure, measures)
    return f"{step}.{near}" if near else None


def _say_missing(context: Context, fact: str, at: Path_) -> bool:
    """Say what a fact of the model would need, where the audit does not have it."""
    kind = fact.split(".")[1:2]
    if kind == ["parity"] and not (context.spec.model.keras and context.spec.model.onnx):
        message = f"`{shortened(fact)}` compares the two files, and the audit has one"
        help_ = "give both `model.keras` and `model.onnx`, or delete the gate"
    elif kind == ["performance"] and not context.has_labels("test"):
        message = f"`{shortened(fact)}` needs a labelled test split"
        help_ = "add `data.test` with its `target`, or delete the gate"
    else:
        return False
    context.error(UNKNOWN_FACT, message, at, help_)
    return True


def _check_keys(context: Context, gate: Gate, stage: str, at: Path_) -> None:
    takes = {"agreement": ("between", "aggregate"), "faithfulness": ("of", "aggregate")}.get(stage, ())
    for key in ("between", "of", "aggregate"):
        given = getattr(gate, key) is not None
        if given and key not in takes:
            message = f"`{key}` has no meaning for `{shortened(gate.fact)}`"
            context.error(GATE_FORM, message, (*at, key), "delete it", on="key")
        elif key in takes and not given:
            help_ = {
                "between": "add `between: [STEP, STEP]`",
                "of": "add `of: STEP`",
                "aggregate": "add `aggregate: median` (or mean, min, max): the fact has one value for each row",
            }[key]
            message = f"a gate on `{shortened(gate.fact)}` needs `{key}`"
            context.error(GATE_FORM, message, at, help_, f"needs `{key}`")
    if gate.bound != "value" and gate.aggregate in ("min", "max") and "aggregate" in takes:
        message = f"the {gate.aggregate} over rows has no interval, so `bound: {gate.bound}` could never be judged"
        context.error(GATE_FORM, message, (*at, "bound"), "aggregate by `median` or `mean`, or delete `bound`")
    if gate.between is not None and "between" in takes:
        for index, name in enumerate(gate.between):
            _check_attribution(context, name, (*at, "between", index))
        if gate.between[0] == gate.between[1]:
            message = "a step is compared with itself"
            context.error(GATE_FORM, message, (*at, "between"), "name two different steps")
        _check_comparable(context, gate.between, (*at, "between"))
    if gate.of is not None and "of" in takes:
        _check_attribution(context, gate.of, (*at, "of"))


def _check_comparable(context: Context, between: list[str], at: Path_) -> None:
    known = {step.id for step in context.attributions}
    first, second = between
    if known.issuperset(between) and context.ground_name(first) != context.ground_name(second):
        message = f"`{shortened(first)}` and `{shortened(second)}` do not explain the same rows and features"
        help_ = "give both steps the same `rows` and `features`, or compare others"
        context.error(INCOMPARABLE, message, at, help_)


def _check_attribution(context: Context, name: str, at: Path_) -> None:
    known = [step.id for step in context.attributions]
    if name in known or not context.steps_known:
        return
    near = nearest(name, known)
    label = f"did you mean `{near}`?" if near else ""
    help_ = f"explaining steps: {quoted(known)}" if known else "add steps under `explain`"
    left_out = {one.step: one.because for one in context.document.composition.left_out}
    if name in left_out:
        label = f"left out: `{left_out[name]}` does not hold"
    context.error(UNKNOWN_STEP, f"no explaining step is called `{shortened(name)}`", at, help_, label)
