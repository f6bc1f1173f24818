"""From ``pgx/v0``, the draft before the first release, to ``pgx/v1``: three keys have other names."""

from collections.abc import Iterator

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic
from pgx_compiler.spec.source import Document, Path_
from pgx_compiler.versioning.migrations import Edit

FROM = "pgx/v0"
TO = "pgx/v1"
CHANGES = (
    "the stage `precautions` is called `precaution`",
    "a step names its method with `use`, not with `method`",
    "a step's parameters stand under `with`, not under `params`",
)

BOTH_SPELLINGS = Code(
    5070,
    "both-spellings",
    "The spec says something in the older and in the newer spelling of the language at once, so that `pgx upgrade` cannot "
    "know which one is meant. Delete one of the two.",
)
SHARED_TEXT = Code(
    5071,
    "shared-text",
    "A step is written once below an `x-` key and used as a step and as something else, so that renaming its keys would "
    "change both. Write one of them out.",
)

_STAGES: tuple[Path_, ...] = (
    ("precautions",),
    ("explain", "perturbation"),
    ("explain", "gradient"),
    ("agreement",),
    ("faithfulness",),
)
"""Where steps stand in a draft."""

_IN_A_STEP = {"method": "use", "params": "with"}


def edits(document: Document) -> Iterator[Edit | Diagnostic]:
    """The renamed keys."""
    renamed = dict(_renamed(document))
    for path, new in renamed.items():
        newer = (*path[:-1], new)
        if newer in document.keys:
            message = f"`{path[-1]}` and `{new}` both stand here"
            yield Diagnostic(BOTH_SPELLINGS, message, document.keys[newer], "delete one of the two", path=newer)
        span = document.keys[path]
        others = [other for other, its in document.keys.items() if its == span and other not in renamed]
        if any(not str(other[0]).startswith("x-") for other in others):
            message = f"`{path[-1]}` is written here for a step and for something else"
            yield Diagnostic(SHARED_TEXT, message, span, "write one of them out", path=path)
        yield Edit(span, new)
    yield Edit(document.values[("apiVersion",)], TO)


def _renamed(document: Document) -> Iterator[tuple[Path_, str]]:
    if ("precautions",) in document.keys:
        yield ("precautions",), "precaution"
    for path in document.keys:
        for stage in _STAGES:
            if len(path) == len(stage) + 2 and path[: len(stage)] == stage and path[-1] in _IN_A_STEP:
                yield path, _IN_A_STEP[str(path[-1])]
