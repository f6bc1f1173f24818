"""Rows that are kept on disk are the rows that are held in memory, however small the parts they are read in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler.evidence.store import Store
from pgx_compiler.execute import bench, splits
from pgx_compiler.execute.bench import Bench, audit_data, rows_used, table_data
from pgx_compiler.execute.scratch import Scratch
from pgx_compiler.execute.splits import Coded, UnfitInput, read_split
from pgx_compiler.modalities import data as data_module
from pgx_compiler.modalities.data import AuditData, Split, drawn_rows
from runtimes import datasets

ROWS = 157


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as large, and is read seven rows at a time."""
    whole = datasets.batches
    monkeypatch.setattr(splits, "HELD", 0)
    monkeypatch.setattr(bench, "HELD", 0)
    monkeypatch.setattr(splits, "_SURVEYED", 0)
    monkeypatch.setattr(datasets, "batches", lambda path, text=(), names=None: whole(path, text, names, 7))


def columns(rows: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    words = np.array(["north", "south", "a word that is longer than all others", None], object)
    return {
        "a": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        "b": rng.integers(0, 5, rows).astype(np.float64),
        "job": np.array(["clerk", "driver", "engineer of bridges"], object)[rng.integers(0, 3, rows)],
        "region": words[rng.integers(0, 4, rows)],
        "size": rng.normal(size=rows),
        "y": np.array(["no", "yes"], object)[rng.integers(0, 2, rows)],
    }


def saved(folder: Path, suffix: str, held: dict[str, Any]) -> Path:
    path = folder / f"data{suffix}"
    if suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({n: pa.array(v, from_pandas=True) for n, v in held.items()}), path, row_group_size=50)
    elif suffix == ".csv":
        lines = [",".join(held)]
        cells = zip(*(v.tolist() for v in held.values()), strict=True)
        lines += [
            ",".join("" if c is None or c != c else f"{c!r}" if isinstance(c, float) else c for c in r) for r in cells
        ]
        path.write_text("\n".join(lines), "utf-8")
    else:
        told = {n: np.array([c or "" for c in v]) if v.dtype == object else v for n, v in held.items()}
        np.savez(path, **told)
    return path


def source(**changes: Any) -> dict[str, Any]:
    inputs = [("x", (2,), "float32"), ("job", (1,), "str")]
    return {
        "split": "train", "inputs": inputs, "sources": {"x": ["a", "b"], "job": ["job"]}, "beside": ["region", "size"],
        "target": "y", "task": "classification", "classes": ["no", "yes"], "preprocess": {"scale": None}, **changes,
    }  # fmt: skip


def equal(one: Split, other: Split) -> None:
    assert list(one.inputs) == list(other.inputs)
    for name, array in one.inputs.items():
        np.testing.assert_array_equal(array, other.inputs[name])
        assert array.dtype == other.inputs[name].dtype
    np.testing.assert_array_equal(one.row_ids, other.row_ids)
    assert (one.labels is None) == (other.labels is None)
    if one.labels is not None and other.labels is not None:
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.labels.dtype == other.labels.dtype


def words_of(held: Any) -> list[Any]:
    if isinstance(held, Coded):
        return [None if code < 0 else held.words[code] for code in held.codes]
    return held.tolist()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npz"])
def test_a_split_on_disk_is_the_split_in_memory(tmp_path: Path, small_parts: None, suffix: str) -> None:
    path = saved(tmp_path, suffix, columns())
    held, beside = read_split(path, source())
    scratch = Scratch()
    on_disk, beside_on_disk = read_split(path, source(), None, scratch)
    assert scratch._mapped, "nothing was put on disk: the test would compare a thing with itself"
    equal(on_disk, held)
    for name, values in beside.items():
        np.testing.assert_array_equal(
            np.array(words_of(values), object), np.array(words_of(beside_on_disk[name]), object)
        )
    scratch.release()
    equal(on_disk, held)  # pages that were given back are read again


def test_named_rows_keep_their_names_whatever_their_length(tmp_path: Path, small_parts: None) -> None:
    path = saved(tmp_path, ".parquet", {**columns(), "row_ids": np.array([f"row {i**3}" for i in range(ROWS)], object)})
    held, on_disk = read_split(path, source())[0], read_split(path, source(), None, Scratch())[0]
    equal(on_disk, held)
    assert on_disk.row_ids[-1] == f"row {(ROWS - 1) ** 3}"


def test_images_are_turned_and_scaled_in_parts_as_in_one(tmp_path: Path, small_parts: None) -> None:
    rng = np.random.default_rng(5)
    np.savez(
        tmp_path / "data.npz", x=rng.integers(0, 256, (ROWS, 3, 8, 6)).astype(np.uint8), y=rng.integers(0, 2, ROWS)
    )
    about = source(
        inputs=[("x", (8, 6, 3), "float32")], sources={"x": ["x"]}, moved={"x": [0, 2, 3, 1]}, beside=[],
        preprocess={"scale": [0.0, 1.0]},
    )  # fmt: skip
    held, on_disk = (read_split(tmp_path / "data.npz", about, None, s)[0] for s in (None, Scratch()))
    equal(on_disk, held)


@pytest.mark.parametrize("order", ["C", "F"])
def test_archives_are_read_in_parts_whatever_their_order(tmp_path: Path, order: Any) -> None:
    held = np.asarray(np.random.default_rng(2).normal(size=(20, 3)), order=order)
    np.savez_compressed(tmp_path / "data.npz", x=held, name=np.array([b"a", b"bc"] * 10), row_ids=np.arange(20))
    parts = list(datasets.batches(tmp_path / "data.npz", rows=6))
    np.testing.assert_array_equal(np.concatenate([part.arrays["x"] for part in parts]), held)
    assert np.concatenate([part.arrays["name"] for part in parts]).tolist() == ["a", "bc"] * 10
    assert [part.row_ids[0] for part in parts if part.row_ids is not None] == [0, 6, 12, 18]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": np.where(np.arange(ROWS) == 93, 7.5, 1.0)}, "7.5 in row 93"),
        (
            {"y": np.array(["no"] * 100 + [None] + ["no"] * (ROWS - 101), object)},
            "1 rows of train have no `y`; first: row 100",
        ),
        ({"y": np.array(["no", "maybe"] + ["no"] * (ROWS - 2), object)}, "no class: maybe"),
        ({"y": np.array(["0"] * 40 + ["2"] + ["1"] * (ROWS - 41), object)}, "row 40 of train has class 2"),
    ],
)
def test_what_is_wrong_is_said_alike(tmp_path: Path, small_parts: None, change: dict[str, Any], said: str) -> None:
    path = saved(tmp_path, ".parquet", {**columns(), "a": np.ones(ROWS), **change})
    about = source(inputs=[("x", (2,), "int64")], sources={"x": ["a", "b"]})
    found = []
    for scratch in (None, Scratch()):
        with pytest.raises(UnfitInput, match=said) as caught:
            read_split(path, about, None, scratch)
        found.append(str(caught.value))
    assert found[0] == found[1]


def test_a_full_disk_is_a_sentence(tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = saved(tmp_path, ".parquet", columns())
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(UnfitInput, match="do not fit on the disk of a worker: No space left on device"):
        read_split(path, source(), None, Scratch())


def test_what_lies_on_disk_goes_with_the_worker(tmp_path: Path) -> None:
    scratch = Scratch()
    kept = scratch.keep(np.arange(5.0))
    folder = scratch._folder
    assert folder is not None
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(kept, np.arange(5.0))
    del scratch, kept
    assert not folder.exists()


ABOUT = {
    "modality": "tabular", "task": "classification", "classes": ["no", "yes"], "roles": {"region": "sensitive"},
    "categories": {"b": ["p", "q", "r", "s", "t"]},
    "features": {"modality": "tabular", "columns": ["a", "b", "job"], "groups": {}},
}  # fmt: skip


def benched(tmp_path: Path) -> tuple[Bench, dict[str, Any]]:
    store = Store(tmp_path / "store")
    inputs = {}
    for port, rows in (("train", ROWS), ("test", 61)):
        path = saved(tmp_path, ".parquet", columns(rows))
        sha256 = store.put(path.read_bytes(), ".parquet")
        inputs[port] = {"params": source(split=port, sha256=sha256, suffix=".parquet")}
    return Bench(store), inputs


def same_data(one: AuditData, other: AuditData) -> None:
    assert [v.name for v in one.variables] == [v.name for v in other.variables] == ["a", "b", "job", "region", "size"]
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        assert (mine.kind, mine.role, mine.categories) == (theirs.kind, theirs.role, theirs.categories)
        for part in ("train", "test"):
            np.testing.assert_array_equal(getattr(mine, part), getattr(theirs, part))
            assert getattr(mine, part).dtype == getattr(theirs, part).dtype


def test_variables_on_disk_are_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, inputs = benched(tmp_path)
    held = audit_data(whole, ABOUT, inputs)
    monkeypatch.setattr(splits, "HELD", 0)
    monkeypatch.setattr(bench, "HELD", 0)
    on_disk = Bench(whole.store)
    found = audit_data(on_disk, ABOUT, inputs)
    assert len(on_disk.scratch._mapped) > 10
    same_data(found, held)
    assert audit_data(on_disk, ABOUT, inputs) is found


def test_statements_about_a_large_table_rest_on_rows_that_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, inputs = benched(tmp_path)
    assert table_data(made, ABOUT, inputs).train is made.split(inputs["train"]["params"])
    assert rows_used(made, inputs) == ()
    monkeypatch.setattr(bench, "MOST_ROWS", 100)
    some = table_data(made, ABOUT, inputs)
    chosen = drawn_rows(ROWS, 100)
    whole = audit_data(made, ABOUT, inputs)
    assert (len(some.train), len(some.test or ()), len(set(chosen.tolist()))) == (100, 61, 100)
    for mine, every in zip(some.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(mine.train, every.train[chosen])
    (said,) = rows_used(made, inputs)
    assert (said.name, said.value, said.n) == ("train_rows_used", 100.0, ROWS)
    assert f"all {ROWS} training rows here, drawn at random" in said.title


def test_drawn_rows_are_the_same_for_all_who_draw() -> None:
    assert drawn_rows(10, 10).tolist() == list(range(10))
    first = drawn_rows(1000, 50)
    np.testing.assert_array_equal(first, drawn_rows(1000, 50))
    assert (np.diff(first) > 0).all()
    assert data_module.MOST_ROWS == 200_000
