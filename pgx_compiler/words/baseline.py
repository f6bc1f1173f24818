"""``pgx baseline``: the accepted answer of an audit."""

import argparse
from pathlib import Path

from pgx_compiler.words import PASSED, answer, answer_json, say

HELP = "accept a run as the baseline of its audit, or show the baseline; nothing else moves it"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("do", choices=("accept", "show"), help="accept RUN, or show SPEC")
    parser.add_argument("what", help="the run's folder (accept); a spec or a baseline's file (show)")
    parser.add_argument("--reason", help="why this run is acceptable; kept in the file (accept)")
    parser.add_argument("--spec", help="the spec that the baseline stands beside (accept; default: found by content)")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    return _accept(options) if options.do == "accept" else _show(options)


def _accept(options: argparse.Namespace) -> int:
    from pgx_compiler.versioning.accept import accept
    from pgx_compiler.versioning.telling import tell

    done = accept(Path(options.what), Path(options.spec) if options.spec else None, options.reason)
    if options.format == "json":
        answer_json({"baseline": str(done.path), "changes": done.comparison and done.comparison.data})
        return PASSED
    if done.comparison is not None:
        say(tell(done.comparison))
    answer(
        f"{done.path}: {done.baseline.audit} {done.baseline.version}, {done.baseline.answer.verdict}, is the baseline"
    )
    return PASSED


def _show(options: argparse.Namespace) -> int:
    from pgx_compiler.versioning.accept import baseline_of
    from pgx_compiler.versioning.telling import describe

    path, baseline = baseline_of(Path(options.what))
    if options.format == "json":
        answer_json(baseline.model_dump(mode="json", by_alias=True))
    else:
        answer(describe(baseline, str(path)))
    return PASSED
