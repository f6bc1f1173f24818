"""``pgx init``: a first spec from a model and its data."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pgx_compiler.words import AUTHOR, PASSED, answer, answer_json, one_line, say, show_diagnostics

if TYPE_CHECKING:
    from pgx_compiler.authoring.first_spec import FirstSpec

HELP = "write a valid, commented spec from a model and its data"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="the model (.keras, .onnx or both) and one or two data files, in any order",
    )
    parser.add_argument("-o", "--output", default="audit.yaml", help="the spec to write (default audit.yaml)")
    parser.add_argument("--force", action="store_true", help="write over a spec that is there already")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.authoring.first_spec import first_spec, refuse_to_overwrite

    spec = Path(options.output)
    if not options.force:
        refuse_to_overwrite(spec)
    made = first_spec(options.files, spec)
    written = _write(made.text, spec)
    if options.format == "json":
        answer_json({"spec": str(spec), "written": [str(path) for path in written], "guesses": list(made.guesses)})
    else:
        _say_next(made, spec, written)
    if len(made.left):
        show_diagnostics(made.left, {str(spec): made.text}, "text")
    return AUTHOR if made.left.failed else PASSED


def _write(text: str, spec: Path) -> list[Path]:
    """Write the spec, and beside it the schema that its first line names, unless one is there."""
    from pgx_compiler.authoring.first_spec import SCHEMA, cannot_write
    from pgx_compiler.schema import schema_text

    written = [spec]
    try:
        spec.write_text(text, "utf-8")
        schema = spec.parent / SCHEMA
        if not schema.exists():
            schema.write_text(schema_text("audit"), "utf-8")
            written.append(schema)
    except OSError as error:
        raise cannot_write(error, spec) from error
    return written


def _say_next(made: "FirstSpec", spec: Path, written: list[Path]) -> None:
    for path in written:
        answer(str(path))
    say("\nGuessed, please look:")
    for guess in made.guesses:
        say(f"  - {one_line(guess)}")
    if made.left.failed:
        say("\nWhat only you can settle, before it can run:\n")
        return
    say(f"\nNext:\n  pgx check {spec}      is anything wrong with it?")
    say(f"  pgx compile {spec}    what will it do, and what will that cost?\n  pgx run {spec}        the factsheet")
