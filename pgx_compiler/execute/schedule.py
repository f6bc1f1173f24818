"""Which node may run next: a pure state machine, with no clock, no files and no processes.

The words of a node's state:

========  ==========================================================================================
waiting   something that it needs is not done
ready     everything that it needs is done, nobody works on it
running   handed to the engine
done      its result is in the store (computed now, or found there)
failed    its own work went wrong
blocked   something that it needs failed or is blocked; it never ran
========  ==========================================================================================
"""

import bisect
from collections.abc import Iterable, Mapping
from typing import Literal

from pgx_compiler.ir.graph import Graph

State = Literal["waiting", "ready", "running", "done", "failed", "blocked"]


class Schedule:
    """The state of every node of one run. No step of it looks at more nodes than it changes."""

    def __init__(
        self, graph: Graph, already_done: Iterable[str] = (), urgency: Mapping[str, int] | None = None
    ) -> None:
        """Begin.

        Args:
            graph: what to run.
            already_done: ids of nodes that need not run.
            urgency: of what is ready the most urgent comes first; equals, and all where it is None, in the graph's order.
        """
        self._graph = graph
        self._urgency = urgency or {}
        self.state: dict[str, State] = dict.fromkeys(graph.ids, "waiting")
        self.because: dict[str, str] = {}
        """For a blocked node: the failed node that it rests on."""
        for name in already_done:
            self.state[name] = "done"
        self._missing = {
            node.id: sum(self.state[needed] != "done" for needed in set(node.inputs.values())) for node in graph
        }
        self._ready: list[tuple[int, int, str]] = []
        self._running = 0
        for name in graph.ids:
            self._wake(name)

    def ready(self, most: int | None = None) -> list[str]:
        """What may run now, the most urgent first; at most so many."""
        return [name for _, _, name in self._ready[:most]]

    def start(self, name: str) -> None:
        """A ready node is handed to the engine."""
        self._move(name, "ready", "running")
        self._take(name)
        self._running += 1

    def finish(self, name: str) -> None:
        """A running node's result is in the store."""
        self._move(name, "running", "done")
        self._running -= 1
        for user in self._graph.users(name):
            self._missing[user] -= 1
            self._wake(user)

    def fail(self, name: str) -> None:
        """A running node went wrong; all that rests on it is blocked, the rest goes on."""
        self._move(name, "running", "failed")
        self._running -= 1
        for user in self._graph.downstream(name):
            if self.state[user] == "waiting":
                self.state[user] = "blocked"
                self.because[user] = name

    @property
    def over(self) -> bool:
        """True where nothing runs and nothing can."""
        return not self._ready and not self._running

    def _wake(self, name: str) -> None:
        if self.state[name] == "waiting" and not self._missing[name]:
            self.state[name] = "ready"
            bisect.insort(self._ready, self._place(name))

    def _take(self, name: str) -> None:
        del self._ready[bisect.bisect_left(self._ready, self._place(name))]

    def _place(self, name: str) -> tuple[int, int, str]:
        return -self._urgency.get(name, 0), self._graph.place(name), name

    def _move(self, name: str, before: State, after: State) -> None:
        if self.state[name] != before:
            raise ValueError(f"{name} is {self.state[name]}, not {before}: it cannot become {after}")
        self.state[name] = after


def urgency_of(graph: Graph) -> dict[str, int]:
    """For each node the model rows on the longest way from it to an end: what is long must not begin last."""
    found: dict[str, int] = {}
    for name in reversed(graph.ids):
        cost = graph[name].cost
        own = 1 + cost.get("forward", 0) + 3 * cost.get("backward", 0)  # a gradient costs about three predictions
        found[name] = own + max((found[user] for user in graph.users(name)), default=0)
    return found
