"""Dimensions of a search in natural units: what they hold, and how Hyperopt sees them."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

Kind = Literal["uniform", "loguniform", "quniform", "choice"]
Settings = Mapping[str, Any]
"""Address to plain value: ``layers.dense.units: 32``."""

DIGITS = 6
"""Significant digits of a drawn number: enough for any setting, few enough to be read, written and met again."""


class SpaceError(ValueError):
    """A space that cannot be searched: an empty or malformed dimension, or an address that nothing declares."""


@dataclass(frozen=True)
class Dimension:
    """One searched setting.

    ``uniform`` and ``loguniform``: `low` to `high`, natural units. ``quniform``: `low`, `low + step`, … up to `high`.
    ``choice``: one of `values`.
    """

    kind: Kind
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    values: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "choice":
            if not self.values:
                raise SpaceError("a choice needs at least one value")
            if len({canonical(value) for value in self.values}) < len(self.values):
                raise SpaceError(f"a choice names a value twice: {list(self.values)}")
            return
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise SpaceError(f"the bounds {self.low:g} to {self.high:g} are not in order")
        if self.kind == "loguniform" and self.low <= 0:
            raise SpaceError(f"a loguniform dimension needs bounds above 0, not {self.low:g}")
        if self.kind == "quniform" and not (math.isfinite(self.step) and self.step > 0):
            raise SpaceError(f"a quniform dimension needs a step above 0, not {self.step:g}")

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> "Dimension":
        """Read ``{"uniform": [low, high]}``, ``{"quniform": [low, high, step]}`` or ``{"choice": [...]}``.

        Raises:
            SpaceError: where it is not exactly one well-formed distribution.
        """
        given = {kind: value for kind, value in written.items() if value is not None}
        if len(given) != 1:
            raise SpaceError(f"a dimension needs exactly one distribution, not {sorted(given) or 'none'}")
        ((kind, value),) = given.items()
        if kind == "choice":
            return cls("choice", values=tuple(value))
        if kind not in ("uniform", "loguniform", "quniform"):
            raise SpaceError(f"unknown distribution `{kind}`; known: uniform, loguniform, quniform, choice")
        if len(value) != (3 if kind == "quniform" else 2):
            raise SpaceError(f"{kind} needs {'[low, high, step]' if kind == 'quniform' else '[low, high]'}")
        low, high, step = (*(float(number) for number in value), 0.0)[:3]
        return cls(cast(Kind, kind), low, high, step)

    def written(self) -> dict[str, list[Any]]:
        """The dimension as the spec writes it, a plain JSON value."""
        if self.kind == "choice":
            return {"choice": list(self.values)}
        numbers = [self.low, self.high] + ([self.step] if self.kind == "quniform" else [])
        return {self.kind: [_plain(number) for number in numbers]}

    @property
    def points(self) -> tuple[Any, ...] | None:
        """Every value, in order, where there are finitely many; else None."""
        if self.kind == "choice":
            return self.values
        if self.kind != "quniform" and self.low == self.high:
            return (self.low,)
        if self.kind == "quniform":
            steps = math.floor((self.high - self.low) / self.step + 1e-9)
            exact = float(self.low).is_integer() and float(self.step).is_integer()
            grid = [self.low + index * self.step for index in range(steps + 1)]
            return tuple(int(point) if exact else float(f"{point:.12g}") for point in grid)
        return None

    def contains(self, value: Any) -> bool:
        """True where a search of this dimension could have drawn `value`."""
        if self.points is not None:
            return any(_same(point, value) for point in self.points)
        return _is_number(value) and self.low <= value <= self.high

    def encode(self, value: Any) -> float | int:
        """The number by which Hyperopt knows a contained `value`: itself, or its position."""
        if self.points is None:
            return float(value)
        return next(index for index, point in enumerate(self.points) if _same(point, value))

    def decode(self, code: float) -> Any:
        """The plain value behind Hyperopt's number, within the bounds."""
        if self.points is not None:
            return self.points[min(max(int(code), 0), len(self.points) - 1)]
        return min(max(float(f"{float(code):.{DIGITS}g}"), self.low), self.high)

    def expression(self, label: str) -> Any:
        """The dimension in Hyperopt's words."""
        from hyperopt import hp

        if self.kind == "choice":
            return hp.choice(label, list(range(len(self.values))))
        if self.points is not None:
            # Hyperopt anchors a grid at 0 and gives both ends half a cell: search positions instead, ends included.
            return hp.quniform(label, -0.5, len(self.points) - 0.5, 1)
        if self.kind == "loguniform":
            return hp.loguniform(label, math.log(self.low), math.log(self.high))
        return hp.uniform(label, self.low, self.high)

    def unit(self, value: Any) -> float:
        """`value` on 0..1 in this dimension's own scale (logarithmic, or position); for surrogate models."""
        if self.points is not None:
            return self.encode(value) / max(1, len(self.points) - 1)
        low, high, at = self.low, self.high, float(value)
        if self.kind == "loguniform":
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low) if high > low else 0.0


def canonical(value: Any) -> str:
    """Canonical JSON of a plain value, in which 32 and 32.0 are the same number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(canonical(entry) for entry in value) + "]"
    return json.dumps(value, allow_nan=False)


def settings_digest(settings: Settings) -> str:
    """Digest of a configuration: equal for equal settings, whatever their order or number type."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()


def contains(space: Mapping[str, Dimension], settings: Settings) -> bool:
    """True where a search of `space` could have drawn `settings`."""
    return all(address in settings and space[address].contains(settings[address]) for address in space)


def count(space: Mapping[str, Dimension]) -> int | None:
    """How many different settings a space holds; None: not finitely many."""
    total = 1
    for dimension in space.values():
        if dimension.points is None:
            return None
        total *= len(dimension.points)
    return total


def _same(one: Any, other: Any) -> bool:
    return canonical(one) == canonical(other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number
