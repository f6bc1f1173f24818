"""What an answer stands on besides its question: model, data, versions; and where two of these differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.plan.plan import Plan

Ground = Mapping[str, Mapping[str, str]]
"""Category (``models``, ``data``, ``masks``, ``methods``, ``operations``, ``environment``, ``pgx``) to name to digest or
version. A category that is not there is not known."""


@dataclass(frozen=True)
class Shift:
    """One thing that an answer stands on, and that is not what it was."""

    category: str
    name: str
    old: str | None
    new: str | None

    @property
    def what(self) -> str:
        """It in words: ``model models/a.onnx``."""
        kind = {
            "models": "model file",
            "data": "data file",
            "masks": "mask file",
            "methods": "method",
            "operations": "operation",
        }
        if self.category == "pgx":
            return "pgx"
        return f"{kind.get(self.category, self.category.replace('environment', 'library'))} {self.name}"

    def __str__(self) -> str:
        return f"{self.what}: {_short(self.old)} -> {_short(self.new)}"


def ground_of(plan: Plan) -> dict[str, dict[str, str]]:
    """All that a plan stands on, as its lock says it."""
    return ground_of_lock(plan.lock)


def ground_of_lock(lock: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The same from a lock as plain values."""
    found = {}
    for category, entries in sorted(plain(lock).items()):
        if category == "schema":
            continue
        named = entries if isinstance(entries, dict) else {category: entries}
        found[category] = {str(name): str(value) for name, value in sorted(named.items())}
    return found


def shifts(old: Ground, new: Ground) -> Iterator[Shift]:
    """Every difference in the categories that both sides know: files first, then versions."""
    order = ("models", "data", "masks", "methods", "operations", "pgx", "environment")
    for category in sorted({*old, *new}, key=lambda name: (order.index(name) if name in order else len(order), name)):
        if category not in old or category not in new:
            continue
        before, after = old[category], new[category]
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield Shift(category, name, before.get(name), after.get(name))


def _short(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value[:12] if len(value) == 64 else value
