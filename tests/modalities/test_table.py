"""A table gives back the model's own rows, whatever their encoding; missing values and rare categories included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler.modalities import tabular
from pgx_compiler.modalities._table_metric import metric_of, neighbourhood_of
from pgx_compiler.modalities.data import AuditData, Split
from pgx_compiler.modalities.features import FIXED, FeatureMap
from pgx_compiler.modalities.table import Table, TableSetting
from runtimes.capabilities import Spent


class Sum:
    """The sum of all numbers that a row holds."""

    rows_per_call = 7

    def __init__(self):
        self.spent = Spent()

    def predict(self, inputs):
        n = len(next(iter(inputs.values())))
        self.spent.forward += n
        numbers = [a.reshape(n, -1).astype(float) for a in inputs.values() if a.dtype.kind in "biuf"]
        return np.concatenate([*numbers, np.zeros((n, 1))], axis=1).sum(axis=1, keepdims=True)


def split_of(inputs, name="train"):
    return Split(name, inputs, None, np.arange(len(next(iter(inputs.values())))))


def table_of(inputs, columns=(), groups=None, features=None, test=None, explained=None, **setting):
    columns = columns or [f"c{i}" for i in range(sum(int(np.prod(a.shape[1:])) for a in inputs.values()))]
    shapes = {name: array.shape[1:] for name, array in inputs.items()}
    features = features or tabular.feature_map(shapes, {"columns": columns, "groups": groups or {}})
    variables = tabular.variables(inputs, None, features, columns, {})
    other = None if test is None else split_of(test, "test")
    data = AuditData("tabular", "regression", (), split_of(inputs), other, features, variables)
    rows = explained or {name: array[:1] for name, array in inputs.items()}
    return Table(data, Sum(), split_of(rows), np.zeros(1, int), TableSetting(("value",), (0,), "value", **setting))


def same(one, other):
    assert list(one) == list(other)
    for name in one:
        assert one[name].shape == other[name].shape
        assert one[name].dtype.kind == other[name].dtype.kind
        if one[name].dtype.kind == "f":
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name])  # NaN is NaN here
        else:
            assert (one[name] == other[name]).all()


# any table comes back


@st.composite
def tables(draw):
    """Inputs of numbers, one-hot groups, blocks and words, in one input or several; rows of all of them."""
    n = draw(st.integers(1, 12))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    finite = st.floats(-1e6, 1e6, width=32)
    number = st.one_of(finite, st.just(float("nan"))) if draw(st.booleans()) else finite
    parts, columns, groups = [], [], {}
    for index in range(draw(st.integers(1, 4))):
        kind, name = draw(st.sampled_from(["number", "one_hot", "rare_one_hot", "block"])), f"f{index}"
        if kind == "number":
            block = [[draw(number)] for _ in range(n)]
        elif kind == "block":
            block = [[draw(st.sampled_from([0.5, -0.0, 0.0, 2.0, float("nan")])) for _ in range(2)] for _ in range(n)]
        else:
            width = draw(st.integers(2, 4))
            most = width if kind == "rare_one_hot" else width - 1  # `most == width`: a row may be of no category
            block = [[float(draw_at == k) for k in range(width)] for draw_at in [draw(st.integers(0, most)) for _ in range(n)]]  # fmt: skip
        width = len(block[0])
        columns += [f"{name}={k}" for k in range(width)] if width > 1 else [name]
        if width > 1:
            groups[name] = [f"{name}=*"]
        parts.append(np.array(block, dtype))
    joined = np.concatenate(parts, axis=1)
    if draw(st.booleans()):
        inputs = {"x": joined}
    elif draw(st.booleans()):
        inputs = {column: joined[:, i] for i, column in enumerate(columns)}  # one input a column, without an axis
    else:
        cut = draw(st.integers(0, joined.shape[1]))
        inputs = {"left": joined[:, :cut], "right": joined[:, cut:]}
    for index in range(draw(st.integers(0, 2))):
        words = st.sampled_from(["", "a", "b", "a long word", "ä"])
        inputs[f"word{index}"] = np.array([[draw(words)] for _ in range(n)], np.str_)
        columns.append(f"word{index}")
    if draw(st.booleans()):
        inputs["whole"] = np.array([[draw(st.integers(-(2**40), 2**40))] for _ in range(n)], np.int64)
        columns.append("whole")
    return inputs, columns, groups


@settings(max_examples=150, deadline=None)
@given(tables())
def test_decoded_rows_encode_to_the_rows_themselves(made):
    inputs, columns, groups = made
    table = table_of(inputs, columns, groups)
    same(table.encode(table.decode(inputs)), {name: np.where(a == 0, a.dtype.type(0), a) if a.dtype.kind == "f" else a for name, a in inputs.items()})  # fmt: skip
    np.testing.assert_array_equal(table.train.z, table.decode(inputs))
    # what is decoded says the same again
    np.testing.assert_array_equal(table.decode(table.encode(table.train.z)), table.train.z)


@settings(max_examples=50, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_a_value_may_be_exchanged_between_rows(made, random):
    inputs, columns, groups = made
    table = table_of(inputs, columns, groups)
    z = table.train.z.copy()
    for j in range(z.shape[1]):
        order = list(range(len(z)))
        random.shuffle(order)
        z[:, j] = z[order, j]
    np.testing.assert_array_equal(table.decode(table.encode(z)), z)


# what a number stands for


def test_a_one_hot_group_is_a_category_by_the_order_of_its_columns():
    x = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], np.float32)  # nobody is of the second category
    table = table_of({"x": x}, ["c=red", "c=green", "c=blue"], {"c": ["c=*"]})
    (feature,) = table.features
    assert feature.kind == "categorical"
    assert feature.categories == ("red", "green", "blue", "none of these")
    assert table.train.z[:, 0].tolist() == [2, 0, 3]
    assert table.encode(np.array([[1.0]]))["x"].tolist() == [[0, 1, 0]]
    assert feature.say(1.0) == "green"


def test_words_are_categories_in_alphabetical_order_and_empty_is_missing():
    table = table_of({"w": np.array([["pear"], ["apple"], [""]])}, ["w"])
    (feature,) = table.features
    assert feature.categories == ("apple", "pear")
    np.testing.assert_array_equal(table.train.z[:, 0], [1, 0, np.nan])
    assert table.encode(np.array([[np.nan], [0.0]]))["w"].tolist() == [[""], ["apple"]]


def test_words_of_every_split_fit():
    table = table_of(
        {"w": np.array(["a", "b"])},
        ["w"],
        test={"w": np.array(["a much longer word"])},
        explained={"w": np.array(["zz"])},
    )
    assert table.features[0].categories == ("a", "a much longer word", "b", "zz")
    assert table.encode(np.array([[1.0]]))["w"].tolist() == ["a much longer word"]
    assert table.encode(table.explained.z)["w"].tolist() == ["zz"]


def test_a_group_of_numbers_that_is_no_one_hot_code_is_exchanged_as_a_block():
    x = np.array([[0.5, 2], [0.5, 2], [1, 1]])
    table = table_of({"x": x}, ["p1", "p2"], {"p": ["p*"]})
    assert table.features[0].kind == "block"
    assert not table.features[0].is_scale
    assert table.train.z[:, 0].tolist() == [0, 0, 1]
    assert table.decode({"x": np.array([[9.0, 9.0]])}).tolist() == [[-1]]  # no row has it


@pytest.mark.parametrize("code", [-1.0, 2.0, np.nan])
def test_what_no_row_has_cannot_be_encoded(code):
    table = table_of({"x": np.array([[0.5, 2], [1, 1]])}, ["p1", "p2"], {"p": ["p*"]})
    with pytest.raises(ValueError, match="no row of the data"):
        table.score(np.array([[code]]))


@pytest.mark.parametrize(("dtype", "value"), [(np.int64, np.nan), (np.uint8, -1.0), (np.uint8, 256.0), (np.bool_, 2.0)])
def test_a_number_that_the_model_cannot_hold_is_refused_not_bent(dtype, value):
    table = table_of({"x": np.array([[0], [1]], dtype)})
    with pytest.raises(ValueError, match="does not fit"):
        table.encode(np.array([[value]]))


def test_what_the_model_reads_whole_is_rounded():
    table = table_of({"x": np.array([[0], [7]], np.int32)})
    assert table.features[0].whole
    encoded = table.encode(np.array([[2.4], [2.6]]))["x"]
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [[2], [3]]


def test_elements_that_are_never_perturbed_stay_as_in_the_first_row():
    inputs = {"x": np.array([[1.0, 16000.0], [2.0, 16000.0]]), "rate": np.array([3.0, 3.0])}
    features = FeatureMap(("a",), {"x": np.array([0, FIXED]), "rate": np.array(FIXED)})
    table = table_of(inputs, ["a", "b", "c"], features=features)
    same(table.encode(np.array([[5.0]])), {"x": np.array([[5.0, 16000.0]]), "rate": np.array([3.0])})


def test_what_the_spec_says_of_a_feature_arrives():
    x = np.array([[0.0, 1], [1, 1], [0, 30]])
    said = {"immutable": frozenset({"age"}), "ranges": {"age": (0.0, 120.0)}, "units": {"age": "years"}}
    table = table_of({"x": x}, ["grade", "age"], **said)
    grade, age = table.features
    assert (age.immutable, age.low, age.high, age.say(30.0)) == (True, 0.0, 120.0, "30 years")
    assert (grade.immutable, grade.low, grade.high, grade.say(float("nan"))) == (False, 0.0, 1.0, "missing")


def test_categories_in_order_are_a_scale_and_no_numbers():
    table = table_of({"w": np.array(["a", "b"])}, ["w"], ordered=frozenset({"w"}))
    assert table.features[0].kind == "ordered"
    assert table.features[0].is_scale


def test_scores_come_in_the_models_own_batches():
    table = table_of({"x": np.arange(4.0).reshape(2, 2)})
    z = np.arange(400.0).reshape(200, 2)
    np.testing.assert_allclose(table.score(z)[:, 0], z.sum(axis=1))
    assert table.score(z[:0]).shape == (0, 1)


def test_several_explained_rows_keep_their_ids_and_targets():
    inputs = {"x": np.arange(6.0)[:, None]}
    features = tabular.feature_map({"x": (1,)}, {"columns": ["c"]})
    data = AuditData("tabular", "classification", ("a", "b"), split_of(inputs), None, features, tabular.variables(inputs, None, features, ["c"], {}))  # fmt: skip
    explained = Split("explained", {"x": np.array([[9.0], [2.0]])}, None, np.array(["nine", "two"]))
    table = Table(data, Sum(), explained, np.array([0, 0]), TableSetting(("a",), (0,), "logit"))
    row = table.row(1)
    assert (row.row_id, row.target, row.z.tolist()) == ("two", 0, [2.0])
    assert row.score(np.array([[4.0], [5.0]])).tolist() == [4.0, 5.0]


def test_a_hundred_thousand_rows_are_quick():
    # Tuples of Python took 0.29 s here; comparing whole rows as bytes takes 0.04 s. Counted in calls, not seconds:
    # no Python code runs once a row.
    import sys

    rng = np.random.default_rng(0)
    x = np.eye(8, dtype=np.float32)[rng.integers(0, 8, 100_000)]
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        table = table_of({"x": x}, [f"c={i}" for i in range(8)], {"c": ["c=*"]})
        table.encode(table.train.z)
    finally:
        sys.setprofile(None)
    assert calls < 10_000


def test_values_of_training_rows_are_counted_without_the_missing_ones():
    table = table_of({"x": np.array([[2.0], [1], [np.nan], [2]])})
    ((values, counts),) = table.held
    assert values.tolist() == [1, 2]
    assert counts.tolist() == [1, 2]


# distances


def test_a_difference_is_in_typical_deviations_and_a_category_counts_one():
    # 0..4: median 2, absolute deviations 2 1 0 1 2, median 1; the second column's are 0, so its standard deviation: 4
    z = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 1], [3, 0, 1], [4, 10, 2]])
    metric = metric_of(z, np.array([True, True, False]), "mad")
    np.testing.assert_allclose(metric.scales, [1, 4, 1])
    np.testing.assert_allclose(metric.differences(z[0], z[4]), [4, 2.5, 1])
    np.testing.assert_allclose(metric_of(z, np.array([True, True, False]), "range").scales, [4, 10, 1])


def test_a_missing_value_differs_by_one_and_not_from_another():
    metric = metric_of(np.array([[0.0], [100.0]]), np.array([True]), "range")
    nan = np.array([np.nan])
    assert metric.differences(nan, np.array([7.0])).tolist() == [1.0]
    assert metric.differences(nan, nan).tolist() == [0.0]


def test_neighbours_are_found_in_the_training_rows():
    # nearest neighbours of 0, 1, 3, 10: 1, 1, 2, 7; scaled by the MAD 1.5 of them. 95 % quantile: between 2 and 7.
    z = np.array([[0.0], [1], [3], [10]])
    metric = metric_of(z, np.array([True]), "mad")
    assert metric.scales.tolist() == [1.5]
    found = neighbourhood_of(z, metric)
    np.testing.assert_allclose(found.usual, (2 + 0.85 * 5) / 1.5)  # position 2.85 of 0..3
    np.testing.assert_allclose(found.nearest(np.array([[4.0], [2.0]])), [1 / 1.5, 1 / 1.5])


def test_a_sample_stands_for_many_training_rows_and_is_scored_once():
    table = table_of({"x": np.arange(2500.0)[:, None]})
    assert len(table.sample) == 1000
    assert table.sample.z[[0, -1], 0].tolist() == [0.0, 2499.0]
    table.sample_scores, table.sample_scores  # noqa: B018
    assert table._model.spent.forward == 1000
