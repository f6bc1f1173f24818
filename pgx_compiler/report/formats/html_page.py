"""``factsheet.html``: one file that asks nobody for anything, reads without JavaScript and does more with it."""

from pathlib import Path

from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import write_atomically
from pgx_compiler.report.formats.json_file import again
from pgx_compiler.report.templates import page

SUFFIX = ".html"


def write(factsheet: Factsheet, path: Path) -> None:
    """Write ``factsheet.html``."""
    write_atomically(path, page(again(factsheet)).encode("utf-8"))
