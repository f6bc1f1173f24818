"""Give every node its action key: the digest of everything that can change its answer."""

from typing import Any

from pgx_compiler.evidence.canonical import digest, digest_of_file
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.verify import OPERATIONS
from pgx_compiler.methods.catalogue import catalogue, source_of
from pgx_compiler.passes.context import Context
from runtimes.target import frameworks

KEY_VERSION = 1
"""Raised when the way keys are made changes."""

_HOST = ("numpy", "scipy", "scikit-learn")
"""What computes where no model is asked."""


def fingerprint(graph: Graph, context: Context) -> Graph:
    """Write ``key`` and ``ingredients`` of every node, sources first."""
    done: dict[str, Node] = {}
    for node in graph:
        ingredients: dict[str, Any] = {
            "pgx-key": KEY_VERSION,
            "operation": [node.op, OPERATIONS[node.op].version],
            "params": dict(node.params),
            "inputs": {port: done[needed].key for port, needed in sorted(node.inputs.items())},
            "seed": node.seed,
        }
        if node.method:
            declaration = catalogue()[node.method]
            # the file's digest too: whoever edits a method must not be shown yesterday's numbers
            ingredients["method"] = [node.method, declaration.version, digest_of_file(source_of(declaration))[:16]]
        if node.op not in ("model", "data"):
            names = frameworks()[node.runtime].TARGET.distributions if node.runtime else ()
            ingredients["computed_by"] = {
                name: context.versions[name] for name in sorted({*names, *_HOST}) if name in context.versions
            }
        done[node.id] = node.but(key=digest(ingredients), ingredients=ingredients)
    return Graph(done.values())


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """Every node has a key that its ingredients give."""
    return None if node.key == digest(node.ingredients) else "its key is not the digest of its ingredients"
