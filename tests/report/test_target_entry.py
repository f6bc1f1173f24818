"""Several targets side by side: what is listed, what is left out."""

import numpy as np

from pgx_compiler.report.target_entry import MOST_FEATURES, MOST_TARGETS, by_target


def arrays(rows, features, outputs, **more):
    rng = np.random.default_rng(0)
    return {
        "feature_names": np.array([f"f{i}" for i in range(features)]),
        "values_all": rng.normal(size=(rows, features, outputs)),
        "scores_all": np.tile(np.arange(float(outputs)), (rows, 1)),
        **more,
    }


def test_features_of_a_table_come_by_importance_over_all_targets():
    held = arrays(2, 3, 2)
    # mean magnitudes over the two rows: f0 (1, 0), f1 (3, 2), f2 (0.5, 0.75); with their signs f1 is (0, -2)
    held["values_all"] = np.array([[[1, 0], [3, -1], [0.5, 0.5]], [[1, 0], [-3, -3], [0.5, 1.0]]])
    entry = by_target(held, ["a", "b"], {"kind": "list"}, signed=True)
    assert entry.features == ["f1", "f2", "f0"]
    assert entry.mean_absolute == [[3.0, 0.5, 1.0], [2.0, 0.75, 0.0]]
    assert entry.mean_signed == [[0.0, 0.5, 1.0], [-2.0, 0.75, 0.0]]
    assert entry.mean_score == [0.0, 1.0]
    assert by_target(held, ["a", "b"], {"kind": "list"}, signed=False).mean_signed == []


def test_what_does_not_fit_is_counted_and_the_likeliest_targets_stay():
    names = [f"c{i}" for i in range(MOST_TARGETS + 3)]
    entry = by_target(arrays(4, MOST_FEATURES + 2, len(names)), names, {}, signed=True)
    assert (entry.targets_left_out, entry.features_left_out) == (3, 2)
    assert entry.targets == names[3:]
    assert {len(one) for one in entry.mean_absolute} == {MOST_FEATURES}


def test_of_a_picture_all_features_stay_in_their_places():
    entry = by_target(arrays(2, 40, 3), ["a", "b", "c"], {"kind": "grid", "columns": 8}, signed=True)
    assert entry.features == [f"f{i}" for i in range(40)]
    assert (entry.features_left_out, entry.mean_signed) == (0, [])


def test_rows_with_features_of_their_own_have_no_mean_feature_by_feature():
    assert by_target(arrays(2, 3, 2, present=np.ones((2, 3), bool)), ["a", "b"], {}, signed=True) is None
    one = arrays(2, 3, 2)
    del one["values_all"]
    assert by_target(one, ["a", "b"], {}, signed=True) is None
