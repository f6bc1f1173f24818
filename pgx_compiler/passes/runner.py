"""Runs the passes in order, and holds each to what it promises."""

from collections.abc import Callable
from dataclasses import dataclass

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.verify import verify
from pgx_compiler.passes import fingerprint, place, price, repeat_stochastic, seed, shard, share_work, specialise
from pgx_compiler.passes.context import Context

Promise = Callable[[Node, Context], str | None]
"""None where a node keeps a promise; else what is wrong with it."""


@dataclass(frozen=True)
class Pass:
    """One step of the compiler, with what it needs and what it promises."""

    run: Callable[[Graph, Context], Graph]
    ensures: Promise | None = None
    """What holds of every node afterwards."""
    requires: tuple[Promise, ...] = ()
    """What must hold of every node before: promises of earlier passes."""
    holds: Callable[[Graph, Context], str | None] | None = None
    """What holds of the whole graph afterwards, where that cannot be said of one node."""

    @property
    def name(self) -> str:
        """The pass's file name."""
        return self.run.__module__.rsplit(".", 1)[-1]


PIPELINE: tuple[Pass, ...] = (
    # What is asked for becomes an algorithm first: everything later depends on which one.
    Pass(specialise.specialise, specialise.ensures),
    # Only now is it known which algorithms draw at random and need a second opinion of themselves.
    Pass(
        repeat_stochastic.repeat_stochastic,
        repeat_stochastic.ensures,
        requires=(specialise.ensures,),
        holds=repeat_stochastic.holds,
    ),
    # Then each node gets a runtime; two nodes are only the same work on the same runtime.
    Pass(place.place, place.ensures, requires=(specialise.ensures,)),
    # Seeds before sharing: the same work under another seed is other work.
    Pass(seed.seed, seed.ensures, requires=(specialise.ensures, repeat_stochastic.ensures)),
    # Equal nodes become one before they are priced, so that nothing is paid for twice.
    Pass(share_work.share_work, requires=(place.ensures, seed.ensures), holds=share_work.holds),
    Pass(price.price, price.ensures, requires=(specialise.ensures,)),
    # Long nodes are cut once it is known that they are long, and under their own seeds: a shard draws as its parent would.
    Pass(
        shard.shard,
        shard.ensures,
        requires=(specialise.ensures, place.ensures, seed.ensures, price.ensures),
        holds=shard.holds,
    ),
    # Keys last: they cover everything that changes the answer.
    Pass(fingerprint.fingerprint, fingerprint.ensures, requires=(specialise.ensures, place.ensures, seed.ensures)),
)


class BrokenPass(Exception):  # noqa: N818
    """Our own mistake: a pass did not keep its promise, or was run too early. Names the pass, the node and the rule."""


def run_passes(graph: Graph, context: Context, passes: tuple[Pass, ...] = PIPELINE) -> Graph:
    """Apply every pass, checking what it needs before and what it promises after. Raises `BrokenPass`."""
    verify(graph)
    for one in passes:
        _hold(graph, context, one.requires, f"before {one.name}")
        graph = one.run(graph, context)
        verify(graph)
        _hold(graph, context, (one.ensures,) if one.ensures else (), f"after {one.name}")
        broken = one.holds(graph, context) if one.holds else None
        if broken:
            raise BrokenPass(f"after {one.name}: {broken}")
    return graph


def _hold(graph: Graph, context: Context, promises: tuple[Promise, ...], when: str) -> None:
    for promise in promises:
        for node in graph:
            broken = promise(node, context)
            if broken:
                raise BrokenPass(f"{when}: {node.id}: {broken}")
