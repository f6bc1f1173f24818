"""What happened in a run: written down as JSON lines, and told to whoever listens."""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from pgx_compiler.execute.events import UNITS, Ended, Event, Progress, RunEnded, RunStarted, Started
from pgx_compiler.execute.run import SOURCES, Observer, Outcome
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from runtimes.engines.logs import open_log

PROGRESS_EVERY = 1.0
"""Seconds between two progress events of one node."""

Listener = Callable[[Event], None]
"""Told every event as it happens, one at a time, from whatever thread it happens in. What it raises is nobody's concern."""


@runtime_checkable
class Foreseeing(Protocol):
    """A listener that says how long a run will take yet."""

    def foresee(self, look: Callable[[], Mapping[str, float]]) -> None:
        """How to learn the seconds that nodes are expected to take: it reads the whole store, and so may take seconds."""


@dataclass(frozen=True)
class Setup:
    """What a run is, as its first event says it."""

    program: str
    audit: str
    plan: str
    engine: str
    jobs: int


class Journal:
    """Appends events to ``events.jsonl`` and tells them to listeners. It never fails a run: `problem` says what was lost."""

    def __init__(self, path: Path, graph: Graph, setup: Setup, listeners: Sequence[Listener] = ()) -> None:
        self.run_id = uuid.uuid4().hex
        self.problem: str | None = None
        self._listeners = list(listeners)
        self._lock = threading.RLock()
        self._sequence = 0
        self._last: dict[str, float] = {}
        self._whole: set[str] = set()
        """Nodes that have said that all their work is done, and have not ended."""
        self._counts: dict[str, int] = {}
        self._planned: dict[str, int] = {}
        self._spent: dict[str, int] = {}
        self._began = time.monotonic()
        self._end: dict[str, Any] | None = None
        self._graph, self._setup = graph, setup
        self._descriptor: int | None = open_log(path, os.O_RDWR)
        self._after_a_torn_line()

    def __enter__(self) -> "Journal":
        nodes = [node for node in self._graph if node.op not in SOURCES]
        steps: dict[str, int] = {}
        for node in nodes:
            if node.step is not None:
                steps[node.step] = steps.get(node.step, 0) + 1
        setup = self._setup
        self._tell(
            RunStarted, pgx=setup.program, audit=setup.audit, plan=setup.plan, engine=setup.engine, jobs=setup.jobs,
            nodes=len(nodes), steps=steps,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end = self._end if kind is None and self._end is not None else {"complete": False, "verdict": None, "files": []}
        reason = None if kind is None else "interrupted" if issubclass(kind, KeyboardInterrupt) else kind.__name__
        seconds = round(time.monotonic() - self._began, 3)
        counts = dict(sorted(self._counts.items()))
        self._tell(
            RunEnded, **end, counts=counts, seconds=seconds, planned=self._planned, spent=self._spent, reason=reason
        )
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def finish(self, *, complete: bool, verdict: str, files: Sequence[str]) -> None:
        """Say what the run came to; the last event tells it."""
        self._end = {"complete": complete, "verdict": verdict, "files": list(files)}

    def started(self, node: Node) -> None:
        """A node was handed to the engine."""
        self._tell(Started, **_of(node), key=node.key, runtime=node.runtime, planned=dict(node.cost))

    def progressed(self, node: Node, done: int, total: int) -> None:
        """A node has done some of its work; told at most once a second, and when all is done."""
        now = time.monotonic()
        with self._lock:
            told_all = node.id in self._whole  # once: a worker that says so without end must not fill the disk
            if (done < total or told_all) and now - self._last.get(node.id, 0.0) < PROGRESS_EVERY:
                return
            self._last[node.id] = now
            if done >= total:
                self._whole.add(node.id)
            spent = {name: rows for name, rows in self._spent.items() if name in ("forward", "backward")}
        unit = UNITS.get(node.op, "rows")
        self._tell(Progress, **_of(node), done=max(0, done), total=max(0, total), unit=unit, spent=spent)

    def ended(self, outcome: Outcome) -> None:
        """A node came to an end."""
        node, record = outcome.node, outcome.record
        with self._lock:
            self._last.pop(node.id, None)
            self._whole.discard(node.id)
            self._counts[outcome.status] = self._counts.get(outcome.status, 0) + 1
            if outcome.status != "cached":
                _add(self._planned, node.cost)
            if outcome.status == "computed" and record is not None:
                _add(self._spent, record.spent)
        self._tell(
            Ended, **_of(node), status=outcome.status, planned=dict(node.cost), kind=outcome.kind,
            reason=outcome.reason,
            seconds=None if record is None else round(record.seconds, 6),
            spent=None if record is None else dict(record.spent),
            content=None if record is None else record.content,
            worker={name: fact for name, fact in outcome.facts.items() if isinstance(fact, str | int | float)},
        )  # fmt: skip

    def _tell(self, form: type[Event], /, **said: Any) -> None:
        with self._lock:  # held while listeners are told: all hear the events in the order of the file
            event = form(run_id=self.run_id, sequence=self._sequence, time=_now(), **said)
            self._sequence += 1
            self._write(event.line() + "\n")
            for listener in self._listeners:
                with contextlib.suppress(Exception):
                    listener(event)

    def _write(self, line: str) -> None:
        """Append a line in one call: another run that writes to the same file cannot come in between."""
        if self._descriptor is None:
            return
        left = line.encode("ascii")
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self.problem = f"events.jsonl ends before the run does: {error.strerror or error}"
            os.close(self._descriptor)
            self._descriptor = None

    def _after_a_torn_line(self) -> None:
        """Begin on a line of our own where the run before was killed in the middle of one."""
        assert self._descriptor is not None
        length = os.fstat(self._descriptor).st_size
        if length and os.pread(self._descriptor, 1, length - 1) != b"\n":
            self._write("\n")


def _of(node: Node) -> dict[str, Any]:
    return {"node": node.id, "step": node.step, "op": node.op, "method": node.method}


def _add(sums: dict[str, int], more: Mapping[str, int]) -> None:
    for name in ("forward", "backward"):
        if name in more:
            sums[name] = sums.get(name, 0) + more[name]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
