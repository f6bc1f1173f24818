"""What happened in a run, as JSON lines and to whoever watches."""

import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pgx_compiler.execute.run import Observer, Outcome
from pgx_compiler.ir.node import Node

PROGRESS_EVERY = 1.0
"""Seconds between two progress lines of one node."""


class Journal:
    """Appends events to ``events.jsonl``: start, progress and end of every node."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def __enter__(self) -> "Journal":
        self._write("run_started", None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("run_ended", None, finished=kind is None)
        self._stream.close()

    def started(self, node: Node) -> None:
        """A node was handed to the engine."""
        self._write("started", node.id, key=node.key)

    def progressed(self, node: Node, done: int, total: int) -> None:
        """A node has done some of its rows; written at most once a second."""
        now = time.monotonic()
        if done < total and now - self._last.get(node.id, 0.0) < PROGRESS_EVERY:
            return
        self._last[node.id] = now
        self._write("progress", node.id, done=done, total=total)

    def ended(self, outcome: Outcome) -> None:
        """A node came to an end."""
        record = outcome.record
        more: dict[str, Any] = {"status": outcome.status}
        if record is not None:
            more |= {"content": record.content, "spent": dict(record.spent), "seconds": round(record.seconds, 6)}
        if outcome.reason:
            more["reason"] = outcome.reason
        self._write("ended", outcome.node.id, **more)

    def _write(self, event: str, node: str | None, **more: Any) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        if node is not None:
            line["node"] = node
        with self._lock:
            if not self._stream.closed:
                self._stream.write(json.dumps({**line, **more}, ensure_ascii=False) + "\n")
                self._stream.flush()


class Several:
    """Several observers as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def started(self, node: Node) -> None:
        """Tell everyone."""
        for one in self._observers:
            one.started(node)

    def progressed(self, node: Node, done: int, total: int) -> None:
        """Tell everyone."""
        for one in self._observers:
            one.progressed(node, done, total)

    def ended(self, outcome: Outcome) -> None:
        """Tell everyone."""
        for one in self._observers:
            one.ended(outcome)
