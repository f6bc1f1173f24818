"""Which part of an audit a node belongs to: what tables and pictures of a plan are grouped by."""

from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue

PARTS = (
    "source",
    "precaution",
    "model",
    "ground",
    "perturbation",
    "gradient",
    "agreement",
    "faithfulness",
    "reliance",
    "tuning",
)
"""All parts, in the order in which a reader meets them. ``ground`` is what all explanations share: rows and references."""

_OF_OPERATION = {
    "model": "source",
    "data": "source",
    "predict": "model",
    "repeat": "model",
    "parity": "model",
    "performance": "model",
    "rows": "ground",
    "features": "ground",
    "references": "ground",
    "rely": "reliance",
    "trial": "tuning",
    "tune": "tuning",
}


def stage_of(node: Node) -> str:
    """One of `PARTS`: a method's stage, else what the operation is for."""
    if node.method is not None:
        return catalogue()[node.method].stage
    return _OF_OPERATION[node.op]
