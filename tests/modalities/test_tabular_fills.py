"""What a removed column of a table is replaced by."""

import numpy as np
import pytest

from pgx_compiler.modalities import tabular


def fill(rows, train, kind, features, seed=0, **keys):
    filled = {"kind": kind, **tabular.FILLS[kind], **keys}
    return tabular.references(rows, train, filled, features, np.random.default_rng(seed))


def features_of(columns, groups=None):
    return tabular.feature_map({"x": (len(columns),)}, {"columns": columns, "groups": groups or {}})


@pytest.fixture
def table():
    """Three clouds of 60, 30 and 3 rows; two numbers in unlike units and a one-hot colour that tells the cloud."""
    rng = np.random.default_rng(0)
    cloud = np.repeat([0, 1, 2], [60, 30, 3])
    numbers = np.array([[0, 0], [5, 5000], [10, 0]])[cloud] + rng.normal(size=(93, 2)) * [0.5, 500]
    return {"x": np.concatenate([numbers, np.eye(3)[cloud]], axis=1)}, cloud


COLUMNS = ("a", "b", "colour=red", "colour=blue", "colour=green")
GROUPS = {"colour": ("colour=*",)}


def positions(train, held):
    return [int(np.flatnonzero((train["x"] == row).all(axis=1))[0]) for row in held]


def test_centres_of_k_means_are_real_rows_and_cover_every_cloud(table):
    train, cloud = table
    features = features_of(COLUMNS, GROUPS)
    found = fill({"x": train["x"][:4]}, train, "kmeans", features, size=3)
    held = found.inputs["x"]
    assert held.shape == (1, 3, 5)
    assert sorted(cloud[positions(train, held[0])]) == [0, 1, 2]  # the cloud of three rows too
    for row, of_cloud in zip(held[0], cloud[positions(train, held[0])], strict=True):
        # the nearest to the cloud's mean, each feature in its own unit
        assert np.abs(row[:2] - train["x"][cloud == of_cloud, :2].mean(axis=0)).max() < 500
    again = fill({"x": train["x"][:4]}, train, "kmeans", features, size=3)
    assert (again.inputs["x"] == held).all()


def test_each_central_row_is_taken_once_and_all_rows_are_all_there_is(table):
    train, _ = table
    features = features_of(COLUMNS, GROUPS)
    held = fill(train, train, "kmeans", features, size=40).inputs["x"][0]
    assert len(set(positions(train, held))) == 40
    few = {"x": np.repeat(train["x"][:2], 3, axis=0)}  # two different rows, six times together
    assert fill(few, few, "kmeans", features, size=50).inputs["x"].shape == (1, 6, 5)


def test_a_local_background_is_the_nearest_rows_but_those_that_are_equal(table):
    train, cloud = table
    features = features_of(COLUMNS, GROUPS)
    rows = {"x": train["x"][[0, 70, 91]]}
    held = fill(rows, train, "conditional", features, size=10).inputs["x"]
    assert held.shape == (3, 10, 5)
    assert (cloud[positions(train, held[0])] == 0).all()
    assert (cloud[positions(train, held[1])] == 1).all()
    assert sorted(cloud[positions(train, held[2])])[-2:] == [2, 2]  # the two others of its cloud, but not itself
    for row, own in zip(rows["x"], held, strict=True):
        assert not (own == row).all(axis=1).any()
    # slowly: standardised numbers, and the three columns of the group scaled together to a variance of 1
    x = train["x"]
    scale = np.concatenate([x[:, :2].std(axis=0), np.full(3, np.sqrt(x[:, 2:].var(axis=0).sum()))])
    apart = (((x - rows["x"][0]) / scale) ** 2).sum(axis=1)
    apart[0] = np.inf
    assert set(positions(train, held[0])) == set(np.argsort(apart)[:10].tolist())


def test_rows_equal_to_the_explained_one_are_used_where_there_are_no_others():
    train = {"x": np.array([[1.0, 2], [1, 2], [5, 5]])}
    held = fill({"x": np.array([[1.0, 2]])}, train, "conditional", features_of(("a", "b")), size=2).inputs["x"][0]
    assert held.tolist() == [[5, 5], [1, 2]]


@pytest.mark.parametrize("kind", ["kmeans", "conditional"])
def test_words_codes_and_missing_values_have_distances_too(kind):
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue"])[rng.integers(0, 2, 30)]
    numbers = rng.normal(size=30).astype(np.float32)
    numbers[::7] = np.nan
    codes = rng.integers(0, 4, 30)
    train = {"w": words, "n": numbers[:, None], "c": codes}
    shapes = {name: array.shape[1:] for name, array in train.items()}
    features = tabular.feature_map(shapes, {"columns": ("w", "n", "c")})
    rows = {name: array[:3] for name, array in train.items()}
    found = fill(rows, train, kind, features, size=4)
    for name, array in train.items():
        assert found.inputs[name].dtype == array.dtype
        assert found.inputs[name].shape == (3 if kind == "conditional" else 1, 4, *array.shape[1:])
    if kind == "conditional":
        assert (found.inputs["w"] == rows["w"][:, None]).mean() > 0.9  # another word is the farthest there is


def test_the_furthest_row_has_of_each_feature_the_value_furthest_from_the_rows_own(table):
    train, _ = table
    rows = {"x": train["x"][[0, 60, 90]]}  # red, blue and green, of 60, 30 and 3 rows
    held = fill(rows, train, "maximum_distance", features_of(COLUMNS, GROUPS)).inputs["x"]
    assert held.shape == (3, 1, 5)
    for row, other in zip(rows["x"], held[:, 0], strict=True):
        for column in (0, 1):
            ends = train["x"][:, column].min(), train["x"][:, column].max()
            assert other[column] == max(ends, key=lambda end, at=row[column]: abs(end - at))
    # Of the other colours the commonest, whole: blue where the row is red, red where it is not. But columns are
    # standardised over the training rows together: any two colours are as far apart as any other two.
    assert held[:, 0, 2:].tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]


def test_the_furthest_value_is_a_known_one_and_words_are_as_far_apart_as_each_other():
    train = {"n": np.array([1.0, np.nan, 4.0, 2.0]), "w": np.array(["a", "b", "b", "c"], dtype=object)}
    features = tabular.feature_map({"n": (), "w": ()}, {"columns": ("n", "w")})
    rows = {"n": np.array([1.5, np.nan, 4.0]), "w": np.array(["b", "a", "z"], dtype=object)}
    held = fill(rows, train, "maximum_distance", features).inputs
    # Known are 1, 4 and 2 (middle 7/3): from 1.5 it is 4, from the middle too, from 4 it is 1.
    assert held["n"][:, 0].tolist() == [4.0, 4.0, 1.0]
    assert held["w"][:, 0].tolist() == ["a", "b", "b"]


def mixed():
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "blue"], dtype=object)[rng.integers(0, 3, 200)]
    train = {"n": rng.uniform(-2, 5, 200), "c": rng.integers(3, 9, 200).astype(np.int16), "w": words}
    train["n"][::9] = np.nan
    features = tabular.feature_map(dict.fromkeys(train, ()), {"columns": tuple(train)})
    return train, {name: array[:2] for name, array in train.items()}, features


def test_a_constant_stands_in_every_column_of_numbers_and_the_commonest_word_in_others():
    train, rows, features = mixed()
    found = fill(rows, train, "value", features, value=0.6)
    assert [found.inputs[name].tolist() for name in train] == [[[0.6]], [[1]], [["blue"]]]
    assert found.inputs["c"].dtype == np.int16
    assert found.name == "0.6 in every column, of text the commonest"
    assert fill(rows, train, "value", features, value=1e9).inputs["c"].tolist() == [[32767]]


def test_even_draws_cover_the_range_of_each_element_and_no_more():
    train, rows, features = mixed()
    drawn = fill(rows, train, "uniform", features, size=1000).inputs
    low, high = np.nanmin(train["n"]), np.nanmax(train["n"])
    assert drawn["n"].shape == (1, 1000)
    assert low <= drawn["n"].min() < low + 0.05
    assert high - 0.05 < drawn["n"].max() <= high
    assert abs(drawn["n"].mean() - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * 1000)
    assert sorted(set(drawn["c"][0].tolist())) == [3, 4, 5, 6, 7, 8]
    assert set(drawn["w"][0]) == {"red", "blue"}
    assert abs((drawn["w"][0] == "red").mean() - 0.5) < 0.07
