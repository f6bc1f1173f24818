"""From text to the typed spec; what pydantic says of it becomes diagnostics in plain words, all in one go."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics
from pgx_compiler.diagnostics.nearest import shortened
from pgx_compiler.spec.compose import NOTHING, compose
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.overrides import Overrides
from pgx_compiler.spec.source import Document, Path_
from pgx_compiler.spec.validate import MISSING_KEY, Schema, problems

NO_STEP = Code(
    2008,
    "no-step",
    "An audit needs at least one step: one `use:` under `precaution`, `explain.perturbation` or `explain.gradient`."
    " Without any step it needs a `strategy`, which chooses the methods then (`strategy: {questions: […]}`).",
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


def parse(text: str, file: str, root: Path | None = None, overrides: Overrides = NOTHING) -> ParsedSpec:
    """Read the text of a spec and put it together (`compose` says how); `file` is the name shown in messages."""
    document = compose(text, file, root, overrides)
    found = Diagnostics(list(document.diagnostics))
    spec = salvaged = None
    left_out: tuple[Path_, ...] = ()
    if isinstance(document.data, dict):
        data = {key: value for key, value in document.data.items() if not key.startswith("x-")}
        spec, complaints = problems(Schema(AuditSpec, "the audit"), data, document, ())
        # what was refused before is None in the data; the complaint about that None would only repeat it
        said = {item.span for item in document.diagnostics}
        refused = document.composition.refused
        for item in complaints:
            lacks = item.code is MISSING_KEY and document.composition.incomplete
            if item.span not in said and item.path not in refused and not lacks:
                found.add(item)
        _check_profiles(document, overrides, found)
        if spec is not None and not document.composition.incomplete:
            _check_steps(spec, document, found)
        if spec is None:
            salvaged, left_out = salvage(data, complaints, document)
        elif refused or document.composition.incomplete:
            spec, salvaged, left_out = None, None if document.composition.incomplete else spec, refused
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


def _check_profiles(document: Document, overrides: Overrides, found: Diagnostics) -> None:
    """Hold the profiles that were not chosen against the form of the language too."""
    profiles = document.data.get("profiles")
    if not isinstance(profiles, dict):
        return
    from pgx_compiler.spec.partial import profile_model

    for name, profile in profiles.items():
        if name not in overrides.profiles and isinstance(profile, dict):
            at: Path_ = ("profiles", name)
            _, complaints = problems(Schema(profile_model(), f"the profile `{shortened(name)}`"), profile, document, at)
            for item in complaints:
                if item.path not in document.composition.refused:
                    found.add(item)


def _check_steps(spec: AuditSpec, document: Document, found: Diagnostics) -> None:
    chosen = "strategy" in document.data and not (spec.agreement or spec.faithfulness or document.composition.left_out)
    if not (spec.precaution or spec.explain.perturbation or spec.explain.gradient or chosen):
        message = "the audit has no step"
        help_ = (
            "add one, for example `precaution: [{use: class_balance}]`; `pgx methods` lists them; or write a `strategy`"
        )
        found.add(Diagnostic(NO_STEP, message, document.key_span(()), help_))
