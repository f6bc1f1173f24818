"""From text to the typed spec; what pydantic says of it becomes diagnostics in plain words, all in one go."""

import copy
from dataclasses import dataclass
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.source import Document, Path_, load
from pgx_compiler.spec.validate import Schema, problems

NO_STEP = Code(
    2008,
    "no-step",
    "An audit needs at least one step: one `use:` under `precaution`, `explain.perturbation` or `explain.gradient`.",
)


@dataclass(frozen=True)
class ParsedSpec:
    """What a text says, where it says it, and what is wrong with it."""

    spec: AuditSpec | None
    """None where the text does not have the form of an audit; there may be errors of reading beside a spec."""
    document: Document
    diagnostics: Diagnostics
    salvaged: AuditSpec | None = None
    """Where `spec` is None: what is left of it without the values at `left_out`, good for finding further mistakes."""
    left_out: tuple[Path_, ...] = ()


def parse(text: str, file: str) -> ParsedSpec:
    """Read the text of a spec; `file` is the name shown in messages."""
    document = load(text, file)
    found = Diagnostics(list(document.diagnostics))
    spec = salvaged = None
    left_out: tuple[Path_, ...] = ()
    if isinstance(document.data, dict):
        data = {key: value for key, value in document.data.items() if not key.startswith("x-")}
        spec, complaints = problems(Schema(AuditSpec, "the audit"), data, document, ())
        # what the reader refused is None in the data; the complaint about that None would only repeat it
        said = {item.span for item in document.diagnostics}
        for item in complaints:
            if item.span not in said:
                found.add(item)
        if spec is not None:
            _check_steps(spec, document, found)
        else:
            salvaged, left_out = salvage(data, complaints, document)
    return ParsedSpec(spec, document, found, salvaged, left_out)


ROUNDS = 4
"""How often what is left may still be wrong before nothing more is looked for: leaving out a bad value may leave a
mapping without a key that it needs, and that one inside another."""


def salvage(
    data: dict[str, Any], complaints: list[Diagnostic], document: Document
) -> tuple[AuditSpec | None, tuple[Path_, ...]]:
    """Leave out every value that is complained of, until the rest has the form of an audit.

    A list loses all its items with one: the places of the others would no longer be those of the document.
    """
    rest = copy.deepcopy(data)
    left_out: list[Path_] = []
    for _ in range(ROUNDS):
        for item in complaints:
            path = item.path
            for at, part in enumerate(path):
                if isinstance(part, int) and (at == len(path) - 1 or item.code.name != "unknown-key"):
                    path = path[:at]
                    break
            if not path or not _remove(rest, path):
                return None, ()
            left_out.append(path)
        spec, complaints = problems(Schema(AuditSpec, "the audit"), rest, document, ())
        if spec is not None:
            return spec, tuple(left_out)
    return None, ()


def _remove(rest: Any, path: Path_) -> bool:
    """Remove the value at a path; False where it cannot be done."""
    for part in path[:-1]:
        try:
            rest = rest[part]
        except (KeyError, IndexError, TypeError):
            return True  # gone with something above it
    if not isinstance(rest, dict):
        return False
    rest.pop(path[-1], None)
    return True


def _check_steps(spec: AuditSpec, document: Document, found: Diagnostics) -> None:
    if not (spec.precaution or spec.explain.perturbation or spec.explain.gradient):
        message = "the audit has no step"
        help_ = "add one, for example `precaution: [{use: class_balance}]`; `pgx methods` lists them"
        found.add(Diagnostic(NO_STEP, message, document.key_span(()), help_))
