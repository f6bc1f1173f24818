"""What ``pgx run --format json`` prints: the run's events as they happen, and its answer as the last line."""

import os
import sys
from datetime import UTC, datetime
from typing import Any

from pgx_compiler.execute.events import Answer, Event


class EventsOnStdout:
    """A listener that prints each event at once. A reader that has gone, or a full device, changes nothing about the run."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self._last: Event | None = None

    def __call__(self, event: Event) -> None:
        """Print an event as a line of JSON."""
        self._last = event
        self._print(event.line())

    def answer(self, **said: Any) -> None:
        """Print what the command answers, after the run's last event."""
        assert self._last is not None, "a run that has ended has told its events"
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._print(Answer(run_id=self._last.run_id, sequence=self._last.sequence + 1, time=now, **said).line())

    def _print(self, line: str) -> None:
        if self.problem is not None or sys.stdout is None:
            return
        try:
            print(line, flush=True)  # noqa: T201
        except (OSError, ValueError) as error:
            self.problem = str(error)
            # what is left in Python's buffer must not fail once more when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
