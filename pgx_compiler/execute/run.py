"""Run a graph: what the store has is taken from there, the rest is handed to an engine, and everything is noted."""

import contextlib
import queue
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.store import Finite, Headers, Record, Store, UnfitResult
from pgx_compiler.execute.claims import LOOK_AGAIN, Claims
from pgx_compiler.execute.expected import Expectations, Expected
from pgx_compiler.execute.forms import check_form
from pgx_compiler.execute.reads import reads_of
from pgx_compiler.execute.schedule import Schedule, urgency_of
from pgx_compiler.execute.withheld import without_secrets
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from runtimes.engines.contract import Delivered, Engine, Job, LimitReached, Limits, WorkerDied, WorkFailed

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
    def sandbox(self) -> str | None:
        """What protected the host from the models that this run asked; None where none was asked."""
        found = {str(outcome.facts["sandbox"]) for outcome in self.outcomes.values() if "sandbox" in outcome.facts}
        return "; ".join(sorted(found)) or None

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


_LISTEN_AGAIN = 0.5
"""Seconds: a signal that the system hands to another thread does not wake the one that has to answer it."""


@dataclass(frozen=True)
class Policy:
    """What a run allows its nodes, and what it does where one fails."""

    limits: Limits = field(default_factory=Limits)
    fail_fast: bool = False
    """Stop at the first failure; else all that does not rest on it goes on."""
    room: int | None = None
    """Bytes that nodes which run beside one another may need together, as far as the plan knows."""
    ahead: int = 64
    """Nodes that the engine is given at a time: it chooses which of them comes to which worker."""


def run_graph(
    graph: Graph,
    store: Store,
    open_engine: Callable[[Sequence[str]], Engine],
    observer: Observer,
    policy: Policy | None = None,
) -> RunResult:
    """Bring every node of a graph to an end. Resuming is running again.

    Args:
        graph: what to run.
        store: where results are found and kept.
        open_engine: from the lanes that jobs will come for to an engine.
        observer: told what happens.
        policy: what nodes are allowed; default: anything.
    """
    result = RunResult()
    records = find_done(graph, store)
    result.damaged = list(store.damaged)
    sources = [node.id for node in graph if node.op in SOURCES]
    schedule = Schedule(graph, [*sources, *records], urgency_of(graph))
    for name, record in records.items():
        result.outcomes[name] = Outcome(graph[name], "cached", record)
        observer.ended(result.outcomes[name])
    if schedule.over:
        return result
    lanes = [_lane(node) for node in graph if schedule.state[node.id] != "done"]
    engine = open_engine(tuple(dict.fromkeys(lanes)))
    run = _Run(graph, store, engine, observer, policy or Policy(), schedule, records, result)
    try:
        run.to_its_end()
    finally:
        run.close()
    for name, state in schedule.state.items():
        if state in ("blocked", "waiting", "ready", "running"):
            because = schedule.because.get(name)
            reason = f"rests on `{because}`, which failed" if because else run.stopped
            result.outcomes[name] = Outcome(graph[name], "blocked", reason=reason)
            observer.ended(result.outcomes[name])
    return result


_KEEPERS = 16
"""Results written down at a time: a disk brings many writes to rest in one go."""


class _Run:
    """A run under way."""

    def __init__(
        self,
        graph: Graph,
        store: Store,
        engine: Engine,
        observer: Observer,
        policy: Policy,
        schedule: Schedule,
        records: dict[str, Record],
        result: RunResult,
    ) -> None:
        self.engine = engine
        self.stopped = ""
        """Why nodes that could have run did not."""
        self._graph, self._store, self._observer, self._policy = graph, store, observer, policy
        self._schedule, self._records, self._result = schedule, records, result
        self._finished: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._keepers = ThreadPoolExecutor(_KEEPERS, "keeper")
        self._claims = Claims(store)
        self._expectations = Expectations(graph, store)
        self._elsewhere = False
        """Whether another run is at work on a node that this one could begin."""
        self._under_way: dict[str, int] = {}
        """Nodes that the engine has, with the bytes that they are expected to need."""

    def to_its_end(self) -> None:
        """Hand out what may run and take in what comes, until nothing is left."""
        while not self._schedule.over and not self.stopped:
            self._hand_out()
            try:
                outcome = self._finished.get(timeout=LOOK_AGAIN if self._elsewhere else _LISTEN_AGAIN)
            except queue.Empty:
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            name = outcome.node.id
            del self._under_way[name]
            self._result.outcomes[name] = outcome
            self._observer.ended(outcome)
            if outcome.record is not None:
                self._records[name] = outcome.record
                self._schedule.finish(name)
            else:
                self._schedule.fail(name)
                if self._policy.fail_fast:
                    self.stopped = f"never begun or stopped: `{name}` failed, and --fail-fast ends the run there"

    def _hand_out(self) -> None:
        self._elsewhere = False
        for name in self._schedule.ready(self._policy.ahead - len(self._under_way)):
            needs = self._graph[name].cost.get("bytes", 0)
            if self._under_way and not self._fits(needs):
                continue  # another one may be smaller
            ours = self._claims.take(self._graph[name].key)
            if ours is False:
                self._elsewhere = True
                continue
            self._schedule.start(name)
            self._under_way[name] = needs
            if isinstance(ours, Record):  # another run has just finished it
                self._finished.put(Outcome(self._graph[name], "cached", ours))
            else:
                self._submit(self._graph[name])

    def _fits(self, needs: int) -> bool:
        room = self._policy.room
        return room is None or sum(self._under_way.values()) + needs <= room

    def _submit(self, node: Node) -> None:
        inputs = {port: _given(self._graph[needed], self._records.get(needed)) for port, needed in node.inputs.items()}
        told = {"id": node.id, "op": node.op, "method": node.method, "step": node.step, "runtime": node.runtime}
        payload = {"node": {**told, "seed": node.seed, "params": plain(node.params)}, "inputs": inputs}
        models = sorted({given["params"]["sha256"] for given in inputs.values() if given["op"] == "model"})
        reads, needs = reads_of(node.params, inputs), node.cost.get("bytes", 0)
        job = Job(PERFORM, payload, _lane(node), reads, ",".join(models), self._policy.limits, needs)
        self._observer.started(node)
        future = self.engine.submit(job, lambda done, total: self._observer.progressed(node, done, total))
        future.add_done_callback(lambda ended: self._keep(node, ended))

    def _keep(self, node: Node, ended: "Future[Delivered]") -> None:
        with contextlib.suppress(RuntimeError):  # the run is over: what comes now is not taken in
            self._keepers.submit(self._take_in, node, ended)

    def _take_in(self, node: Node, ended: "Future[Delivered]") -> None:
        """In a thread of its own, since most of it is waiting for the disk."""
        try:
            expected = self._expectations.of(node, self._records)
            outcome = _outcome(node, ended, self._store, self._policy.limits, expected)
            self._claims.release(node.key)
            self._finished.put(outcome)
        except BaseException as error:  # noqa: BLE001  (a full disk is the run's affair, not this thread's)
            self._finished.put(error)

    def close(self) -> None:
        """End the engine; what is being written down is finished, what waits for it is not."""
        self._keepers.shutdown(wait=False, cancel_futures=True)
        self.engine.close()
        self._keepers.shutdown(wait=True)
        self._claims.close()


def _lane(node: Node) -> str:
    return node.runtime or "host"


def _given(source: Node, record: Record | None) -> dict[str, Any]:
    """What a worker is told of an input. What its key was made from is the store's concern: it may be long."""
    told = None if record is None else {**vars(record), "ingredients": {}, "spent": {}}
    return {"id": source.id, "op": source.op, "step": source.step, "params": plain(source.params), "record": told}


_REFUSED_MEMORY = re.compile(
    r"ArrayMemoryError|MemoryError|ResourceExhausted|bad_?alloc|(fail|unable|could not|cannot).{0,12} allocate|out of memory",
    re.IGNORECASE,
)
"""How Python, NumPy, ONNX Runtime and TensorFlow say that the system gave them no more: a worker has it from its limit."""


def _outcome(
    node: Node, future: "Future[Delivered]", store: Store, limits: Limits, expected: Expected | None = None
) -> Outcome:
    """What became of a node: its result goes into the store here, and only then does it count as done."""
    try:
        delivered = future.result()
    except LimitReached as error:
        option = {"seconds": "--timeout", "memory": "--memory"}.get(error.limit)
        more = f"; `pgx run {option}` allows more" if option else ""
        reason = f"{error} in step {node.step or node.id}{more}"
        return Outcome(node, "failed", None, without_secrets(reason), type(error).__name__)
    except WorkFailed as error:
        reason = str(error) if error.kind in AUTHORS_MISTAKES else f"{error.kind}: {error}"
        if limits.memory is not None and (error.kind == "MemoryError" or _REFUSED_MEMORY.search(reason)):
            reason += f"; a worker may hold {limits.memory / 2**30:.3g} GiB, `pgx run --memory` allows more"
        return Outcome(node, "failed", None, without_secrets(reason), error.kind, error.details)
    except WorkerDied as error:
        return Outcome(node, "failed", None, without_secrets(str(error)), type(error).__name__)
    try:
        spent, seconds = _said(delivered.said)

        def fits(document: Any, arrays: Headers, finite: Finite) -> None:
            check_form(node, document, arrays, expected, finite)

        record = store.accept(node.key, delivered.folder, node.ingredients, spent, seconds, fits)
    except UnfitResult as error:
        return Outcome(node, "failed", None, f"its result was refused: {error}", "UnfitResult")
    finally:
        delivered.discard()
    return Outcome(node, "computed", record, facts=delivered.facts)


_MOST = 2**53
"""Rows and seconds that no node can have taken."""


def _said(said: Mapping[str, Any]) -> tuple[dict[str, int], float]:
    """Rows spent and seconds taken, as a worker says them: it may say anything. Raises `UnfitResult`."""
    spent: Any = said.get("spent")
    seconds: Any = said.get("seconds")
    rows = list(spent.values()) if isinstance(spent, dict) and {*spent} <= {"forward", "backward", "halved"} else [None]
    if not all(type(count) is int and 0 <= count <= _MOST for count in rows):
        raise UnfitResult("the rows that it says were spent are none")
    if type(seconds) not in (int, float) or not 0 <= seconds <= _MOST:
        raise UnfitResult("the seconds that it says it took are none")
    return spent, float(seconds)
