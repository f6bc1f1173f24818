"""How long a plan will take, from what finished nodes took.

A node that asks a model: its planned rows, times the median seconds a model row that the store's records of the same
operation and method on the same model took (the model's key says which file in which format, and so which runtime).
Any other: the median seconds of the same operation and method over the same data. Nothing is guessed: without such a
record a node has no prediction, and the sum says on how many nodes it rests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic
from pgx_compiler.evidence.store import Record
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.plan.plan import Plan, distinct
from pgx_compiler.plan.shards import groups_of
from pgx_compiler.plan.states import SOURCES, History, State, work_of

SECONDS_EXCEEDED = Code(
    5030,
    "seconds-exceeded",
    "By what finished nodes of the same work took on this machine, what is left to compute takes longer than "
    "`strategy.budget.seconds` allows. It is an error where every node that is left has a prediction, and a warning "
    "where some have none. Predictions are medians of earlier runs; seconds of nodes are added up, as if they ran one "
    "after another. `pgx compile` prints them.",
)

_GROUND = ("train", "test", "data")
"""Ports whose size decides how long work takes that asks no model."""


@dataclass(frozen=True)
class Forecast:
    """What is known beforehand of each node."""

    states: Mapping[str, State]
    seconds: Mapping[str, float]
    """Of a ``hit`` what it took; of the others a prediction, where there is one."""
    left: tuple[str, ...]
    """The nodes to be computed, equal work once."""

    @property
    def predicted(self) -> tuple[str, ...]:
        """Those of the nodes left that have a prediction."""
        return tuple(name for name in self.left if name in self.seconds)

    @property
    def total(self) -> float:
        """Predicted seconds of what is left to compute, one node after another."""
        return sum(self.seconds[name] for name in self.predicted)

    @property
    def complete(self) -> bool:
        """True where everything that is left has a prediction."""
        return len(self.predicted) == len(self.left)

    def document(self) -> dict[str, Any]:
        """As plain values: what stands beside a plan, which says nothing of any store."""
        return {
            "states": dict(self.states),
            "seconds": {
                "nodes": {name: round(value, 6) for name, value in self.seconds.items()},
                "left": round(self.total, 6),
                "nodes_left": len(self.left),
                "nodes_predicted": len(self.predicted),
            },
        }


def forecast(graph: Graph, history: History) -> Forecast:
    """States and seconds of a graph, by a store's records."""
    states = history.states(graph)
    calibration = _Calibration(history)
    seconds: dict[str, float] = {}
    for node in graph:
        if node.op in SOURCES:
            continue
        known = history.by_key[node.key].seconds if states[node.id] == "hit" else calibration.seconds(node)
        if known is not None:
            seconds[node.id] = known
    left = tuple(node.id for node in distinct(graph) if states.get(node.id, "hit") != "hit")
    return _folded(graph, Forecast(states, seconds, left))


def _folded(graph: Graph, found: Forecast) -> Forecast:
    """The same of the steps in one piece: what is known of their shards is theirs."""
    states, seconds, left = dict(found.states), dict(found.seconds), dict.fromkeys(found.left)
    for name, shards in groups_of(graph).items():
        own = [name, *shards]
        of_own = [states.pop(one) for one in own]
        changed = [state for state in of_own if state != "hit"]
        known = {one: seconds.pop(one) for one in own if one in seconds}
        # joining takes next to no time: that nothing like it has been measured yet leaves no gap
        if changed and all(one in known or one not in left for one in shards):
            seconds[name] = sum(value for one, value in known.items() if found.states[one] != "hit")
        elif not changed:
            seconds[name] = sum(known.values())
        states[name] = "hit" if not changed else "run" if "run" in changed else "run?"
        if any(one in left for one in own):
            left[name] = None
        for one in shards:
            left.pop(one, None)
    order = [node.id for node in graph]
    return Forecast(
        {name: states[name] for name in order if name in states},
        seconds,
        tuple(name for name in order if name in left),
    )


def expected(graph: Graph, history: History) -> dict[str, float]:
    """Predicted seconds of the nodes that have a prediction, whether the store has their results or not."""
    calibration = _Calibration(history)
    found = {node.id: calibration.seconds(node) for node in graph if node.op not in SOURCES}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


class _Calibration:
    def __init__(self, history: History) -> None:
        self._history = history
        self._rates: dict[tuple[object, ...], float | None] = {}

    def seconds(self, node: Node) -> float | None:
        """Predicted seconds of one node, or None where nothing like it has been measured."""
        rows = _rows(node.cost)
        work, inputs = work_of(node.ingredients), node.ingredients["inputs"]
        ports = ("model",) if rows else _GROUND
        same = tuple(inputs.get(port) for port in ports)
        asked = (*work, bool(rows), *same)
        if asked not in self._rates:
            records = [
                record
                for record in self._history.by_work.get(work, [])
                if tuple(record.ingredients["inputs"].get(port) for port in ports) == same
            ]
            self._rates[asked] = _rate(records, per_row=bool(rows))
        rate = self._rates[asked]
        return None if rate is None else rate * (rows or 1)


def _rate(records: Iterable[Record], *, per_row: bool) -> float | None:
    if per_row:
        found = [record.seconds / _rows(record.spent) for record in records if _rows(record.spent)]
    else:
        found = [record.seconds for record in records]
    return median(found) if found else None


def _rows(cost: Mapping[str, int]) -> int:
    return cost.get("forward", 0) + cost.get("backward", 0)


def hold_against_budget(plan: Plan, found: Forecast) -> Diagnostic | None:
    """What to say where the prediction is beyond ``strategy.budget.seconds``."""
    allowed = plan.audit.spec.strategy.budget.seconds
    if allowed is None or found.total <= allowed:
        return None
    dear = sorted(found.predicted, key=lambda name: (-found.seconds[name], name))[:3]
    most = ", ".join(f"{name} {spoken(found.seconds[name])}" for name in dear)
    rests = f"{len(found.predicted)} of {len(found.left)} nodes left to compute have a prediction"
    path = ("strategy", "budget", "seconds")
    return Diagnostic(
        SECONDS_EXCEEDED,
        f"what is left to compute takes about {spoken(found.total)}, but the budget allows {spoken(float(allowed))} ({rests})",
        plan.audit.span(*path),
        f"the slowest: {most}; ask for fewer samples, rows or trials, or raise the budget",
        severity="error" if found.complete else "warning",
        path=path,
    )


def spoken(seconds: float) -> str:
    """A duration in a few characters: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 0.05:
        return "0 s" if seconds == 0 else "<0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(whole / 60)
    return f"{minutes // 60:,} h" + (f" {minutes % 60} min" if minutes % 60 else "")
