"""Did the answer change? Facts, gates, findings and importance of two runs, each held against its noise.

A fact has changed only where the two 95 % intervals lie apart. Where they overlap, the difference is within noise; where
there is no interval, it has moved and nobody can say whether it is noise; and where the two runs did not compute the same
thing, there is no difference to speak of.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgx_compiler.report.factsheet import Fact, Source
from pgx_compiler.report.gates import judge_gates
from pgx_compiler.report.gathering import COUNTED
from pgx_compiler.spec.model import Gate
from pgx_compiler.versioning.measured import Answer, Measured, Ranked, Work, node_of, why_not_comparable
from pgx_compiler.versioning.questions import Question

TOP = 5
"""How many features people look at first: entering or leaving them is said."""


@dataclass(frozen=True)
class Moved:
    """A fact with another value."""

    fact: str
    old: Measured
    new: Measured


@dataclass(frozen=True)
class Flip:
    """A word of judgement that became another: of the verdict, a gate or a finding."""

    what: str
    old: str | None
    """None: it was not there."""
    new: str | None
    why: str = ""


@dataclass(frozen=True)
class RankMove:
    """A feature that stands at another place in the order of importance."""

    step: str
    feature: str
    old: int
    new: int
    beyond_noise: bool
    """True where the places that the intervals allow lie apart."""
    top: str = ""
    """``entered`` or ``left`` the first `TOP`; else empty."""


@dataclass
class AnswerChanges:
    """All that differs between two answers."""

    verdict: Flip | None = None
    gates: list[Flip] = field(default_factory=list)
    loosened: list[str] = field(default_factory=list)
    """Gates that pass and would fail the older thresholds."""
    findings: list[Flip] = field(default_factory=list)
    changed: list[Moved] = field(default_factory=list)
    ranks: list[RankMove] = field(default_factory=list)
    """Those beyond noise."""
    appeared: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    undecided: list[Moved] = field(default_factory=list)
    """Other values without an interval to judge them by."""
    noise: list[Moved] = field(default_factory=list)
    rank_noise: list[RankMove] = field(default_factory=list)
    incomparable: dict[str, list[str]] = field(default_factory=dict)
    """Facts, and steps' importance, that cannot be compared, to the reasons."""
    same: int = 0
    """Facts with the same value."""

    @property
    def any(self) -> bool:
        """True where anything surely differs by more than noise."""
        return any(
            (self.verdict, self.gates, self.loosened, self.findings, self.changed, self.ranks, self.appeared, self.gone)
        )

    @property
    def open(self) -> bool:
        """True where something else differs that nobody can tell from noise, or cannot be compared."""
        return bool(self.undecided or self.incomparable)


def compare_answers(
    old: Answer,
    new: Answer,
    old_work: Mapping[str, Work],
    new_work: Mapping[str, Work],
    old_question: Question | None,
) -> AnswerChanges:
    """What differs between two answers."""
    found = AnswerChanges()
    if old.verdict != new.verdict:
        found.verdict = Flip("verdict", old.verdict, new.verdict)
    found.gates = list(_gates(old, new))
    found.loosened = _loosened(new, old_question)
    found.findings = list(_findings(old, new))
    found.appeared = [name for name in new.facts if name not in old.facts]
    found.gone = [name for name in old.facts if name not in new.facts]
    for name, before in old.facts.items():
        if name in new.facts:
            _place(found, name, before, new.facts[name], old_work, new_work)
    for step in old.importance:
        if step in new.importance:
            reasons = why_not_comparable(f"explain.{step}", old_work, new_work)
            if reasons:
                found.incomparable[f"importance by {step}"] = reasons
            moves = [] if reasons else list(_rank_moves(step, old.importance[step], new.importance[step]))
            found.ranks += [move for move in moves if move.beyond_noise]
            found.rank_noise += [move for move in moves if not move.beyond_noise]
    return found


def _place(
    found: AnswerChanges,
    name: str,
    before: Measured,
    after: Measured,
    old_work: Mapping[str, Work],
    new_work: Mapping[str, Work],
) -> None:
    node = node_of(name, new_work) or node_of(name, old_work)
    reasons = why_not_comparable(node, old_work, new_work) if node else ["where it comes from is not known"]
    if reasons:
        found.incomparable[name] = reasons
        return
    moved = Moved(name, before, after)
    kind = judge(before, after)
    if kind == "same":
        found.same += 1
    else:
        {"changed": found.changed, "noise": found.noise, "undecided": found.undecided}[kind].append(moved)


def judge(before: Measured, after: Measured) -> str:
    """``same``, ``changed`` (the intervals lie apart), ``noise`` (they overlap) or ``undecided`` (there is none)."""
    if before.value == after.value:
        return "same"
    if before.value is None or after.value is None or isinstance(before.value, str) or isinstance(after.value, str):
        return "changed"
    if before.interval is None or after.interval is None:
        # what is counted has no noise
        return "changed" if before.unit == after.unit and after.unit in COUNTED else "undecided"
    apart = before.interval[1] < after.interval[0] or after.interval[1] < before.interval[0]
    return "changed" if apart else "noise"


def _gates(old: Answer, new: Answer) -> Iterator[Flip]:
    for name in [*new.gates, *(name for name in old.gates if name not in new.gates)]:
        before, after = old.gates.get(name), new.gates.get(name)
        if before is None or after is None:
            there = after or before
            assert there is not None
            yield Flip(
                f"gate {name} {there.threshold}", before.status if before else None, after.status if after else None
            )
        elif before.status != after.status:
            why = f"{_number(before.value)} -> {_number(after.value)}, needs {after.threshold}"
            if before.threshold != after.threshold:
                why += f" (needed {before.threshold})"
            yield Flip(f"gate {name}", before.status, after.status, why)


def _loosened(new: Answer, old_question: Question | None) -> list[str]:
    """Gates that pass now, and would not have passed the older thresholds."""
    if old_question is None:
        return []
    source = Source(step="", spec_path="")
    facts = {
        name: Fact(id=name, title=name, value=fact.value, interval=fact.interval, status="measured", source=source)
        for name, fact in new.facts.items()
    }
    gates = [Gate.model_validate(gate) for gate in old_question.semantic.get("gates", [])]
    held = {(gate.fact, gate.status) for gate in new.gates.values()}
    return [
        f"{entry.fact}: {_number(entry.value)} does not meet {entry.threshold}"
        for entry in judge_gates(gates, facts)
        if entry.status == "failed" and (entry.fact, "failed") not in held
    ]


def _findings(old: Answer, new: Answer) -> Iterator[Flip]:
    for name in [*new.findings, *(name for name in old.findings if name not in new.findings)]:
        before, after = old.findings.get(name), new.findings.get(name)
        words = [f"{one.severity}, {one.verdict}" if one else None for one in (before, after)]
        if words[0] != words[1]:
            there = after or before
            assert there is not None
            yield Flip(f"finding {name}", words[0], words[1], there.title)


def _rank_moves(step: str, old: Mapping[str, Ranked], new: Mapping[str, Ranked]) -> Iterator[RankMove]:
    before, after = _places(old), _places(new)
    for feature in sorted(before, key=lambda name: before[name][0]):
        if feature not in after or before[feature][0] == after[feature][0]:
            continue
        (was, was_best, was_worst), (now, now_best, now_worst) = before[feature], after[feature]
        top = "entered" if now <= TOP < was else "left" if was <= TOP < now else ""
        apart = was_worst < now_best or now_worst < was_best
        yield RankMove(step, feature, was, now, apart, top)


def _places(importance: Mapping[str, Ranked]) -> dict[str, tuple[int, int, int]]:
    """Feature to its place from 1, and the best and the worst place that the intervals allow it."""
    ordered = sorted(importance, key=lambda name: (-importance[name].value, name))
    places = {}
    for place, name in enumerate(ordered, 1):
        low, high = _ends(importance[name])
        others = [_ends(importance[other]) for other in ordered if other != name]
        best = 1 + sum(other_low > high for other_low, _ in others)
        worst = 1 + sum(other_high >= low for _, other_high in others)
        places[name] = (place, min(best, place), max(worst, place))
    return places


def _ends(ranked: Ranked) -> tuple[float, float]:
    # without an interval nothing is known of its place
    return ranked.interval if ranked.interval is not None else (float("-inf"), float("inf"))


def _number(value: Any) -> str:
    return "nothing" if value is None else f"{value:.4g}"
