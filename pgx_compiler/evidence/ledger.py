"""The ledger of a store: one line for everything that happened to it, each line sealing all lines before it.

A line is ``{"body": …, "prev": <seal of the line before>, "seal": <SHA-256 of body and prev>}``. A line that was edited,
removed, inserted, moved or doubled breaks the chain where it stands; a tail that was cut off, or a ledger that was written
anew, is found by whoever kept a later seal: every run keeps the seal of its line in its manifest.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgx_compiler.evidence.canonical import canonical_json, digest, plain
from pgx_compiler.evidence.disk import make_folder, open_regular, read_regular, sync_folder
from pgx_compiler.evidence.locks import try_lock

FIRST = "0" * 64
"""What the first line has for the seal before it."""


class BrokenLedger(Exception):  # noqa: N818  (said of evidence, not of the program)
    """The chain does not hold; ``line`` counts from 1, and is None for the last."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(f"{'the last line' if line is None else f'line {line}'} of the ledger {reason}")
        self.line = line


@dataclass(frozen=True)
class Entry:
    """One line."""

    body: Mapping[str, Any]
    seal: str


class Ledger:
    """Append-only, and safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.path = root / "ledger.jsonl"
        self._lock = root / "locks" / "ledger"

    def append(self, body: Mapping[str, Any]) -> str:
        """Add a line and flush it to the disk; returns its seal.

        A last line that a crash has torn was never acknowledged and is cut off first. Raises `BrokenLedger` where the last
        whole line is damaged: nothing is sealed on top of that.
        """
        held = try_lock(self._lock, wait=True)
        assert held is not None
        with held:
            make_folder(self.path.parent)
            new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                whole, before = _tail(descriptor)
                os.ftruncate(descriptor, whole)
                line, seal = _line(body, before)
                os.lseek(descriptor, whole, os.SEEK_SET)
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                sync_folder(self.path.parent)
        return seal

    def entries(self) -> Iterator[Entry]:
        """Every line, checked on the way. Raises `BrokenLedger` at the first that does not hold."""
        try:
            content = read_regular(self.path)
        except FileNotFoundError:
            return
        lines = content.split(b"\n")
        torn = lines.pop()  # empty, or a torn line that was never acknowledged
        before = FIRST
        for number, line in enumerate(lines, 1):
            body, before = _checked(line, before, number)
            yield Entry(body, before)
        _refuse_beyond_torn(torn, before)

    def check_end(self) -> None:
        """Raises `BrokenLedger` where the last whole line is damaged, so that nothing could be sealed on top of it."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = open_regular(self.path)
            try:
                _tail(descriptor)
            finally:
                os.close(descriptor)

    @property
    def first(self) -> str:
        """The seal of the first line, which tells one ledger from another; that before the first where there is none."""
        try:
            descriptor = open_regular(self.path)
        except FileNotFoundError:
            return FIRST
        with os.fdopen(descriptor, "rb") as stream:
            line = stream.readline().removesuffix(b"\n")
        return _checked(line, FIRST, 1)[1] if line else FIRST

    def head(self) -> str:
        """The last seal. Raises `BrokenLedger`."""
        last = FIRST
        for entry in self.entries():
            last = entry.seal
        return last


def _line(body: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    said = plain(body)
    seal = digest({"body": said, "prev": before})
    return canonical_json({"body": said, "prev": before, "seal": seal}) + b"\n", seal


def _checked(line: bytes, before: str, number: int) -> tuple[Mapping[str, Any], str]:
    try:
        found = json.loads(line)
        body, prev, seal = found["body"], found["prev"], found["seal"]
        canonical = canonical_json(found) == line
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenLedger(number, "cannot be read") from error
    if prev != before:
        raise BrokenLedger(number, "does not follow the line before it")
    if not canonical or set(found) != {"body", "prev", "seal"} or seal != digest({"body": body, "prev": prev}):
        raise BrokenLedger(number, "was changed")
    return body, seal


def _refuse_beyond_torn(rest: bytes, before: str) -> None:
    """What follows the last line end may be a line that a crash has torn; a whole line with another end was changed."""
    whole = False
    with contextlib.suppress(BrokenLedger):
        _checked(rest[:-1], before, 0)
        whole = True
    if whole:
        raise BrokenLedger(None, "was changed at its end")


def _tail(descriptor: int) -> tuple[int, str]:
    """Bytes of the whole lines, and the seal of the last one."""
    size = os.fstat(descriptor).st_size
    content = b""
    start = size
    # backwards until two line ends are seen, or the beginning
    while start > 0 and content.count(b"\n") < 2:
        block = min(start, 1 << 16)
        start -= block
        content = os.pread(descriptor, block, start) + content
    end = content.rfind(b"\n")
    if end < 0:
        _refuse_beyond_torn(content, FIRST)
        return 0, FIRST
    line = content[content.rfind(b"\n", 0, end) + 1 : end]
    try:
        found = json.loads(line)
        seal: str = found["seal"]
        whole = seal == digest({"body": found["body"], "prev": found["prev"]})
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenLedger(None, "cannot be read") from error
    if not whole:
        raise BrokenLedger(None, "was changed")
    _refuse_beyond_torn(content[end + 1 :], seal)
    return start + end + 1, seal
