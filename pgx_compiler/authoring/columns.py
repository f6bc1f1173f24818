"""What the columns of a table are: what the model reads, one-hot groups, ids and times, and what may need protection."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.authoring.files import Given
from pgx_compiler.authoring.signature import whole_text

_ID = re.compile(r"(?i)(id|uuid|guid|index|row|rownum|unnamed: ?\d+|.*[_ ]id|id[_ ].*|.*[_ ]uuid)")
_TIME = re.compile(r"(?i)(date|time|timestamp|datetime|.*[_ ](date|timestamp)|created_at|updated_at)")
_SENSITIVE = (
    "age sex gender race ethnic ethnicity nationality national foreign foreigner citizenship citizen religion religious"
    " disability disabled marital married pregnant pregnancy orientation birth skin caste union migrant origin"
)
_PROTECTED = frozenset(_SENSITIVE.split())


@dataclass(frozen=True)
class Columns:
    """The columns of a table, as far as they could be told apart."""

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Feature to the patterns of its one-hot columns."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Columns that the model does not read, with their role: ``id`` or ``time``."""
    listed: tuple[str, ...] = ()
    """The model's columns by name, where leaving out some by their role is not enough."""
    sensitive: tuple[str, ...] = ()
    """Features whose names sound like what the law protects."""


def tell_columns(given: Given, target: str | None, arrays: Mapping[str, NDArray[Any]]) -> Columns:
    """Sort the columns of the training data."""
    facts, inputs = given.train.facts, given.model.facts.inputs
    if len(inputs) > 1:
        names = [tensor.name for tensor in inputs if tensor.name in arrays]
        return _told(names, arrays)
    if not facts.tabular:
        names = list(facts.feature_names)
        matrix = next((arrays[name] for name in (inputs[0].name, "x", "X") if name in arrays), None)
        whole = matrix is not None and matrix.ndim == 2 and matrix.shape[1] == len(names)
        return _told(names, dict(zip(names, matrix.T, strict=True)) if whole and matrix is not None else {})
    names = [column.name for column in facts.columns if column.name != target]
    wanted = inputs[0].shape[1] if len(inputs[0].shape) > 1 else None
    beside, listed = _left_out(names, arrays, wanted)
    return _told([name for name in listed or names if name not in beside], arrays, beside, tuple(listed))


def tell_texts(given: Given, target: str | None, arrays: Mapping[str, NDArray[Any]]) -> Columns:
    """The column of texts, where a model that reads whole texts could be given several: that of most letters."""
    text = whole_text(given.model.facts)
    names = [name for name, array in arrays.items() if array.dtype.kind in "OUS" and name != target]
    if text is None or not given.train.facts.tabular or text.name in names or len(names) < 2:
        return Columns()
    return Columns(listed=(max(names, key=lambda name: sum(len(cell or "") for cell in arrays[name].tolist())),))


def _told(
    names: Sequence[str],
    arrays: Mapping[str, NDArray[Any]],
    beside: Mapping[str, str] | None = None,
    listed: tuple[str, ...] = (),
) -> Columns:
    groups = one_hot_groups(names, arrays)
    grouped = {name for patterns in groups.values() for name in names if _matches(name, patterns)}
    features = [*(name for name in names if name not in grouped), *groups]
    protected = tuple(name for name in features if sounds_sensitive(name))
    return Columns(groups, beside or {}, listed, protected)


def _left_out(
    names: Sequence[str], arrays: Mapping[str, NDArray[Any]], wanted: int | None
) -> tuple[dict[str, str], list[str]]:
    """Ids and times first, then words that no model reads as numbers; only where the model has no place for all."""
    if wanted is None or len(names) <= wanted:
        return {}, []
    roles = {name: "id" for name in names if _ID.fullmatch(name)}
    roles |= {name: "time" for name in names if _TIME.fullmatch(name)}
    if len(names) - len(roles) == wanted:
        return roles, []
    numbers = [name for name in names if name not in roles and arrays[name].dtype.kind not in "OUS"]
    return ({}, numbers) if len(numbers) == wanted else ({}, [])


def one_hot_groups(names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, ...]]:
    """Columns called ``name=value`` or ``name_value`` that are 0 or 1 and of which each row has exactly one.

    With ``=`` a row may also have none: the name says it, and a category may have been dropped.
    """
    binary = {name for name in names if name in arrays and _binary(arrays[name])}
    groups: dict[str, list[str]] = {}
    for name in names:
        if "=" in name and name in binary:
            groups.setdefault(name.partition("=")[0] + "=", []).append(name)
    groups = {prefix: members for prefix, members in groups.items() if len(members) > 1}
    taken = {name for members in groups.values() for name in members}
    for prefix, members in _by_underscore([name for name in names if name in binary and name not in taken]).items():
        if not taken & set(members) and _one_each([arrays[name] for name in members]):
            groups[prefix] = members
            taken |= set(members)
    return {_called(prefix[:-1], names): _patterns(prefix, members, names) for prefix, members in groups.items()}


def _by_underscore(names: Sequence[str]) -> dict[str, list[str]]:
    """Prefix to its columns, the longest prefixes first: ``personal_status_`` before ``personal_``."""
    found: dict[str, list[str]] = {}
    for name in names:
        for place in (match.end() for match in re.finditer("_", name[:-1])):
            if place > 1:
                found.setdefault(name[:place], []).append(name)
    found = {prefix: members for prefix, members in found.items() if len(members) > 1}
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _binary(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "buif" and bool(np.isin(values, (0, 1)).all())


def _one_each(columns: Sequence[NDArray[Any]]) -> bool:
    return bool((np.sum([column.astype(np.int64) for column in columns], axis=0) == 1).all())


def _called(prefix: str, names: Sequence[str]) -> str:
    return f"{prefix}_group" if prefix in names else prefix


def _patterns(prefix: str, members: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """``prefix*`` where that means these columns and no others, else the columns by name."""
    pattern = f"{prefix}*"
    if [name for name in names if fnmatch.fnmatchcase(name, pattern)] == list(members):
        return (pattern,)
    return tuple(re.sub(r"([*?\[])", r"[\1]", name) for name in members)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def sounds_sensitive(name: str) -> bool:
    """Whether a name has a word in it that law or fairness protects: ``age``, ``personal_status_sex``."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return bool(_PROTECTED & set(re.split(r"[^a-z]+", spaced.casefold())))
