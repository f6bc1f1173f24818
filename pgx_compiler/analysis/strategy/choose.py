"""Choose methods by the rules: a pure function of a situation, the table of rules and the catalogue."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pgx_compiler.analysis.strategy.choice import Answer, Choice, Choices, place_of, reasons
from pgx_compiler.analysis.strategy.price import Step
from pgx_compiler.analysis.strategy.rule import ByDeclaration, Rule
from pgx_compiler.analysis.strategy.rules import BY_DECLARATION, QUESTIONS, RULES
from pgx_compiler.analysis.strategy.situation import Auto, Named, Situation, unmet
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration, Stage

_LEAST = {"agreement": 2, "faithfulness": 1}
"""How many explanations a stage rests on."""


def choose(situation: Situation) -> Choices:
    """Take or refuse every method of the catalogue, each with its reason."""
    wanted = wanted_questions(situation)
    refused: dict[str, _Refusal] = {}
    candidates: list[_Candidate] = []
    for declaration in catalogue().values():
        if any(step.method == declaration.name for step in situation.named):
            continue
        found = _consider(declaration, situation, wanted)
        if isinstance(found, str):
            refused[declaration.name] = _Refusal(found, False)
        else:
            candidates.append(found)
    picked, unaffordable = _afford(candidates, situation)
    refused |= unaffordable
    methods = tuple(_choice(d, situation, picked, refused) for d in catalogue().values())
    steps = [*_named_steps(situation), *(one.step(rung) for one, rung in picked.values())]
    return Choices(
        methods,
        tuple(_answer(question, methods, situation) for question in wanted) if situation.auto else (),
        situation.pricing.total(steps, situation.algorithms),
        situation.budget,
    )


def wanted_questions(situation: Situation) -> tuple[str, ...]:
    """The questions to answer: those asked, else all.

    Where explanations are chosen, expectations ask what matters, and written comparisons ask for something to compare.
    """
    asked = set(situation.questions or QUESTIONS)
    if {"perturbation", "gradient"} & set(situation.auto):
        asked |= implied(situation.expectations, any(step.stage in _LEAST for step in situation.named))
    return tuple(question for question in QUESTIONS if question in asked)


def implied(expectations: bool, judged: bool) -> set[str]:
    """The questions that a spec asks of its explanations by what else it says."""
    return {*(["which_inputs_matter"] * expectations), *(["can_the_explanation_be_trusted"] * judged)}


@dataclass(frozen=True)
class _Candidate:
    """A method that may be taken, if the budget lets it."""

    declaration: Declaration
    questions: tuple[str, ...]
    reason: str
    source: str
    priority: int
    order: int
    params: tuple[Mapping[str, Any], ...]

    def step(self, rung: int) -> Step:
        return Step(self.declaration.name, self.params[rung])


def _consider(declaration: Declaration, situation: Situation, wanted: tuple[str, ...]) -> "_Candidate | str":
    """A candidate, or the reason why the method is refused whatever it costs."""
    auto = situation.auto.get(declaration.stage)
    if auto is None:
        why = situation.impossible.get(declaration.name)
        place = place_of(declaration.stage)
        return why or f"no step asks for it, and there is no `use: auto` under `{place}`"
    kept_out = _kept_out(declaration, auto) or _done_by_another(declaration, situation, auto)
    if kept_out:
        return kept_out
    rules: list[tuple[int, Rule | ByDeclaration]] = list(_rules_of(declaration))
    if not rules:
        return situation.impossible.get(declaration.name) or "no rule asks for it"
    asked = [(order, rule) for order, rule in rules if set(rule.questions) & set(wanted)]
    if not asked:
        answers = " and ".join(f"`{q}`" for q in dict.fromkeys(q for _, rule in rules for q in rule.questions))
        return f"it helps to answer {answers}, which the strategy does not ask"
    if declaration.name in situation.impossible:
        return situation.impossible[declaration.name]
    against = [rule for _, rule in asked if isinstance(rule, Rule) and rule.refuses and not unmet(rule.when, situation)]
    if against:
        return against[0].reason
    reasons = [unmet(rule.when, situation) if isinstance(rule, Rule) else None for _, rule in asked]
    met = [pair for pair, reason in zip(asked, reasons, strict=True) if reason is None]
    if not met:
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    return _candidate(declaration, met, auto, wanted)


def _kept_out(declaration: Declaration, auto: Auto) -> str | None:
    where = f" of line {auto.line}" if auto.line else ""
    if declaration.name in auto.without:
        return f"`without`{where} excludes it"
    if auto.only is not None and declaration.name not in auto.only:
        return f"`only`{where} does not list it"
    return None


def _done_by_another(declaration: Declaration, situation: Situation, auto: Auto) -> str | None:
    """Why a method would repeat what is already done under another name."""
    same = [s for s in situation.named if catalogue()[s.method].estimates == declaration.name]
    if declaration.is_request and same:
        return f"`{same[0].method}`{_lines(same[:1])} computes it already"
    quantity = declaration.estimates
    if quantity is not None and quantity in situation.algorithms and not _kept_out(catalogue()[quantity], auto):
        by = situation.algorithms[quantity]
        how = "and is computed by this very method here" if by == declaration.name else f"and is computed by {by} here"
        return f"`{quantity}` stands for it, {how}"
    return None


def _rules_of(declaration: Declaration) -> "Iterable[tuple[int, Rule | ByDeclaration]]":
    """The rules of a method with their places in the table; the general ones where none names it."""
    own = [(order, r) for order, r in enumerate(RULES) if (r.method, r.stage) == (declaration.name, declaration.stage)]
    general = [(len(RULES) + order, rule) for order, rule in enumerate(BY_DECLARATION) if rule.fits(declaration)]
    return own or general


def _candidate(
    declaration: Declaration, met: "list[tuple[int, Rule | ByDeclaration]]", auto: Auto, wanted: tuple[str, ...]
) -> _Candidate:
    order, first = met[0]
    served = {question for _, rule in met for question in rule.questions}
    params: tuple[Mapping[str, Any], ...] = first.params if isinstance(first, Rule) else ({},)
    if declaration.name in auto.params:
        params = (auto.params[declaration.name],)
    source = first.source if isinstance(first, Rule) else f"for {first.says}"
    priority = min(rule.priority for _, rule in met)
    questions = tuple(question for question in wanted if question in served)
    return _Candidate(declaration, questions, first.reason, source, priority, order, params)


Picked = dict[str, tuple[_Candidate, int]]
"""Method to its candidate and the place of its parameters."""


def _afford(candidates: list[_Candidate], situation: Situation) -> tuple[Picked, dict[str, "_Refusal"]]:
    """Take what the budget holds, by priority.

    The cheapest method comes first, each with its cheapest parameters; then all of that priority get better ones in turns.
    """
    picked: Picked = {}
    refused: dict[str, _Refusal] = {}
    for priority in sorted({one.priority for one in candidates}):
        of_this = [one for one in candidates if one.priority == priority]
        waiting = of_this
        while waiting:
            tried = [(_price(one, situation, picked), one) for one in waiting]
            refused |= {one.declaration.name: found for found, one in tried if isinstance(found, _Refusal)}
            within = [(found, one.order, one) for found, one in tried if not isinstance(found, _Refusal)]
            if not within:
                break
            _, _, taken = min(within, key=lambda found: found[:2])
            picked[taken.declaration.name] = (taken, len(taken.params) - 1)
            waiting = [one for one in waiting if one is not taken]
        improving = [one for one in of_this if one.declaration.name in picked]
        while improving:
            improving = [one for one in improving if _better(one, situation, picked)]
    return picked, {name: found for name, found in refused.items() if name not in picked}


@dataclass(frozen=True)
class _Refusal:
    """Why a candidate is not taken after all."""

    reason: str
    dear: bool


def _price(one: _Candidate, situation: Situation, picked: Picked) -> "int | _Refusal":
    """What a candidate adds to the audit at its cheapest, in model rows; or why it cannot be taken now."""
    name, stage = one.declaration.name, one.declaration.stage
    least = _LEAST.get(stage, 0)
    there = Counter(step.ground for step in situation.named if catalogue()[step.method].direction)
    there[""] += sum(other.declaration.direction is not None for other, _ in picked.values())
    if (most := max(there.values())) < least:
        needs = "two explanations of the same rows and features" if least == 2 else "an explanation"
        return _Refusal(f"it needs {needs}, and the audit makes {'one' if most else 'none'}", False)
    before, after = _total(situation, picked), _total(situation, {**picked, name: (one, len(one.params) - 1)})
    if situation.budget is not None and after > max(before, situation.budget):
        needed, rest = after - before, max(0, situation.budget - before)
        at_least = "at least " if len(one.params) > 1 else ""
        return _Refusal(f"it would take {at_least}{needed:,} model rows, and {rest:,} of the budget are left", True)
    return after - before


def _better(one: _Candidate, situation: Situation, picked: Picked) -> bool:
    """Take the next better parameters of a method if the budget holds them; False where it stays as it is."""
    name, rung = one.declaration.name, picked[one.declaration.name][1] - 1
    if rung < 0:
        return False
    after = _total(situation, {**picked, name: (one, rung)})
    if situation.budget is not None and after > max(situation.budget, _total(situation, picked)):
        return False
    picked[name] = (one, rung)
    return True


def _total(situation: Situation, picked: Picked) -> int:
    steps = [*_named_steps(situation), *(one.step(rung) for one, rung in picked.values())]
    return situation.pricing.total(steps, situation.algorithms)


def _named_steps(situation: Situation) -> list[Step]:
    return [Step(step.method, step.params, step.ground, step.shape) for step in situation.named]


def _choice(declaration: Declaration, situation: Situation, picked: Picked, refused: Mapping[str, _Refusal]) -> Choice:
    name, stage = declaration.name, declaration.stage
    named = [step for step in situation.named if step.method == name]
    if named:
        reason = f"the spec asks for it{_lines(named)}"
        return Choice(name, stage, True, reason, step=named[0].id, by_author=True, line=named[0].line)
    auto = situation.auto.get(stage)
    line = auto.line if auto else None
    if name not in picked:
        return Choice(name, stage, False, refused[name].reason, dear=refused[name].dear, line=line)
    one, rung = picked[name]
    best = ", ".join(f"{key}: {value}" for key, value in one.params[0].items()) or "its default parameters"
    reason = one.reason + (f"; the budget does not hold {best}" if rung else "")
    step = _free_id(name, situation)
    return Choice(name, stage, True, reason, one.source, one.questions, step, one.params[rung], line=line)


def _free_id(name: str, situation: Situation) -> str:
    """The method's name, unless a step of the author's already has it."""
    taken = {step.id for step in situation.named}
    while name in taken:
        name += "_auto"
    return name


def _lines(steps: list[Named]) -> str:
    lines = [str(step.line) for step in steps if step.line]
    if not lines:
        return ""
    return f" in line {lines[0]}" if len(lines) == 1 else f" in lines {', '.join(lines[:-1])} and {lines[-1]}"


def _answer(question: str, methods: tuple[Choice, ...], situation: Situation) -> Answer:
    asked = QUESTIONS[question]  # type: ignore[index]
    able = [choice for choice in methods if choice.stage in asked.stages and question in _serves(choice, asked.stages)]
    answering = tuple(choice.method for choice in able if choice.taken)
    if answering:
        return Answer(question, answering, asked.open)
    if not set(asked.stages) & set(situation.auto):
        places = " or ".join(f"`{place_of(stage)}`" for stage in asked.stages)
        mend = f"write `use: auto` under {places}"
        return Answer(question, (), f"{places} holds no step for it, and is not left to the strategy", mend)
    dear = [choice for choice in able if choice.dear]
    mend = "raise `strategy.budget.model_rows`, or explain fewer rows" if dear else asked.mend
    return Answer(question, (), reasons(dear or able) or "no method of the catalogue is made for it", mend)


def _serves(choice: Choice, stages: tuple[Stage, ...]) -> set[str]:
    """The questions that a method helps to answer; of an algorithm, those of its quantity as well."""
    declaration = catalogue()[choice.method]
    found: set[str] = {question for _, rule in _rules_of(declaration) for question in rule.questions}
    if choice.taken and declaration.estimates in catalogue():
        found |= _serves(Choice(str(declaration.estimates), choice.stage, True, ""), stages)
    return found
