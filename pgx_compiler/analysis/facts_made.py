"""Which facts an audit will make, as far as that is known before anything is computed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from pgx_compiler.analysis.context import Context, NamedStep
from pgx_compiler.methods.catalogue import computing
from pgx_compiler.methods.declaration import Declaration, NamesTogether, Need, Params
from pgx_compiler.methods.precaution._wording import measure_names

PARITY = ("max_difference", "max_score_difference")
TUNING = ("trials", "feasible", "accepted")
ALWAYS_EXPLAINED = ("rows_without_attribution", "rows_forward", "rows_backward")
"""Measures of every attribution step."""
STATED = ("rows_forward", "rows_backward")
"""Measures of every other step under ``explain``."""

TOGETHER = {"pair": 2, "triple": 3}
"""Open words that stand for several features."""
_MOST_TOGETHER = 20_000
"""Pairs (of 200 features), or triples (of 50), beyond which their names are not looked up one by one."""

_OPEN = r"[^.\s]+"
"""A part of a name that only the data can say."""


@dataclass(frozen=True)
class FactName:
    """One fact, or a family of them."""

    shown: str
    """As people write it: ``precaution.drift.drift_max``, ``precaution.drift.psi_VARIABLE``."""
    pattern: re.Pattern[str] | None = None
    """Of a family: what its members look like. A fact by itself needs none, and most are facts by themselves."""
    members: tuple[str, ...] = ()
    """Of a family whose names are known before anything is computed: all of them."""

    @property
    def certain(self) -> bool:
        """Whether it is one fact, so that it can be proposed as it stands."""
        return self.pattern is None

    def covers(self, fact: str) -> bool:
        """Whether a fact is this one, or one of this family."""
        if self.members:
            # names that differ in punctuation alone are numbered as they come up
            return fact in self.members or re.sub(r"_\d+$", "", fact) in self.members
        return self.shown == fact if self.pattern is None else self.pattern.fullmatch(fact) is not None


def facts_made(context: Context) -> list[FactName]:
    """Every fact that a gate may stand on; of agreement and faithfulness the part that precedes the steps compared."""
    return [_fact(name, _words_known(context, name)) for name in _names(context)]


@dataclass(frozen=True)
class NotMade:
    """A fact, or family of them, that a step would make with other parameters, or of an audit that has more."""

    name: FactName
    step: NamedStep
    short_of: Mapping[str, int | str]
    """The parameters that keep it from being made, with the least, or the word, that each has to be."""
    lacking: Sequence[Need]
    """What the audit would have to have."""


def facts_not_made(context: Context) -> Iterator[NotMade]:
    """What steps are able to make and, with the parameters that they have and of this audit, will not."""
    for step in context.named:
        for measure in step.declaration.measures:
            short, lacking = _missing_for(context, step, measure)
            if short or lacking:
                name = f"{'explain' if step.declaration.explains else step.stage}.{step.id}.{measure}"
                yield NotMade(_fact(name, _words_known(context, name)), step, short, lacking)


def _missing_for(context: Context, step: NamedStep, measure: str) -> tuple[Mapping[str, int | str], Sequence[Need]]:
    """What keeps a step from making a measure; nothing of a step that was complained about itself."""
    params, declaration = _params_of(context, step), step.declaration
    if params is None or not all(context.has(need) for need in declaration.needs):
        return {}, ()
    lacking = [need for need in declaration.needed_for(measure, params) if not context.has(need.had)]
    return declaration.short_of(measure, params), lacking


def _params_of(context: Context, step: NamedStep) -> Params | None:
    """A step's parameters; None where they were complained about."""
    return next((one.params for one in context.steps if one.id == step.id), None)


def _words_known(context: Context, name: str) -> dict[str, tuple[str, ...]]:
    """What the open words of a fact's name may be, where the audit says so: features of what is stated of a table."""
    _, _, rest = name.partition("explain.")
    step = next((one for one in context.named if rest.startswith(f"{one.id}.")), None)
    if step is None or step.declaration.gives != "global" or context.features is None or context.features.varies:
        return {}
    ground = context.grounds.get(step.id)
    names = (ground.features if ground else context.features).names
    # most write names of features as those of facts, the terms of a surrogate keep them as they are
    known = {"feature": tuple(dict.fromkeys([*measure_names("", names).values(), *(f"_{name}" for name in names)]))}
    for word, size in TOGETHER.items():
        if comb(len(names), size) <= _MOST_TOGETHER:
            # in the order of the features, as every method names those that it looks at together
            together = [" and ".join(members) for members in combinations(names, size)]
            known[word] = tuple(measure_names("", together).values())
    return known


def _names(context: Context) -> Iterator[str]:
    for step in context.named:
        if step.declaration.direction:
            yield from (f"explain.{step.id}.{measure}" for measure in _of_explanation(step.declaration))
        elif step.declaration.explains:
            yield from (f"explain.{step.id}.{measure}" for measure in _of_statements(context, step))
        elif step.stage == "precaution":
            yield from (f"precaution.{step.id}.{measure}" for measure in _of_precaution(context, step))
        else:
            yield f"{step.stage}.{step.id}"
    yield from _of_model(context)
    yield from _of_reliance(context)
    yield from _of_tuning(context)


def _of_precaution(context: Context, step: NamedStep) -> Iterator[str]:
    if not step.declaration.measures:
        yield "{measure}"
    known = _params_of(context, step)
    for measure in step.declaration.measures:
        short, lacking = _missing_for(context, step, measure)
        if short and not lacking and known is not None:
            yield from _named_alone(measure, known)
        if short or lacking:
            continue
        for name in re.findall(r"\{(\w+)\}", measure):
            value = getattr(known, name, None)
            if value is not None:
                measure = measure.replace(f"{{{name}}}", str(value))
        yield measure


def named_together(params: type[Params]) -> dict[str, NamesTogether]:
    """The parameters that name features to be looked at together."""
    marks = {
        name: [one for one in field.metadata if isinstance(one, NamesTogether)]
        for name, field in params.model_fields.items()
    }
    return {name: found[0] for name, found in marks.items() if found}


def _named_alone(measure: str, params: Params) -> Iterator[str]:
    """Of a family that parameters leave out, its members that they name all the same; of three features their pairs as well."""
    for name, mark in named_together(type(params)).items():
        word = measure.partition("{")[2].removesuffix("}")
        size = TOGETHER.get(word, 0) if measure in mark.limits else 0
        sets = {some: None for one in getattr(params, name) if size for some in combinations(one, size)}
        for called in measure_names("", [" and ".join(one) for one in sets]).values():
            yield measure.replace(f"_{{{word}}}", called)


def _of_statements(context: Context, step: NamedStep) -> Iterator[str]:
    yield from STATED
    if step.declaration.gives == "local":
        yield from step.declaration.quantities
    else:
        yield from _of_precaution(context, step)


def _of_explanation(declaration: Declaration) -> Iterator[str]:
    yield from ALWAYS_EXPLAINED
    yield from declaration.quantities
    able = computing(declaration.name) if declaration.is_request else (declaration,)
    if any("completeness" in one.laws for one in able):
        yield from ("completeness_gap", "completeness_gap_relative")
    if any(one.stochastic for one in able):
        yield "standard_error"


def _of_model(context: Context) -> Iterator[str]:
    spec = context.spec
    classifies = spec.model.task == "classification"
    yield from (f"model.{format}.repeat_difference" for format in context.models)
    if (spec.model.keras and spec.model.onnx) or any(step.on_rebuild for step in context.steps):
        yield from (f"model.parity.{measure}" for measure in PARITY)
        if classifies and (context.n_outputs is None or context.n_outputs > 1):
            yield "model.parity.same_class"
    if context.has_labels("test") and not context.explains_outputs:
        measures = ["accuracy", "majority_share", "log_loss"] if classifies else ["rmse", "mean_absolute_error"]
        if classifies and context.n_outputs in (None, 2):
            measures.append("auc")
        if classifies and context.has_labels("train"):
            measures.append("accuracy_train")
        yield from (f"model.performance.{measure}" for measure in measures)


def _of_reliance(context: Context) -> Iterator[str]:
    """Not among them: the share of drifted features, which is measured only where there are some."""
    steps = context.attributions
    for expected in context.spec.strategy.expectations:
        share = expected.effect in ("irrelevant", "matters")
        for step in steps:
            if share or step.declaration.signed:
                measure = "share" if share else "direction"
                yield f"reliance.{expected.feature}.{expected.effect}.{measure}.{step.id}"
    features = context.spec.data.features
    known = context.features.names if context.features else tuple(features)
    if any(features[name].role == "sensitive" for name in known if name in features):
        yield from (f"reliance.sensitive_share.{step.id}" for step in steps)


def _of_tuning(context: Context) -> Iterator[str]:
    tuning = context.spec.tuning
    if tuning is None:
        return
    yield from (f"tuning.{measure}" for measure in TUNING)
    metrics = ["validation.loss", *(["validation.accuracy"] if context.spec.model.task == "classification" else [])]
    metrics += tuning.explain.require
    yield from (f"tuning.{which}.{metric}" for which in ("audited", "best") for metric in metrics)


def _fact(name: str, known: Mapping[str, tuple[str, ...]]) -> FactName:
    """A name whose words in braces are open, or known to be one of some."""
    parts = re.split(r"\{(\w+)\}", name)
    if len(parts) == 1:
        return FactName(name)
    pattern = "".join(_OPEN if index % 2 else re.escape(part) for index, part in enumerate(parts))
    shown = "".join(p.upper() if i % 2 else p for i, p in enumerate(parts))
    words = known.get(parts[1], ()) if len(parts) == 3 and not parts[2] else ()
    return FactName(shown, re.compile(pattern), tuple(f"{parts[0].removesuffix('_')}{word}" for word in words))
