"""``pgx methods``: the catalogue."""

import argparse

from pgx_compiler.words import PASSED, answer, answer_json

HELP = "list the methods of the catalogue, by stage"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing besides the format."""


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.explain import methods_listed, methods_table

    answer_json(methods_listed()) if options.format == "json" else answer(methods_table())
    return PASSED
