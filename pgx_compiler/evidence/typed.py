"""Frozen values of known classes as JSON, and back: what a run's folder keeps of a compiled audit.

Nothing is ever unpickled, and no class is named by the file: a tag is looked up in a closed register, and what is not in
it is refused. Mappings keep their order, tuples stay tuples; arrays stand beside the JSON, by number.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEEPEST = 60
"""Levels of nesting; an audit has about ten."""


class Unreadable(ValueError):  # noqa: N818  (said of a file, not of the program)
    """The JSON is not what `Register.to_plain` writes."""


@dataclass(frozen=True)
class Kind:
    """How the values of one class are written down."""

    of: type[Any]
    to_plain: Callable[[Any], Mapping[str, Any]]
    """To named values, which are written down in turn."""
    from_plain: Callable[[Mapping[str, Any]], Any]
    """Back; may raise anything where they are not what was written."""


def fields_of(of: type[Any]) -> Kind:
    """A dataclass by its fields; those that have their default are left out."""
    known = {field.name: field for field in dataclasses.fields(of) if field.init}

    def to_plain(value: Any) -> Mapping[str, Any]:
        named = {name: getattr(value, name) for name in known}
        return {name: held for name, held in named.items() if not _is_default(held, known[name])}

    return Kind(of, to_plain, lambda named: of(**named))


def _is_default(held: Any, field: "dataclasses.Field[Any]") -> bool:
    if isinstance(held, np.ndarray):
        return False
    if field.default is not dataclasses.MISSING:
        return type(held) is type(field.default) and bool(held == field.default)
    if field.default_factory is not dataclasses.MISSING:
        return type(held) is dict and held == {} == field.default_factory()
    return False


class Register:
    """The classes that may be written down, by the tags that stand for them."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = dict(kinds)
        self._tags = {kind.of: tag for tag, kind in kinds.items()}

    def to_plain(self, value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
        """A value as JSON values; its arrays are added to `arrays`. Raises `TypeError` for a class not in the register."""
        if value is None or type(value) in (str, int, bool):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if type(value) is list:
            return [self.to_plain(item, arrays) for item in value]
        if type(value) is tuple:
            return {"$tuple": [self.to_plain(item, arrays) for item in value]}
        if type(value) is frozenset:
            return {"$set": sorted(self.to_plain(item, arrays) for item in value)}
        if isinstance(value, np.ndarray):
            name = f"array{len(arrays)}"
            arrays[name] = value
            return {"$array": name}
        if isinstance(value, Path):
            return {"$path": value.as_posix()}
        tag = self._tags.get(type(value))
        if tag is not None:
            named = self._kinds[tag].to_plain(value)
            return {"$": tag, **{name: self.to_plain(held, arrays) for name, held in named.items()}}
        if isinstance(value, Mapping):
            if all(type(key) is str and not key.startswith("$") for key in value):
                return {key: self.to_plain(item, arrays) for key, item in value.items()}
            pairs = [[self.to_plain(key, arrays), self.to_plain(item, arrays)] for key, item in value.items()]
            return {"$map": pairs}
        raise TypeError(f"no register knows how to write down {type(value).__name__}")

    def from_plain(self, found: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """The value again. Raises `Unreadable`."""
        try:
            return self._read(found, arrays, DEEPEST)
        except Unreadable:
            raise
        except Exception as error:
            raise Unreadable(f"{type(error).__name__}: {str(error)[:200]}") from error

    def _read(self, found: Any, arrays: Mapping[str, NDArray[Any]], levels: int) -> Any:
        if levels < 0:
            raise Unreadable(f"nested deeper than {DEEPEST} levels")
        if isinstance(found, list):
            return [self._read(item, arrays, levels - 1) for item in found]
        if not isinstance(found, dict):
            return found
        tag = found.get("$")
        if tag is not None:
            kind = self._kinds.get(tag) if isinstance(tag, str) else None
            if kind is None:
                raise Unreadable(f"`{tag}` is in no register")
            named = {name: self._read(held, arrays, levels - 1) for name, held in found.items() if name != "$"}
            return kind.from_plain(named)
        special = next((key for key in found if key.startswith("$")), None)
        if special is None:
            return {key: self._read(item, arrays, levels - 1) for key, item in found.items()}
        if len(found) != 1 or special not in _SPECIAL:
            raise Unreadable(f"`{special}` means nothing here")
        return _SPECIAL[special](self._read(found[special], arrays, levels - 1), arrays)


def _below(text: str) -> Path:
    place = PurePosixPath(text)
    if place.is_absolute() or ".." in place.parts:
        raise Unreadable(f"`{text}` leads out of the folder")
    return Path(place)


_SPECIAL: Mapping[str, Callable[[Any, Mapping[str, NDArray[Any]]], Any]] = {
    "$float": lambda text, _: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text],
    "$tuple": lambda items, _: tuple(items),
    "$set": lambda items, _: frozenset(items),
    "$array": lambda name, arrays: arrays[name],
    "$path": lambda text, _: _below(text),
    "$map": lambda pairs, _: {key: item for key, item in pairs},  # noqa: C416  (a pair of three must be refused)
}
