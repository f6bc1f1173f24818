"""``pgx run``: an audit, from spec to factsheet.

Its work is the run's folder. What it prints tells of it: a standard output that is closed or full changes neither the files
nor the exit status.
"""

import argparse
from contextlib import ExitStack
from typing import Any

from pgx_compiler.words import STALE, CannotAnswer, answer, answer_json, say
from pgx_compiler.words._arguments import add_spec, overrides_of
from pgx_compiler.words._means import add_means, means_of
from pgx_compiler.words._standing import add_locked, say_against_baseline, stale_lock

HELP = "run an audit and write its factsheet; what is known already is not computed again"
FORMATS = ("text", "json", "sarif", "junit", "github")
_MOST_FAILED = 20
"""Failed nodes that are named at the end; a step of thousand shards fails a thousand times."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    add_spec(parser)
    add_locked(parser)
    parser.add_argument("-o", "--output", help="folder of the run (default: runs/<name>/<time>-<digest>)")
    parser.add_argument(
        "-j", "--jobs", type=_positive, help="nodes computed at a time (default: as many as there are usable cores)"
    )
    parser.add_argument(
        "--engine",
        choices=("processes", "inline", "ray"),
        default="processes",
        help="where steps are computed: in worker processes of this machine (the default), in this process, or on a Ray cluster",
    )
    parser.add_argument(
        "--address",
        help="with --engine ray: host:port of the cluster's head (default: RAY_ADDRESS), or `local` for one that is started on "
        "this machine for the run",
    )
    add_means(parser)
    parser.add_argument(
        "--plan",
        metavar="FILE",
        help="run only if the plan is still this one (of `pgx compile SPEC --format json`); else say what differs, exit 4",
    )
    parser.add_argument(
        "--otel",
        action="store_true",
        help="export the run as OpenTelemetry spans (also where OTEL_EXPORTER_OTLP_ENDPOINT is set; extra `otel`)",
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
    from pgx_compiler.execute.interruption import interruptible
    from pgx_compiler.progress import watch
    from pgx_compiler.telemetry import exporting

    if stale_lock(options, lambda: compile(options.spec, overrides_of(options))):
        return STALE
    stream = _stream(options)
    try:
        with ExitStack() as stack:
            watching = stack.enter_context(watch(quiet=options.format != "text"))
            listeners = [watching, *([stream] if stream else []), *stack.enter_context(exporting(options.otel, say))]
            stack.enter_context(interruptible())
            ran = run(
                options.spec, options.output, means=means_of(options),
                select=options.select, agreed=options.plan, overrides=overrides_of(options), listeners=listeners,
            )  # fmt: skip
    except StalePlan as stale:
        return _say_stale(options, stale)
    status = exit_status(ran)
    try:
        _say_ran(options, ran, stream, status)
    except CannotAnswer as error:
        say(f"note: cannot write to standard output: {error}; the run's folder is {ran.folder}")
    return status


def _stream(options: argparse.Namespace) -> Any:
    """Where programs read events as they happen; None for the other formats."""
    if options.format != "json":
        return None
    from pgx_compiler.words._streaming import EventsOnStdout

    return EventsOnStdout()


def _say_ran(options: argparse.Namespace, ran: Any, stream: Any, status: int) -> None:
    if stream is not None:
        stream.answer(
            run=str(ran.folder), verdict=ran.factsheet.verdict.model_dump(mode="json"), files=[str(p) for p in ran.written],
            baseline=None if options.select else say_against_baseline(ran, options.spec), notes=ran.notes,
            exit_status=status,
        )  # fmt: skip
    elif options.format == "text":
        _say_result(ran)
        if not options.select:
            say_against_baseline(ran, options.spec)
    else:
        from pgx_compiler.report.ci import render

        answer(render(options.format, ran.factsheet, ran.plan.audit).rstrip("\n"))


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
    from pgx_compiler.diagnostics.render import harmless

    failed = [outcome for outcome in ran.result.outcomes.values() if outcome.status == "failed"]
    for outcome in failed[:_MOST_FAILED]:
        say(f"failed: {harmless(outcome.node.id)}: {harmless(outcome.reason or '', keep_newlines=True)}")
    if len(failed) > _MOST_FAILED:
        say(f"failed: {len(failed) - _MOST_FAILED:,} more, see events.jsonl")
    for note in ran.notes:
        say(f"note: {harmless(note, keep_newlines=True)}")
    counts: dict[str, int] = {}
    for outcome in ran.result.outcomes.values():
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    say(f"{', '.join(f'{n} {status}' for status, n in sorted(counts.items()))}")
    verdict = ran.factsheet.verdict
    say(f"{verdict.status.upper()}: {harmless(verdict.sentence)}")
    for path in ran.written:
        answer(str(path))
