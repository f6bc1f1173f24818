"""Curves of single rows: exact on additive models, and what is said of them."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.perturbation.individual_conditional_expectation import turns_back
from tests.methods.tables import Column, declared, handle_of, mixed_columns, table_of

DECLARATION = catalogue()["individual_conditional_expectation"]


def profiles(table, row=0, **params):
    return DECLARATION.function(table.row(row), DECLARATION.params(**params))


def test_on_an_additive_model_a_curve_is_the_components_own_function():
    # score = a^3 + sin(3 b) + effect of the colour + 0.3 grade: with the others held, the curve of a is a^3 plus a constant.
    effect = np.array([0.0, 1.0, -0.5])
    parts = [
        lambda v: v**3,
        lambda v: np.sin(3 * v),
        lambda v: effect[v.astype(int)],
        lambda v: 0.3 * v,
        lambda v: 0 * v,
    ]
    table = table_of(lambda z: sum(part(z[:, j]) for j, part in enumerate(parts)), mixed_columns(200), explained=5)
    for index in range(5):
        row, said = table.row(index).z, profiles(table, index)
        values, scores = said.arrays["curve_values"], said.arrays["curve_scores"]
        for j, part in enumerate(parts):
            known = np.isfinite(values[j])
            rest = sum(float(other(row[k : k + 1])[0]) for k, other in enumerate(parts) if k != j)
            np.testing.assert_allclose(scores[j, known], part(values[j, known]) + rest, atol=1e-12)


def test_a_grid_holds_quantiles_that_occur_and_every_category():
    table = table_of(lambda z: z[:, 0], mixed_columns(200))
    values = profiles(table, grid=5).arrays["curve_values"]
    held = table.train.z
    # 200 sorted values at positions 0, 49.75, 99.5, 149.25, 199: the nearest of each
    expected = np.sort(held[:, 0])[[0, 50, 100, 149, 199]]
    assert np.isin(values[0], held[:, 0]).all()
    np.testing.assert_array_equal(values[0][[0, 1, 3, 4]], expected[[0, 1, 3, 4]])
    np.testing.assert_array_equal(values[2], [0, 1, 2, np.nan, np.nan])
    np.testing.assert_array_equal(values[3], [0, 1, 2, 3, np.nan])


def test_of_many_categories_the_commonest_are_drawn():
    codes = np.array([0] * 5 + [1] * 2 + [2] * 9 + [3] * 4)
    table = table_of(lambda z: z[:, 0], [Column("c", codes, tuple("abcd"), "one_hot")])
    assert profiles(table, grid=2).arrays["curve_values"].tolist() == [[0, 2]]


def test_the_largest_range_and_the_share_that_turns_back():
    # Over -1..1: a has range 2 * 2, b^2 turns (1 to 0 to 1), c = 0 is flat and counts for nothing.
    grid = np.linspace(-1, 1, 21)
    columns = [Column(name, grid) for name in "abc"]
    table = table_of(lambda z: 2 * z[:, 0] + z[:, 1] ** 2, columns)
    numbers = profiles(table, grid=21).numbers
    np.testing.assert_allclose(numbers["largest_range"], 4.0)
    assert numbers["non_monotone"] == 0.5
    assert np.isnan(numbers["decisive"])  # a regression decides nothing


@pytest.mark.parametrize(
    ("curve", "tolerance", "turns"),
    [([0, 1, 2], 0.0, False), ([2, 1, 0], 0.0, False), ([0, 1, 0.9, 2], 0.05, False), ([0, 1, 0.8, 2], 0.05, True),
     ([0, 1, 0.999, 2], 0.0, True), ([1, 1, 1], 0.0, False), ([1, 0, 1], 0.05, True)],
)  # fmt: skip
def test_a_curve_turns_back_when_it_moves_against_its_direction_by_more_than_the_tolerance(curve, tolerance, turns):
    # range 2, 5 %: 0.1. From 1 to 0.9 is 0.1, not more; to 0.8 is 0.2.
    assert turns_back(np.array(curve, float) + 0.0, tolerance + 1e-12) == turns


def test_features_that_alone_turn_the_decision_are_counted_and_said():
    # The margin is a - 1.5 + 0.2 b: the row has a = 0; only a (up to 2) crosses, b is worth 0.4 at most.
    columns = [Column("a", np.tile([0.0, 1, 2], 10)), Column("b", np.tile([0.0, 2.0], 15)), Column("c", np.zeros(30))]
    table = table_of(
        lambda z: np.stack([1.5 - z[:, 0] - 0.2 * z[:, 1], z[:, 0] + 0.2 * z[:, 1] - 1.5], axis=1),
        columns, classes=("no", "yes"), focus=(1,), score="logit",
    )  # fmt: skip
    said = profiles(table, 0)
    np.testing.assert_allclose(said.numbers["decisive"], 1 / 3)
    assert [one.features for one in said.statements] == [("a",), ("b",)]  # c moves nothing, and is not said
    assert said.statements[0].text == "a alone moves the logit of yes from -1.5 (as it is, 0) to 0.5 (2), enough to turn the decision"  # fmt: skip
    assert said.statements[1].text == "b alone moves the logit of yes from -1.5 (as it is, 0) to -1.1 (2)"
    assert (
        said.statements[0].without_values
        == "a alone moves the logit of yes over a range of 2, enough to turn the decision"
    )


def test_a_row_between_the_ends_of_its_curve_is_told():
    columns = [
        Column("colour", np.array([1, 0, 2] * 5), ("red", "green", "blue"), "one_hot"),
        Column("b", np.arange(15.0)),
    ]
    table = table_of(lambda z: z[:, 0], columns)
    assert (
        profiles(table).statements[0].text
        == "colour alone moves the value from 0 (“red”) to 2 (“blue”); it is 1 at “green”"
    )


def test_charts_hold_values_of_rows_and_say_so():
    table = table_of(lambda z: z[:, 0] + z[:, 2], mixed_columns(60), units={"a": "cm"})
    charts = {chart.subject: chart for chart in profiles(table, grid=7).charts}
    assert set(charts) == {"a", "colour"}
    assert all(chart.shows_rows for chart in charts.values())
    assert charts["a"].kind == "lines"
    assert charts["a"].x_title == "a (cm)"
    assert len(charts["a"].marks) == 9
    assert charts["colour"].kind == "bars"
    assert charts["colour"].curves[0].x == ("red", "green", "blue")


def test_a_missing_value_stays_missing_elsewhere_and_is_no_point_of_a_curve():
    a = np.array([np.nan, 1.0, 2.0, 3.0])
    table = table_of(lambda z: np.nan_to_num(z[:, 0], nan=7.0) + z[:, 1], [Column("a", a), Column("b", np.arange(4.0))])
    said = profiles(table, 0)
    assert np.nanmax(said.arrays["curve_values"][0]) == 3.0
    np.testing.assert_allclose(said.arrays["curve_scores"][1], [7, 8, 9, 10] + [np.nan] * 16)
    assert said.statements[1].text.endswith("; it is 7 at missing")


@pytest.mark.parametrize("params", [{}, {"grid": 3}, {"grid": 200, "only": ["a", "colour"]}])
def test_no_more_rows_are_asked_than_planned(params):
    table = table_of(lambda z: z[:, 0], mixed_columns(300))
    before = handle_of(table).spent.forward
    for index in range(3):
        profiles(table, index, **params)
    assert 0 < handle_of(table).spent.forward - before <= declared(DECLARATION, table, DECLARATION.params(**params))


def test_only_the_features_named_are_moved_and_unknown_ones_are_said():
    table = table_of(lambda z: z[:, 0] + z[:, 1], mixed_columns(60))
    assert profiles(table, only=["b"]).arrays["curve_values"].shape == (1, 20)
    with pytest.raises(UnfitParams, match="`only` names `bb`"):
        profiles(table, only=["bb"])
