"""Arguments that every word which reads a spec shares: the spec itself, and what the command line lays over it."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgx_compiler.spec.overrides import Overrides


def add_spec(parser: argparse.ArgumentParser) -> None:
    """Declare the spec and its overrides."""
    parser.add_argument("spec", help="the audit, a YAML file; `-` reads standard input")
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Declare ``--set`` and ``--profile``."""
    parser.add_argument(
        "--set",
        dest="sets",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="put a value at a place of the spec: explain.rows.sample=8, precaution[drift].with.warn=0.2; may be repeated",
    )
    parser.add_argument(
        "--profile",
        dest="profiles",
        metavar="NAME",
        action="append",
        default=[],
        help="lay one of the spec's `profiles` over it; may be repeated, a later one wins",
    )


def overrides_of(options: argparse.Namespace) -> "Overrides":
    """What the command line lays over the spec."""
    from pgx_compiler.spec.overrides import Overrides

    return Overrides(tuple(options.sets), tuple(options.profiles))


def name_of(options: argparse.Namespace) -> str:
    """What the spec is called in messages."""
    return "<stdin>" if options.spec == "-" else str(options.spec)
