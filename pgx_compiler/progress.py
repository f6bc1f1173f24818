"""The live view of a run in a terminal: one calm line for each step that is working. Silent elsewhere."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgx_compiler.execute.run import Observer, Outcome
from pgx_compiler.ir.node import Node


class Quiet:
    """Watches and says nothing."""

    def started(self, node: Node) -> None:
        """Say nothing."""

    def progressed(self, node: Node, done: int, total: int) -> None:
        """Say nothing."""

    def ended(self, outcome: Outcome) -> None:
        """Say nothing."""


class Terminal:
    """Rows done, rate and time left for every node at work; a line for each one that ended."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._tasks: dict[str, Any] = {}

    def started(self, node: Node) -> None:
        """Show the node."""
        with self._lock:
            self._tasks[node.id] = self._progress.add_task(node.id, total=None, rate="")

    def progressed(self, node: Node, done: int, total: int) -> None:
        """Move its bar."""
        with self._lock:
            task = self._tasks.get(node.id)
            if task is None:
                return
            elapsed = self._progress.tasks[self._progress.task_ids.index(task)].elapsed or 0.0
            rate = f"{done / elapsed:,.1f}/s" if elapsed > 0.2 else ""
            self._progress.update(task, completed=done, total=total, rate=rate)

    def ended(self, outcome: Outcome) -> None:
        """Turn its bar into a line; what was found in the store is not listed."""
        with self._lock:
            task = self._tasks.pop(outcome.node.id, None)
            if task is not None:
                self._progress.remove_task(task)
            if outcome.status == "computed" and outcome.record is not None:
                spent = sum(outcome.record.spent.values())
                rows = f"{spent:,} model rows, " if spent else ""
                self._progress.console.print(
                    f"  done  {outcome.node.id}  [dim]{rows}{outcome.record.seconds:.1f} s[/]", highlight=False
                )
            elif outcome.status in ("failed", "blocked"):
                from rich.markup import escape

                self._progress.console.print(
                    f"  [red]{outcome.status}[/]  {outcome.node.id}  {escape(outcome.reason or '')}", highlight=False
                )


@contextmanager
def watch(*, quiet: bool = False) -> Iterator[Observer]:
    """An observer for as long as a run takes: a live view where stderr is a terminal, else silence."""
    if quiet or not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Terminal(progress)
