"""What is found of a run while it is verified."""

from dataclasses import dataclass, field
from pathlib import Path

from pgx_compiler.evidence.inspection import Problem
from pgx_compiler.evidence.manifest import Manifest


@dataclass
class Verified:
    """What was found of a run."""

    folder: Path
    manifest: Manifest | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be told, and why."""
    files: int = 0
    """How many match their digest."""
    derived: bool = False
    """Whether the factsheet was derived again, and came out the same."""
    ledger: str = ""
    """Where the line stands that seals it; empty where no ledger was there to ask."""

    def say(self, file: str, what: str) -> None:
        """One problem more."""
        self.problems.append(Problem(file, what))
