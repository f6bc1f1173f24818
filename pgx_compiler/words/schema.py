"""``pgx schema``: for editors and programs."""

import argparse

from pgx_compiler.words import PASSED, answer

HELP = "print a JSON Schema: of the audit language, of factsheet.json, or of a line of events.jsonl"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("of", nargs="?", choices=("audit", "factsheet", "events"), default="audit")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.schema import schema_text

    answer(schema_text(options.of).rstrip("\n"))
    return PASSED
