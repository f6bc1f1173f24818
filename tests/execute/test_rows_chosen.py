"""Which rows are explained, and for which output."""

import numpy as np
import pytest

from pgx_compiler.execute.bench import UnfitInput
from pgx_compiler.execute.rows_chosen import choose
from pgx_compiler.modalities.data import Split

LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
OUTPUT = np.full((10, 3), 0.1)
OUTPUT[np.arange(10), LABELS] = 0.8
OUTPUT[2] = [0.05, 0.9, 0.05]  # wrong, and sure of it
OUTPUT[7] = [0.4, 0.3, 0.3]  # wrong, and unsure
OUTPUT[9] = [0.05, 0.45, 0.5]  # right, but only just
SPLIT = Split("test", {"x": np.arange(10.0)[:, None]}, LABELS, np.array([f"id{n}" for n in range(10)]))
NOTHING = {"sample": None, "stratify": None, "ids": None, "errors": None, "borderline": None, "all": False}


def chosen(target="predicted", seed=0, **select):
    params = {"select": {**NOTHING, **select}, "target": target, "task": "classification", "classes": ["a", "b", "c"]}
    return choose(SPLIT, {"output": OUTPUT}, params, np.random.default_rng(seed))


def test_errors_come_surest_first_and_borderline_least_sure_first():
    assert chosen(errors=1).arrays["index"].tolist() == [2]
    assert chosen(errors=9).arrays["index"].tolist() == [2, 7]
    assert chosen(borderline=1).arrays["index"].tolist() == [9]


def test_a_stratified_sample_takes_the_classes_in_turn():
    index = chosen(sample=6, stratify="target").arrays["index"]
    assert np.bincount(LABELS[index]).tolist() == [2, 2, 2]
    assert len(chosen(sample=9, stratify="target").arrays["index"]) == 9


def test_rows_stand_in_file_order_and_depend_on_the_seed_alone():
    one, same, other = chosen(sample=5, seed=1), chosen(sample=5, seed=1), chosen(sample=5, seed=2)
    assert one.arrays["index"].tolist() == sorted(one.arrays["index"].tolist())
    assert one.arrays["index"].tolist() == same.arrays["index"].tolist() != other.arrays["index"].tolist()


def test_ids_are_looked_up_and_unknown_ones_named():
    assert chosen(ids=["id3", "id1"]).arrays["index"].tolist() == [1, 3]
    with pytest.raises(UnfitInput, match="no row with the id nope"):
        chosen(ids=["id1", "nope"])


def test_the_output_explained_is_the_predicted_the_true_or_the_named_class():
    assert chosen(ids=["id2", "id6"]).arrays["target"].tolist() == [1, 1]
    assert chosen("label", ids=["id2", "id6"]).arrays["target"].tolist() == [0, 1]
    assert chosen("c", ids=["id2", "id6"]).arrays["target"].tolist() == [2, 2]


def test_no_error_to_explain_is_said_in_a_sentence():
    right = np.eye(3)[LABELS]
    params = {
        "select": {**NOTHING, "errors": 3},
        "target": "predicted",
        "task": "classification",
        "classes": ["a", "b", "c"],
    }
    with pytest.raises(UnfitInput, match="the model makes no error there"):
        choose(SPLIT, {"output": right}, params, np.random.default_rng(0))


def test_several_targets_are_a_column_each_for_every_row():
    params = {"select": {**NOTHING, "ids": ["id2", "id6"]}, "task": "classification", "classes": ["a", "b", "c"]}
    several = {**params, "target": "c", "targets": [2, "predicted", "label", 0]}
    arrays = choose(SPLIT, {"output": OUTPUT}, several, np.random.default_rng(0)).arrays
    assert arrays["target"].tolist() == [2, 2]
    assert arrays["targets"].tolist() == [[2, 1, 0, 0], [2, 1, 1, 0]]
    assert "targets" not in chosen("c", ids=["id2"]).arrays
