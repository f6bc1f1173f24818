"""The nearest counterfactual: valid by asking, and as near as geometry says where geometry can be worked out."""

import numpy as np
import pytest

from tests.methods.tables import Column
from tests.methods.test_counterfactuals import NEAREST, changes, classified, mixed, mixed_and_told, rows_of, told


def nearest(table, row=0, **params):
    return told(table, row, NEAREST, **params)


def gaussian(names, n=300, seed=4, spreads=None):
    rng = np.random.default_rng(seed)
    spreads = spreads or [1.0] * len(names)
    return [Column(name, spread * rng.normal(size=n)) for name, spread in zip(names, spreads, strict=True)]


@pytest.mark.parametrize("spreads", [[1.0] * 4, [1.0, 100.0, 0.01, 3.0]])
def test_the_distance_to_a_hyperplane_is_found(spreads):
    # In units s_j the margin is sum (w_j s_j) u_j - b, so that its border is |margin| / |w s| away (Euclid).
    columns = gaussian("abcd", spreads=spreads)
    weights = np.array([1.0, -2.0, 0.5, 0.1]) / spreads
    table = classified(lambda z: z @ weights - 0.7, columns, explained=8)
    scales = table.metric("mad").scales
    for index in range(8):
        row = table.row(index).z
        truth = abs(row @ weights - 0.7) / np.linalg.norm(weights * scales)
        found = nearest(table, index).numbers["distance"]
        assert truth <= found <= 1.002 * truth + 1e-9


def test_of_a_single_threshold_the_way_to_it_is_found():
    # Trees: the margin steps at a = 0.3, whatever else. |0.3 - a| / s is the distance; nothing else need change.
    columns = gaussian("abcd")
    table = classified(lambda z: np.where(z[:, 0] > 0.3, 1.0, -1.0), columns, explained=8)
    scale = table.metric("mad").scales[0]
    for index in range(8):
        row, said = table.row(index).z, nearest(table, index)
        truth = abs(row[0] - 0.3) / scale
        assert truth <= said.numbers["distance"] <= 1.005 * truth + 1e-9
        assert said.numbers["changed"] == 1.0
        assert said.statements[0].features == ("a",)


def test_the_side_of_a_circle_is_found():
    # Outside the circle of radius 2 (in spreads) lies the other class: from u the border is 2 - |u| away.
    table = classified(
        lambda z: np.sqrt((z**2).sum(axis=1)) - 2.0, gaussian("ab"), explained=8, ranges={"a": (-9, 9), "b": (-9, 9)}
    )
    scales = table.metric("mad").scales
    assert np.abs(scales - 0.67).max() < 0.08
    for index in range(8):
        row = table.row(index).z
        if np.linalg.norm(row) > 1.9 or np.linalg.norm(row) < 0.2:
            continue
        # scales differ a little, so the truth is searched for on a fine circle
        angle = np.linspace(0, 2 * np.pi, 200_001)
        border = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        truth = np.sqrt((((border - row) / scales) ** 2).sum(axis=1)).min()
        assert truth - 1e-6 <= nearest(table, index).numbers["distance"] <= 1.03 * truth


def test_what_is_given_is_beyond_the_border_and_nothing_in_it_can_be_given_back():
    table, all_told = mixed_and_told("nearest_counterfactual")
    for index, said in enumerate(all_told):
        row = table.row(index).z
        before = table.score(row[None]).argmax()
        dense, sparse = rows_of(said)
        assert (table.score(np.stack([dense, sparse])).argmax(axis=1) != before).all()
        for j in np.flatnonzero(changes(sparse, row)):
            back = sparse.copy()
            back[j] = row[j]
            assert table.score(back[None]).argmax() == before


def test_the_nearest_is_no_further_than_the_sparse_one_and_both_are_measured():
    table, all_told = mixed_and_told("nearest_counterfactual")
    for index, said in enumerate(all_told):
        row = table.row(index).z
        away = np.sqrt((table.metric("mad").differences(rows_of(said), row) ** 2).sum(axis=1))
        np.testing.assert_allclose(away, [said.numbers["distance"], said.numbers["sparse_distance"]])
        assert said.numbers["distance"] <= said.numbers["sparse_distance"]
        assert said.numbers["changed"] == changes(rows_of(said)[1], row).sum()


def test_it_is_nearer_than_any_training_row_of_the_other_class():
    table, all_told = mixed_and_told("nearest_counterfactual")
    predicted = table.score(table.train.z).argmax(axis=1)
    for index, said in enumerate(all_told):
        row = table.row(index).z
        other = table.train.z[predicted != table.score(row[None]).argmax()]
        least = np.sqrt((table.metric("mad").differences(other, row) ** 2).sum(axis=1)).min()
        np.testing.assert_allclose(said.numbers["unlike_neighbour"], least)
        assert said.numbers["distance"] <= least


def test_immutable_features_ranges_whole_numbers_and_categories_are_kept():
    table = mixed(immutable=frozenset({"a"}), ranges={"b": (-0.5, 0.5)})
    for index in range(6):
        row = table.row(index).z
        for z in rows_of(nearest(table, index)):
            assert z[0] == row[0]
            assert z[1] == row[1] or -0.5 <= z[1] <= 0.5
            assert z[2] in (0, 1, 2)
            assert z[3] in (0, 1, 2, 3)


def test_whole_numbers_stay_whole():
    rng = np.random.default_rng(0)
    columns = [Column("count", rng.integers(0, 30, 200)), Column("b", rng.normal(size=200))]
    table = classified(lambda z: z[:, 0] - 11.5, columns, explained=30)
    below = next(i for i in range(30) if table.row(i).z[0] < 10)
    assert rows_of(nearest(table, below))[0][0] == 12.0


def test_a_category_alone_may_be_the_nearest():
    columns = [Column("colour", np.tile([0, 1, 2], 40), ("red", "green", "blue"), "one_hot"), *gaussian("bc", 120)]
    table = classified(lambda z: np.array([-1.0, 1.0, -5.0])[z[:, 0].astype(int)], columns, explained=1)
    said = nearest(table, 0)
    assert said.numbers["distance"] == 1.0
    assert "colour “red” → “green”" in said.statements[0].text


def test_a_border_that_no_training_row_crosses_is_found_all_the_same():
    # All training rows have a < 1.5; the class changes at 1.5, which only the declared range reaches.
    a = np.linspace(-1, 1.4, 100)
    table = classified(
        lambda z: z[:, 0] - 1.5, [Column("a", a), Column("b", a[::-1])], ranges={"a": (-1, 5)}, explained=1
    )
    said = nearest(table, 0)
    assert np.isnan(said.numbers["unlike_neighbour"])
    scale = table.metric("mad").scales[0]
    np.testing.assert_allclose(said.numbers["distance"], 2.5 / scale, rtol=0.01)
