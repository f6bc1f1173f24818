"""The one node type of the execution graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Node:
    """One piece of work: an operation on named inputs with plain parameters.

    A node is data alone; what its operation does is known to `pgx_compiler.execute`, what is legal to
    `pgx_compiler.ir.verify`.
    """

    id: str
    """Unique in the graph and stable from one compilation to the next: ``explain.kernel_shap``."""
    op: str
    """One of `pgx_compiler.ir.verify.OPERATIONS`."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Port to the id of the node that fills it."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Materialised parameters: everything that changes the answer and is not an input. Plain JSON values."""
    method: str | None = None
    """The catalogue's method, where the operation runs one."""
    step: str | None = None
    """Id of the author's step that asked for it; None for what the compiler added."""
    source: str = ""
    """Path in the spec: ``explain.perturbation[0]``."""
    line: int | None = None
    """Line in the spec."""
    runtime: str | None = None
    """Framework that computes it (file name under ``runtimes/frameworks``); None: no model is asked."""
    seed: int | None = None
    """Seed of its generator; None: nothing is drawn at random."""
    salt: int = 0
    """0; another number asks for the same work under another seed (self-agreement)."""
    cost: Mapping[str, int] = field(default_factory=dict)
    """``forward``, ``backward`` model rows, ``bytes``."""
    note: str = ""
    """Why it is as it is: what the compiler chose, and the reason."""
    key: str = ""
    """Action key; empty before the last pass."""
    ingredients: Mapping[str, Any] = field(default_factory=dict)
    """What the key was made from."""

    def but(self, **changes: Any) -> "Node":
        """The same node with some fields changed."""
        return replace(self, **changes)
