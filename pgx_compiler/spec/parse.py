"""From text to the typed spec; what pydantic says of it becomes diagnostics in plain words, all in one go."""

from dataclasses import dataclass

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.source import Document, load
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


def parse(text: str, file: str) -> ParsedSpec:
    """Read the text of a spec; `file` is the name shown in messages."""
    document = load(text, file)
    found = Diagnostics(list(document.diagnostics))
    spec = None
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
    return ParsedSpec(spec, document, found)


def _check_steps(spec: AuditSpec, document: Document, found: Diagnostics) -> None:
    if not (spec.precaution or spec.explain.perturbation or spec.explain.gradient):
        message = "the audit has no step"
        help_ = "add one, for example `precaution: [{use: class_balance}]`; `pgx methods` lists them"
        found.add(Diagnostic(NO_STEP, message, document.key_span(()), help_))
