"""What an engine is: somewhere to run a named function on plain JSON values, one lane at a time."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

Progress = Callable[[int, int], None]
"""``(done, total)``, in rows or whatever the work counts."""

Work = Callable[[Mapping[str, Any], Progress], Mapping[str, Any]]
"""What a submitted name must lead to: plain JSON in, plain JSON out."""


class WorkerDied(Exception):  # noqa: N818
    """A worker process ended in the middle of its work: killed, crashed in native code, or out of memory."""


class WorkFailed(Exception):  # noqa: N818
    """The work raised. ``kind`` is the exception's class name, ``details`` its traceback for our own eyes."""

    def __init__(self, kind: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


class Engine(Protocol):
    """Runs work. Jobs of one lane run one after the other in one process, so that it opens a model once."""

    def submit(
        self, function: str, payload: Mapping[str, Any], lane: str, progress: Progress
    ) -> Future[Mapping[str, Any]]:
        """Run ``module:name`` on a payload. The future raises `WorkFailed` or `WorkerDied`."""
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
