"""The command: parses the word, runs it, and turns what goes wrong into sentences and exit statuses.

0 passed, 1 a gate or finding failed, 2 the author's mistake, 3 incomplete, 4 stale plan or lock, 5 damaged evidence,
70 our failure, 130 interrupted. stdout is data; stderr is for people.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # as in `typing`, which takes as long to import as all else that is here
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from types import FrameType

_INTERRUPTED = 130
_SAID = "pgx: interrupted; finished steps are kept, run again to continue"


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run one command; returns its exit status."""
    before = _listen(_end)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        _listen(_end)
        from pgx_compiler.words import say

        say(_SAID)
        return _INTERRUPTED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(handler: "Callable[[int, FrameType | None], None]") -> "dict[int, signal._HANDLER]":
    """Have a signal that ends a command handled; what is ignored stays ignored. Returns the handlers that there were.

    This comes before all imports that take time.
    """
    before: dict[int, signal._HANDLER] = {}
    for number in (getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            try:
                before[number] = signal.signal(number, handler)
            except ValueError:  # not in the main thread: a notebook's own affair
                break
    return before


def _end(number: int, frame: "FrameType | None") -> None:  # noqa: ARG001
    """End at once, in a sentence: nothing has begun yet, or it was asked for twice."""
    try:
        os.write(2, f"{_SAID}\n".encode())
    finally:
        os._exit(_INTERRUPTED)


def _unwind(number: int, frame: "FrameType | None") -> None:  # noqa: ARG001
    """Bring what has begun to an end; the next signal ends at once."""
    _listen(_end)
    raise KeyboardInterrupt


def _run(arguments: "Sequence[str] | None") -> int:
    import gc
    import io

    # no plugin of another distribution may change how a spec is read; looking for one takes 30 ms besides
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # what starting up makes, stays: to look it over for garbage every 700 objects takes a twentieth of a check
    gc.set_threshold(50_000)
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            # names, signs and JSON must come out whole whatever the locale; UTF-8 is what files hold here anyway
            stream.reconfigure(encoding="utf-8")
    options = parser().parse_args(arguments)
    _listen(_unwind)
    return _answered(options)


def _answered(options: "argparse.Namespace") -> int:
    from pgx_compiler.diagnostics.diagnostic import AuthorError
    from pgx_compiler.evidence.ledger import BrokenLedger
    from pgx_compiler.evidence.store import DamagedEvidence
    from pgx_compiler.words import AUTHOR, DAMAGED, CannotAnswer, say, show_diagnostics, words

    try:
        return words()[options.word].run(options)
    except AuthorError as error:
        spec = getattr(options, "spec", None) or ()
        show_diagnostics(error.diagnostics, error.sources, options.format, *([spec] if isinstance(spec, str) else spec))
        return AUTHOR
    except DamagedEvidence as error:
        say(f"pgx: damaged evidence: {error}; run again to compute it anew")
        return DAMAGED
    except BrokenLedger as error:
        say(
            f"pgx: damaged evidence: {error}, so that nothing can be sealed in it; `pgx verify --store` tells more. Keep the "
            "ledger that you have elsewhere and move it out of the store: the next run begins a new one"
        )
        return DAMAGED
    except CannotAnswer as error:
        say(f"pgx: cannot write to standard output: {error}")
        return AUTHOR
    except Exception as error:  # noqa: BLE001  (the last line of defence: a sentence and a file, never a traceback)
        return _our_failure(error)


def _open_what_is_closed() -> None:
    """Let a standard stream that the caller has closed lead nowhere.

    Else the next file that is opened takes its number, and whatever prints writes into that file: evidence, for instance.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _our_failure(error: Exception) -> int:
    import tempfile
    import traceback

    from pgx_compiler.words import OURS, say

    with tempfile.NamedTemporaryFile(
        "w", prefix="pgx-failure-", suffix=".txt", delete=False, encoding="utf-8"
    ) as report:
        report.write("".join(traceback.format_exception(error)))
    say(
        f"pgx: this is our mistake, not yours: {type(error).__name__}: {error}\n"
        f"     what happened is written down in {report.name}; please send it with your report"
    )
    return OURS


def parser() -> "argparse.ArgumentParser":
    """The whole command line, as the words declare it."""
    import argparse

    from pgx_compiler.words import answer, words

    class Version(argparse.Action):
        """Argparse's own action wants the version beforehand, which takes every command 30 ms to look up."""

        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
            answer(f"pgx {_version()}")
            parser.exit()

    whole = argparse.ArgumentParser(
        prog="pgx", description="Compile, run and report audits of machine-learning models, written in YAML."
    )
    whole.add_argument("--version", action=Version, nargs=0, help="show the version of this program and end")
    whole.set_defaults(whole=whole)  # `pgx completion` describes the command line that it is part of
    places = whole.add_subparsers(title="words", required=True, metavar="WORD", dest="word")
    for name, word in words().items():
        one = places.add_parser(name, help=word.HELP, description=word.HELP)
        first = word.FORMATS[0]
        one.add_argument("--format", choices=word.FORMATS, default=first, help=f"default {first}")
        word.add_arguments(one)
    return whole


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("pgx-compiler")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


if __name__ == "__main__":
    sys.exit(main())
