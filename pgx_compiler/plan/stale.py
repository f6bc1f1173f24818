"""Hold a freshly compiled plan against the ``plan.json`` that somebody has read and agreed to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.plan.differences import differences
from pgx_compiler.plan.plan import SCHEMA, Plan, digest_of

UNUSABLE_PLAN = Code(
    5032,
    "unusable-plan",
    "The file given with `--plan` is not a plan as `pgx compile --format json` writes it: it cannot be read, is of another "
    "layout, or was changed after it was written (its digest does not match its content).",
)

SHOWN = 12
"""Most differences that are told; the rest is counted."""


class StalePlan(Exception):  # noqa: N818  (said of the plan, not of the program)
    """The plan of now is not the plan that was agreed to; holds what differs, a line each."""

    def __init__(self, differing: list[str]) -> None:
        self.differing = differing
        super().__init__(f"the plan has changed since it was written: {differing[0]}")

    @property
    def told(self) -> list[str]:
        """The first differences, and how many more there are."""
        more = len(self.differing) - SHOWN
        return [*self.differing[:SHOWN], *([f"and {more} more"] if more > 0 else [])]


def refuse_stale(agreed: Mapping[str, Any], plan: Plan) -> None:
    """Raise `StalePlan` where the plan of now is not the plan agreed to."""
    differing = what_differs(agreed, plan)
    if differing:
        raise StalePlan(differing)


def read_plan(path: str | Path) -> dict[str, Any]:
    """The document of a ``plan.json``, its digest checked. Raises `AuthorError`."""
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except ValueError as error:  # also text that is no UTF-8
        raise _unusable(path, f"it is not JSON ({str(error).splitlines()[0]})") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or not _has_nodes(document):
        raise _unusable(path, f"it is not a `{SCHEMA}` document")
    stated = document.pop("digest", None)
    if stated != digest_of(document):
        raise _unusable(path, "it was changed after it was written: its digest does not match its content")
    return {**document, "digest": stated}


def _has_nodes(document: Mapping[str, Any]) -> bool:
    nodes = document.get("nodes")
    return isinstance(nodes, list) and all(isinstance(n, dict) and isinstance(n.get("id"), str) for n in nodes)


def _unusable(path: str | Path, reason: str) -> AuthorError:
    found = Diagnostics()
    help_ = "write one with `pgx compile SPEC --format json > plan.json`"
    found.add(Diagnostic(UNUSABLE_PLAN, f"`{path}` cannot be used as a plan: {reason}", None, help_))
    return AuthorError(found)


def what_differs(agreed: Mapping[str, Any], plan: Plan) -> list[str]:
    """A line for each thing in which the plan of now is not the plan agreed to; empty where they are the same.

    Of a changed node its first ingredient that differs; where nothing of its own does, which input has changed.
    """
    if agreed["digest"] == plan.digest:
        return []
    now = json.loads(plan.to_json())
    before, after = _by_id(agreed), _by_id(now)
    said = [f"added    {name}" for name in after if name not in before]
    said += [f"removed  {name}" for name in before if name not in after]
    changed = {name for name in after if name in before and before[name] != after[name]}
    said += [f"changed  {name}: {_first(before[name], after[name], changed)}" for name in after if name in changed]
    return said + differences(_besides_nodes(agreed), _besides_nodes(now))


def _besides_nodes(document: Mapping[str, Any]) -> dict[str, Any]:
    """All but the nodes and what follows from the rest."""
    shown = {key: value for key, value in document.items() if key not in ("nodes", "digest", "totals")}
    shown["audit"] = {key: value for key, value in document.get("audit", {}).items() if key != "spec_digest"}
    return shown


def _by_id(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["id"]: node for node in document["nodes"]}


_TOLD_LAST = ("key", "cost", "note")
"""They follow from the rest."""


def _first(before: Mapping[str, Any], after: Mapping[str, Any], changed: set[str]) -> str:
    mine, theirs = ({k: v for k, v in node.items() if k not in _TOLD_LAST} for node in (before, after))
    own = differences(mine, theirs)
    if own:
        return own[0] + (f" (and {len(own) - 1} more)" if len(own) > 1 else "")
    upstream = sorted(needed for needed in after.get("inputs", {}).values() if needed in changed)
    if upstream:
        return f"it rests on {', '.join(upstream)}"
    return (differences(before, after) or ["nothing that can be shown"])[0]
