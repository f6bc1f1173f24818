"""What an engine is: somewhere to run a named function on plain JSON values, away from the evidence.

A job reads objects of the store and leaves files in a folder of its own, its box. Nobody but the parent writes to the
store: so a worker can be locked up in its box, and a cluster needs no shared disk.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from runtimes.engines.boxes import remove

Progress = Callable[[int, int], None]
"""``(done, total)``, in rows or whatever the work counts."""


@dataclass(frozen=True)
class Place:
    """Where a job works."""

    reads: Path
    """A folder of the store's shape that holds at least the objects that the job named; never written to."""
    writes: Path
    """An empty folder of its own; what it leaves there is handed on."""


Work = Callable[[Mapping[str, Any], Place, Progress], Mapping[str, Any]]
"""What a submitted name must lead to: plain JSON in, files in ``place.writes`` and plain JSON out."""


@dataclass(frozen=True)
class Limits:
    """What one job may take; None: as much as it likes."""

    seconds: float | None = None
    """Wall clock, from when it starts."""
    memory: int | None = None
    """Bytes resident in its process."""


@dataclass(frozen=True)
class Job:
    """One piece of work for an engine."""

    function: str
    """``package.module:name`` of a `Work`."""
    payload: Mapping[str, Any]
    """Plain JSON values."""
    lane: str
    """What its process has imported: jobs of one lane may share processes, jobs of two never do."""
    reads: tuple[str, ...] = ()
    """Objects of the store that it reads, as paths below the store's folder."""
    apart: str = ""
    """Jobs that differ in this never share a process: a model must not touch the answers of another."""
    limits: Limits = Limits()
    needs: int = 0
    """Bytes that it is expected to need while it runs, as far as anybody knows."""


@dataclass(frozen=True)
class Delivered:
    """What a job has made. Whoever takes it calls `discard` when the files are no longer needed."""

    said: Mapping[str, Any]
    folder: Path
    """What it left in its box: as untrusted as the model that it ran."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How it was run, for the record: ``retries``, ``worker`` (its process), ``sandbox`` (what protected the host)."""

    def discard(self) -> None:
        """Delete what is left of the box."""
        remove(self.folder)


Sandbox = Literal["auto", "required", "none"]


@dataclass(frozen=True)
class Setting:
    """What an engine is opened with."""

    jobs: int
    """Jobs at a time."""
    store: Path
    """The store's folder: where `Job.reads` lie."""
    boxes: Path
    """Where boxes are made; on the file system of the store, so that results are moved and not copied."""
    logs: Path | None = None
    """Folder for what workers print."""
    sandbox: Sandbox = "auto"
    """``auto``: every protection that this host gives; ``required``: refuse to run without them; ``none``."""
    room: int | None = None
    """Bytes that all workers together should hold; beyond them, idle ones are ended."""
    lanes: tuple[str, ...] = ()
    """Lanes that jobs will come for: what they import may be imported before the first of them comes."""
    modules: tuple[str, ...] = ()
    """Modules of the work, to be imported before the first job comes."""
    address: str | None = None
    """Where the cluster is, for an engine that uses one."""


class CannotOpen(Exception):  # noqa: N818
    """An engine cannot be opened as it was asked for; ``help`` says what to do about it."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.help = help


class WorkerDied(Exception):  # noqa: N818
    """A worker process ended in the middle of its work: killed, crashed in native code, or out of memory."""


class LimitReached(WorkerDied):
    """A worker was stopped at a limit of its job; ``limit`` is ``seconds``, ``memory``, or ``box``: what it may leave on disk."""

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class WorkFailed(Exception):  # noqa: N818
    """The work raised. ``kind`` is the exception's class name, ``details`` its traceback for our own eyes."""

    def __init__(self, kind: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


class Engine(Protocol):
    """Runs jobs."""

    def submit(self, job: Job, progress: Progress) -> Future[Delivered]:
        """Run a job. The future raises `WorkFailed` or `WorkerDied`; a job not yet started can be cancelled."""
        ...

    def close(self) -> None:
        """Stop everything at once; nothing of it outlives the call."""
        ...


def resolve(function: str) -> Work:
    """The function that a name such as ``package.module:name`` stands for."""
    import importlib

    module, _, name = function.partition(":")
    work: Work = getattr(importlib.import_module(module), name)
    return work
