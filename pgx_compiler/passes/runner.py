"""Runs the passes in order, and holds each to what it promises."""

from collections.abc import Callable
from dataclasses import dataclass

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.verify import verify
from pgx_compiler.passes import fingerprint, place, price, repeat_stochastic, seed, share_work, specialise
from pgx_compiler.passes.context import Context


@dataclass(frozen=True)
class Pass:
    """One step of the compiler, with what it needs and what it promises of every node."""

    run: Callable[[Graph, Context], Graph]
    ensures: Callable[[Node, Context], str | None]
    """None where the node keeps the promise; else what is wrong."""

    @property
    def name(self) -> str:
        """The pass's file name."""
        return self.run.__module__.rsplit(".", 1)[-1]


PIPELINE: tuple[Pass, ...] = (
    # What is asked for becomes an algorithm first: everything later depends on which one.
    Pass(specialise.specialise, specialise.ensures),
    # Only now is it known which algorithms draw at random and need a second opinion of themselves.
    Pass(repeat_stochastic.repeat_stochastic, repeat_stochastic.ensures),
    # Then each node gets a runtime; two nodes are only the same work on the same runtime.
    Pass(place.place, place.ensures),
    # Seeds before sharing: the same work under another seed is other work.
    Pass(seed.seed, seed.ensures),
    # Equal nodes become one before they are priced, so that nothing is paid for twice.
    Pass(share_work.share_work, share_work.ensures),
    Pass(price.price, price.ensures),
    # Keys last: they cover everything that changes the answer.
    Pass(fingerprint.fingerprint, fingerprint.ensures),
)


class BrokenPass(Exception):  # noqa: N818
    """Our own mistake: a pass did not keep its promise. Names the pass, the node and the rule."""


def run_passes(graph: Graph, context: Context, passes: tuple[Pass, ...] = PIPELINE) -> Graph:
    """Apply every pass, verifying the graph before the first and after each. Raises `BrokenPass`."""
    verify(graph)
    for one in passes:
        graph = one.run(graph, context)
        verify(graph)
        for node in graph:
            broken = one.ensures(node, context)
            if broken:
                raise BrokenPass(f"after {one.name}: {node.id}: {broken}")
    return graph
