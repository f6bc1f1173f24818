"""Inputs of a TensorFlow graph that are looked up in tables, told from its operations alone.

A lookup is a gather of rows of a table that follows from variables and constants alone, by numbers that follow from one input
place by place: the ids themselves, or what a layer makes of them first (casts, negative ids counted from the end).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runtimes.target import TensorFacts

_LOOKS_UP = frozenset({"ResourceGather", "GatherV2", "Gather"})
_HELD = frozenset({"Const", "VarHandleOp", "VariableV2"})
_COMPARES = frozenset({"Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual"})
_LOGIC = frozenset({"LogicalNot", "LogicalAnd", "LogicalOr"})
_COUNTS = frozenset({"Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum", "FloorMod", "Neg", "Abs", "ClipByValue"})
_CHOOSES = frozenset({"SelectV2", "Select"})
_SAME = frozenset({"Identity", "Cast", "StopGradient", "EnsureShape", "PreventGradient"})
_RESHAPES = frozenset({"Reshape", "ExpandDims", "Squeeze"})
_PLACE_BY_PLACE = _COMPARES | _LOGIC | _COUNTS | _CHOOSES | _SAME | _RESHAPES
_ONLY_LOOKS = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"})


@dataclass(frozen=True)
class Step:
    """One operation, calls written out, as far as it is looked at here."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    """Names of the operations that make what it reads."""
    whole: bool = False
    """Of a cast: whether it makes whole numbers."""
    given: str = ""
    """Of a placeholder: the input that it is."""


@dataclass(frozen=True)
class GraphLookup:
    """One use of one table, by names of operations."""

    input: str
    operation: str
    """The gather."""
    same: bool
    """Whether it reads rows by the ids as they stand."""


@dataclass(frozen=True)
class _Traced:
    """What follows place by place from an input."""

    input: str
    same: bool = True
    flat: bool = False
    """Whether its slope by the input is 0 everywhere."""


@dataclass
class _Walk:
    held: set[str] = field(default_factory=set)
    traced: dict[str, _Traced] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    """Inputs of which something is computed that has a slope by them."""


def graph_lookups(steps: Sequence[Step], inputs: Sequence[TensorFacts]) -> tuple[GraphLookup, ...]:
    """Every lookup of a graph, in the order of its operations.

    Args:
        steps: its operations, each after those that it reads.
        inputs: of the graph. One of floats that is used as a number as well is no id.
    """
    walk, found = _Walk(), list[GraphLookup]()
    for step in steps:
        sources = {name: walk.traced[name] for name in step.inputs if name in walk.traced}
        if step.given:
            walk.traced[step.name] = _Traced(step.given)
        elif step.kind in _HELD or (step.inputs and all(name in walk.held for name in step.inputs)):
            walk.held.add(step.name)
        elif step.kind in _LOOKS_UP and step.inputs[0] in walk.held and step.inputs[1] in sources:
            traced = sources[step.inputs[1]]
            found.append(GraphLookup(traced.input, step.name, traced.same))
        elif sources:
            made = _followed(step, sources, walk)
            if made is not None:
                walk.traced[step.name] = made
            elif step.kind not in _ONLY_LOOKS:
                walk.numbers.update(one.input for one in sources.values() if not one.flat)
    floats = {tensor.name for tensor in inputs if tensor.dtype.startswith("float")}
    return tuple(one for one in found if one.input not in floats or one.input not in walk.numbers)


def _followed(step: Step, sources: Mapping[str, _Traced], walk: _Walk) -> _Traced | None:
    """What a step makes, where it still follows place by place from one input."""
    others = [name for name in step.inputs if name not in sources]
    first = next(iter(sources.values()))
    alike = all(one.input == first.input for one in sources.values())
    shaped = step.kind in _RESHAPES and step.inputs[0] in sources
    if step.kind not in _PLACE_BY_PLACE or not alike or not (shaped or all(name in walk.held for name in others)):
        return None
    flat = step.kind in _COMPARES | _LOGIC or (step.kind == "Cast" and step.whole)
    same = step.kind in _SAME and all(one.same for one in sources.values())
    return _Traced(first.input, same, flat or all(one.flat for one in sources.values()))


def looked_up_inputs(lookups: Sequence[GraphLookup]) -> dict[str, tuple[str, ...]]:
    """Input name to the gathers that read it."""
    return {one.input: tuple(other.operation for other in lookups if other.input == one.input) for one in lookups}


def in_order(steps: Mapping[str, Step], ends: Sequence[str]) -> Iterator[Step]:
    """The steps that some depend on, each after those that it reads."""
    done: set[str] = set()
    waiting = [(name, False) for name in reversed(ends)]
    while waiting:
        name, ready = waiting.pop()
        step = steps.get(name)
        if name in done or step is None:
            continue
        if ready:
            done.add(name)
            yield step
            continue
        waiting.append((name, True))
        waiting += [(one, False) for one in reversed(step.inputs) if one not in done]
