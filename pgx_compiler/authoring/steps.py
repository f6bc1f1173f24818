"""Which methods a first spec uses: the catalogue proposes, the checks of the language dispose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgx_compiler.analysis.analyse import Analysis, analyse
from pgx_compiler.analysis.strategy.rules import RULES
from pgx_compiler.diagnostics.diagnostic import Diagnostic
from pgx_compiler.methods.catalogue import STAGES, catalogue
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.spec.model import STEP_PATHS
from pgx_compiler.spec.parse import parse

ROUNDS = 20
"""How often what is left may be refused anew: a check stops after so many complaints, what is left out may take with it
what hangs on it, and a step that is only warned of is tried in its other forms."""

_ABOUT_GROUPS = frozenset({"group_disparity", "sensitive_proxy"})
"""Findings about groups of people: without a feature marked sensitive there is nothing to find."""


@dataclass(frozen=True)
class Proposal:
    """One step: a method, and what is set where its defaults will not do."""

    method: Declaration
    params: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    """Why it is only on the menu, where that is not a matter of taste."""


Stages = Mapping[str, Sequence[Proposal]]


@dataclass(frozen=True)
class Choice:
    """What was decided of every method."""

    taken: Stages
    menu: Stages = field(default_factory=dict)
    """Possible as well, by stage."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Method to the reason why this model and data cannot do it."""


def choose(write: Callable[[Stages], str], root: Path) -> tuple[Choice, Analysis]:
    """Try the whole catalogue on a draft, written by `write`; returns the choice and what was settled with all of it."""
    left = {stage: [Proposal(d) for d in catalogue().values() if d.stage == stage] for stage in STAGES}
    others = {p.method.name: _other_forms(p.method) for proposals in left.values() for p in proposals}
    refused: dict[str, str] = {}
    doubtful: dict[str, list[Proposal]] = {stage: [] for stage in STAGES}
    analysis = looked_at(write(left), root)
    for _ in range(ROUNDS):
        said = _complaints(analysis, left)
        if not said:
            break
        for stage, proposals in left.items():
            left[stage] = []
            for one in proposals:
                name, item = one.method.name, said.get(one.method.name)
                if item is None:
                    left[stage].append(one)
                elif item.severity == "error" and not one.params:
                    refused[name] = item.message
                elif others[name]:
                    left[stage].append(Proposal(one.method, others[name].pop(0)))
                else:
                    doubtful[stage].append(Proposal(one.method, {}, item.message))
        analysis = looked_at(write(left), root)
    taken = {
        stage: sorted((p for p in proposals if _preferred(p.method, proposals)), key=lambda p: not p.method.is_request)
        for stage, proposals in left.items()
    }
    taken = _worth_judging(taken)
    menu = {stage: [p for p in left[stage] if p not in taken[stage]] + doubtful[stage] for stage in STAGES}
    return Choice(taken, menu, refused), analysis


def looked_at(text: str, root: Path) -> Analysis:
    """What the checks say of a text."""
    return analyse(parse(text, "audit.yaml"), root)


def _other_forms(declaration: Declaration) -> list[dict[str, Any]]:
    """The method with one of its choices made otherwise than by default."""
    fields = declaration.params.model_json_schema().get("properties", {})
    return [
        {name: value}
        for name, schema in fields.items()
        for value in schema.get("enum", ())
        if value != schema.get("default")
    ]


def _complaints(analysis: Analysis, left: Stages) -> dict[str, Diagnostic]:
    """Method to what was said of its step; an error before a warning."""
    found: dict[str, Diagnostic] = {}
    for item in sorted(analysis.diagnostics, key=lambda item: item.severity):
        for where in STEP_PATHS:
            place = item.path[len(where) : len(where) + 1]
            if item.path[: len(where)] == where and place and isinstance(place[0], int):
                found.setdefault(left[where[-1]][place[0]].method.name, item)
    return found


def _preferred(declaration: Declaration, possible: Sequence[Proposal]) -> bool:
    """Whether a first audit has it, among what is `possible` at its stage.

    A quantity asked for stands for the methods that compute it, since the compiler picks the best. Of explanations those
    are taken that the strategy would take for whatever reader; of gradients only those whose values add up to what they
    explain: the others are shares of nothing.
    """
    methods = [proposal.method for proposal in possible]
    if declaration.stage == "precaution":
        return not (declaration.codes and set(declaration.codes) <= _ABOUT_GROUPS)
    for_all = {rule.method for rule in RULES if not rule.refuses and not rule.when.stakes}
    if declaration.stage == "perturbation":
        return declaration.name in for_all
    if declaration.stage == "gradient":
        adding_up = [d for d in methods if "completeness" in d.laws and d.name in for_all]
        return declaration in (adding_up or methods[:1])
    return True


def _worth_judging(taken: dict[str, list[Proposal]]) -> dict[str, list[Proposal]]:
    """Without two explanations there is no agreement, without one nothing to judge."""
    explanations = len(taken["perturbation"]) + len(taken["gradient"])
    return {
        stage: [] if explanations < {"agreement": 2, "faithfulness": 1}.get(stage, 0) else proposals
        for stage, proposals in taken.items()
    }
