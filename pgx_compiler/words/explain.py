"""``pgx explain``: a code, a method, or a node."""

import argparse

from pgx_compiler.words import PASSED, answer, answer_json
from pgx_compiler.words._arguments import add_overrides, overrides_of

HELP = "explain a diagnostic code, a method, or why a node of a spec's plan runs"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("what", help="PGX2001, kernel_shap, or a node such as explain.kernel_shap")
    parser.add_argument("--spec", help="the audit that the node belongs to; `-` reads standard input")
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.explain import explain

    found = explain(options.what, options.spec, overrides_of(options))
    answer_json(found.data) if options.format == "json" else answer(found.text)
    return PASSED
