"""What passes may know besides the graph: facts, never the author's text."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgx_compiler.ir.node import Node
from pgx_compiler.ir.sharding import Sharding
from runtimes.target import ModelFacts

__all__ = ["Context", "Sharding"]


@dataclass(frozen=True)
class Context:
    """Facts of one compilation."""

    models: Mapping[str, ModelFacts]
    """Format (``keras``, ``onnx``) to its facts."""
    score: str
    seed: int
    rows: int
    """Rows explained."""
    features: int
    references: int
    data_rows: Mapping[str, int]
    """Split to number of rows."""
    grounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Rows and features of the steps that have their own, by the id of the references that they rest on."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distribution to version, for whatever computes."""
    program: str = ""
    """Version of pgx."""
    sharding: Sharding = field(default_factory=Sharding)

    def ground(self, node: Node) -> tuple[int, int]:
        """How many rows a node explains or judges, and on how many features."""
        return self.grounds.get(node.inputs.get("references", ""), (self.rows, self.features))
