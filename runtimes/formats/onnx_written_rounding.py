"""Roundings to whole numbers of few bits that a file writes out as arithmetic: scaled, rounded, cut off, cast.

As tf2onnx writes quantised Keras layers: ``Cast(Clip(Round(x * scale), -127, 127))``, where the scale is 127 over the largest
of a row. What says that a rounding is a quantisation, and no part of what is computed (``x - Floor(x / 24) * 24``), is that its
steps are cut off at both ends of a range.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from runtimes.formats.tf_operators.declaring import Use

_ROUNDS = frozenset({"Round", "Floor", "Ceil"})
_SCALES = frozenset({"Mul", "Div"})
_LARGEST = frozenset({"ReduceMax", "ReduceMin"})
_BY_NUMBER = "Abs Add Cast Clip Div Expand Identity Max Min Mul Neg Reciprocal Reshape Squeeze Sub Unsqueeze Where"
_OF_SIZES = frozenset(_BY_NUMBER.split())
"""What the size of a step is made by, of the largest numbers."""
_SHIFTS = frozenset({"Add", "Sub", "Identity"})
_SMALL = frozenset({2, 3, 4, 5, 21, 22})
"""ONNX's types of whole numbers up to 16 bits."""
_WHOLE = _SMALL | {6, 7, 12, 13}


@dataclass(frozen=True)
class Written:
    """Tensors, by what they are."""

    roundings: frozenset[str]
    """Steps that are rounded, as floats."""
    casts: frozenset[str]
    """The same as whole numbers."""
    sizes: frozenset[str]
    """Sizes of steps that depend on the row: taken as given."""
    unsure: frozenset[str]
    """Rounded by sizes that depend on the row, and not known to be steps."""


def written_out_in(uses: Sequence[Use]) -> Written:
    """The roundings of a graph whose nodes are in their order."""
    makers = {name: use for use in uses for name in use.outputs if name}
    readers: dict[str, list[Use]] = {}
    for use in uses:
        for name in use.inputs:
            readers.setdefault(name, []).append(use)
    roundings, casts, sizes, unsure = set[str](), set[str](), set[str](), set[str]()
    for use in uses:
        if use.domain or use.kind not in _ROUNDS:
            continue
        scaled = _scaled(use, makers)
        if scaled is None:
            continue
        steps = {name for name in scaled.inputs if _is_size(name, scaled, makers)}
        found, cut = _followed(use.outputs[0], readers)
        if cut:
            roundings.add(use.outputs[0])
            casts |= found
            sizes |= steps
        elif steps:
            unsure.add(use.outputs[0])
    return Written(frozenset(roundings), frozenset(casts), frozenset(sizes), frozenset(unsure))


def _scaled(use: Use, makers: dict[str, Use]) -> Use | None:
    """The node that scales what is rounded, by way of a half that is added, or a zero."""
    for _ in range(3):
        made = makers.get(use.inputs[0])
        if made is None:
            return None
        if made.kind in _SCALES:
            return made
        if made.kind not in _SHIFTS:
            return None
        use = made
    return None


def _is_size(name: str, reader: Use, makers: dict[str, Use]) -> bool:
    """Whether a tensor is made of the largest of others alone."""
    waiting, found = [(name, reader)], False
    for _ in range(100):
        if not waiting:
            break
        one, read = waiting.pop()
        made = makers.get(one)
        if made is None:
            if one and one not in read.constants:
                return False
        elif made.kind in _LARGEST:
            found = True
        elif made.kind in _OF_SIZES:
            waiting += [(inner, made) for inner in made.inputs]
        elif made.kind != "Constant":
            return False
    return found and not waiting


def _followed(name: str, readers: dict[str, list[Use]]) -> tuple[set[str], bool]:
    """What a rounded tensor is cast to, and whether it is cut off at both ends on the way."""
    waiting, casts, bounds = [name], set[str](), set[str]()
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        for use in readers.get(one, []):
            if use.domain or use.outputs[0] in seen:
                continue
            seen.add(use.outputs[0])
            if use.kind == "Cast" and use.attributes.get("to") in _WHOLE:
                casts.add(use.outputs[0])
                bounds |= {"Min", "Max"} if use.attributes.get("to") in _SMALL else set()
            elif use.kind in ("Clip", "Min", "Max"):
                bounds |= {"Min", "Max"} if use.kind == "Clip" else {use.kind}
                waiting.append(use.outputs[0])
            elif use.kind in _SHIFTS and all(inner == one or inner in use.constants for inner in use.inputs):
                waiting.append(use.outputs[0])
    return casts, bounds >= {"Min", "Max"}
