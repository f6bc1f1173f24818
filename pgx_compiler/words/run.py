"""``pgx run``: an audit, from spec to factsheet."""

import argparse
from typing import Any

from pgx_compiler.words import STALE, answer, answer_json, say
from pgx_compiler.words._arguments import add_spec, overrides_of
from pgx_compiler.words._standing import add_locked, say_against_baseline, stale_lock

HELP = "run an audit and write its factsheet; what is known already is not computed again"
FORMATS = ("text", "json", "sarif", "junit", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    add_spec(parser)
    add_locked(parser)
    parser.add_argument("-o", "--output", help="folder of the run (default: runs/<name>/<time>-<digest>)")
    parser.add_argument("-j", "--jobs", type=_positive, default=2, help="steps computed at a time (default 2)")
    parser.add_argument(
        "--engine", choices=("processes", "inline"), default="processes", help="where steps are computed"
    )
    parser.add_argument(
        "--plan",
        metavar="FILE",
        help="run only if the plan is still this one (of `pgx compile SPEC --format json`); else say what differs, exit 4",
    )
    parser.add_argument(
        "-s",
        "--select",
        metavar="EXPR",
        action="append",
        default=[],
        help="run only this part and what it rests on (see `pgx compile --help`); its verdict is always incomplete",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import StalePlan, compile, exit_status, run
    from pgx_compiler.progress import watch

    if stale_lock(options, lambda: compile(options.spec, overrides_of(options))):
        return STALE
    try:
        with watch(quiet=options.format != "text") as observer:
            ran = run(
                options.spec, options.output, options.jobs, options.engine, observer,
                select=options.select, agreed=options.plan, overrides=overrides_of(options),
            )  # fmt: skip
    except StalePlan as stale:
        return _say_stale(options, stale)
    verdict = ran.factsheet.verdict
    if options.format == "json":
        answer_json(
            {"run": str(ran.folder), "verdict": verdict.model_dump(mode="json"), "files": [str(p) for p in ran.written],
             "baseline": None if options.select else say_against_baseline(ran, options.spec)}
        )  # fmt: skip
    elif options.format == "text":
        _say_result(ran)
        if not options.select:
            say_against_baseline(ran, options.spec)
    else:
        from pgx_compiler.report.ci import render

        answer(render(options.format, ran.factsheet, ran.plan.audit).rstrip("\n"))
    return exit_status(ran)


def _say_stale(options: argparse.Namespace, stale: Any) -> int:
    if options.format == "json":
        answer_json({"stale": options.plan, "differs": stale.differing})
        return STALE
    say(f"pgx: {options.plan} is stale: the plan of {options.spec} has changed since it was written")
    for line in stale.told:
        say(f"  {line}")
    say("nothing was run; read the plan of now with `pgx compile`, and agree to it by writing it down again")
    return STALE


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
