"""``pgx verify``: a run, or a whole store, against its digests, its evidence and its ledger."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgx_compiler.words import AUTHOR, DAMAGED, PASSED, answer, answer_json, one_line, say

if TYPE_CHECKING:
    from pgx_compiler.verifying.found import Verified

HELP = "check every file of a run, derive its factsheet again, and look its seal up in the ledger"
FORMATS = ("text", "json")
_MOST = 50
"""Damaged files that are named on a terminal; the JSON has them all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("run", nargs="?", help="the run's folder")
    parser.add_argument(
        "--store",
        nargs="?",
        const="",
        metavar="PATH",
        help="with a run: the store whose ledger is asked; alone: check every file of the store (default: of the project here)",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import store_of
    from pgx_compiler.evidence.store import Store

    store = None
    if options.store is not None:
        store = Store(Path(options.store)) if options.store else store_of(Path.cwd() / "audit.yaml")
    if options.run is not None:
        from pgx_compiler.verifying import verify

        return _say_run(options, verify(options.run, store))
    if store is None:
        say("pgx: name the folder of a run, or `--store` to check a store")
        return AUTHOR
    if not store.root.is_dir():
        kind = "the store is no folder:" if store.root.exists() else "there is no store at"
        say(f"pgx: {kind} {store.root}")
        return AUTHOR
    return _say_store(options, store)


def _say_run(options: argparse.Namespace, found: "Verified") -> int:
    manifest = found.manifest
    status = DAMAGED if found.problems else PASSED
    if options.format == "json":
        answer_json(
            {
                "run": options.run,
                "problems": [vars(problem) for problem in found.problems],
                "notes": found.notes,
                "files": found.files,
                "derived": found.derived,
                "ledger": found.ledger or None,
                "manifest": None if manifest is None else {**manifest.run, "root": manifest.root},
                "exit_status": status,
            }
        )
        return status
    _say_problems(found.problems)
    for note in found.notes:
        say(f"note: {one_line(note)}")
    run = one_line(options.run)
    if manifest is not None:
        told = manifest.run
        whose = f"run {told['id'][:12]} of {told['audit']}, {told['time']}, spec {told['spec'][:12]}"
        answer(f"{run}: {one_line(whose)}")
    good = [f"{found.files} files match the manifest"] if found.files else []
    good += ["the factsheet follows from the evidence"] if found.derived else []
    good += [f"sealed in {one_line(found.ledger)}"] if found.ledger else []
    answer(f"{run}: {'damaged' if found.problems else 'whole'}: {'; '.join(good) or 'nothing matches'}")
    return status


def _say_problems(problems: list[Any]) -> None:
    """Each in one line: names come from strangers, and one with a line break in it could forge the lines of others."""
    for problem in problems[:_MOST]:
        say(f"damaged: {one_line(str(problem))}")
    if len(problems) > _MOST:
        say(f"damaged: {len(problems) - _MOST:,} more; --format json names all")


def _say_store(options: argparse.Namespace, store: Any) -> int:
    from pgx_compiler.evidence.inspection import inspect_store

    found = inspect_store(store)
    status = DAMAGED if found.problems else PASSED
    counts = {name: count for name, count in vars(found).items() if name != "problems"}
    if options.format == "json":
        problems = [vars(problem) for problem in found.problems]
        answer_json({"store": str(store.root), "problems": problems, **counts, "exit_status": status})
        return status
    _say_problems(found.problems)
    if found.set_aside:
        say(
            f"note: {found.set_aside} damaged files were set aside by earlier runs, in {one_line(str(store.root / 'damaged'))}"
        )
    answer(
        f"{one_line(str(store.root))}: {'damaged' if found.problems else 'whole'}: {found.objects} objects ({found.bytes:,} bytes), "
        f"{found.records} records, {found.conflicts} conflicts, {found.lines} lines of the ledger, {found.runs} runs"
    )
    return status
