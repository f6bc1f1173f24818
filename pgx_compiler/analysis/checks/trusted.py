"""What a model file may do beyond the lists: what the person who runs the audit has trusted exactly this file to do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import quoted
from pgx_compiler.trust.code import NoModuleError, code_digest
from pgx_compiler.trust.ledger import Grant, read_grants
from pgx_compiler.trust.power import Kind, Power, needed_power
from runtimes.capabilities import View
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFacts, ModelFileError

UNUSED_OBJECT = Code(
    5008,
    "unused-custom-object",
    "`model.custom_objects` asks for classes or functions that are not Keras' own. The Keras file of this audit uses none of"
    " that name, so nobody needs to trust anything for it.",
)
_MOST_POWERS = 100
_TODAY = "YYYY-MM-DD"


@dataclass(frozen=True)
class Inspected:
    """A model file's facts, and the trust that they rest on."""

    facts: ModelFacts
    powers: Powers
    grants: tuple[Grant, ...]
    """Those that were needed, each once."""


def inspect_trusted(context: Context, framework: Any, path: Path, sha256: str) -> Inspected:
    """Inspect a file with the powers that it needs and a person has granted; no others are used.

    Raises:
        ModelFileError: it is refused; the help says what `pgx trust` could do about it.
        AuthorError: the trust file is not to be used.
    """
    powers, used = NO_POWERS, dict[Power, Grant]()
    named = context.spec.model.signature if "keras" in framework.TARGET.formats else None
    for _ in range(_MOST_POWERS):
        try:
            view = View("value", powers=powers, signature=named or "")
            facts = framework.inspect(path, view) if used or named else framework.inspect(path)
        except ModelFileError as error:
            if not error.needs:
                raise
            power, name = needed_power(error.needs)
            grant = used.get(power) or _granted(context, sha256, power, name, error)
            used[power] = grant
            wider = _with(powers, power, name, grant)
            if wider == powers:  # what was granted does not lift the refusal
                raise
            powers = wider
        else:
            return Inspected(facts, powers, tuple(used.values()))
    raise ModelFileError(f"`{path.name}` needs more than {_MOST_POWERS} powers", "trust files of less")


def _granted(context: Context, sha256: str, power: Power, name: str, error: ModelFileError) -> Grant:
    """The grant of a power to a file; raises the refusal, with what could be done about it, where there is none."""
    line = f"pgx trust add {sha256} --for {power}" + (" --module PACKAGE" if name else "")
    line = f"{line} --reason TEXT --expires {_TODAY}"
    known: dict[Power, Grant] = {one.power: one for one in read_grants() if one.sha256 == sha256}
    grant = known.get(power)
    why = ""
    if grant is not None and grant.is_over():
        why = f" (your trust in it has expired on {grant.expires})"
    elif grant is not None:
        why = _code_changed(grant)
    if grant is not None and not why and (not name or name in _asked(context)):
        return grant
    help_ = f"{error.help}; or, if you answer for what is in it: `{line}`"
    if name and name not in _asked(context):
        help_ += f", and ask for it in the spec: `model.custom_objects: [{name}]`"
    raise ModelFileError(f"{error.reason}{why}", help_, error.needs) from error


def _asked(context: Context) -> list[str]:
    return context.spec.model.custom_objects or []


def _code_changed(grant: Grant) -> str:
    for module, digest in grant.modules.items():
        try:
            now = code_digest(module)
        except NoModuleError:
            return f" (the module `{module}`, which you trusted for it, is no longer installed)"
        if now != digest:
            return f" (the code of `{module}` has changed since you trusted it)"
    return ""


def _with(powers: Powers, power: Power, name: str, grant: Grant) -> Powers:
    if power.kind is Kind.LAMBDA:
        return replace(powers, lambdas=True)
    if power.kind is Kind.SAVEDMODEL_OP:
        return replace(powers, operations=powers.operations | {power.name})
    if power.kind is Kind.ONNX_DOMAIN:
        return replace(powers, domains=powers.domains | {power.name})
    return replace(powers, custom_objects=powers.custom_objects | {name}, modules=tuple(sorted(grant.modules)))


def check_trusted(context: Context) -> None:
    """Say which of the custom objects that the spec asks for the model does not use."""
    used = {name for file in context.models.values() for name in file.powers.custom_objects}
    if not context.models_known:
        return
    for place, name in enumerate(_asked(context)):
        if name not in used:
            message = f"no file of the model uses a custom object `{name}`"
            help_ = f"those in use: {quoted(sorted(used))}" if used else "delete it"
            context.warn(UNUSED_OBJECT, message, ("model", "custom_objects", place), help_)


def as_plain(file: str, grant: Grant) -> Mapping[str, str]:
    """A grant for the plan and the factsheet: what was trusted, by whom, why, and until when."""
    modules = ", ".join(f"{name} {digest}" for name, digest in grant.modules.items())
    said = {"file": file, "sha256": grant.sha256, "power": str(grant.power), "code": modules, "reason": grant.reason}
    said |= {"by": grant.by, "expires": grant.expires.isoformat()}
    return {key: value for key, value in said.items() if value}
