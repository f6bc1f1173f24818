"""``pgx check``: everything that is wrong with one spec or several, in one go."""

import argparse
import re

from pgx_compiler.diagnostics.formats import names
from pgx_compiler.words import AUTHOR, PASSED, STALE, answer, one_line, show_diagnostics
from pgx_compiler.words._arguments import add_overrides, name_of, overrides_of
from pgx_compiler.words._standing import add_locked, stale_lock

HELP = "say everything that is wrong with a spec; computes nothing"
FORMATS = names()

_AN_AUDIT = re.compile(rb"^[\s{]*[\"']?apiVersion[\"']?\s*:\s*[\"']?pgx/", re.MULTILINE)
_LOOKED_AT = 65_536
"""Bytes at the start of a file that tell whether it is an audit."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("spec", nargs="+", help="audits, YAML files; `-` reads standard input")
    parser.add_argument(
        "--skip-others", action="store_true", help="pass over files that do not say `apiVersion: pgx/…`: for hooks"
    )
    add_overrides(parser)
    add_locked(parser)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.analysis.checked import Checked, check
    from pgx_compiler.diagnostics.diagnostic import AuthorError, Diagnostics

    found, sources, looked_at = Diagnostics(), dict[str, str](), list[str]()
    good: list[tuple[argparse.Namespace, Checked]] = []
    wrong = False
    for spec in dict.fromkeys(options.spec):
        if options.skip_others and not _is_audit(spec):
            continue
        one = argparse.Namespace(**{**vars(options), "spec": spec})
        looked_at.append(name_of(one))
        try:
            checked = check(spec, overrides_of(options))
        except AuthorError as error:  # the file itself cannot be read; the others still are
            said, texts = error.diagnostics, error.sources
            wrong = True
        else:
            said, texts = checked.diagnostics, checked.sources
            wrong = wrong or checked.audit is None
            good += [(one, checked)] if checked.audit is not None else []
        for item in said:
            found.add(item)
        sources |= texts
    show_diagnostics(found, sources, options.format, *looked_at)
    stale = options.locked and sum(_is_stale(one) for one, _ in good) > 0  # each is looked at
    if options.format == "text" and not stale:
        for one, checked in good:
            steps = len(checked.audit.steps) if checked.audit else 0
            answer(f"{one_line(name_of(one))}: nothing is wrong with it ({steps} steps)")
    return AUTHOR if wrong else STALE if stale else PASSED


def _is_stale(options: argparse.Namespace) -> bool:
    from pgx_compiler.driver import compile

    return stale_lock(options, lambda: compile(options.spec, overrides_of(options)))


def _is_audit(path: str) -> bool:
    """Whether a file says that it is one; what cannot be read is checked, so that it is complained about."""
    try:
        with open(path, "rb") as file:
            return bool(_AN_AUDIT.search(file.read(_LOOKED_AT)))
    except OSError:
        return True
