"""A comparison in words: moved thresholds first and loudest, what changes no answer last and quietly."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from pgx_compiler.diagnostics.render import harmless
from pgx_compiler.versioning.answers import AnswerChanges, Flip, Moved, RankMove
from pgx_compiler.versioning.baseline import Baseline
from pgx_compiler.versioning.comparison import Comparison
from pgx_compiler.versioning.measured import Measured
from pgx_compiler.versioning.questions import Change

MOST = 12
"""Lines of one kind that are shown; the rest is counted, and is in ``--format json``."""


def tell(comparison: Comparison, all_of_it: bool = False) -> str:
    """The whole comparison, for a terminal."""
    most = 10**9 if all_of_it else MOST
    parts: list[str] = []
    loosened = comparison.answer.loosened if comparison.answer is not None else []
    if comparison.loud or loosened:
        told = [_change(change) for change in comparison.loud]
        told += [f"FAILS BY THE OLDER THRESHOLDS: {text}" for text in loosened]
        parts.append(_section("!! WHAT MUST HOLD HAS CHANGED", told, 10**9))
    if comparison.semantic:
        parts.append(_section("The question changed", [_change(change) for change in comparison.semantic], most))
    if comparison.ground:
        parts.append(_section("The ground changed", [str(shift) for shift in comparison.ground], most))
    if comparison.answer is not None:
        parts += _answer(comparison.answer, most)
    if comparison.quiet:
        parts.append(_section("Changes no answer", [_change(change) for change in comparison.quiet], most))
    parts += [f"note: {note}" for note in comparison.notes]
    parts.append(summary(comparison))
    return harmless("\n\n".join(parts), keep_newlines=True)


def summary(comparison: Comparison) -> str:
    """One line: which of the three changed."""
    what = []
    if comparison.loud:
        what.append("what must hold")
    if comparison.semantic:
        what.append("the question")
    if comparison.ground:
        what.append("the ground")
    if comparison.answer is not None and comparison.answer.any:
        what.append("the answer")
    unclear = comparison.answer is not None and comparison.answer.open and not comparison.answer.any
    if unclear:
        return " ".join(
            [*([f"Changed: {', '.join(what)}."] if what else []), "Whether the answer did, nobody can tell."]
        )
    if what:
        return f"Changed: {', '.join(what)}."
    if comparison.answer is not None and (comparison.answer.noise or comparison.answer.rank_noise):
        return "Nothing changed beyond noise."
    if comparison.quiet:
        return "Nothing changed that an answer depends on."
    return "Nothing changed."


def short(comparison: Comparison) -> list[str]:
    """What somebody who has just run the audit must see: a few lines."""
    lines = [f"!! {_change(change)}" for change in comparison.loud]
    answer = comparison.answer
    if answer is not None:
        lines += [f"!! fails by the older thresholds: {text}" for text in answer.loosened]
        flips = [*([answer.verdict] if answer.verdict else []), *answer.gates, *answer.findings]
        facts = [_flip(flip) for flip in flips] + [_moved(moved) for moved in answer.changed]
        facts += [_rank(move) for move in answer.ranks]
        lines += facts[:MOST]
        if len(facts) > MOST:
            lines.append(f"and {len(facts) - MOST} more")
        counts = [
            (len(answer.noise), "within noise"),
            (len(answer.undecided), "moved without an interval to judge by"),
            (len(answer.incomparable), "not comparable"),
        ]
        said = ", ".join(f"{count} {words}" for count, words in counts if count)
        lines.append(f"{answer.same} facts as before" + (f", {said}" if said else ""))
    lines.append(summary(comparison))
    return [harmless(line) for line in lines]


def _section(title: str, lines: Iterable[str], most: int) -> str:
    told = list(lines)
    more = [f"and {len(told) - most} more (--all shows them)"] if len(told) > most else []
    return "\n".join([f"{title}:", *(textwrap.indent(line, "  ") for line in [*told[:most], *more])])


def _change(change: Change) -> str:
    about = f" ({change.about})" if change.about else ""
    effect = {"weaker": "  WEAKER", "stronger": "  stronger", "moved": "  MOVED"}.get(change.effect, "")
    if change.old is None or change.new is None:
        word = "added" if change.old is None else "REMOVED" if change.effect == "removed" else "removed"
        value = change.new if change.old is None else change.old
        if isinstance(value, dict):
            value = {key: part for key, part in value.items() if part not in (None, [], {})}
        return f"{change.path}{about}: {word} {_value(value)}{effect}"
    return f"{change.path}{about}: {_value(change.old)} -> {_value(change.new)}{effect}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        text = ", ".join(f"{key.rstrip('_')}: {_value(part)}" for key, part in value.items())
        text = f"{{{text}}}"
    elif isinstance(value, list):
        text = f"[{', '.join(_value(part) for part in value)}]"
    elif isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "nothing"}[value]
    else:
        text = str(value)
    return textwrap.shorten(text, 140, placeholder=" …") if text.strip() else repr(text)


def _answer(answer: AnswerChanges, most: int) -> Iterator[str]:
    flips = [*([answer.verdict] if answer.verdict else []), *answer.gates, *answer.findings]
    lines = [_flip(flip) for flip in flips] + [_moved(moved) for moved in answer.changed]
    lines += [_rank(move) for move in answer.ranks]
    lines += [f"new: {name}" for name in answer.appeared] + [f"no longer measured: {name}" for name in answer.gone]
    if lines:
        yield _section("The answer changed", lines, most)
    if answer.incomparable:
        yield _section("Not comparable", _incomparable(answer, most), most)
    if answer.undecided:
        told = [_moved(moved) for moved in answer.undecided]
        yield _section("Moved, with no interval to tell it from noise", told, most)
    if answer.noise or answer.rank_noise:
        told = [_moved(moved) for moved in answer.noise] + [_rank(move) for move in answer.rank_noise]
        yield _section("Within noise", told, most)


def _incomparable(answer: AnswerChanges, most: int) -> Iterator[str]:
    """Facts that cannot be compared, those with the same reasons together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name, reasons in answer.incomparable.items():
        together.setdefault(tuple(reasons), []).append(name)
    listed = max(2, most // 4)
    for why, names in together.items():
        more = f" and {len(names) - listed} more" if len(names) > listed else ""
        yield f"{', '.join(names[:listed])}{more}:\n  {'; '.join(why)}"


def _flip(flip: Flip) -> str:
    if flip.old is None or flip.new is None:
        state = f"appeared ({flip.new})" if flip.old is None else f"went (was {flip.old})"
    else:
        state = f"{flip.old} -> {flip.new}"
    return f"{flip.what}: {state}" + (f"; {flip.why}" if flip.why else "")


def _moved(moved: Moved) -> str:
    return f"{moved.fact}: {_measured(moved.old)} -> {_measured(moved.new)}"


def _measured(fact: Measured) -> str:
    if fact.value is None or isinstance(fact.value, str):
        return fact.value or "nothing"
    if fact.interval is None:
        return f"{fact.value:.6g}"
    low, high = fact.interval
    return f"{fact.value:.4g} [{low:.4g}, {high:.4g}] n={fact.n}"


def _rank(move: RankMove) -> str:
    top = f", {move.top} the first five" if move.top else ""
    return f"importance by {move.step}: {move.feature} from place {move.old} to {move.new}{top}"


def describe(baseline: Baseline, path: str) -> str:
    """A baseline in a screenful: what was accepted, when, why, and what must hold."""
    found = baseline.answer
    lines = [
        f"{path}: {baseline.audit} {baseline.version}, {found.verdict}, run of {baseline.ended}",
        f"  reason: {baseline.reason}" if baseline.reason else "  accepted without a word",
        f"  spec {baseline.spec_digest[:16]}, plan {baseline.plan_digest[:16]}, factsheet {baseline.run[:16]}",
    ]
    for category in ("models", "data", "masks"):
        lines += [f"  {name}  {sha256[:16]}" for name, sha256 in baseline.ground.get(category, {}).items()]
    lines += ["", "gates:"] if found.gates else []
    for name, gate in found.gates.items():
        value = "nothing" if gate.value is None else f"{gate.value:.4g}"
        lines.append(f"  {gate.status}  {name}: {value}, needs {gate.threshold}")
    lines += ["", "findings:"] if found.findings else []
    lines += [f"  {item.severity} ({item.verdict})  {name}: {item.title}" for name, item in found.findings.items()]
    lines += ["", f"{len(found.facts)} facts, importance by {', '.join(found.importance) or 'no step'}"]
    return harmless("\n".join(lines), keep_newlines=True)
