"""``pgx check``: everything that is wrong with a spec, in one go."""

import argparse

from pgx_compiler.words import AUTHOR, PASSED, answer, show_diagnostics

HELP = "say everything that is wrong with a spec; computes nothing"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("spec", help="the audit, a YAML file")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import check

    checked = check(options.spec)
    if len(checked.diagnostics) or options.format == "json":
        show_diagnostics(checked.diagnostics, checked.sources, options.format)
    if checked.audit is None:
        return AUTHOR
    if options.format == "text":
        answer(f"{options.spec}: nothing is wrong with it ({len(checked.audit.steps)} steps)")
    return PASSED
