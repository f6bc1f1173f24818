"""What a data file says reaches the model as it was written, or is refused; labels may be names."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.execute.bench import UnfitInput, read_labels, read_split
from pgx_compiler.modalities import tabular


def source(inputs, **changes):
    return {
        "split": "train",
        "target": None,
        "task": "classification",
        "classes": ["no", "yes"],
        "inputs": inputs,
        "sources": {name: [name] for name, _, _ in inputs},
        "preprocess": {"scale": None},
        "beside": [],
    } | changes


def table(folder: Path, header, *rows) -> Path:
    path = folder / "data.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def labels(raw, *classes):
    return read_labels(np.asarray(raw), {"split": "test", "target": "y", "task": "classification", "classes": classes})


def test_a_column_of_digits_reaches_a_model_of_text_as_it_is_written(tmp_path):
    path = table(tmp_path, ["code"], ["10"], ["20"], [""])
    split, _ = read_split(path, source([("code", (1,), "str")]))
    assert split.inputs["code"][:, 0].tolist() == ["10", "20", ""]


@pytest.mark.parametrize("cell", ["", "1.5", "300"])
def test_a_number_that_the_models_integers_cannot_hold_is_refused_with_its_row(tmp_path, cell):
    path = table(tmp_path, ["a", "b"], ["1", "1"], [cell, "1"])
    with pytest.raises(UnfitInput, match="column `a` of train holds .* in row 1, but the model reads uint8"):
        read_split(path, source([("a", (1,), "uint8"), ("b", (1,), "uint8")]))


def test_labels_of_an_archive_may_be_names(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((3, 2), np.float32), y=np.array(["red", "green", "red"]))
    about = source([("x", (2,), "float32")], target="y", classes=["green", "red"])
    split, _ = read_split(tmp_path / "data.npz", about)
    assert split.labels.tolist() == [1, 0, 1]


def test_numbers_are_names_where_all_of_them_are_and_positions_otherwise():
    assert labels([20.0, 10.0, 20.0], "10", "20").tolist() == [1, 0, 1]
    assert labels(["1", "2"], "1", "2", "3").tolist() == [0, 1]
    assert labels(["1.0", "2.0"], "1", "2", "3").tolist() == [0, 1]
    assert labels(["1.0", "2.0"], "2.0", "1.0").tolist() == [1, 0]
    assert labels(["01", "1"], "1", "01").tolist() == [1, 0]
    assert labels([1, 0], "good", "bad").tolist() == [1, 0]
    assert labels([2, 0], "0", "1", "2").tolist() == [2, 0]


def test_a_label_between_two_positions_is_no_class():
    with pytest.raises(UnfitInput, match=r"no class: 0\.5"):
        labels([0.5, 1.0], "good", "bad")


def test_text_columns_are_categories_for_the_precautions():
    train = {"age": np.array([[1.0], [2.0], [3.0]]), "city": np.array([["b"], [""], ["a"]])}
    features = tabular.feature_map({"age": (1,), "city": (1,)}, {"columns": ["age", "city"]})
    age, city = tabular.variables(train, None, features, ["age", "city"], {})
    assert (age.kind, age.train.tolist()) == ("numeric", [1.0, 2.0, 3.0])
    assert (city.kind, city.categories, city.train.tolist()) == ("categorical", ("a", "b"), [1, -1, 0])


def test_the_middle_of_a_text_column_is_its_commonest_word():
    train = {"n": np.array([[1], [2], [4]]), "city": np.array([["a"], ["b"], ["b"]])}
    features = tabular.feature_map({"n": (1,), "city": (1,)}, {"columns": ["n", "city"]})
    found = tabular.references(train, train, {"kind": "mean"}, features, np.random.default_rng(0))
    assert found.inputs["city"].tolist() == [[["b"]]]
    assert found.inputs["n"].tolist() == [[[2]]]  # 7 / 3, rounded: the model reads whole numbers


def test_elements_of_a_feature_follow_the_models_order_whatever_the_archives():
    features = tabular.feature_map({"zeta": (1,), "alpha": (1,)}, {"columns": ["zeta", "alpha"]})
    rows = {"alpha": np.array([[100.0]]), "zeta": np.array([[1.0]])}  # an archive holds its arrays by alphabet
    assert [features.elements(rows, at).tolist() for at in (0, 1)] == [[[1.0]], [[100.0]]]
