"""All checks in order, and what they have settled."""

from dataclasses import dataclass
from pathlib import Path

from pgx_compiler.analysis.checks import CHECKS
from pgx_compiler.analysis.context import Context, EnoughSaidError
from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.spec.parse import ParsedSpec


@dataclass(frozen=True)
class Analysis:
    """What a spec means, and everything there is to say of it, reading and parsing included."""

    resolved: Resolved | None
    """None where anything is wrong."""
    diagnostics: Diagnostics


def analyse(parsed: ParsedSpec, root: Path) -> Analysis:
    """Check a parsed spec against its files and the catalogue; `root` is the folder of the spec."""
    found = Diagnostics(list(parsed.diagnostics))
    if parsed.spec is None:
        return Analysis(None, found)
    context = Context(parsed.spec, parsed.document, root, found)
    try:
        for check in CHECKS:
            check(context)
    except EnoughSaidError:
        return Analysis(None, found)
    return Analysis(None if found.failed else _resolved(context), found)


def _resolved(context: Context) -> Resolved:
    # with no error said, a value that is missing here is a mistake of a check
    if context.score is None or context.features is None or context.n_outputs is None or context.rows is None:
        raise AssertionError("a check left something open without saying why")
    if context.columns is None or context.classes is None or len(context.steps) != len(context.named):
        raise AssertionError("a check left something open without saying why")
    return Resolved(
        spec=context.spec,
        document=context.document,
        root=context.root,
        models=dict(context.models),
        data=dict(context.data),
        masks=dict(context.masks),
        inputs=context.inputs,
        renamed=dict(context.renamed),
        sources=dict(context.sources),
        features=context.features,
        columns=context.columns,
        beside=context.beside,
        groups=dict(context.groups),
        score=context.score,
        n_outputs=context.n_outputs,
        classes=context.classes,
        steps=tuple(context.steps),
        references=context.references,
        rows=context.rows,
        fill=dict(context.fill),
    )
