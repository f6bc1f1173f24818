"""One thing said to people and machines: what every format is written from, be it of a spec or of a finished run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pgx_compiler.diagnostics.diagnostic import Diagnostic, Span

Status = Literal["failed", "undecided", "passed"]
Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Rule:
    """What was looked at: a diagnostic's code, a gate, a finding's code."""

    id: str
    """``PGX2001``, ``class_imbalance``."""
    name: str
    """``unknown-key``."""
    explanation: str


@dataclass(frozen=True)
class Remark:
    """One outcome of one rule, and where in the author's text it belongs."""

    rule: Rule
    status: Status
    """``undecided``: it could not be settled. Never a pass."""
    level: Level
    message: str
    span: Span | None
    help: str = ""
    label: str = ""
    path: tuple[str | int, ...] = ()
    subject: str = ""
    """What sets this outcome apart from others of the same rule: a gate's name, a step."""


def rule_of(item: Diagnostic) -> Rule:
    """The rule that a diagnostic speaks for: its code."""
    return Rule(str(item.code), item.code.name, item.code.explanation)


def remarks(diagnostics: Iterable[Diagnostic]) -> list[Remark]:
    """Diagnostics as remarks, in their order."""
    return [Remark(rule_of(d), "failed", d.severity, d.message, d.span, d.help, d.label, d.path) for d in diagnostics]


def is_file(name: str) -> bool:
    """Whether a span's file is one: ``<stdin>`` and ``<--set seed=1>`` are none."""
    return bool(name) and not name.startswith("<")


def only(subjects: Sequence[str]) -> str:
    """The one file that was asked about, or nothing where there are several or none."""
    return subjects[0] if len(subjects) == 1 and is_file(subjects[0]) else ""


def in_files(said: Iterable[Remark]) -> list[Remark]:
    """Remarks for formats whose places are files: a place that is in none goes into the message."""
    return [
        remark
        if remark.span is None or is_file(remark.span.file)
        else replace(
            remark,
            span=None,
            message=f"{remark.span.file}:{remark.span.line}:{remark.span.column}: {remark.message}",
        )
        for remark in said
    ]


def whole_sentence(remark: Remark) -> str:
    """Message and label on one line, for formats that have no caret: ``no key `stepz` (did you mean `steps`?)``."""
    return f"{remark.message} ({remark.label})" if remark.label else remark.message
