"""How long evidence stays: what a sweep of the store may take."""

from dataclasses import dataclass

KEEP_RUNS = 10
"""Runs of one audit that count."""
GRACE = 24 * 3600.0
"""Seconds that everything stays, used or not: longer than a run takes that has sealed nothing yet."""


@dataclass(frozen=True)
class Rule:
    """What may go."""

    keep_runs: int = KEEP_RUNS
    grace: float = GRACE
    """Seconds."""
    most_bytes: int | None = None
    """Of the runs that count, the oldest stop counting until the rest fits; the newest of each audit always counts."""
