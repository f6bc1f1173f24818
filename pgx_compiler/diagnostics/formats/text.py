"""For people: every diagnostic with its line, a caret and what to do."""

from collections.abc import Mapping, Sequence

from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.diagnostics.render import Terminal, render_text

STREAM = "stderr"


def render(
    diagnostics: Diagnostics, sources: Mapping[str, str], subjects: Sequence[str], terminal: Terminal | None = None
) -> str:
    """Everything that was found, in the order of the document."""
    del subjects
    return render_text(diagnostics, sources, terminal)
