"""All checks in order, and what they have settled."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pgx_compiler.analysis.checks import CHECKS
from pgx_compiler.analysis.checks.strategy import weigh
from pgx_compiler.analysis.context import Context, EnoughSaidError
from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.diagnostics.diagnostic import Diagnostic, Diagnostics
from pgx_compiler.spec.parse import ParsedSpec
from pgx_compiler.spec.source import Path_


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
        _look_further(parsed, root, found)
        return Analysis(None, found)
    context = Context(parsed.spec, parsed.document, root, found)
    try:
        for check in CHECKS:
            check(context)
    except EnoughSaidError:
        return Analysis(None, found)
    return Analysis(None if found.failed else _resolved(context), found)


_DEPENDENT: Mapping[str, frozenset[str]] = {
    "model": frozenset(
        {"model", "explain", "precaution", "agreement", "faithfulness", "gates", "tuning", "data", "strategy"}
    ),
    "data": frozenset(
        {"data", "explain", "precaution", "agreement", "faithfulness", "gates", "tuning", "model", "strategy"}
    ),
    "precaution": frozenset({"gates", "tuning"}),
    "explain": frozenset({"agreement", "faithfulness", "gates", "tuning", "strategy"}),
    "agreement": frozenset({"gates", "tuning"}),
    "faithfulness": frozenset({"gates"}),
}
"""Top-level key to those whose meaning hangs on it: with a part of it left out, nothing is said of them but their files
and names."""


def _look_further(parsed: ParsedSpec, root: Path, found: Diagnostics) -> None:
    """Find what else is wrong with a spec that has not the form of an audit, and say what surely is.

    What was left out may make the rest look wrong: nothing is said at or around it, nor of what hangs on it.
    """
    if parsed.salvaged is None:
        return
    context = Context(parsed.salvaged, parsed.document, root, Diagnostics(), salvaged=True)
    with contextlib.suppress(EnoughSaidError):  # what was said before is worth saying still
        for check in CHECKS:
            check(context)
    for item in context.diagnostics:
        if not any(_touches(item, path, parsed) for path in parsed.left_out):
            found.add(item)


def _touches(item: Diagnostic, left_out: Path_, parsed: ParsedSpec) -> bool:
    path = item.path
    if path[: len(left_out)] == left_out or left_out[: len(path)] == path:
        return True
    if parsed.document.value_span(path) is None:  # said of a default: the author may have mistyped its key
        return True
    hangs_on = _DEPENDENT.get(str(left_out[0]), frozenset())
    return bool(path) and path[0] in hangs_on and item.code.number not in range(5000, 5010) and item.code.number >= 3010


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
        adaptations=dict(context.adaptations),
        moved=dict(context.moved),
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
        select=context.select,
        rows=context.rows,
        fill=dict(context.fill),
        described=dict(context.described),
        vocabulary=context.vocabulary,
        tokenizer=dict(context.tokenizer),
        weigh=lambda: weigh(context),
    )
