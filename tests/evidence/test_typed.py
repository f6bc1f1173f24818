"""Values of known classes as JSON and back; anything else is refused."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgx_compiler.evidence.typed import Register, Unreadable, fields_of


@dataclass(frozen=True)
class Leaf:
    name: str
    size: int = 3
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stranger:
    name: str


REGISTER = Register({"leaf": fields_of(Leaf)})

scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.dictionaries(st.tuples(st.integers(), st.text()), inner, max_size=3)
        | st.builds(Leaf, st.text(), st.integers(), st.dictionaries(st.text(), inner, max_size=2))
        | st.frozensets(st.text(), max_size=3)
    ),
    max_leaves=20,
)


def there_and_back(value: Any) -> Any:
    arrays: dict[str, Any] = {}
    return REGISTER.from_plain(json.loads(json.dumps(REGISTER.to_plain(value, arrays))), arrays)


@given(values)
def test_every_value_comes_back_with_its_types_and_its_order(value):
    found = there_and_back(value)
    assert found == value
    assert repr(found) == repr(value) or isinstance(value, frozenset) or "frozenset" in repr(value)


def test_numbers_beyond_json_paths_and_arrays_come_back():
    assert math.isnan(there_and_back(math.nan))
    assert there_and_back((math.inf, -math.inf)) == (math.inf, -math.inf)
    assert there_and_back(Path("a/b")) == Path("a/b")
    array = np.arange(6).reshape(2, 3)
    assert there_and_back({"x": array})["x"] is array


def test_what_has_its_default_is_left_out():
    assert REGISTER.to_plain(Leaf("a"), {}) == {"$": "leaf", "name": "a"}


def test_a_class_that_nobody_registered_is_not_written():
    with pytest.raises(TypeError, match="Stranger"):
        REGISTER.to_plain(Stranger("a"), {})


@pytest.mark.parametrize(
    "hostile",
    [
        {"$": "os.system", "command": "true"},
        {"$": ["leaf"]},
        {"$": "leaf", "name": "a", "unknown": 1},
        {"$": "leaf"},
        {"$path": "/etc/passwd"},
        {"$path": "../../secret"},
        {"$array": "none"},
        {"$map": [[1, 2, 3]]},
        {"$map": [[["unhashable"], 1]]},
        {"$float": "12"},
        {"$tuple": [], "more": 1},
        {"$pickle": "gASVAAAA"},
        {"$set": [[1]]},
        {"$tuple": 5},
    ],
)
def test_hostile_json_is_unreadable(hostile):
    with pytest.raises(Unreadable):
        REGISTER.from_plain(hostile, {})


def test_deep_nesting_is_refused():
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(Unreadable, match="deeper"):
        REGISTER.from_plain(deep, {})
