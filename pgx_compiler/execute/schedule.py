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

from collections.abc import Iterable
from typing import Literal

from pgx_compiler.ir.graph import Graph

State = Literal["waiting", "ready", "running", "done", "failed", "blocked"]


class Schedule:
    """The state of every node of one run."""

    def __init__(self, graph: Graph, already_done: Iterable[str] = ()) -> None:
        self._graph = graph
        self.state: dict[str, State] = dict.fromkeys(graph.ids, "waiting")
        self.because: dict[str, str] = {}
        """For a blocked node: the failed node that it rests on."""
        for name in already_done:
            self.state[name] = "done"
        for name in graph.ids:
            self._wake(name)

    def ready(self) -> list[str]:
        """What may run now, in the order of the graph."""
        return [name for name in self._graph.ids if self.state[name] == "ready"]

    def start(self, name: str) -> None:
        """A ready node is handed to the engine."""
        self._move(name, "ready", "running")

    def finish(self, name: str) -> None:
        """A running node's result is in the store."""
        self._move(name, "running", "done")
        for user in self._graph.users(name):
            self._wake(user)

    def fail(self, name: str) -> None:
        """A running node went wrong; all that rests on it is blocked, the rest goes on."""
        self._move(name, "running", "failed")
        for user in self._graph.downstream(name):
            if self.state[user] in ("waiting", "ready"):
                self.state[user] = "blocked"
                self.because[user] = name

    @property
    def over(self) -> bool:
        """True where nothing runs and nothing can."""
        return not any(state in ("ready", "running") for state in self.state.values())

    def _wake(self, name: str) -> None:
        if self.state[name] == "waiting" and all(self.state[n] == "done" for n in self._graph[name].inputs.values()):
            self.state[name] = "ready"

    def _move(self, name: str, before: State, after: State) -> None:
        if self.state[name] != before:
            raise ValueError(f"{name} is {self.state[name]}, not {before}: it cannot become {after}")
        self.state[name] = after
