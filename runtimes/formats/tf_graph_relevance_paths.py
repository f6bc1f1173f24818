"""Whether relevance finds its way through a graph of operations, told without running it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.graph_layers import place_of
from runtimes.formats.saved_model_file import SavedModelFile
from runtimes.formats.saved_model_layers import operations_of
from runtimes.formats.saved_model_rounding import ROUNDING


@dataclass(frozen=True)
class Passed:
    """One operation, as far as it is looked at here."""

    name: str
    kind: str
    """As TensorFlow calls it."""
    reads: tuple[str, ...]
    """The operations before it that depend on the inputs, in its own order."""
    told: str = ""
    """What it is, for people."""


@dataclass(frozen=True)
class Ways:
    """What stands in the way; empty where nothing does."""

    without_rule: str = ""
    """The first operation that relevance cannot be propagated through, in words."""
    without_rescaling: str = ""
    """The first that differences cannot be followed through."""


def ways_through(operations: Sequence[Passed]) -> Ways:
    """What stands in the way from the last of some operations, which are in the order of computation, to the inputs."""
    found = {one.name: one for one in operations}
    shaped = _of_shapes(operations)
    rule = _first_without_rule(found, operations[-1].name, shaped) if operations else ""
    loop = next((one for one in operations if one.kind in kinds.LOOPS and one.name not in shaped), None)
    spread = {one.name for one in operations if one.kind.startswith("SpaceToBatch")}
    # dilated windows: rows are the faster part of the axis that their largest is looked for beside
    apart = next((one for one in operations if one.kind in kinds.POOLS and spread.intersection(one.reads)), None)
    lost = loop or apart
    return Ways(rule, "" if lost is None else _told(lost))


def ways_through_signature(file: SavedModelFile, output: int) -> Ways:
    """The same for an output of a SavedModel, below its final activation."""
    ways = ways_through([Passed(one.name, one.kind, one.inputs) for one in operations_of(file, output)])
    rounding = first_own_rounding(file, output)
    return Ways(ways.without_rule or rounding, ways.without_rescaling or rounding)


def first_own_rounding(file: SavedModelFile, output: int) -> str:
    """The first operation that rounds, in words, where the model brings gradients of its own; empty where there is none.

    The slope of a rounding is 0, and another one is what such a gradient is there for: whoever computes the operations one by
    one, without it, is left with the slope of the scale that numbers are rounded by.
    """
    if not any(node.brings_gradient() for node in file.reached()):
        return ""
    found = next((one for one in operations_of(file, output) if one.kind in ROUNDING), None)
    return "" if found is None else _told(Passed(found.name, found.kind, ()))


def _told(one: Passed) -> str:
    return one.told or f"the operation `{one.kind}` (`{place_of(one.name)}`)"


def _of_shapes(operations: Iterable[Passed]) -> frozenset[str]:
    """Operations that depend on how many rows there are alone."""
    found: set[str] = set()
    for one in operations:
        if one.kind in kinds.SHAPES or (one.reads and all(name in found for name in one.reads)):
            found.add(one.name)
    return frozenset(found)


def _first_without_rule(found: Mapping[str, Passed], last: str, shaped: frozenset[str]) -> str:
    waiting, seen = [last], set[str]()
    lacking: list[str] = []
    while waiting:
        name = waiting.pop()
        one = found.get(name)
        if one is None or name in seen or name in shaped or one.kind in kinds.SAYING:
            continue
        seen.add(name)
        reads = [read for read in dict.fromkeys(one.reads) if read not in shaped]
        if one.kind in kinds.TOGETHER or not (one.kind in kinds.COVERED or one.kind.startswith("TensorList")):
            lacking.append(name)
            continue
        if one.kind in kinds.PRODUCTS and len(reads) > 1:
            signals = [read for read in reads if not _is_gate(found, read)]
            if len(signals) != 1:
                lacking.append(name)
                continue
            reads = signals
        elif one.kind in ("Mul", "MulNoNan"):
            reads = [read for read in reads if not _is_gate(found, read)] or reads
        elif one.kind in kinds.DIVIDING:
            reads = reads[:1]
        waiting += reads
    order = {name: at for at, name in enumerate(found)}
    return _told(found[min(lacking, key=order.__getitem__)]) if lacking else ""


def _is_gate(found: Mapping[str, Passed], name: str) -> bool:
    while (one := found.get(name)) is not None:
        if one.kind in kinds.GATES:
            return True
        if len(one.reads) != 1 or one.kind not in kinds.MOVED | {"Mul"}:
            return False
        name = one.reads[0]
    return False
