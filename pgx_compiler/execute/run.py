"""Run a graph: what the store has is taken from there, the rest is handed to an engine, and everything is noted."""

import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.store import Record, Store, UnfitResult
from pgx_compiler.execute.reads import reads_of
from pgx_compiler.execute.schedule import Schedule
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from runtimes.engines.contract import Delivered, Engine, Job, WorkerDied, WorkFailed

SOURCES = ("model", "data")
"""Operations that are given, not computed."""

PERFORM = "pgx_compiler.execute.operations:perform"
"""What a worker runs; named, not imported, so that the parent loads no method's dependencies."""

AUTHORS_MISTAKES = frozenset(
    {"BaselineError", "DataFileError", "ModelFileError", "SpaceError", "UnfitInput", "UnfitParams"}
)
"""Failures that the author can mend: said in a sentence, not with a traceback."""

Status = Literal["computed", "cached", "failed", "blocked"]


@dataclass(frozen=True)
class Outcome:
    """What became of one node."""

    node: Node
    status: Status
    record: Record | None = None
    reason: str | None = None
    kind: str | None = None
    """Class of the failure."""
    details: str | None = None
    """Traceback of the failure, for our own eyes; it never reaches a factsheet."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How it was run, as far as the engine says."""


@dataclass
class RunResult:
    """What became of a run."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    """Objects of the store that did not match their digest and were computed again."""

    @property
    def complete(self) -> bool:
        """True where every node has a result."""
        return all(outcome.record is not None for outcome in self.outcomes.values())

    @property
    def computed(self) -> int:
        """How many nodes were computed in this run."""
        return sum(outcome.status == "computed" for outcome in self.outcomes.values())


class Observer(Protocol):
    """Whoever wants to know: a progress display, a journal."""

    def started(self, node: Node) -> None:
        """A node was handed to the engine."""

    def progressed(self, node: Node, done: int, total: int) -> None:
        """A node has done some of its rows. Called from another thread."""

    def ended(self, outcome: Outcome) -> None:
        """A node was found, computed, failed or blocked."""


def find_done(graph: Graph, store: Store) -> dict[str, Record]:
    """The nodes whose result the store holds, whole: every object is hashed before it is believed."""
    found: dict[str, Record] = {}
    for node in graph:
        if node.op not in SOURCES:
            record = store.find(node.key)
            if record is not None and store.whole(record):
                found[node.id] = record
    return found


def run_graph(graph: Graph, store: Store, open_engine: Callable[[], Engine], observer: Observer) -> RunResult:
    """Bring every node of a graph to an end. Resuming is running again."""
    result = RunResult()
    records = find_done(graph, store)
    result.damaged = list(store.damaged)
    sources = [node.id for node in graph if node.op in SOURCES]
    schedule = Schedule(graph, [*sources, *records])
    for name, record in records.items():
        result.outcomes[name] = Outcome(graph[name], "cached", record)
        observer.ended(result.outcomes[name])
    if schedule.over:
        return result
    finished: queue.Queue[tuple[str, Any]] = queue.Queue()
    engine = open_engine()
    try:
        while not schedule.over:
            for name in schedule.ready():
                schedule.start(name)
                _submit(engine, graph, graph[name], records, finished, observer)
            name, future = finished.get()
            result.outcomes[name] = outcome = _outcome(graph[name], future, store)
            observer.ended(outcome)
            if outcome.record is not None:
                records[name] = outcome.record
                schedule.finish(name)
            else:
                schedule.fail(name)
    finally:
        engine.close()
    for name, state in schedule.state.items():
        if state == "blocked":
            because = schedule.because[name]
            result.outcomes[name] = Outcome(graph[name], "blocked", reason=f"rests on `{because}`, which failed")
            observer.ended(result.outcomes[name])
    return result


def _submit(
    engine: Engine,
    graph: Graph,
    node: Node,
    records: Mapping[str, Record],
    finished: "queue.Queue[tuple[str, Any]]",
    observer: Observer,
) -> None:
    inputs = {}
    for port, needed in node.inputs.items():
        source = graph[needed]
        record = records.get(needed)
        inputs[port] = {
            "id": needed,
            "op": source.op,
            "step": source.step,
            "params": plain(source.params),
            "record": None if record is None else plain(asdict(record)),
        }
    payload = {"node": plain(asdict(node)), "inputs": inputs}
    job = Job(PERFORM, payload, node.runtime or "host", reads_of(node.params, inputs))
    observer.started(node)
    future = engine.submit(job, lambda done, total: observer.progressed(node, done, total))
    future.add_done_callback(lambda ended: finished.put((node.id, ended)))


def _outcome(node: Node, future: "Future[Delivered]", store: Store) -> Outcome:
    """What became of a node: its result goes into the store here, and only then does it count as done."""
    try:
        delivered = future.result()
    except WorkFailed as error:
        reason = str(error) if error.kind in AUTHORS_MISTAKES else f"{error.kind}: {error}"
        return Outcome(node, "failed", None, reason, error.kind, error.details)
    except WorkerDied as error:
        return Outcome(node, "failed", None, str(error), type(error).__name__)
    try:
        said = delivered.said
        spent = {str(name): int(rows) for name, rows in said["spent"].items()}
        record = store.accept(node.key, delivered.folder, node.ingredients, spent, float(said["seconds"]))
    except (UnfitResult, KeyError, TypeError, ValueError, AttributeError) as error:
        return Outcome(node, "failed", None, f"its result was refused: {error}", "UnfitResult")
    finally:
        delivered.discard()
    return Outcome(node, "computed", record, facts=delivered.facts)
