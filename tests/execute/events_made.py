"""Events of made-up runs, for those who listen to them."""

from typing import Any

from pgx_compiler.execute.events import Ended, Progress, RunStarted, Started

AT: dict[str, Any] = {"run_id": "r", "sequence": 0, "time": "2026-01-01T00:00:00.000Z"}


def begun(nodes: int, jobs: int = 2, **steps: int) -> RunStarted:
    return RunStarted(**AT, pgx="1", audit="a", plan="p", nodes=nodes, steps=steps, engine="processes", jobs=jobs)


def of(node: str, step: str | None = None) -> dict[str, Any]:
    return {**AT, "node": node, "step": step, "op": "attribute", "method": None}


def started(node: str, step: str | None = None) -> Started:
    return Started(**of(node, step), key="k", runtime=None, planned={})


def far(node: str, done: int, total: int, step: str | None = None) -> Progress:
    return Progress(**of(node, step), done=done, total=total, unit="rows", spent={})


def ended(node: str, status: str = "computed", step: str | None = None, reason: str | None = None) -> Ended:
    spent = {"forward": 100, "backward": 20} if status == "computed" else None
    return Ended(**of(node, step), status=status, seconds=1.5, planned={}, spent=spent, content=None, reason=reason,
                 kind=None, worker={})  # fmt: skip
