"""How a run stands, from its events: what is at work, what waits, what failed, and how long it will take yet.

No clock, no terminal: whoever shows it says what time it is. An engine is handed all that is ready, however few it works on
at a time; so no more nodes than it has jobs count as at work, first those that tell of progress, then the first in the queue.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgx_compiler.execute.events import Ended, Event, Progress, RunEnded, RunStarted, Started, model_rows

_SETTLED = 1.0
"""Seconds of work after which a node's own rate says something."""
_TELLING = 0.05
"""Part of a node's work below which its own rate says too little to be shown without a forecast."""


@dataclass
class _Working:
    since: float
    share: float = 0.0
    told: float = 0.0
    """When it last said how far it is."""

    def left(self, now: float, expected: float | None) -> float | None:
        """Seconds until its end: what was expected, giving way to its own rate as far as it has come."""
        taken = self.told - self.since
        own = None
        if self.share and taken > _SETTLED:
            own = max(0.0, taken / self.share - (now - self.since))  # falls from one word of it to the next
        if expected is None:
            return own if self.share >= _TELLING else None
        foreseen = max(0.0, expected - (now - self.since))
        return foreseen if own is None else self.share * own + (1 - self.share) * foreseen


@dataclass
class Group:
    """The nodes of one step: its shards, its second opinions, and what they are gathered by. Else a single node."""

    name: str
    nodes: int = 1
    ended: int = 0
    failed: int = 0
    computed: int = 0
    rows: int = 0
    """Model rows spent."""
    seconds: float = 0.0
    """What its nodes took."""
    since: float = 0.0
    working: dict[str, _Working] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """What part of it is done, each node counting alike."""
        return min(1.0, (self.ended + sum(one.share for one in self.working.values())) / self.nodes)

    @property
    def over(self) -> bool:
        """True once nothing of it is left."""
        return self.ended >= self.nodes


@dataclass(frozen=True)
class Said:
    """What is worth a line that stays: a step is done, or has failed."""

    status: str
    name: str
    text: str
    seconds: float = 0.0
    rows: int = 0


class Standing:
    """The state of one run."""

    def __init__(self) -> None:
        self.nodes = 0
        self.jobs = 1
        self.counts: dict[str, int] = {}
        self.began: float | None = None
        self.over = False
        self.expected: Mapping[str, float] | None = None
        """Predicted seconds of nodes, once they are known."""
        self.names: set[str] = set()
        """Of every group that was at work: a column as wide as them all does not jump."""
        self._steps: dict[str, int] = {}
        self._groups: dict[str, Group] = {}
        self._met: set[str] = set()
        self._queue: dict[str, Group] = {}
        """Nodes handed to the engine that are not at work yet, in that order."""

    def take(self, event: Event, now: float) -> list[Said]:
        """Let an event change the state; returns what is worth a line."""
        if isinstance(event, RunStarted):
            self.nodes, self.jobs, self._steps, self.began = event.nodes, event.jobs, event.steps, now
        elif isinstance(event, Started):
            self._queue[event.node] = self._group(event)
            self._fill(now)
        elif isinstance(event, Progress):
            if event.node in self._queue:
                self._begin(event.node, now)
            working = self._group(event).working.get(event.node)
            if working is not None:
                working.share = min(1.0, event.done / event.total) if event.total else 0.0
                working.told = now
        elif isinstance(event, Ended):
            said = self._ended(event)
            self._fill(now)
            return said
        elif isinstance(event, RunEnded):
            self.over = True
        return []

    @property
    def ended(self) -> int:
        """Nodes that came to an end, whichever."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Nodes that have a result."""
        return self.counts.get("computed", 0) + self.counts.get("cached", 0)

    @property
    def lost(self) -> int:
        """Nodes that have none and will not get one in this run."""
        return self.ended - self.done

    @property
    def at_work(self) -> int:
        """Nodes at work."""
        return sum(len(group.working) for group in self._groups.values())

    @property
    def waiting(self) -> int:
        """Nodes that have not begun."""
        return max(0, self.nodes - self.ended - self.at_work)

    @property
    def groups(self) -> list[Group]:
        """What is at work, the longest first: lines keep their places."""
        return sorted((group for group in self._groups.values() if group.working), key=lambda one: one.since)

    def left(self, now: float) -> tuple[float | None, bool]:
        """Seconds that are left, and whether that is all of it: else something has no prediction, and it is the least."""
        expected = self.expected or {}
        ends = [
            working.left(now, expected.get(node)) for group in self.groups for node, working in group.working.items()
        ]
        known = [end for end in ends if end is not None]
        ahead = [seconds for node, seconds in expected.items() if node not in self._met]
        whole = len(known) == len(ends) and len(ahead) >= self.waiting
        if not known and not ahead:
            return None, False
        side_by_side = max(1, min(self.jobs, len(ends) + len(ahead)))
        return max([(sum(known) + sum(ahead)) / side_by_side, *known]), whole

    def _fill(self, now: float) -> None:
        """Let the first of the queue begin where there is room."""
        while self._queue and self.at_work < self.jobs:
            self._begin(next(iter(self._queue)), now)

    def _begin(self, node: str, now: float) -> None:
        group = self._queue.pop(node)
        group.since = group.since if group.working else now
        self.names.add(group.name)
        group.working[node] = _Working(now)
        self._met.add(node)

    def _group(self, event: Started | Progress | Ended) -> Group:
        name = event.step or event.node
        if name not in self._groups:
            self._groups[name] = Group(name, self._steps.get(name, 1))
        return self._groups[name]

    def _ended(self, event: Ended) -> list[Said]:
        group = self._group(event)
        group.working.pop(event.node, None)
        self._queue.pop(event.node, None)
        group.ended += 1
        self._met.add(event.node)
        self.counts[event.status] = self.counts.get(event.status, 0) + 1
        said = []
        if event.status == "computed":
            group.computed += 1
            group.rows += model_rows(event.spent or {})
            group.seconds += event.seconds or 0.0
        elif event.status == "failed":
            group.failed += 1
            if group.failed == 1:  # its shards fail alike: one line
                said.append(Said("failed", event.node, event.reason or ""))
        if group.over:
            del self._groups[group.name]
            if group.computed and not group.failed:
                said.append(Said("done", group.name, "", group.seconds, group.rows))
        return said
