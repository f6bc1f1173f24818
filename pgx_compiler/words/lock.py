"""``pgx lock``: what the audits of a folder stand on, written beside them."""

import argparse

from pgx_compiler.words import PASSED, answer, answer_json, one_line, say

HELP = "write pgx.lock beside a spec: digests of model and data, versions of methods and libraries"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument(
        "specs", nargs="+", metavar="spec", help="audits, YAML files; each gets a section in the pgx.lock of its folder"
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import compile
    from pgx_compiler.versioning.lock import write_lock

    done = [(spec, write_lock(compile(spec), spec)) for spec in options.specs]
    if options.format == "json":
        answer_json(
            [
                {"spec": spec, "lock": str(locked.path), "new": locked.new, "changed": [vars(s) for s in locked.shifts],
                 "forgotten": list(locked.forgotten)}
                for spec, locked in done
            ]
        )  # fmt: skip
        return PASSED
    for spec, locked in done:
        state = "locked" if locked.new else f"{len(locked.shifts)} changed" if locked.shifts else "as it was"
        answer(f"{one_line(str(locked.path))}: {one_line(spec)} {state}")
        for shift in locked.shifts:
            say(f"  {one_line(str(shift))}")
        for name in locked.forgotten:
            say(f"  {one_line(name)} is no longer there; its section is gone")
    return PASSED
