"""Did the question change? Two specs compared field by field, each change with the role that its field declares."""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.plan.semantics import role_of, semantic_part
from pgx_compiler.spec.model import Accepted, AuditSpec, Gate

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Change:
    """One field that says something else."""

    path: str
    """As people write it, positions of the newer spec: ``gates[0].min``."""
    role: str
    """``semantic``, ``operational`` or ``descriptive``: that of the outermost field on the way that is not semantic."""
    old: Any
    """None where the older spec does not say it."""
    new: Any
    about: str = ""
    """What the list's item is, where the path leads through one: its name."""
    effect: str = ""
    """Of what decides the verdict: ``weaker``, ``stronger``, ``removed``, ``added``, ``moved``; else empty."""

    @property
    def loud(self) -> bool:
        """True where what has to hold is no longer what it was."""
        return self.effect not in ("", "added")


@dataclass(frozen=True)
class Question:
    """A spec as plain values by field name, defaults filled in."""

    values: Mapping[str, Any]
    """All that is known of it."""
    semantic: Mapping[str, Any]
    """The part that changes the answer, as `semantic_part` gives it."""


def question_of(spec: AuditSpec) -> Question:
    """What a spec asks."""
    return Question(plain(spec.model_dump(mode="json")), plain(semantic_part(spec)))


def changes(old: Question, new: Question) -> list[Change]:
    """What differs between two questions: moved thresholds first, then what changes the answer, then the rest."""
    order = {"semantic": 0, "operational": 1, "descriptive": 2}
    both = _Both(old.values, new.values, old.semantic, new.semantic)
    found = [_judged(raw) for raw in _of_model(AuditSpec, both, (), "semantic", "")]
    urgency = {"removed": 0, "weaker": 1, "moved": 2, "stronger": 3, "added": 4, "": 5}
    return sorted(found, key=lambda change: (order[change.role], urgency[change.effect]))


def shown(path: Path_) -> str:
    """A path as people write it: ``explain.perturbation[0].with``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True)
class _Raw:
    """A change before it is known what it does to the verdict."""

    path: Path_
    role: str
    old: Any
    new: Any
    about: str
    item: type[BaseModel] | None
    """The model of the list's item that the change is in."""
    pair: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] = (None, None)


@dataclass(frozen=True)
class _Both:
    """The two values at one place, and the part of each that changes the answer; `_GONE` where there is none."""

    old: Any
    new: Any
    old_semantic: Any
    new_semantic: Any

    def at(self, key: str | int, default: Any = None) -> "_Both":
        old, new = (_member(value, key, default) for value in (self.old, self.new))
        return _Both(old, new, _member(self.old_semantic, key, _GONE), _member(self.new_semantic, key, _GONE))

    def of(self, kind: type) -> bool:
        return isinstance(self.old, kind) and isinstance(self.new, kind)

    @property
    def changes_answer(self) -> bool:
        return self.old_semantic is not _GONE or self.new_semantic is not _GONE


_GONE = object()


def _member(value: Any, key: Any, default: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, default)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else default


def _of_model(model: type[BaseModel], both: _Both, path: Path_, role: str, about: str) -> Iterator[_Raw]:
    for name, field in model.model_fields.items():
        if name not in both.old and name not in both.new:
            continue  # plans and baselines keep only what changes the answer
        one = both.at(name, _default(model, name))
        now = role
        if role == "semantic" and not one.changes_answer:
            now = role_of(model, name) or "semantic"
        if now != "semantic" and not (name in both.old and name in both.new):
            continue
        if one.old != one.new:
            yield from _of_value(field.annotation, one, (*path, field.alias or name), now, about)


def _default(model: type[BaseModel], name: str) -> Any:
    default = model.model_fields[name].get_default(call_default_factory=True)
    return plain(default.model_dump(mode="json") if isinstance(default, BaseModel) else default)


def _of_value(annotation: Any, both: _Both, path: Path_, role: str, about: str) -> Iterator[_Raw]:
    model, item, member = _parts(annotation)
    if model is not None and both.of(dict):
        yield from _of_model(model, both, path, role, about)
    elif item is not None and both.of(list):
        yield from _of_items(item, both, path, role)
    elif both.of(dict):
        for key in [*both.new, *(key for key in both.old if key not in both.new)]:
            one = both.at(key)
            if one.old != one.new:
                yield from _of_value(member, one, (*path, key), role, about)
    else:
        yield _Raw(path, role, both.old, both.new, about, None)


def _parts(annotation: Any) -> tuple[type[BaseModel] | None, type[BaseModel] | None, Any]:
    """What an annotation holds: a model, a list of models, a mapping's members."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None, None
    if origin is typing.Annotated:
        return _parts(arguments[0])
    if origin in (typing.Union, types.UnionType):
        found = [_parts(arm) for arm in arguments]
        return next((parts for parts in found if any(part is not None for part in parts)), (None, None, None))
    if origin in (list, tuple):
        return None, _parts(arguments[0])[0], None
    if origin is dict:
        return None, None, arguments[1]
    return None, None, None


def _of_items(item: type[BaseModel], both: _Both, path: Path_, role: str) -> Iterator[_Raw]:
    """Items of a list, each with the one that it was: by name, then by likeness."""
    pairs = _paired(item, both.old, both.new)
    kept = [(before, after) for before, after in pairs if before is not None and after is not None]
    for before, after in kept:
        was, now = both.old[before], both.new[after]
        if was != now:
            one = _Both(was, now, _member(both.old_semantic, before, _GONE), _member(both.new_semantic, after, _GONE))
            for raw in _of_model(item, one, (*path, after), role, name_of(item, now)):
                yield raw if raw.item else replace(raw, item=item, pair=(was, now))
    for left, right in pairs:
        if right is None and left is not None:
            gone = both.old[left]
            yield _Raw((*path, left), role, gone, None, name_of(item, gone), item, (gone, None))
        elif left is None and right is not None:
            come = both.new[right]
            yield _Raw((*path, right), role, None, come, name_of(item, come), item, (None, come))
    if [before for before, _ in sorted(kept, key=lambda pair: pair[1])] != sorted(before for before, _ in kept):
        was = [name_of(item, both.old[before]) for before, _ in sorted(kept)]
        now = [name_of(item, both.new[after]) for _, after in sorted(kept, key=lambda pair: pair[1])]
        yield _Raw((*path, "order"), role, was, now, "", None)


def naming_field(item: type[BaseModel]) -> str | None:
    """The field that says what a list's item is: the first that has no default."""
    return next((name for name, field in item.model_fields.items() if field.is_required()), None)


def name_of(item: type[BaseModel], value: Mapping[str, Any]) -> str:
    """What people call an item: its id, or what it uses, with what it speaks of."""
    if value.get("id"):
        return str(value["id"])
    words = [str(value.get(naming_field(item) or "", ""))]
    for name in item.model_fields:
        part = value.get(name)
        if name in ("between", "of", "subject") and part:
            words.append(" ~ ".join(part) if isinstance(part, list) else str(part))
    return " ".join(words)


def _paired(item: type[BaseModel], old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int | None, int | None]]:
    """Positions that belong together: equal items first, then of those with one name the most alike."""
    naming = naming_field(item)

    def likeness(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
        if naming is not None and before.get(naming) != after.get(naming):
            return -1
        same_id = 100 if before.get("id") is not None and before.get("id") == after.get("id") else 0
        return same_id + len([name for name in item.model_fields if before.get(name) == after.get(name)])

    candidates = sorted(
        ((likeness(a, b) + 1000 * (a == b), -abs(i - j), -i, -j) for i, a in enumerate(old) for j, b in enumerate(new)),
        reverse=True,
    )
    taken_old: dict[int, int] = {}
    taken_new: set[int] = set()
    for score, _, i, j in candidates:
        if score >= 0 and -i not in taken_old and -j not in taken_new:
            taken_old[-i] = -j
            taken_new.add(-j)
    pairs: list[tuple[int | None, int | None]] = [(i, taken_old.get(i)) for i in range(len(old))]
    return pairs + [(None, j) for j in range(len(new)) if j not in taken_new]


# what a change does to the verdict


def _judged(raw: _Raw) -> Change:
    effect = ""
    if raw.role == "semantic" and raw.item is Gate:
        effect = _effect_on_gate(raw)
    elif raw.role == "semantic" and raw.item is Accepted and (raw.old is None or raw.new is None):
        # a finding that is answered for no longer counts
        effect = "weaker" if raw.old is None else "stronger"
    return Change(shown(raw.path), raw.role, raw.old, raw.new, raw.about, effect)


def _effect_on_gate(raw: _Raw) -> str:
    before, after = raw.pair
    if after is None:
        return "removed"
    if before is None:
        return "added"
    field = raw.path[2] if len(raw.path) > 2 else None
    if field == "id":
        return ""
    higher_is_stricter = {"min": True, "max": False, "tolerance": False}
    if field not in higher_is_stricter:
        return "moved"
    if raw.new is None or raw.old is None:
        return "weaker" if raw.new is None else "stronger"
    return "stronger" if (raw.new > raw.old) == higher_is_stricter[str(field)] else "weaker"
