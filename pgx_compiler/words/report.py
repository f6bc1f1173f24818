"""``pgx report``: a finished run's pages, drawn again."""

import argparse

from pgx_compiler.words import PASSED, answer

HELP = "write the HTML and PDF of a finished run again, from its factsheet.json alone"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("run", help="the run's folder")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import report_again

    for path in report_again(options.run):
        answer(str(path))
    return PASSED
