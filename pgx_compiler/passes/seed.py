"""Derive a seed for each stochastic node from the audit's one seed and from what the node is."""

import hashlib

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.passes.context import Context

_DRAWING_OPERATIONS = frozenset({"repeat", "rows", "references", "trial", "tune", "rely"})
"""Operations that draw at random by themselves."""


def seed(graph: Graph, context: Context) -> Graph:
    """Seed every node that draws; the same step gets the same seed whatever else the audit asks for."""
    return graph.map(lambda node: node.but(seed=derive(context.seed, node)) if draws(node) else node)


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """A node has a seed exactly when it draws."""
    if draws(node) != (node.seed is not None):
        return "draws at random without a seed" if draws(node) else "has a seed but draws nothing"
    return None


def draws(node: Node) -> bool:
    """True where a node needs a generator."""
    if node.op == "gather":  # its shards have drawn
        return False
    return node.op in _DRAWING_OPERATIONS or bool(node.method and catalogue()[node.method].stochastic)


def derive(audit_seed: int, node: Node) -> int:
    """63 bits from the audit's seed, the node's operation, method, id and salt.

    The trials of a search have the search's own: the same rows are held out for all, and all are trained alike.
    """
    operation, name = ("tune", node.id.partition(".")[0]) if node.op == "trial" else (node.op, node.id)
    identity = "\0".join((str(audit_seed), operation, node.method or "", name, str(node.salt)))
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") >> 1
