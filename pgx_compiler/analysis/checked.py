"""From the path of a spec to everything that is wrong with it: reading, parsing and analysis in one go.

Apart from `driver`, which imports every stage, so that `pgx check` pays for no stage that it does not reach.
"""

from dataclasses import dataclass
from pathlib import Path

from pgx_compiler.analysis.analyse import analyse
from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.spec.compose import NOTHING
from pgx_compiler.spec.overrides import Overrides
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.source import STDIN, read_source, read_standard_input


@dataclass(frozen=True)
class Checked:
    """What checking gave."""

    audit: Resolved | None
    """None where there is an error."""
    diagnostics: Diagnostics
    sources: dict[str, str]
    """File name to its text, for showing the lines."""


def check(path: str | Path, overrides: Overrides = NOTHING) -> Checked:
    """Read and check a spec; every mistake in one go, no framework imported, no row computed.

    Args:
        path: the spec; ``-`` reads standard input, and paths in it are relative to the current folder.
        overrides: profiles and values that the command line lays over it.

    Raises:
        AuthorError: the file itself cannot be read as text.
    """
    path = Path(path)
    piped = str(path) == "-"
    text = read_standard_input() if piped else read_source(path)
    parsed = parse(text, STDIN if piped else str(path), path.parent, overrides)
    analysis = analyse(parsed, path.parent)
    return Checked(analysis.resolved, analysis.diagnostics, dict(parsed.document.composition.sources))
