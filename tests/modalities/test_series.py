"""Series: windows of time are features, and what a removed one is replaced by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_project import make_project, write_spec

from pgx_compiler import driver, load
from pgx_compiler.modalities import series
from pgx_compiler.modalities.features import FIXED, FeatureMap, UnfitFeatures


def features_of(shapes, columns=(), **choice):
    return series.feature_map(shapes, {**series.settle(choice, shapes), "columns": columns})


def fill(rows, train, kind, features, seed=0, **keys):
    filled = {"kind": kind, **series.FILLS[kind], **keys}
    return series.references(rows, train, filled, features, np.random.default_rng(seed))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 40), st.sampled_from(["apart", "together"]))
def test_windows_partition_all_elements(time, channels, windows, how):
    windows = min(windows, time)
    features = features_of({"x": (time, channels)}, windows=windows, channels=how)
    owner = features.owners["x"]
    assert len(features) == windows * (channels if how == "apart" else 1)
    assert set(np.unique(owner)) == set(range(len(features)))
    assert features.sizes().sum() == time * channels
    per_window = np.bincount(owner[:, 0] % windows, minlength=windows)
    assert np.ptp(per_window) <= 1  # nearly equal lengths
    assert (np.diff(owner[:, 0]) >= 0).all()
    assert features.layout["rows"] * features.layout["columns"] == len(features)
    assert len(set(features.names)) == len(features)


def test_names_tell_the_channel_and_the_steps():
    features = features_of({"x": (5, 2)}, ("ax", "ay"), windows=2)
    assert features.names == ("ax 0–1", "ax 2–4", "ay 0–1", "ay 2–4")
    assert features.layout == {"kind": "windows", "rows": 2, "columns": 2, "steps": 5, "channels": ["ax", "ay"]}
    assert features.called("ay") == [2, 3]
    assert features.called("ay 0–1") == [2]
    assert features.called("az") == []
    assert features_of({"x": (3,)}, windows=3).names == ("channel 1 0", "channel 1 1", "channel 1 2")
    assert features_of({"x": (4, 2)}, windows=2, channels="together").names == ("0–1", "2–3")


def test_several_inputs_of_one_length_share_their_windows():
    shapes = {"imu": (8, 2), "pulse": (8,)}
    features = features_of(shapes, windows=2)
    assert features.owners["imu"].tolist() == [[0, 2]] * 4 + [[1, 3]] * 4
    assert features.owners["pulse"].tolist() == [4] * 4 + [5] * 4
    together = features_of(shapes, windows=2, channels="together")
    assert together.owners["pulse"].tolist() == together.owners["imu"][:, 1].tolist() == [0] * 4 + [1] * 4


def test_many_channels_go_together_unless_the_author_says_otherwise():
    assert series.settle({}, {"x": (128, 12)}) == {"windows": 16, "channels": "apart"}
    assert series.settle({}, {"x": (9, 13)}) == {"windows": 9, "channels": "together"}
    assert series.settle({"channels": "apart"}, {"x": (9, 13)})["channels"] == "apart"
    with pytest.raises(UnfitFeatures, match="10 windows do not fit 9 steps"):
        series.settle({"windows": 10}, {"x": (9, 2)})


@pytest.mark.parametrize("kind", sorted(series.FILLS))
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_every_fill_keeps_shape_and_dtype_and_is_drawn_again_by_its_seed(kind, dtype):
    rng = np.random.default_rng(0)
    train = {
        "a": (100 * rng.normal(size=(9, 12, 3))).astype(dtype),
        "b": (100 * rng.normal(size=(9, 12))).astype(dtype),
    }
    rows = {name: array[:2] for name, array in train.items()}
    features = features_of({"a": (12, 3), "b": (12,)}, windows=4)
    first, again = (fill(rows, train, kind, features) for _ in range(2))
    for name, array in rows.items():
        held = first.inputs[name]
        assert held.dtype == dtype
        assert held.shape[0] in (1, 2)
        assert held.shape[1:] == (len(first), *array.shape[1:])
        assert (held == again.inputs[name]).all()


def test_the_mean_is_that_of_the_channel_over_rows_and_time():
    train = np.array([[[0.0, 10.0], [2.0, 10.0]], [[4.0, 30.0], [6.0, 30.0]]])
    held = fill({"x": train[:1]}, {"x": train}, "mean", features_of({"x": (2, 2)})).inputs["x"]
    assert held.tolist() == [[[[3.0, 20.0], [3.0, 20.0]]]]


def test_interpolation_joins_the_values_beside_each_window():
    # Windows of two steps: 0 1 | 5 5 | 4 9. The first has no value before it: 5 5. The middle one lies between 1 and 4, a
    # third of the way a step: 2 and 3. The last has no value after it: 5 5.
    row = np.array([[0.0, 1, 5, 5, 4, 9]])
    held = fill({"x": row}, {"x": row}, "interpolation", features_of({"x": (6,)}, windows=3)).inputs["x"]
    assert np.allclose(held[0, 0], [5, 5, 2, 3, 5, 5])
    whole = fill({"x": row}, {"x": row}, "interpolation", features_of({"x": (6,)}, windows=1)).inputs["x"]
    assert np.allclose(whole[0, 0], 4.0)  # nothing is beside it: its mean
    fixed = FeatureMap(("w",), {"x": np.array([FIXED, FIXED, 0, 0, FIXED, FIXED])})
    assert np.allclose(fill({"x": row}, {"x": row}, "interpolation", fixed).inputs["x"][0, 0], [0, 1, 2, 3, 4, 9])


@pytest.mark.parametrize("time", [31, 32])
def test_surrogates_keep_spectrum_and_what_channels_have_to_do_with_one_another(time):
    row = np.cumsum(np.random.default_rng(1).normal(size=(2, time, 3)), axis=1)
    held = fill({"x": row}, {"x": row}, "fourier", features_of({"x": (time, 3)}, windows=4), size=5).inputs["x"]
    assert held.shape == (2, 5, time, 3)
    spectrum, of_row = np.fft.rfft(held, axis=2), np.fft.rfft(row, axis=1)[:, None]
    assert np.allclose(np.abs(spectrum), np.abs(of_row))
    assert np.allclose(spectrum[..., 0] * np.conj(spectrum[..., 1]), of_row[..., 0] * np.conj(of_row[..., 1]))
    assert np.allclose(held.mean(axis=2), row.mean(axis=1)[:, None])
    assert np.abs(held - row[:, None]).max() > 0.5
    assert np.abs(held[:, 0] - held[:, 1]).max() > 0.5


def test_descriptors_are_those_of_known_courses():
    at = np.arange(64)
    courses = np.stack(
        [np.full(64, 3.0), 2.0 * at, np.sin(2 * np.pi * 5 * at / 64), 0.5 * at + np.cos(2 * np.pi * 9 * at / 64)]
    )
    found = series.descriptors(courses)
    assert np.allclose(found["mean"], [3, 63, 0, 15.75], atol=1e-9)
    assert found["trend"][:2] == pytest.approx([0, 126])
    assert found["dominant frequency"][[0, 2, 3]].tolist() == [0, 5, 9]
    assert found["spread"][2] == pytest.approx(np.sqrt(0.5))
    assert found["roughness"][0] == 0
    # A straight line of 64 steps: a step of 2 over the standard deviation of 0, 2, …, 126, 2 sqrt((64² - 1) / 12).
    assert found["roughness"][1] == pytest.approx(1 / np.sqrt((64**2 - 1) / 12))
    noise = series.descriptors(np.random.default_rng(0).normal(size=(4, 4000)))["roughness"]
    assert np.allclose(noise, 2 / np.sqrt(np.pi), atol=0.05)  # E|difference of two normals| = 2 / sqrt(pi)


def test_variables_are_named_after_the_channels():
    rows = {"x": np.random.default_rng(0).normal(size=(6, 16, 2))}
    features = features_of({"x": (16, 2)}, ("ax", "ay"), windows=4)
    found = series.variables(rows, rows, features, ("ax", "ay"), {"ay": "sensitive"})
    assert [v.name for v in found[:5]] == [
        *("ax: mean", "ax: spread", "ax: trend", "ax: dominant frequency", "ax: roughness")
    ]
    assert [v.role for v in found] == ["feature"] * 5 + ["sensitive"] * 5
    assert all(v.is_descriptor and v.train.shape == (6,) and np.array_equal(v.train, v.test) for v in found)
    many = {"x": np.zeros((6, 16, 20))}
    assert len(series.variables(many, None, features_of({"x": (16, 20)}), (), {})) == 5


# the audit of the watch, cut down


SMALL = {
    "precaution": [{"use": "drift", "with": {"statistic": "ks"}}],
    "explain.rows": {"from": "test", "sample": 7, "stratify": "target"},
    "explain.perturbation": [{"use": "kernel_shap", "with": {"samples": 200}}, {"use": "occlusion"}],
    "explain.gradient": [{"use": "integrated_gradients", "with": {"steps": 16}}],
    "gates": [{"fact": "model.parity.max_difference", "max": 1e-4}],
    "factsheet": {"formats": ["json"]},
}


@pytest.mark.frameworks
def test_the_watch_is_audited_in_both_directions(tmp_path, monkeypatch):
    monkeypatch.delenv("PGX_STORE", raising=False)
    project = make_project(tmp_path / "project")
    ran = driver.run(write_spec(project, "watch", SMALL), project / "out", engine="inline")
    assert driver.exit_status(ran) == 0
    audit = load(project / "out")
    sampled, path = audit.arrays("kernel_shap"), audit.arrays("integrated_gradients")
    assert sampled["feature_names"].tolist()[:9] == [
        *("ax 0–15", "ax 16–31", "ax 32–47", "ax 48–63", "ax 64–79", "ax 80–95", "ax 96–111", "ax 112–127"),
        "ay 0–15",
    ]
    # maps are summed onto 8 windows of 16 steps and 6 channels, with their sign
    summed = path["map_imu"].reshape(7, 8, 16, 6).sum(axis=2).transpose(0, 2, 1).reshape(7, 48)
    assert np.allclose(summed, path["values"])
    for arrays in (sampled, path):
        assert np.allclose(arrays["values"].sum(axis=1), arrays["scores"] - arrays["base_values"], atol=0.05)
    # the expectation speaks of a channel: its share is that of its eight windows
    share = np.abs(sampled["values"])[:, 8:16].sum(axis=1) / np.abs(sampled["values"]).sum(axis=1)
    assert audit.facts["reliance.ay.matters.share.kernel_shap"].value == pytest.approx(share.mean())
    for entry in audit.factsheet.explanations:
        assert entry.cost_spent == entry.cost_planned, entry.step


def said(project, changes):
    return [d.message for d in driver.check(write_spec(project, "watch", changes)).diagnostics]


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.columns": ["a", "b"]}, "2 different names for the 6 channels"),
        ({"data.features": {"ax ": {"role": "sensitive"}}}, "no channel is called"),
        ({"data.train": {"path": "data/german-credit-train.csv"}}, "is a table, and the modality is series"),
        ({"data.train": {"path": "data/short.npz"}}, "holds 64 × 6 a row, the model reads 128 × 6"),
        ({"data.train": {"path": "data/unnamed.npz"}}, "has no array for the model's input"),
        ({"explain.features": {"windows": 200}}, "200 windows do not fit 128 steps"),
        ({"explain.features": {"size": 2}}, "`size` says nothing about the features of series data"),
        ({"explain.fill": {"kind": "blur"}}, "`blur` cannot fill series data"),
        ({"explain.fill": {"kind": "interpolation", "size": 3}}, "`size` has no meaning with `interpolation`"),
    ],
)
def test_mistakes_are_said_before_anything_runs(tmp_path, changes, message):
    project = make_project(tmp_path / "project")
    np.savez(project / "data" / "short.npz", imu=np.zeros((3, 64, 6), np.float32))
    np.savez(project / "data" / "unnamed.npz", other=np.zeros((3, 128, 6), np.float32))
    changes = {"data.test": None, "explain.rows": {"from": "train", "sample": 2}, **changes}
    found = said(project, changes)
    assert any(message in told for told in found), found


def test_even_draws_and_the_furthest_series_stay_within_each_channels_range():
    rng = np.random.default_rng(0)
    train = {"x": np.stack([rng.uniform(-1, 1, (50, 6)), rng.uniform(10, 30, (50, 6))], axis=-1).astype(np.float32)}
    rows, features = {"x": train["x"][:3]}, features_of({"x": (6, 2)})
    low, high = train["x"].min(axis=(0, 1)), train["x"].max(axis=(0, 1))
    drawn = fill(rows, train, "uniform", features, size=200).inputs["x"]
    assert drawn.shape == (1, 200, 6, 2)
    assert ((drawn >= low) & (drawn <= high)).all()
    np.testing.assert_allclose(drawn.mean(axis=(0, 1, 2)), (low + high) / 2, atol=0.05 * (high - low).max())
    far = fill(rows, train, "maximum_distance", features).inputs["x"]
    assert far.shape == (3, 1, 6, 2)
    ends = np.where(np.abs(rows["x"] - low) > np.abs(rows["x"] - high), low, high)
    np.testing.assert_array_equal(far[:, 0], ends)
