"""``pgx diff``: did the question change, the ground it stands on, or the answer?"""

import argparse

from pgx_compiler.words import FAILED, PASSED, answer, answer_json

HELP = "compare two specs, revisions, plans or runs: did the question change, or the answer?"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    what = "a spec, REVISION:PATH of git, a plan.json, a run's folder or a baseline"
    parser.add_argument("old", help=what)
    parser.add_argument("new", help="the same")
    parser.add_argument("--all", action="store_true", help="show every line, however many there are")
    parser.epilog = "Exit status: 0 nothing changed beyond noise, 1 something did or nobody can tell, 2 they have nothing in common."


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.versioning.comparison import compare
    from pgx_compiler.versioning.sides import open_side
    from pgx_compiler.versioning.telling import tell

    comparison = compare(open_side(options.old), open_side(options.new))
    if options.format == "json":
        answer_json(comparison.data)
    else:
        answer(tell(comparison, options.all))
    return FAILED if comparison.changed else PASSED
