"""Do the gates stand on facts that some step makes, with what each kind of fact needs?"""

from collections.abc import Iterator

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.model import Gate
from pgx_compiler.spec.source import Path_

UNKNOWN_FACT = Code(
    3040,
    "unknown-fact",
    "No step of the audit makes this fact, so the gate could never be judged. Facts are `precaution.STEP.MEASURE`,"
    " `explain.STEP.MEASURE`, `agreement.STEP`, `faithfulness.STEP`, `model.parity.max_difference`,"
    " `model.parity.max_score_difference`, `model.performance.MEASURE` and `tuning.MEASURE`; a step is called by its"
    " `id`, else by its method.",
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
    " `aggregate`; agreement needs `between: [STEP, STEP]`, faithfulness `of: STEP`; no other fact takes these keys.",
)

PARITY = ("max_difference", "max_score_difference")
_PER_ROW = ("agreement", "faithfulness")
_WITH_MEASURE = ("precaution", "explain")


def check_gates(context: Context) -> None:
    """Look up every gate's fact and steps, and its form."""
    names: set[str] = set()
    steps: set[tuple[str, str]] = {
        ("explain" if step.declaration.direction else step.stage, step.id) for step in context.named
    }
    for index, gate in enumerate(context.spec.gates):
        at: Path_ = ("gates", index)
        _check_threshold(context, gate, at)
        stage = gate.fact.split(".", 1)[0]
        if _fact_exists(context, gate, at, steps):
            _check_keys(context, gate, stage, at)
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


def _fact_exists(context: Context, gate: Gate, at: Path_, steps: set[tuple[str, str]]) -> bool:
    parts = gate.fact.split(".")
    stage = parts[0]
    if stage == "model" and len(parts) == 3 and parts[1] == "performance" and parts[2].isidentifier():
        return _check_performance(context, gate.fact, (*at, "fact"))
    if stage == "model" and parts[1:2] == ["parity"] and parts[2:] in ([PARITY[0]], [PARITY[1]]):
        return _check_parity(context, gate.fact, (*at, "fact"))
    if stage == "tuning" and len(parts) == 2 and parts[1].isidentifier() and context.spec.tuning is not None:
        return True
    _, _, rest = gate.fact.partition(".")
    step, _, measure = rest.rpartition(".")
    if stage in _PER_ROW and (stage, rest) in steps:
        return True
    if stage in _WITH_MEASURE and (stage, step) in steps and measure.isidentifier():
        return True
    _say_unknown(context, gate.fact, (*at, "fact"))
    return False


def _say_unknown(context: Context, fact: str, at: Path_) -> None:
    if not context.steps_known and any(fact.startswith(f"{stage}.") for stage in (*_PER_ROW, *_WITH_MEASURE)):
        return  # its step may be one of those that were complained about
    made = list(_facts(context))
    near = _nearest_fact(fact, made)
    label = f"did you mean `{near}`?" if near else ""
    context.error(UNKNOWN_FACT, f"no step makes the fact `{shortened(fact)}`", at, f"facts: {quoted(made, 20)}", label)


def _nearest_fact(fact: str, made: list[str]) -> str | None:
    """The closest fact; the measure of a precaution stays as it was written."""
    near = nearest(fact, made)
    parts = fact.split(".")
    if near is None or not near.endswith(".MEASURE"):
        return near
    return near.removesuffix("MEASURE") + parts[-1] if len(parts) > 2 else near


def _facts(context: Context) -> Iterator[str]:
    for step in context.named:
        if step.stage in _PER_ROW:
            yield f"{step.stage}.{step.id}"
        else:
            yield f"{'explain' if step.declaration.direction else step.stage}.{step.id}.MEASURE"
    if context.spec.model.keras and context.spec.model.onnx:
        yield from (f"model.parity.{measure}" for measure in PARITY)
    if context.has_labels("test"):
        yield "model.performance.MEASURE"
    if context.spec.tuning is not None:
        yield "tuning.MEASURE"


def _check_parity(context: Context, fact: str, at: Path_) -> bool:
    if context.spec.model.keras and context.spec.model.onnx:
        return True
    message = f"`{fact}` compares the two files, and the audit has one"
    context.error(UNKNOWN_FACT, message, at, "give both `model.keras` and `model.onnx`, or delete the gate")
    return False


def _check_performance(context: Context, fact: str, at: Path_) -> bool:
    if context.has_labels("test"):
        return True
    message = f"`{fact}` needs a labelled test split"
    context.error(UNKNOWN_FACT, message, at, "add `data.test` with its `target`, or delete the gate")
    return False


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
    if gate.between is not None and "between" in takes:
        for index, name in enumerate(gate.between):
            _check_attribution(context, name, (*at, "between", index))
        if gate.between[0] == gate.between[1]:
            message = "a step is compared with itself"
            context.error(GATE_FORM, message, (*at, "between"), "name two different steps")
    if gate.of is not None and "of" in takes:
        _check_attribution(context, gate.of, (*at, "of"))


def _check_attribution(context: Context, name: str, at: Path_) -> None:
    known = [step.id for step in context.attributions]
    if name in known or not context.steps_known:
        return
    near = nearest(name, known)
    label = f"did you mean `{near}`?" if near else ""
    help_ = f"explaining steps: {quoted(known)}" if known else "add steps under `explain`"
    context.error(UNKNOWN_STEP, f"no explaining step is called `{shortened(name)}`", at, help_, label)
