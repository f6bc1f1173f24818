"""A plan in a run's folder, and back: what the factsheet is derived from, besides the evidence.

``plan.json`` says what was asked and computed; ``evidence/audit.json`` adds what the compiler had looked up, as typed values
(`pgx_compiler.evidence.typed`). Left out is what no factsheet needs: texts of the spec, words of a vocabulary, absolute paths,
what keys were made from. Data is not in a plan.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pgx_compiler.analysis.resolved import DataFile, Ground, MaskFile, ModelFile, Resolved, ResolvedStep
from pgx_compiler.diagnostics.diagnostic import Diagnostics, Span
from pgx_compiler.evidence.typed import Kind, Register, Unreadable, fields_of
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.passes.context import Context, Sharding
from pgx_compiler.plan.plan import Plan
from pgx_compiler.spec.model import AuditSpec, RowSelection
from pgx_compiler.spec.source import Composition, Document
from runtimes.datasets import ColumnFacts, DatasetFacts
from runtimes.powers import Powers
from runtimes.target import LayerFacts, ModelFacts, TensorFacts

SCHEMA = "pgx-audit/1"


@dataclass(frozen=True)
class KeptPlan(Plan):
    """A plan that was read back: what it says of itself is what its run wrote down."""

    written: Mapping[str, Any]
    """``plan.json``."""
    locked: Mapping[str, Any]
    """``pgx.lock``."""

    @property
    def document(self) -> dict[str, Any]:
        """The plan as plain values."""
        return dict(self.written)

    @property
    def lock(self) -> dict[str, Any]:
        """Digests of everything that the plan rests on."""
        return dict(self.locked)


def keep_plan(plan: Plan) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What of a plan is not in ``plan.json``, as JSON values, and the arrays that they speak of."""
    arrays: dict[str, NDArray[Any]] = {}
    bare = Graph(node.but(ingredients=_computed_by(node)) for node in plan.graph)
    kept = {"audit": _presentable(plan.audit), "nodes": tuple(bare), "context": replace(plan.context, models={})}
    return {"schema": SCHEMA, **{name: _REGISTER.to_plain(one, arrays) for name, one in kept.items()}}, arrays


def read_plan_again(
    kept: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    written: Mapping[str, Any],
    locked: Mapping[str, Any],
) -> KeptPlan:
    """The plan of `keep_plan`, ``plan.json`` and ``pgx.lock``. Raises `pgx_compiler.evidence.typed.Unreadable`."""
    if kept.get("schema") != SCHEMA:
        raise Unreadable(f"its schema is {kept.get('schema')!r}, not {SCHEMA}")
    audit, nodes, context = (_REGISTER.from_plain(kept.get(name), arrays) for name in ("audit", "nodes", "context"))
    if not isinstance(audit, Resolved) or not isinstance(context, Context):
        raise Unreadable("it holds no audit")
    if not isinstance(nodes, tuple) or not all(isinstance(node, Node) for node in nodes):
        raise Unreadable("it holds no graph")
    try:
        graph = Graph(nodes)
    except Exception as error:
        raise Unreadable(f"its graph does not hold together: {error}") from error
    return KeptPlan(audit, graph, context, written, locked)


def _computed_by(node: Node) -> Mapping[str, Any]:
    return {name: node.ingredients[name] for name in ("computed_by",) if name in node.ingredients}


def _presentable(audit: Resolved) -> Resolved:
    """The audit without places of this host, and without what factsheets do not speak of."""
    nowhere = Path()
    models = {
        format: replace(
            file,
            path=nowhere,
            beside={name: (nowhere, digest) for name, (_, digest) in file.beside.items()},
            facts=replace(file.facts, beside=dict.fromkeys(file.facts.beside, nowhere), layers=(), tunables={}),
        )
        for format, file in audit.models.items()
    }
    named = _namer(audit.document)
    return replace(
        audit,
        root=nowhere,
        document=_presentable_document(audit.document),
        steps=tuple(replace(step, span=step.span and named(step.span)) for step in audit.steps),
        models=models,
        data={split: replace(file, path=nowhere) for split, file in audit.data.items()},
        masks={name: replace(file, path=nowhere) for name, file in audit.masks.items()},
        vocabulary=None,
        tokenizer={},
    )


def _namer(document: Document) -> Callable[[Span], Span]:
    """Calls files as the spec's own folder knows them: where that lies is nobody's business."""
    return lambda span: replace(span, file=document.name_of(span.file))


def _presentable_document(document: Document) -> Document:
    """Where everything in the text stands, and no more."""
    named = _namer(document)
    return Document(
        file=document.name_of(document.file),
        text="",
        data=None,
        keys={path: named(span) for path, span in document.keys.items()},
        values={path: named(span) for path, span in document.values.items()},
        diagnostics=Diagnostics(),
        composition=Composition(),
    )


def _not_kept() -> Any:
    raise Unreadable("what the strategy weighed is in plan.json alone")


def _audit(named: Mapping[str, Any]) -> Resolved:
    return Resolved(**named, weigh=_not_kept)


def _spec_kind(of: type[Any]) -> Kind:
    return Kind(
        of,
        lambda value: {"json": value.model_dump_json(by_alias=True, exclude_unset=True)},
        lambda named: of.model_validate_json(named["json"]),
    )


def _step_to_plain(step: ResolvedStep) -> Mapping[str, Any]:
    told = {name: getattr(step, name) for name in ("stage", "id", "path", "span", "runs_on", "chosen", "ground")}
    return {**told, "method": step.declaration.name, "params": step.params.model_dump_json()}


def _step(named: Mapping[str, Any]) -> ResolvedStep:
    declaration = catalogue()[named["method"]]
    params = declaration.params.model_validate_json(named["params"])
    told = {name: held for name, held in named.items() if name not in ("method", "params")}
    return ResolvedStep(**told, declaration=declaration, params=params)


def _places(places: Mapping[tuple[str | int, ...], Span]) -> list[list[Any]]:
    return [[list(path), one.file, one.line, one.column, one.end_line, one.end_column] for path, one in places.items()]


def _document(named: Mapping[str, Any]) -> Document:
    keys, values = ({tuple(path): Span(*span) for path, *span in named[name]} for name in ("keys", "values"))
    return Document(named["file"], "", None, keys, values, Diagnostics(), Composition())


def _without(of: type[Any], *left_out: str) -> Callable[[Any], Mapping[str, Any]]:
    whole = fields_of(of).to_plain
    return lambda value: {name: held for name, held in whole(value).items() if name not in left_out}


_REGISTER = Register(
    {
        "audit": Kind(Resolved, _without(Resolved, "weigh"), _audit),
        "document": Kind(
            Document,
            lambda one: {"file": one.file, "keys": _places(one.keys), "values": _places(one.values)},
            _document,
        ),
        "spec": _spec_kind(AuditSpec),
        "rows": _spec_kind(RowSelection),
        "step": Kind(ResolvedStep, _step_to_plain, _step),
        "model": fields_of(ModelFile),
        "data": fields_of(DataFile),
        "mask": fields_of(MaskFile),
        "ground": fields_of(Ground),
        "features": fields_of(FeatureMap),
        "model_facts": fields_of(ModelFacts),
        "layer": fields_of(LayerFacts),
        "tensor": fields_of(TensorFacts),
        "data_facts": fields_of(DatasetFacts),
        "column": fields_of(ColumnFacts),
        "powers": fields_of(Powers),
        "span": fields_of(Span),
        "node": fields_of(Node),
        "context": fields_of(Context),
        "sharding": fields_of(Sharding),
    }
)


def parse(content: bytes) -> Mapping[str, Any]:
    """A JSON object. Raises `pgx_compiler.evidence.typed.Unreadable`."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)[:200]) from error
    if not isinstance(found, dict):
        raise Unreadable("it is no JSON object")
    return found
