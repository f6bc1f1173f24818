"""Roundings of a SavedModel by sizes that depend on the row, told without TensorFlow.

As quantised activations are written out: ``round(x * s) / s``, where s is 127 over the largest of a row. The slope of a rounding
is 0, so that all that is left of the slope by x is what goes by way of s: another number altogether, and nobody says so. Where a
model brings a gradient of its own around it, or writes one out (``x + stop_gradient(rounded - x)``), slopes go by that. Roundings
inside loops and branches are not looked at.
"""

from collections.abc import Callable, Mapping, Sequence

from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.graph_layers import Operation, place_of
from runtimes.formats.saved_model_file import SavedModelFile
from runtimes.formats.saved_model_layers import operations_of

ROUNDING = frozenset({"Round", "Rint", "Floor", "Ceil", "QuantizeV2"})
_SCALES = kinds.DIVIDING | {"Mul", "MulNoNan"}
_REDUCES = frozenset({"Max", "Min", "Mean", "Sum", "Prod", "EuclideanNorm", "TopKV2"})
_AT_PLACES = (kinds.POINTWISE - kinds.SAYING) | kinds.MOVED
"""What hands numbers on one by one."""
_FLAT = ROUNDING | kinds.SAYING | {"Sign", "StopGradient"}
_WHOLE = ("int", "uint", "bool")

_OF_SIZE = "it rounds to steps of a size that depends on the row, and the slope of that size is all that would be left"

Held = Mapping[str, Operation]


def lost_in_rounding(file: SavedModelFile, output: int, cut: frozenset[str] = frozenset()) -> str:
    """Why slopes of an output would be those of the sizes that it rounds by, in words; empty where they are not.

    Args:
        file: the SavedModel.
        output: which of its signature's outputs.
        cut: as in `runtimes.formats.saved_model_layers.operations_of`.
    """
    if not any(node.op in ROUNDING or node.op == "Cast" for node in file.reached()):
        return ""
    found = first_by_size(operations_of(file, output, cut))
    if found is None:
        return ""
    return f"the SavedModel's operation `{found.kind}` (`{place_of(found.name)}`) has no gradient here: {_OF_SIZE}"


def first_by_size(operations: Sequence[Operation]) -> Operation | None:
    """The first operation that rounds by a size of which the slope is all that is left; None where there is none.

    Args:
        operations: in the order of computation; the last one is the output.
    """
    held = {one.name: one for one in operations}
    if not operations:
        return None
    last = operations[-1].name
    sloped = _reached(held, last, _is_flat)
    heard = _reached(held, last, lambda one: one.kind == "StopGradient")
    alike = _alike(operations)
    left = {alike[name] for name in sloped}
    rounding = (one for one in operations if one.name in heard and _rounds(one, held))
    return next((one for one in rounding if any(alike[name] in left for name in _sizes(one, held, sloped))), None)


def _alike(operations: Sequence[Operation]) -> dict[str, int]:
    """A number for each operation, the same for those that compute the same of the inputs: a size may be computed twice."""
    found, numbers = dict[str, int](), dict[tuple[str, ...], int]()
    for one in operations:
        key = (one.kind, *(str(found.get(name, name)) for name in one.inputs))
        found[one.name] = numbers.setdefault(key, len(numbers))
    return found


def _reached(held: Held, last: str, ends: Callable[[Operation], bool]) -> set[str]:
    """The operations that slopes of the last one come to, where they end at some."""
    found, waiting = set[str](), [last]
    while waiting:
        one = held.get(waiting.pop())
        if one is None or one.name in found:
            continue
        found.add(one.name)
        waiting += [] if ends(one) else one.inputs[one.results :]
    return found


def _is_flat(one: Operation) -> bool:
    return one.kind in _FLAT or one.dtype.startswith(_WHOLE)


def _rounds(one: Operation, held: Held) -> bool:
    if one.kind != "Cast":
        return one.kind in ROUNDING
    given = held.get(one.inputs[0])
    return given is not None and one.dtype.startswith(_WHOLE) and not _is_flat(given)


def _sizes(rounding: Operation, held: Held, sloped: set[str]) -> set[str]:
    """The reductions that say by what a number is scaled before it is rounded, where it goes no other way."""
    found, seen = set[str](), set[str]()
    waiting = list(rounding.inputs)
    while waiting:
        one = held.get(waiting.pop())
        if one is None or one.name in seen:
            continue
        seen.add(one.name)
        if one.kind in _SCALES and len(one.inputs) > 1 and one.name not in sloped:
            for factor in one.inputs:
                found |= _reductions(factor, held)
        if one.kind in _AT_PLACES:
            waiting += one.inputs
    return found


def _reductions(name: str, held: Held) -> set[str]:
    """The reductions that a tensor is made of; empty where it is made of anything else as well."""
    found, seen = set[str](), set[str]()
    waiting = [name]
    while waiting:
        one = held.get(waiting.pop())
        if one is None:
            return set()
        if one.name in seen:
            continue
        seen.add(one.name)
        if one.kind in _REDUCES:
            found.add(one.name)
        elif one.kind in _AT_PLACES:
            waiting += one.inputs
        else:
            return set()
    return found
