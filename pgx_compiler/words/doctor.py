"""``pgx doctor``: what this host has of what an audit needs."""

import argparse

from pgx_compiler.words import FAILED, PASSED, answer, answer_json

HELP = "say what this host has, and what to do where something is missing"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing besides the format."""


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status: 1 where an audit could not run."""
    from pgx_compiler.authoring.host import look
    from pgx_compiler.driver import store_of

    looked = look(store_of("audit.yaml").root)
    missing = [one.name for one in looked if one.state == "missing"]
    if options.format == "json":
        answer_json({"ready": not missing, "host": [vars(one) for one in looked]})
        return FAILED if missing else PASSED
    wide = max(len(one.name) for one in looked) + 2
    marks = {"good": "  ", "advice": "? ", "missing": "! "}
    for one in looked:
        answer(f"{marks[one.state]}{one.name.ljust(wide)}{one.found}")
        if one.advice:
            answer(f"  {' ' * wide}-> {one.advice}")
    answer(f"\nAn audit cannot run here: {', '.join(missing)}." if missing else "\nAudits run here.")
    return FAILED if missing else PASSED
