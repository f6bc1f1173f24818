"""One line each, as compilers write and editors read: ``audit.yaml:7:9: error PGX2001 no such key``."""

from collections.abc import Mapping, Sequence

from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.diagnostics.remark import only, remarks, whole_sentence
from pgx_compiler.diagnostics.render import Terminal, harmless

STREAM = "stdout"


def render(
    diagnostics: Diagnostics, sources: Mapping[str, str], subjects: Sequence[str], terminal: Terminal | None = None
) -> str:
    """Everything that was found; nothing where nothing was."""
    del sources, terminal
    lines = []
    for remark in remarks(diagnostics):
        span = remark.span
        place = f"{harmless(span.file)}:{span.line}:{span.column}" if span else harmless(only(subjects)) or "pgx"
        lines.append(f"{place}: {remark.level} {remark.rule.id} {harmless(whole_sentence(remark))}\n")
    return "".join(lines)
