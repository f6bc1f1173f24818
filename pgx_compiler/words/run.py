"""``pgx run``: an audit, from spec to factsheet."""

import argparse
from typing import Any

from pgx_compiler.words import answer, answer_json, say

HELP = "run an audit and write its factsheet; what is known already is not computed again"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("spec", help="the audit, a YAML file")
    parser.add_argument("-o", "--output", help="folder of the run (default: runs/<name>/<time>-<digest>)")
    parser.add_argument("-j", "--jobs", type=_positive, default=2, help="steps computed at a time (default 2)")
    parser.add_argument(
        "--engine", choices=("processes", "inline"), default="processes", help="where steps are computed"
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import exit_status, run
    from pgx_compiler.progress import watch

    with watch(quiet=options.format == "json") as observer:
        ran = run(options.spec, options.output, options.jobs, options.engine, observer)
    verdict = ran.factsheet.verdict
    if options.format == "json":
        answer_json(
            {"run": str(ran.folder), "verdict": verdict.model_dump(mode="json"), "files": [str(p) for p in ran.written]}
        )
    else:
        _say_result(ran)
    return exit_status(ran)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _say_result(ran: Any) -> None:
    for outcome in ran.result.outcomes.values():
        if outcome.status == "failed":
            say(f"failed: {outcome.node.id}: {outcome.reason}")
    for note in ran.notes:
        say(f"note: {note}")
    counts: dict[str, int] = {}
    for outcome in ran.result.outcomes.values():
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    say(f"{', '.join(f'{n} {status}' for status, n in sorted(counts.items()))}")
    verdict = ran.factsheet.verdict
    say(f"{verdict.status.upper()}: {verdict.sentence}")
    for path in ran.written:
        answer(str(path))
