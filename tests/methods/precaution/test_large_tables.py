"""Large tables are looked at in parts, or by some of their rows: what is found is the same, or how many rows is said."""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.precaution import _equal_rows, adversarial_robustness, correlation, missing_values
from pgx_compiler.methods.precaution._equal_rows import equal_rows
from pgx_compiler.methods.precaution.correlation import CorrelationParams
from pgx_compiler.methods.precaution.duplicate_rows import DuplicateRowsParams, duplicate_rows
from pgx_compiler.modalities import data as data_module
from pgx_compiler.modalities import tabular
from pgx_compiler.modalities.data import AuditData, Split

CLASSES = ("no", "yes")


def repeating(rows: int, seed: int) -> dict[str, Any]:
    """Few distinct rows, with gaps, with zeros of both signs, and with words."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (rows, 3)).astype(np.float32)
    x[x == 2] = np.nan
    x[(x == 0) & (rng.random(x.shape) < 0.5)] = -0.0
    return {"x": x, "n": rng.integers(0, 2, (rows, 1)), "word": np.array([["a"], ["bc"]])[rng.integers(0, 2, rows)]}


def by_definition(parts: list[dict[str, Any]]) -> list[Any]:
    return [
        (*("gap" if v != v else float(v) + 0.0 for v in part["x"][i]), int(part["n"][i, 0]), str(part["word"][i, 0]))
        for part in parts
        for i in range(len(part["x"]))
    ]


def test_equal_rows_have_equal_numbers_and_others_have_others(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [repeating(200, 1), repeating(90, 2)]
    parts[1]["word"] = parts[1]["word"].astype("<U9")  # as wide as the longest word of its own file
    wanted = by_definition(parts)
    for most, step in ((1000, 50), (0, 7), (0, 50)):
        monkeypatch.setattr(_equal_rows, "EACH", most)
        monkeypatch.setattr(_equal_rows, "_AT_ONCE", step)
        found = np.concatenate(equal_rows(parts, [200, 90])).tolist()
        assert len(set(zip(wanted, found, strict=True))) == len(set(wanted)) == len(set(found))


def test_rows_that_share_a_number_by_chance_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four bits, two in three of these rows share them with another; every turn is refused, and rows are digested."""
    parts = [repeating(200, 1)]
    keys = _equal_rows._keys
    asked = []

    def weak(part: Any, rows: int, turn: int) -> Any:
        asked.append(turn)
        return keys(part, rows, turn) % np.uint64(16)

    monkeypatch.setattr(_equal_rows, "EACH", 0)
    monkeypatch.setattr(_equal_rows, "_keys", weak)
    (found,) = equal_rows(parts, [200])
    wanted = by_definition(parts)
    assert asked == [0, 1, 2, 3]
    assert len(set(zip(wanted, found.tolist(), strict=True))) == len(set(wanted)) > 16


def table(rows: int = 300) -> AuditData:
    rng = np.random.default_rng(4)
    splits = []
    for name, n in (("train", rows), ("test", 80)):
        x = rng.normal(size=(n, 4)).round(1).astype(np.float32)
        x[:, 1] = x[:, 0] + rng.normal(size=n).astype(np.float32) * 0.05
        x[n // 2 : n // 2 + 5] = x[:5]
        x[rng.random(n) < 0.1, 2] = np.nan
        splits.append(Split(name, {"x": x}, rng.integers(0, 2, n), np.arange(n)))
    splits[1].inputs["x"][:3] = splits[0].inputs["x"][:3]
    features = tabular.feature_map({"x": (4,)}, {"columns": ("a", "b", "c", "d")})
    held = tabular.variables(splits[0].inputs, splits[1].inputs, features, ("a", "b", "c", "d"), {})
    return AuditData("tabular", "classification", CLASSES, splits[0], splits[1], features, held)


def test_duplicates_are_the_same_by_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = duplicate_rows(table(), DuplicateRowsParams())
    monkeypatch.setattr(_equal_rows, "EACH", 0)
    monkeypatch.setattr(_equal_rows, "_AT_ONCE", 11)
    found = duplicate_rows(table(), DuplicateRowsParams())
    assert (found.measures, found.findings, found.tables) == (wanted.measures, wanted.findings, wanted.tables)
    assert len(found.arrays["leaked_test_rows"]) >= 3
    for name, array in wanted.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def test_gaps_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    split = table().train
    wanted = ~np.isfinite(split.inputs["x"]).all(axis=1)
    monkeypatch.setattr(missing_values, "_AT_ONCE", 13)
    np.testing.assert_array_equal(missing_values._incomplete(split), wanted)
    assert wanted.any()


def test_correlations_of_many_rows_rest_on_some_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = correlation.correlation(table(), CorrelationParams())
    assert {measure.name: measure.value for measure in whole.measures}["rows_used"] == 300.0
    monkeypatch.setattr(correlation, "MOST_ROWS", 120)
    monkeypatch.setattr(correlation, "drawn_rows", lambda rows: data_module.drawn_rows(rows, 120))
    found = correlation.correlation(table(), CorrelationParams())
    told = {measure.name: measure for measure in found.measures}
    assert (told["rows_used"].value, told["rows_used"].n) == (120.0, 300)
    assert "all 300 training rows" in told["rows_used"].title
    assert told["correlation_max"].n == 120
    strongest = {measure.name: measure.value for measure in whole.measures}["correlation_max"]
    assert told["correlation_max"].value == pytest.approx(strongest, abs=0.02)


def test_spreads_are_those_of_all_columns_at_once() -> None:
    values = table().train.inputs["x"]
    low, high, middle = adversarial_robustness._spread(values, quartiles=True)
    held = values.astype(np.float64)
    np.testing.assert_array_equal(low, np.nanmin(held, axis=0))
    np.testing.assert_array_equal(high, np.nanmax(held, axis=0))
    np.testing.assert_array_equal(middle, np.subtract(*np.nanquantile(held, [0.75, 0.25], axis=0)))


def test_words_are_the_same_categories_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    inputs = {"w": np.array(["b", "", "a", "cc"])[rng.integers(0, 4, (50, 2))]}
    features = tabular.feature_map({"w": (2,)}, {"columns": ("u", "v"), "groups": {"both": ["u", "v"]}})
    (wanted,) = tabular.variables(inputs, None, features, ("u", "v"), {})
    monkeypatch.setattr(tabular, "_AT_ONCE", 3)
    (found,) = tabular.variables(inputs, None, features, ("u", "v"), {})
    assert found.categories == wanted.categories
    np.testing.assert_array_equal(found.train, wanted.train)
    assert [found.categories[code] for code in found.train] == [", ".join(row) for row in inputs["w"]]
