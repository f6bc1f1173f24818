"""What `check`, `compile` and `run` say of the lock and of the baseline beside a spec; no word of its own."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgx_compiler.words import say, show_diagnostics

if TYPE_CHECKING:
    from pgx_compiler.plan.plan import Plan


def add_locked(parser: argparse.ArgumentParser) -> None:
    """Declare ``--locked``."""
    parser.add_argument(
        "--locked",
        action="store_true",
        help="refuse, with exit status 4, where model, data, methods or libraries are not what pgx.lock says",
    )


def stale_lock(options: argparse.Namespace, plan_of: "Callable[[], Plan]") -> bool:
    """Say what differs from the lock; True where ``--locked`` asks that nothing goes on.

    Args:
        options: of the word; ``spec``, ``locked`` and ``format``.
        plan_of: compiles the spec; called only where it has a lock.
    """
    from pgx_compiler.versioning.lock import compare_with_lock

    found, sources = compare_with_lock(plan_of, options.spec, options.locked)
    if len(found):
        # a warning must not stand in what programs read
        show_diagnostics(found, sources, options.format if found.failed else "text")
    return found.failed


def say_against_baseline(ran: Any, spec: str) -> dict[str, Any] | None:
    """Hold a run against the baseline of its audit, where there is one, and say so; returns it for programs."""
    from pgx_compiler.diagnostics.diagnostic import AuthorError
    from pgx_compiler.versioning.accept import against_baseline

    try:
        comparison = against_baseline(ran.folder, spec, ran.plan.audit.spec)
    except AuthorError as error:  # the run itself stands, whatever became of the baseline's file
        show_diagnostics(error.diagnostics, error.sources, "text")
        return None
    if comparison is None:
        return None
    from pgx_compiler.versioning.telling import short

    say(f"against {Path(comparison.old)}:")
    for line in short(comparison):
        say(f"  {line}")
    return comparison.data
