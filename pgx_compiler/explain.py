"""Answers of ``pgx explain``: a diagnostic code, a method, or why a node runs."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pgx_compiler
from pgx_compiler.authoring.method_pages import described, page, terminal_width
from pgx_compiler.diagnostics.codes import collect
from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.diagnostics.examples import examples
from pgx_compiler.diagnostics.nearest import nearest
from pgx_compiler.evidence.store import Record, Store
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.passes.shard import shards_of
from pgx_compiler.plan.differences import differences
from pgx_compiler.plan.shards import trials_of
from pgx_compiler.spec.compose import NOTHING
from pgx_compiler.spec.overrides import Overrides

NOTHING_CALLED_SO = Code(
    3090,
    "nothing-called-so",
    "`pgx explain` knows diagnostic codes (PGX2001), methods (`pgx methods`) and, with `--spec`, the nodes of its plan.",
)


@dataclass(frozen=True)
class Answer:
    """One explanation, for people and for programs."""

    text: str
    data: Mapping[str, Any]


def explain(what: str, spec: str | None = None, overrides: Overrides = NOTHING) -> Answer:
    """Explain a code, a method, or a node of a spec's plan. Raises `AuthorError` where there is nothing called so."""
    if re.fullmatch(r"(?i)pgx\d{4}", what):
        return _code(what.upper())
    if spec is not None:
        return _node(what, spec, overrides)
    if what in catalogue():
        return _method(catalogue()[what])
    raise _unknown(what, [*catalogue()], "a node needs `--spec FILE`")


def _unknown(what: str, known: list[str], more: str) -> AuthorError:
    near = nearest(what, known)
    help_ = f"did you mean `{near}`? " if near else ""
    found = Diagnostics()
    found.add(Diagnostic(NOTHING_CALLED_SO, f"there is nothing called `{what}`", None, help_ + more))
    return AuthorError(found)


def _code(name: str) -> Answer:
    codes = collect(pgx_compiler)
    if name not in codes:
        raise _unknown(name, list(codes), f"codes run from {min(codes)} to {max(codes)}")
    code = codes[name]
    lines = [f"{code} {code.name}", "", _wrapped(code.explanation)]
    example = examples().get(name)
    if example:
        lines += ["", "For example:", "", textwrap.indent(example, "  ", lambda _line: True).rstrip()]
    data = {"code": str(code), "name": code.name, "explanation": code.explanation, "example": example}
    return Answer("\n".join(lines), data)


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), terminal_width())


def _method(declaration: Declaration) -> Answer:
    return Answer(page(declaration, terminal_width()), described(declaration))


def _node(what: str, spec: str, overrides: Overrides) -> Answer:
    from pgx_compiler.driver import compile, store_of

    plan = compile(spec, overrides)
    names = [node.id for node in plan.graph if node.op not in ("model", "data")]
    # a step is told by its own node: what it was cut into has to be asked for by name
    whole = {node.id: node.step for node in plan.folded}
    matching = [name for name in names if what in (name, whole.get(name))]
    if not matching:
        raise _unknown(what, names, f"the nodes of {spec} are listed by `pgx compile {spec}`")
    store = store_of(plan.audit.root / "x")
    parts = [_why(plan.graph[name], store, *_parts_of(plan.graph[name], plan.graph)) for name in matching]
    return Answer("\n\n".join(text for text, _ in parts), {"nodes": [data for _, data in parts]})


def _parts_of(node: Node, graph: Graph) -> tuple[Sequence[Node], Sequence[Node]]:
    """What a node joins, or concludes from: its shards, its trials."""
    return shards_of(node, graph), trials_of(node, graph) if node.op == "tune" else []


def _why(node: Node, store: Store, shards: Sequence[Node], trials: Sequence[Node]) -> tuple[str, dict[str, Any]]:
    """Why a node will run or not: its key's ingredients against those of what the store holds of the same work."""
    record = store.find(node.key)
    if record is not None:
        state = f"known: computed before from exactly these ingredients, in {record.seconds:.1f} s"
        changes: list[str] = []
    else:
        earlier = _nearest_record(node, store)
        if earlier is None:
            state, changes = "will run: nothing like it has been computed before", []
        else:
            changes = differences(earlier.ingredients, node.ingredients)
            state = "will run: since it was last computed, this has changed:"
    lines = [f"{node.id}: {state}", *(f"  {change}" for change in changes), "  key", f"    {node.key}", "  made from"]
    for name, value in sorted(node.ingredients.items()):
        lines.append(textwrap.shorten(f"    {name}: {value}", 200, placeholder=" …"))
    if shards:
        lines += _shards(shards, store)
    if trials:
        known = sum(store.find(one.key) is not None for one in trials)
        lines.append(f"  concluded from {len(trials)} trials, {known} of them known: {trials[0].id} to {trials[-1].id}")
    if node.note:
        lines.append(f"  chosen: {node.note}")
    data = {
        "id": node.id,
        "key": node.key,
        "known": record is not None,
        "changes": changes,
        "ingredients": node.ingredients,
        **({"shards": {one.id: store.find(one.key) is not None for one in shards}} if shards else {}),
        **({"trials": {one.id: store.find(one.key) is not None for one in trials}} if trials else {}),
    }
    return "\n".join(lines), data


def _shards(shards: Sequence[Node], store: Store) -> list[str]:
    """Which rows are worked on apart, and which of them are known already."""
    sizes = sorted({stop - start for start, stop in (one.params["part"] for one in shards)})
    known = sum(store.find(one.key) is not None for one in shards)
    rows = f"{sizes[0]} rows" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} rows"
    first, last = shards[0].id, shards[-1].id
    return [
        f"  joined from {len(shards)} shards of {rows} each, {known} of them known: {first} to {last}",
        f"    (`pgx explain {first} --spec ...` says what one of them is made from)",
    ]


def _nearest_record(node: Node, store: Store) -> Record | None:
    """The record of the same operation and method that shares most ingredients."""

    def same_work(record: Record) -> bool:
        theirs, ours = record.ingredients, node.ingredients
        if theirs.get("operation", [None])[0] != node.op:
            return False
        return bool((theirs.get("method") or [None])[0] == (ours.get("method") or [None])[0])

    candidates = [record for record in store.records() if same_work(record)]
    return min(candidates, key=lambda r: len(differences(r.ingredients, node.ingredients)), default=None)
