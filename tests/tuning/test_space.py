"""Dimensions in natural units."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgx_compiler.tuning.space import Dimension, SpaceError, canonical, contains, count, settings_digest


def test_an_integral_grid_holds_ints_from_low_to_high() -> None:
    points = Dimension.of({"quniform": [10, 60, 8]}).points
    # 10, 18, 26, 34, 42, 50, 58; 66 is beyond. Hyperopt's own grid would be the multiples of 8 from 8 to 64.
    assert points == (10, 18, 26, 34, 42, 50, 58)
    assert all(type(point) is int for point in points)


def test_a_fractional_grid_has_no_rounding_dust() -> None:
    assert Dimension.of({"quniform": [0.1, 0.5, 0.1]}).points == (0.1, 0.2, 0.3, 0.4, 0.5)  # 0.1 + 2 * 0.1 != 0.3


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"uniform": [2, 1]}, "not in order"),
        ({"loguniform": [0, 1]}, "above 0"),
        ({"quniform": [0, 1, 0]}, "step above 0"),
        ({"choice": []}, "at least one"),
        ({"choice": [32, 32.0]}, "twice"),
        ({"uniform": [0, 1], "choice": [1]}, "exactly one"),
        ({"uniform": None}, "exactly one"),
        ({"normal": [0, 1]}, "unknown distribution"),
        ({"quniform": [0, 1]}, "low, high, step"),
    ],
)
def test_a_malformed_dimension_says_what_is_wrong(written: dict, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        Dimension.of(written)


def test_what_is_written_is_read_back() -> None:
    for written in ({"uniform": [0, 0.6]}, {"loguniform": [1e-4, 0.1]}, {"quniform": [8, 64, 8]}, {"choice": [1, "a"]}):
        assert Dimension.of(written).written() == written


def test_a_choice_is_encoded_by_its_position_and_decoded_to_its_value() -> None:
    dimension = Dimension.of({"choice": ["relu", 2, None, True]})
    assert [dimension.encode(value) for value in ("relu", 2, None, True)] == [0, 1, 2, 3]
    assert [dimension.decode(code) for code in range(4)] == ["relu", 2, None, True]
    assert not dimension.contains(1)  # True is not 1 here


@given(st.floats(1e-6, 1.0), st.floats(0, 1))
def test_a_drawn_number_never_leaves_its_bounds(low: float, share: float) -> None:
    dimension = Dimension("loguniform", low, low * 7.0)
    drawn = dimension.decode(low * 7.0**share)
    assert dimension.contains(drawn)


def test_unit_is_logarithmic_where_the_dimension_is() -> None:
    assert Dimension.of({"loguniform": [1e-4, 1]}).unit(1e-2) == pytest.approx(0.5)
    assert Dimension.of({"quniform": [8, 64, 8]}).unit(40) == pytest.approx(4 / 7)


def test_digests_ignore_order_and_the_kind_of_number_but_not_values() -> None:
    assert settings_digest({"a": 32, "b": 0.1}) == settings_digest({"b": 0.1, "a": 32.0})
    assert settings_digest({"a": 32}) != settings_digest({"a": 33})
    assert settings_digest({"a": True}) != settings_digest({"a": 1})
    assert canonical({"b": [1.0, "x"], "a": None}) == '{"a":null,"b":[1,"x"]}'


def test_a_space_counts_its_settings_where_they_are_finite() -> None:
    grid = {"a": Dimension.of({"choice": [1, 2]}), "b": Dimension.of({"quniform": [8, 64, 8]})}
    assert count(grid) == 2 * 8
    assert count({**grid, "c": Dimension.of({"uniform": [0, 1]})}) is None
    assert count({**grid, "c": Dimension.of({"uniform": [1, 1]})}) == 16
    assert contains(grid, {"a": 2, "b": 16})
    assert not contains(grid, {"a": 2, "b": 17})
    assert not contains(grid, {"a": 2})


def test_a_number_that_is_not_finite_is_no_bound() -> None:
    with pytest.raises(SpaceError, match="not in order"):
        Dimension("uniform", 0.0, math.inf)
