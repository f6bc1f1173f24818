"""What findings about the data do to a search: cuts that the spec ordered, protocol, further trials; all written down.

A range is cut only where the spec says so for that finding. What a finding does by itself never removes a candidate:
it stratifies the validation split, puts a trial in front, or adds a dimension that the model file declares.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pgx_compiler.evidence.results import Finding
from pgx_compiler.tuning.question import Cut, Question
from pgx_compiler.tuning.space import Dimension, SpaceError

CAPACITY = ("units", "filters")
"""Fields of a layer that set how much it can fit: what a finding's ``small_model`` turns down."""


@dataclass(frozen=True)
class LedgerRow:
    """One thing that a finding did, or could not do."""

    finding: str
    kind: str
    """``narrow``, ``protocol``, ``add`` or ``seed``."""
    dimension: str
    """The address, or what of the search is meant: ``validation split``, ``trials``."""
    before: Any
    after: Any
    reason: str
    applied: bool
    kept: float | None = None
    """Share of the dimension's volume that is left, logarithmic where it is; None: not a cut, or not comparable."""

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Narrowed:
    """The search as it will be run."""

    space: Mapping[str, Dimension]
    stratify: bool
    """Hold out validation rows class by class."""
    group_duplicates: bool
    """Keep equal rows on one side of the validation split."""
    first: tuple[tuple[Mapping[str, Any], str], ...]
    """Settings to try right after the audited ones, with their origin."""
    ledger: tuple[LedgerRow, ...]

    @property
    def kept(self) -> float:
        """Share of the declared space's volume that is left, over all cuts that can be compared."""
        return math.prod(row.kept for row in self.ledger if row.kept is not None)


def narrow(question: Question, findings: Sequence[Finding], task: str) -> Narrowed:
    """Apply the findings that hold to a search.

    Args:
        question: the search as the spec declares it.
        findings: of precaution; those whose verdict is not ``holds`` do nothing.
        task: ``classification`` (always stratified) or ``regression``.

    Raises:
        SpaceError: where a cut leaves nothing, or the space or a cut names an address that nothing declares.
    """
    unknown = sorted(set(question.space) - set(question.declared_settings()))
    if unknown:
        raise SpaceError(f"the model file declares no `{unknown[0]}`")
    holding = {finding.code: finding for finding in findings if finding.verdict == "holds"}
    result = Narrowed(dict(question.space), task == "classification", False, (), ())
    for cut in question.cuts:
        result = _cut(question, result, cut, cut.finding in holding)
    for code in holding:
        seen: list[Any] = []
        for finding in findings:
            for effect in finding.effects if finding.code == code and finding.verdict == "holds" else ():
                if dict(effect) not in seen:  # one finding a feature says the same thing once for each
                    seen.append(dict(effect))
                    result = _effect(question, result, code, effect)
    return result


def intersect(before: Dimension, wanted: Dimension) -> Dimension | None:
    """What is left of `before` when a dimension should be `wanted`; None: nothing.

    The result has `wanted`'s distribution (and grid) within `before`'s bounds; a choice keeps the values that the
    other one contains.
    """
    if wanted.kind == "choice" or before.kind == "choice":
        listed, other = (wanted, before) if wanted.kind == "choice" else (before, wanted)
        values = tuple(value for value in listed.values if other.contains(value))
        return Dimension("choice", values=values) if values else None
    low, high = max(before.low, wanted.low), min(before.high, wanted.high)
    grid = wanted if wanted.kind == "quniform" else before if before.kind == "quniform" else None
    if grid is not None:
        points = [point for point in grid.points or () if low <= point <= high]
        return Dimension("quniform", float(points[0]), float(points[-1]), grid.step) if points else None
    return replace(wanted, low=low, high=high) if low <= high else None


def kept_share(before: Dimension, after: Dimension) -> float | None:
    """Volume of `after` in `before`, in the scale of `before`: points where it has points, else length.

    None where a continuous range has become a list: the two volumes cannot be compared.
    """
    if before.points is not None:
        return len(after.points) / len(before.points) if after.points is not None else None
    if after.kind == "choice":
        return None
    scale = math.log if before.kind == "loguniform" else float
    return (scale(after.high) - scale(after.low)) / (scale(before.high) - scale(before.low))


def _cut(question: Question, so_far: Narrowed, cut: Cut, holds: bool) -> Narrowed:
    space, rows = dict(so_far.space), list(so_far.ledger)
    for address, wanted in cut.space.items():
        if address not in question.space:
            raise SpaceError(f"the cut for `{cut.finding}` names `{address}`, which is not searched")
        before = space[address] if holds else question.space[address]
        left = intersect(before, wanted)
        if left is None:
            others = sorted({row.finding for row in rows if row.dimension == address and row.applied})
            also = f" (already cut for {', '.join(others)})" if others else ""
            raise SpaceError(
                f"the cut for `{cut.finding}` leaves nothing of `{address}`: "
                f"{wanted.written()} has no value in common with {before.written()}{also}"
            )
        if holds:
            space[address] = left
            share = kept_share(before, left)
            rows.append(
                LedgerRow(cut.finding, "narrow", address, before.written(), left.written(), cut.reason, True, share)
            )
        else:
            why = f"not made: the finding does not hold. {cut.reason}"
            rows.append(LedgerRow(cut.finding, "narrow", address, before.written(), before.written(), why, False))
    return replace(so_far, space=space, ledger=tuple(rows))


def _effect(question: Question, so_far: Narrowed, code: str, effect: Mapping[str, Any]) -> Narrowed:
    kind, what = str(effect.get("kind", "")), str(effect.get("what", ""))
    if kind == "protocol" and what == "stratify":
        before, after = "stratified by class" if so_far.stratify else "at random", "stratified by class"
        row = LedgerRow(code, kind, "validation split", before, after, "every class is in both parts", True)
        return replace(so_far, stratify=True, ledger=(*so_far.ledger, row))
    if kind == "protocol" and what == "group_duplicates":
        before, after = "row by row", "equal rows on one side"
        row = LedgerRow(code, kind, "validation split", before, after, "copies would leak across the split", True)
        return replace(so_far, group_duplicates=True, ledger=(*so_far.ledger, row))
    if kind == "seed":
        return _seed(question, so_far, code, effect)
    if kind == "add":
        return _add(question, so_far, code, effect)
    return _not_applicable(so_far, code, kind, what, "this search knows no such change")


def _seed(question: Question, so_far: Narrowed, code: str, effect: Mapping[str, Any]) -> Narrowed:
    """Put a trial in front: the settings that the effect gives, or what its word means in this space."""
    what = str(effect.get("what", "trial"))
    given = effect.get("settings")
    changes = dict(given) if isinstance(given, Mapping) else _small_model(so_far.space) if what == "small_model" else {}
    if not changes or not all(
        address in so_far.space and so_far.space[address].contains(value) for address, value in changes.items()
    ):
        return _not_applicable(so_far, code, "seed", what, "it names no setting that is searched, or no value in range")
    settings = {address: question.declared_settings()[address] for address in so_far.space} | changes
    row = LedgerRow(code, "seed", "trials", None, settings, f"tried early because of the finding: {what}", True)
    return replace(so_far, first=(*so_far.first, (settings, f"finding {code}")), ledger=(*so_far.ledger, row))


def _small_model(space: Mapping[str, Dimension]) -> dict[str, Any]:
    """The smallest capacity that the space allows."""
    found: dict[str, Any] = {}
    for address, dimension in space.items():
        if address.startswith("layers.") and address.rpartition(".")[2] in CAPACITY:
            numbers = [point for point in dimension.points or (dimension.low,) if isinstance(point, (int, float))]
            found |= {address: min(numbers)} if numbers else {}
    return found


def _add(question: Question, so_far: Narrowed, code: str, effect: Mapping[str, Any]) -> Narrowed:
    """Search one more declared setting, its present value included."""
    what = str(effect.get("what", ""))
    declared = question.declared_settings()
    found = [address for address in declared if what and (address == what or address.endswith(f".{what}"))]
    if len(found) != 1 or found[0] in so_far.space or not effect.get("values"):
        why = "searched already" if found and found[0] in so_far.space else "no setting that the model file declares"
        return _not_applicable(so_far, code, "add", what, why)
    (address,) = found
    values = list(effect["values"])
    dimension = Dimension("choice", values=tuple(values))
    if not dimension.contains(declared[address]):
        dimension = Dimension("choice", values=(declared[address], *values))
    row = LedgerRow(code, "add", address, declared[address], dimension.written(), "added by the finding", True)
    return replace(so_far, space={**so_far.space, address: dimension}, ledger=(*so_far.ledger, row))


def _not_applicable(so_far: Narrowed, code: str, kind: str, what: str, why: str) -> Narrowed:
    row = LedgerRow(code, kind, what, None, None, f"not applicable here: {why}", False)
    return replace(so_far, ledger=(*so_far.ledger, row))
