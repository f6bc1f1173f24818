"""The words of the command and their exit statuses; no logic of its own.

0 passed, 1 a gate or finding failed, 2 the author's mistake, 3 incomplete, 5 damaged evidence, 70 our failure,
130 interrupted. stdout is data; stderr is for people.
"""

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any

PASSED, FAILED, AUTHOR, INCOMPLETE, DAMAGED, OURS, INTERRUPTED = 0, 1, 2, 3, 5, 70, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    from pgx_compiler.diagnostics.diagnostic import AuthorError
    from pgx_compiler.evidence.store import DamagedEvidence

    try:
        word: Callable[[argparse.Namespace], int] = options.word
        return word(options)
    except AuthorError as error:
        _say_diagnostics(error.diagnostics, error.sources, options.format)
        return AUTHOR
    except DamagedEvidence as error:
        print(f"pgx: damaged evidence: {error}; run again to compute it anew", file=sys.stderr)  # noqa: T201
        return DAMAGED
    except KeyboardInterrupt:
        print("pgx: interrupted; finished steps are kept, run again to continue", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of stdout has gone; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PASSED
    except Exception as error:  # noqa: BLE001  (the last line of defence: a sentence and a file, never a traceback)
        return _our_failure(error)


def _our_failure(error: Exception) -> int:
    with tempfile.NamedTemporaryFile("w", prefix="pgx-failure-", suffix=".txt", delete=False) as report:
        report.write("".join(traceback.format_exception(error)))
    print(  # noqa: T201
        f"pgx: this is our mistake, not yours: {type(error).__name__}: {error}\n"
        f"     what happened is written down in {report.name}; please send it with your report",
        file=sys.stderr,
    )
    return OURS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pgx", description="Compile, run and report audits of machine-learning models, written in YAML."
    )
    parser.add_argument("--version", action="version", version=f"pgx {_version()}")
    words = parser.add_subparsers(title="words", required=True, metavar="WORD")

    def add(name: str, function: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        one = words.add_parser(name, help=help, description=help)
        one.set_defaults(word=function)
        one.add_argument(
            "--format", choices=("text", "json"), default="text", help="text for people, json for programs"
        )
        return one

    one = add("check", _check, "say everything that is wrong with a spec; computes nothing")
    one.add_argument("spec", help="the audit, a YAML file")
    one = add("compile", _compile, "print the plan of an audit: its steps, what each costs, and why it is done so")
    one.add_argument("spec", help="the audit, a YAML file")
    one.add_argument("--graph", action="store_true", help="print the whole execution graph instead of the table")
    one = add("run", _run, "run an audit and write its factsheet; what is known already is not computed again")
    one.add_argument("spec", help="the audit, a YAML file")
    one.add_argument("-o", "--output", help="folder of the run (default: runs/<name>/<time>-<digest>)")
    one.add_argument("-j", "--jobs", type=_positive, default=2, help="steps computed at a time (default 2)")
    one.add_argument("--engine", choices=("processes", "inline"), default="processes", help="where steps are computed")
    one = add("report", _report, "write the HTML and PDF of a finished run again, from its factsheet.json alone")
    one.add_argument("run", help="the run's folder")
    one = add("explain", _explain, "explain a diagnostic code, a method, or why a node of a spec's plan runs")
    one.add_argument("what", help="PGX2001, kernel_shap, or a node such as explain.kernel_shap")
    one.add_argument("--spec", help="the audit that the node belongs to")
    add("methods", _methods, "list the methods of the catalogue, by stage")
    one = add("schema", _schema, "print a JSON Schema: of the audit language, or of factsheet.json")
    one.add_argument("of", nargs="?", choices=("audit", "factsheet"), default="audit")
    one = add("verify", _verify, "hash a run's evidence again and compare it with its manifest")
    one.add_argument("run", help="the run's folder")
    return parser


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("pgx-compiler")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _print(text: str) -> None:
    print(text)  # noqa: T201


def _print_json(value: Any) -> None:
    from pgx_compiler.evidence.canonical import plain

    _print(json.dumps(plain(value), indent=2, ensure_ascii=False))


def _say_diagnostics(diagnostics: Any, sources: dict[str, str], format: str) -> None:
    from pgx_compiler.diagnostics.render import render_json, render_text

    if format == "json":
        _print(render_json(diagnostics))
    else:
        print(render_text(diagnostics, sources, sys.stderr.isatty()), file=sys.stderr)  # noqa: T201


def _check(options: argparse.Namespace) -> int:
    from pgx_compiler.driver import check

    checked = check(options.spec)
    if len(checked.diagnostics) or options.format == "json":
        _say_diagnostics(checked.diagnostics, checked.sources, options.format)
    if checked.audit is None:
        return AUTHOR
    if options.format == "text":
        _print(f"{options.spec}: nothing is wrong with it ({len(checked.audit.steps)} steps)")
    return PASSED


def _compile(options: argparse.Namespace) -> int:
    from pgx_compiler.driver import compile, store_of
    from pgx_compiler.ir.text import render
    from pgx_compiler.plan.table import table

    plan = compile(options.spec)
    if options.format == "json":
        _print(plan.to_json().rstrip("\n"))
    elif options.graph:
        _print(render(plan.graph).rstrip("\n"))
    else:
        _print(table(plan, store_of(options.spec)))
    return PASSED


def _run(options: argparse.Namespace) -> int:
    from pgx_compiler.driver import exit_status, run
    from pgx_compiler.progress import watch

    with watch(quiet=options.format == "json") as observer:
        ran = run(options.spec, options.output, options.jobs, options.engine, observer)
    verdict = ran.factsheet.verdict
    if options.format == "json":
        _print_json(
            {"run": str(ran.folder), "verdict": verdict.model_dump(mode="json"), "files": [str(p) for p in ran.written]}
        )
    else:
        _say_result(ran)
    return exit_status(ran)


def _say_result(ran: Any) -> None:
    def say(text: str) -> None:
        print(text, file=sys.stderr)  # noqa: T201

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
        _print(str(path))


def _report(options: argparse.Namespace) -> int:
    from pgx_compiler.driver import report_again

    for path in report_again(options.run):
        _print(str(path))
    return PASSED


def _explain(options: argparse.Namespace) -> int:
    from pgx_compiler.explain import explain

    answer = explain(options.what, options.spec)
    _print_json(answer.data) if options.format == "json" else _print(answer.text)
    return PASSED


def _methods(options: argparse.Namespace) -> int:
    from pgx_compiler.explain import methods_listed, methods_table

    _print_json(methods_listed()) if options.format == "json" else _print(methods_table())
    return PASSED


def _schema(options: argparse.Namespace) -> int:
    from pgx_compiler.schema import schema_of

    _print_json(schema_of(options.of))
    return PASSED


def _verify(options: argparse.Namespace) -> int:
    from pgx_compiler.driver import verify_run

    problems = verify_run(options.run)
    if options.format == "json":
        _print_json({"run": options.run, "problems": problems})
    else:
        for problem in problems:
            print(f"damaged: {problem}", file=sys.stderr)  # noqa: T201
        _print(f"{options.run}: {'damaged' if problems else 'every file matches its digest'}")
    return DAMAGED if problems else PASSED


if __name__ == "__main__":
    sys.exit(main())
