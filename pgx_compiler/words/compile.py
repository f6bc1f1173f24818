"""``pgx compile``: the plan of an audit."""

import argparse

from pgx_compiler.words import PASSED, answer

HELP = "print the plan of an audit: its steps, what each costs, and why it is done so"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("spec", help="the audit, a YAML file")
    parser.add_argument("--graph", action="store_true", help="print the whole execution graph instead of the table")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import compile, store_of
    from pgx_compiler.ir.text import render
    from pgx_compiler.plan.table import table

    plan = compile(options.spec)
    if options.format == "json":
        answer(plan.to_json().rstrip("\n"))
    elif options.graph:
        answer(render(plan.graph).rstrip("\n"))
    else:
        answer(table(plan, store_of(options.spec)))
    return PASSED
