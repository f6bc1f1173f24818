"""``pgx completion``: completion for a shell."""

import argparse

from pgx_compiler.words import PASSED, answer

HELP = "print a script that completes pgx's words, options and files in a shell"
FORMATS = ("text",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for bash: source <(pgx completion bash)")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.authoring.completion import script
    from pgx_compiler.methods.catalogue import catalogue

    known = {"explain": {"what": sorted(catalogue())}}
    answer(script(options.shell, options.whole, known).rstrip("\n"))
    return PASSED
