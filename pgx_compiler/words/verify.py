"""``pgx verify``: a run's evidence against its digests."""

import argparse

from pgx_compiler.words import DAMAGED, PASSED, answer, answer_json, say

HELP = "hash a run's evidence again and compare it with its manifest"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("run", help="the run's folder")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import verify_run

    problems = verify_run(options.run)
    if options.format == "json":
        answer_json({"run": options.run, "problems": problems})
    else:
        for problem in problems:
            say(f"damaged: {problem}")
        answer(f"{options.run}: {'damaged' if problems else 'every file matches its digest'}")
    return DAMAGED if problems else PASSED
