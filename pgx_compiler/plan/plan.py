"""`Plan`: a compiled audit. ``plan.json`` is a pure function of spec, files, code and environment."""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from pgx_compiler.analysis.resolved import DataFile, Resolved, VocabularyFile
from pgx_compiler.analysis.strategy.why import why_data
from pgx_compiler.evidence.canonical import digest, plain
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.verify import OPERATIONS
from pgx_compiler.lowering import lower
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.passes.context import Context, Sharding
from pgx_compiler.passes.runner import run_passes
from pgx_compiler.plan.semantics import leaves_choice, semantic_part
from pgx_compiler.plan.shards import folded
from runtimes.target import frameworks

SCHEMA = "pgx-plan/1"


@dataclass(frozen=True)
class Plan:
    """A compiled audit: the graph with every choice made, priced and keyed."""

    audit: Resolved
    graph: Graph
    context: Context

    @cached_property
    def folded(self) -> Graph:
        """The graph as it is shown: each step in one piece, whatever it was cut into."""
        return folded(self.graph)

    @property
    def spec_digest(self) -> str:
        """Digest of everything in the spec that changes the answer."""
        return digest(semantic_part(self.audit.spec))

    @property
    def document(self) -> dict[str, Any]:
        """The plan as plain values: no clock, no absolute path, nothing about what is cached."""
        spec = self.audit.spec
        return {
            "schema": SCHEMA,
            "pgx": self.context.program,
            "audit": {
                "name": spec.metadata.name,
                "version": spec.metadata.version,
                "spec_digest": self.spec_digest,
                "question": semantic_part(spec),
                "seed": spec.seed,
                "score": self.audit.score,
                "rows": self.context.rows,
                "features": self.context.features,
                "references": self.context.references,
            },
            "environment": dict(sorted(self.context.versions.items())),
            "files": {
                "models": {f: {"path": m.relative, "sha256": m.sha256} for f, m in sorted(self.audit.models.items())},
                "data": {s: {"path": d.relative, "sha256": d.sha256} for s, d in sorted(self._data.items())},
            },
            "totals": self.totals,
            **({"trust": self.trust} if self.trust else {}),
            **({"strategy": why_data(self.audit.choices)} if leaves_choice(spec) else {}),
            "nodes": [_node(node) for node in self.graph],
            **self._told,
        }

    @property
    def trust(self) -> list[dict[str, str]]:
        """What a person has trusted the models' files to do beyond the lists; it is part of the plan's digest."""
        return [dict(one) for model in self.audit.models.values() for one in model.trust]

    @property
    def _data(self) -> dict[str, DataFile | VocabularyFile]:
        """The files that the rows come from; the vocabulary of a text is one of them."""
        words = self.audit.vocabulary
        return {**self.audit.data, **({"vocabulary": words} if words else {})}

    @property
    def _told(self) -> dict[str, Any]:
        """How the spec came to be what it is: told, but no part of the digest, which only its effect changes."""
        composition = self.audit.document.composition
        left_out = [{"step": one.step, "because": one.because} for one in composition.left_out]
        return {"overrides": list(composition.overrides), "left_out": left_out}

    @property
    def totals(self) -> dict[str, int]:
        """Model rows of the whole plan; equal keys are paid for once."""
        paid = distinct(self.graph)
        forward = sum(node.cost.get("forward", 0) for node in paid)
        backward = sum(node.cost.get("backward", 0) for node in paid)
        computed = sum(node.op not in ("model", "data") for node in self.folded)
        return {"nodes": computed, "forward": forward, "backward": backward, "model_rows": forward + backward}

    @cached_property
    def digest(self) -> str:
        """Digest of the whole plan."""
        return digest_of(self.document)

    @property
    def _weights_beside(self) -> dict[str, str]:
        """Files of weights that stand beside a model's own, by path below the spec's folder, with their digests."""
        return {
            (PurePosixPath(model.relative).parent / location).as_posix(): digest
            for model in self.audit.models.values()
            for location, (_, digest) in model.beside.items()
        }

    def to_json(self) -> str:
        """The text of ``plan.json``."""
        document = {**self.document, "digest": self.digest}
        return json.dumps(plain(document), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def lock(self) -> dict[str, Any]:
        """Digests of everything that the plan rests on."""
        used = sorted({node.method for node in self.graph if node.method})
        return {
            "schema": "pgx-lock/1",
            "pgx": self.context.program,
            "models": {m.relative: m.sha256 for m in self.audit.models.values()} | self._weights_beside,
            "data": {d.relative: d.sha256 for d in self._data.values()},
            "masks": {m.relative: m.sha256 for m in self.audit.masks.values()},
            "methods": {name: catalogue()[name].version for name in used},
            "operations": {node.op: OPERATIONS[node.op].version for node in self.graph},
            "environment": dict(sorted(self.context.versions.items())),
        }


def digest_of(document: Mapping[str, Any]) -> str:
    """Digest of a plan's document; how its spec was put together is told there, and changes only what it changes."""
    return digest({name: value for name, value in document.items() if name not in ("overrides", "left_out", "digest")})


def distinct(graph: Graph) -> list[Node]:
    """The nodes in order, equal work once: the first of those that share a key."""
    paid: dict[str, Node] = {}
    for node in graph:
        paid.setdefault(node.key, node)
    return list(paid.values())


def _node(node: Node) -> dict[str, Any]:
    shown = {
        "id": node.id,
        "op": node.op,
        "method": node.method,
        "step": node.step,
        "source": node.source,
        "inputs": node.inputs,
        "params": node.params,
        "runtime": node.runtime,
        "seed": node.seed,
        "cost": node.cost,
        "note": node.note,
        "code": node.ingredients.get("source"),
        "computed_by": node.ingredients.get("computed_by"),
        "key": node.key,
    }
    found: dict[str, Any] = plain({name: value for name, value in shown.items() if value not in (None, "", {})})
    return found


def compile_plan(audit: Resolved, program: str, sharding: Sharding = Sharding()) -> Plan:  # noqa: B008  frozen
    """Lower a checked audit and run every pass."""
    context = Context(
        models={format: file.facts for format, file in audit.models.items()},
        score=audit.score,
        seed=audit.spec.seed,
        rows=audit.rows,
        features=len(audit.features),
        references=audit.references,
        grounds={
            f"references{step.ground.name}": (step.ground.rows, len(step.ground.features))
            for step in audit.explaining
            if step.ground
        },
        data_rows={split: file.facts.rows for split, file in audit.data.items()},
        versions=environment(),
        program=program,
        sharding=sharding,
    )
    return Plan(audit, run_passes(lower(audit), context), context)


def environment() -> Mapping[str, str]:
    """Versions of every distribution that may compute something, read without importing any."""
    wanted = {"numpy", "scipy", "scikit-learn", "hyperopt"}
    for framework in frameworks().values():
        wanted |= set(framework.TARGET.distributions)
    found = {}
    for name in sorted(wanted):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
