"""What passes may know besides the graph: facts, never the author's text."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runtimes.target import ModelFacts


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
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distribution to version, for whatever computes."""
    program: str = ""
    """Version of pgx."""
