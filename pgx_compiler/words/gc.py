"""``pgx gc``: what no run that counts rests on leaves the store."""

import argparse
import errno
import os
import re
from typing import TYPE_CHECKING

from pgx_compiler.words import AUTHOR, DAMAGED, INCOMPLETE, PASSED, answer, answer_json, one_line, say

if TYPE_CHECKING:
    from pathlib import Path

    from pgx_compiler.diagnostics.diagnostic import AuthorError

HELP = "say what of the evidence store no run needs any more; with --yes, move it to the trash"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    from pgx_compiler.evidence.retention import KEEP_RUNS

    parser.add_argument(
        "spec", nargs="?", default=".", help="a spec or folder of the project (default: here); PGX_STORE comes first"
    )
    parser.add_argument("--yes", action="store_true", help="do it; the next `pgx gc --yes` deletes what this one moved")
    parser.add_argument(
        "--keep-runs",
        type=_count,
        default=KEEP_RUNS,
        metavar="N",
        help=f"runs of each audit that count (default {KEEP_RUNS})",
    )
    parser.add_argument(
        "--forget", action="append", default=[], metavar="RUN",
        help="give up a run whose evidence was damaged or lost: it counts no more, and the ledger says so; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--older", type=_duration, default="24h", metavar="AGE",
        help="only what is older, such as 12h or 7d (default 24h): longer than any run that is still going on",
    )  # fmt: skip
    parser.add_argument(
        "--max-size", type=_size, metavar="SIZE",
        help="such as 500M or 20G: the oldest runs stop counting until the rest fits; the newest of each audit always counts",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pathlib import Path

    from pgx_compiler.driver import store_of
    from pgx_compiler.evidence.ledger import BrokenLedger
    from pgx_compiler.evidence.locks import NoLocks
    from pgx_compiler.evidence.retention import Rule
    from pgx_compiler.evidence.store import LaterLayout
    from pgx_compiler.evidence.sweep import LostTrack, NotForgotten, sweep

    place = Path(options.spec)
    store = store_of(place / "audit.yaml" if place.is_dir() else place)
    if not os.path.lexists(store.root):
        return _said(options, {"store": str(store.root), "runs": 0, "moved": 0}, f"there is no store at {store.root}")
    try:
        if not store.root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(store.root))
        rule = Rule(options.keep_runs, options.older, options.max_size)
        swept = sweep(store, rule, pretend=not options.yes, forget=options.forget)
    except BrokenLedger as error:
        say(f"pgx: damaged evidence: {error}; without it nobody knows what is needed, and nothing was touched")
        return DAMAGED
    except LostTrack as error:
        say(
            f"pgx: damaged evidence: {error}; nobody knows all that it needs, and nothing was touched. Run that audit again, "
            "which writes anew what it still comes to, or put the file back from a copy of the store; once newer runs of the "
            "audit are there, `--keep-runs` says how many of them count, and older ones are not asked. Where it cannot be run "
            f"again, `pgx gc --forget {one_line(error.run)}` gives that run up, and what nothing else rests on can go"
        )
        return DAMAGED
    except NotForgotten as error:
        say(f"pgx: {one_line(str(error))}; nothing was touched")
        return AUTHOR
    except (NoLocks, LaterLayout) as error:
        say(f"pgx: {error}; nothing was touched")
        return AUTHOR
    except OSError as error:
        raise _cannot_sweep(error, store.root) from error
    if swept is None:
        say(f"pgx: a run is using {store.root}; try again when it has ended")
        return INCOMPLETE
    facts = {
        "store": str(store.root), "done": options.yes, "runs": swept.runs, "kept": swept.kept, "kept_bytes": swept.kept_bytes,
        "young": swept.young, "moved": len(swept.moved), "moved_bytes": swept.moved_bytes,
        "deleted_bytes": swept.emptied_bytes, "litter": swept.litter, "forgotten": swept.forgotten, "files": swept.moved,
    }  # fmt: skip
    moved = f"{len(swept.moved)} files ({_bytes(swept.moved_bytes)})"
    lines = [
        f"{one_line(str(store.root))}: {swept.runs} runs count",
        f"  stays      {swept.kept} files ({_bytes(swept.kept_bytes)})"
        + (f", {swept.young} of them only because they are young" if swept.young else ""),
        f"  {'to trash' if options.yes else 'would go'}   {moved}",
        (
            f"  {'deleted' if options.yes else 'would be deleted'}    {_bytes(swept.emptied_bytes)} of the trash, "
            f"{swept.litter} leftovers of processes that are gone"
        ),
    ]
    if swept.forgotten:
        lines.append(f"  {'given up' if options.yes else 'would be given up'}   {one_line(', '.join(swept.forgotten))}")
    if not options.yes:
        lines.append("nothing was touched; `pgx gc --yes` does it")
    return _said(options, facts, "\n".join(lines))


def _cannot_sweep(error: OSError, root: "Path") -> "AuthorError":
    from pgx_compiler.diagnostics.diagnostic import AuthorError, Diagnostic, Diagnostics
    from pgx_compiler.driver import CANNOT_WRITE

    message = f"cannot sweep the store {root}: {error.filename or root}: {error.strerror or error}"
    help_ = "sweep it as the user who may write to it, or name another store with PGX_STORE; what is left stays for the next sweep"
    return AuthorError(Diagnostics([Diagnostic(CANNOT_WRITE, message, None, help_)]))


def _said(options: argparse.Namespace, facts: dict[str, object], text: str) -> int:
    if options.format == "json":
        answer_json(facts)
    else:
        answer(text)
    return PASSED


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"`{text}` is no age; write it as 90m, 12h, 7d or 2w")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[found[2]]


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"`{text}` is no size; write it as 500M or 20G")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2] or " "))
