"""Which part of a plan is meant: ``-s NAME``, ``+NAME``, ``NAME+``, ``stage:S``, ``method:M``, ``state:modified``.

Several expressions are a union, a comma is an intersection. ``*`` stands for anything. ``+`` before a term adds
everything that it rests on, ``+`` behind it everything that rests on it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.diagnostics.nearest import nearest
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.plan.stages import PARTS, stage_of
from pgx_compiler.plan.states import SOURCES, State

NOTHING_SELECTED = Code(
    5031,
    "nothing-selected",
    "A term of `--select` matches no node of the plan. A term is the name of a step or node (`*` stands for anything), "
    "`stage:NAME`, `method:NAME` or `state:modified` (what is not known yet); `+` before it adds what it rests on, `+` "
    "behind it what rests on it; a comma joins terms that must all hold; several `--select` add up. `pgx compile` lists "
    "the nodes.",
)

_COMMA = r",(?![^\[\]]*\])"
"""Joins terms; a comma in brackets belongs to a step's id."""

_STATES: Mapping[str, tuple[State, ...]] = {"modified": ("run", "run?"), "hit": ("hit",), "run": ("run",)}


@dataclass(frozen=True)
class Selection:
    """A part of a plan."""

    expressions: tuple[str, ...]
    chosen: frozenset[str]
    """What the expressions name."""
    needed: frozenset[str]
    """What that rests on besides: it is run too, or found."""

    @property
    def nodes(self) -> frozenset[str]:
        """Everything that a run of the selection brings to an end."""
        return self.chosen | self.needed

    @property
    def words(self) -> str:
        """As the author wrote it: ``-s kernel_shap -s stage:precaution``."""
        return " ".join(f"-s {expression}" for expression in self.expressions)


def select(graph: Graph, expressions: Sequence[str], states: Callable[[], Mapping[str, State]]) -> Selection:
    """The nodes that expressions name, and what those rest on.

    Args:
        graph: the compiled graph.
        expressions: as given to ``--select``.
        states: looked up only where an expression asks for ``state:``.

    Raises:
        AuthorError: an expression is malformed or names nothing.
    """
    chosen: set[str] = set()
    for expression in expressions:
        terms = [_term(term.strip(), expression, graph, states) for term in re.split(_COMMA, expression)]
        chosen |= set.intersection(*terms)
    computed = frozenset(name for name in chosen if graph[name].op not in SOURCES)
    if not computed:
        raise _nothing(f"`{' '.join(expressions)}` selects no node: no node is in all of its parts", "")
    return Selection(tuple(expressions), computed, graph.upstream(*computed) - computed)


def _term(term: str, expression: str, graph: Graph, states: Callable[[], Mapping[str, State]]) -> set[str]:
    name = term.removeprefix("+")
    before, after = name != term, name.endswith("+")
    name = name.removesuffix("+")
    if not name or name.startswith("+") or name.endswith("+"):
        raise _nothing(f"`{expression}` is no selection: a term needs a name", "write `+kernel_shap` or `kernel_shap+`")
    kind, _, value = name.partition(":")
    if kind == "stage" and value:
        found = {node.id for node in graph if value in (stage_of(node), *_families(node))}
        known = [*PARTS[1:], "explain"]
    elif kind == "method" and value:
        found = {node.id for node in graph if node.method and _matches(value, node.method)}
        known = sorted({node.method for node in graph if node.method})
    elif kind == "state" and value:
        found = {node for node, state in states().items() if state in _STATES.get(value, ())}
        known = list(_STATES)
        if not found and value in _STATES:
            raise _nothing(f"`{term}` selects no node: {_NONE_IN_STATE[value]}", "")
    else:
        found = {node.id for node in graph if _matches(name, node.id) or (node.step and _matches(name, node.step))}
        known, kind, value = sorted({node.step or node.id for node in graph} | set(graph.ids)), "", name
    if not found:
        near = nearest(value, known)
        prefix = f"{kind}:" if kind else ""
        if near == value:
            raise _nothing(f"`{term}` selects no node: this plan has none", "")
        raise _nothing(
            f"`{term}` selects no node",
            f"did you mean `{prefix}{near}`?"
            if near
            else f"there are: {', '.join(prefix + one for one in known[:12])}",
        )
    result = set(found)
    if before:
        result |= graph.upstream(*found)
    if after:
        result |= graph.downstream(*found)
    return result


_NONE_IN_STATE = {
    "modified": "everything is known already",
    "hit": "nothing is known yet",
    "run": "nothing has changed by itself",
}


def _families(node: Node) -> tuple[str, ...]:
    return ("explain",) if "attribute" in (node.op, node.params.get("of")) else ()


def _matches(pattern: str, name: str) -> bool:
    # only `*` is special: ids of expanded steps hold brackets, which a shell's globs would read as sets
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name) is not None


def _nothing(message: str, help_: str) -> AuthorError:
    found = Diagnostics()
    found.add(
        Diagnostic(NOTHING_SELECTED, message, None, help_ or "`pgx compile SPEC` lists the nodes and their states")
    )
    return AuthorError(found)


def described(selection: Selection) -> dict[str, Any]:
    """A selection as plain values."""
    return {
        "select": list(selection.expressions),
        "chosen": sorted(selection.chosen),
        "needed": sorted(selection.needed),
    }
