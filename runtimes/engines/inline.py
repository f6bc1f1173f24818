"""Runs work at once, in this process: for debugging, and for tests that want a traceback."""

import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from runtimes.engines.contract import Engine, Progress, WorkFailed, resolve


class InlineEngine:
    """No process, no parallelism."""

    def submit(
        self,
        function: str,
        payload: Mapping[str, Any],
        lane: str,  # noqa: ARG002  (every lane is this process)
        progress: Progress,
    ) -> Future[Mapping[str, Any]]:
        """Run the work before returning."""
        future: Future[Mapping[str, Any]] = Future()
        try:
            future.set_result(resolve(function)(payload, progress))
        except Exception as error:  # noqa: BLE001  (handed on through the future, as a worker process would)
            failed = WorkFailed(type(error).__name__, str(error), traceback.format_exc())
            failed.__cause__ = error
            future.set_exception(failed)
        return future

    def close(self) -> None:
        """Nothing to stop."""


def open_engine(jobs: int, logs: Path | None = None) -> Engine:  # noqa: ARG001
    """An inline engine; ``jobs`` is one whatever is asked."""
    return InlineEngine()
