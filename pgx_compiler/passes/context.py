"""What passes may know besides the graph: facts, never the author's text."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgx_compiler.ir.node import Node
from runtimes.target import ModelFacts


@dataclass(frozen=True)
class Sharding:
    """How long a step must be before its rows are cut into shards, and into how many.

    A part of the plan: the same on every host, on every engine, for any number of workers. Work is counted in multiply-adds
    of the model, since a row of an image network takes ten thousand times as long as one of a small table; a core does
    some ten thousand millions of them a second (measured on the audits under ``specs/``: 8 to 12).
    """

    least: int = 5_000_000_000
    """Work of a shard, at least: about half a second of one core. A shard costs some 5 ms besides (a process is there
    already, and has the model open), so that cutting costs about one part in a hundred; a step below a second stays whole."""
    most: int = 16
    """Shards of a step, at most, while none of them is beyond `long`: 16 cores are then all at work, 2 cores end
    within a sixteenth of the step of one another, and the list of a plan's nodes stays readable."""
    long: int = 5_000_000_000_000
    """Work of a shard, at most, as long as there are rows to part: about ten minutes of one core, which is what a run
    that is killed loses of a step at each worker."""
    ever: int = 256
    """Shards of a step, at most, whatever its work."""
    again: float = 0.05
    """Share of a step's model rows, at most, that all shards together may ask again: each needs the base value that all rows
    have, or the scores of a sample of the training rows."""
    row: int = 20_000
    """What a row costs beside the model's own work, in multiply-adds: to be composed and handed over takes about 2 µs
    (measured: 1 on a small network, 4 on a forest, whose comparisons the file's facts undercount)."""


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
    sharding: Sharding = Sharding()

    def ground(self, node: Node) -> tuple[int, int]:
        """How many rows a node explains or judges, and on how many features."""
        return self.grounds.get(node.inputs.get("references", ""), (self.rows, self.features))
