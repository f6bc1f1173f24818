"""``pgx upgrade``: a spec in the language of today."""

import argparse
from pathlib import Path

from pgx_compiler.words import PASSED, answer, answer_json, say, show_diagnostics

HELP = "rewrite a spec of an older apiVersion; comments and formatting stay"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("spec", help="the audit, a YAML file")
    parser.add_argument("--write", action="store_true", help="write the file (default: print the difference)")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.versioning.upgrade import CURRENT, upgrade, write

    done = upgrade(Path(options.spec))
    if options.write and done.steps:
        write(done)
    if options.format == "json":
        steps = [{"from": step.FROM, "to": step.TO, "changes": list(step.CHANGES)} for step in done.steps]
        wrote = options.write and bool(done.steps)
        answer_json({"spec": options.spec, "steps": steps, "difference": done.difference, "written": wrote})
        return PASSED
    if not done.steps:
        answer(f"{options.spec}: is {CURRENT} already")
        return PASSED
    for step in done.steps:
        say(f"{step.FROM} -> {step.TO}")
        for change in step.CHANGES:
            say(f"  {change}")
    answer(f"{options.spec}: written" if options.write else done.difference.rstrip("\n"))
    if len(done.remaining):
        say("what is still wrong with it:\n")
        show_diagnostics(done.remaining, {options.spec: done.after}, "text")
    return PASSED
