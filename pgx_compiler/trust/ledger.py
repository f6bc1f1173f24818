"""The trust file: what one person, on one machine, has trusted. It stands outside every spec, and nobody else may write it."""

import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.trust.power import NoPowerError, Power

UNSAFE_TRUST_FILE = Code(
    5080,
    "unsafe-trust-file",
    "What you trust is written in a file of your own: $PGX_TRUST, else pgx/trust.json in $XDG_CONFIG_HOME or ~/.config. It"
    " must be a plain file that belongs to you and that nobody else may write, and hold what `pgx trust` wrote: whoever can"
    " change it decides which code runs here.",
)
BAD_GRANT = Code(
    5081,
    "bad-grant",
    "`pgx trust add DIGEST --for POWER --reason TEXT --expires DATE` trusts one file, by the SHA-256 of its content, for one"
    " power until one day. There is no trust for everything, and none without a reason or an end.",
)

SCHEMA = "pgx-trust/1"
_LIMIT_BYTES = 2**20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Grant:
    """One file, one power, a reason, and an end."""

    sha256: str
    power: Power
    reason: str
    expires: date
    """The last day on which it holds (UTC)."""
    by: str
    """Who granted it."""
    added: str
    """When, UTC."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Of custom objects: the installed modules that bring them, with the digest of their code on that day."""

    def is_over(self, today: date | None = None) -> bool:
        """Whether its last day has passed."""
        return self.expires < (today or datetime.now(UTC).date())

    @property
    def plain(self) -> dict[str, Any]:
        """As plain values."""
        said = {**asdict(self), "power": str(self.power), "expires": self.expires.isoformat()}
        return {key: dict(value) if key == "modules" else value for key, value in said.items()}


def own_folder() -> Path:
    """Where what pgx keeps for a person stands. Raises RuntimeError where there is no home."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home and os.path.isabs(home) else Path.home() / ".config") / "pgx"


def trust_path() -> Path:
    """Where the trust file is, or would be."""
    named = os.environ.get("PGX_TRUST")
    return Path(named) if named else own_folder() / "trust.json"


def read_grants() -> list[Grant]:
    """Everything that was ever granted and not revoked, expired grants included. Raises `AuthorError`."""
    path = trust_path()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unsafe(path, f"it cannot be read: {error.strerror}") from error
    try:
        facts = os.fstat(handle)
        _require_own(path, facts)
        if facts.st_size > _LIMIT_BYTES:
            raise _unsafe(path, f"it has {facts.st_size:,} bytes")
        content = os.read(handle, _LIMIT_BYTES)
    finally:
        os.close(handle)
    try:
        return _grants(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unsafe(
            path, f"it is not what `pgx trust` writes ({type(error).__name__}: {str(error)[:100]})"
        ) from error


def _grants(document: Mapping[str, Any]) -> list[Grant]:
    if document["schema"] != SCHEMA:
        raise ValueError(f"it is not a `{SCHEMA}` document")
    return [_grant(entry) for entry in document["entries"]]


def _require_own(path: Path, facts: os.stat_result) -> None:
    folder = path.parent.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise _unsafe(path, "it is not a regular file")
    if facts.st_uid != os.geteuid():
        raise _unsafe(path, f"it belongs to another user (number {facts.st_uid})")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unsafe(path, f"others may write it (mode {stat.S_IMODE(facts.st_mode):04o})")
    if facts.st_nlink != 1:
        raise _unsafe(path, "it has a second name elsewhere (a hard link)")
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX:
        raise _unsafe(path, f"others may write its folder (mode {stat.S_IMODE(folder.st_mode):04o})")
    if folder.st_uid not in (os.geteuid(), 0):
        raise _unsafe(path, f"its folder belongs to another user (number {folder.st_uid})")


def _grant(entry: Mapping[str, Any]) -> Grant:
    texts = {key: str(entry[key]) for key in ("sha256", "reason", "by", "added")}
    modules = {str(name): str(digest) for name, digest in entry.get("modules", {}).items()}
    if not _DIGEST.fullmatch(texts["sha256"]):
        raise ValueError("an entry has no SHA-256")
    return Grant(
        power=Power.parse(str(entry["power"])), expires=date.fromisoformat(entry["expires"]), modules=modules, **texts
    )


def add_grant(grant: Grant) -> Grant:
    """Write a grant down; one of the same file and power is replaced. Raises `AuthorError`."""
    with _changing() as entries:
        entries[:] = [one for one in entries if (one.sha256, one.power) != (grant.sha256, grant.power)]
        entries.append(grant)
    return grant


def revoke(digest: str, power: Power | None) -> list[Grant]:
    """Take back what was granted to a file, all of it or one power; returns what was taken back. Raises `AuthorError`."""
    taken: list[Grant] = []
    with _changing() as entries:
        taken = [one for one in entries if one.sha256 == digest and power in (None, one.power)]
        entries[:] = [one for one in entries if one not in taken]
    return taken


@contextlib.contextmanager
def _changing() -> Iterator[list[Grant]]:
    """The grants, written again after the block: nobody else changes them meanwhile, and no half file is ever seen."""
    path = trust_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unsafe(path, f"its folder cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        entries = read_grants()
        yield entries
        _write(path, entries, folder)
    finally:
        os.close(folder)


def _write(path: Path, entries: list[Grant], folder: int) -> None:
    document = {"schema": SCHEMA, "entries": [one.plain for one in entries]}
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o600)
            file.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(handle)
        made.rename(path)
        os.fsync(folder)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise _unsafe(path, f"it cannot be written: {error.strerror}") from error


def new_grant(digest: str, power: str, reason: str, expires: str, by: str, modules: Mapping[str, str]) -> Grant:
    """A grant from what a person has written. Raises `AuthorError`."""
    digest, now = digest.lower().removeprefix("sha256:"), datetime.now(UTC)
    if not _DIGEST.fullmatch(digest):
        raise bad_grant(
            f"`{digest[:80]}` is no SHA-256", "`sha256sum FILE` prints it; a refusal of `pgx check` names it"
        )
    try:
        parsed = Power.parse(power)
    except NoPowerError as error:
        raise bad_grant(str(error), "`pgx check` names the power that a model asks for") from error
    try:
        last = date.fromisoformat(expires)
    except ValueError as error:
        raise bad_grant(f"`{expires[:80]}` is no date", "write YYYY-MM-DD") from error
    if last < now.date():
        raise bad_grant(f"{last} has passed", "choose the last day on which you answer for it")
    if not reason.strip():
        raise bad_grant("there is no reason", "say in one line why this file may do this; the factsheet shows it")
    if not reason.isprintable():
        bad = next(character for character in reason if not character.isprintable())
        what = "a line break" if bad in "\n\r\v\f\x85\u2028\u2029" else "a character that is not printed"
        raise bad_grant(
            f"the reason holds {what}, U+{ord(bad):04X}", "say it in one line of plain text; the factsheet shows it"
        )
    return replace(Grant(digest, parsed, reason.strip(), last, by, now.isoformat(timespec="seconds")), modules=modules)


def bad_grant(message: str, help_: str) -> AuthorError:
    """What to say of a grant that cannot be given."""
    return _said(BAD_GRANT, message, help_)


def _unsafe(path: Path, reason: str) -> AuthorError:
    help_ = "look at who wrote it, then `chmod 600` it or remove it, and trust again what you trust"
    return _said(UNSAFE_TRUST_FILE, f"the trust file {path} is not used: {reason}", help_)


def _said(code: Code, message: str, help_: str) -> AuthorError:
    found = Diagnostics()
    found.add(Diagnostic(code, message, None, help_))
    return AuthorError(found)
