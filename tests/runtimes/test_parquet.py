"""Parquet tables: facts from the metadata alone, values from the pages, and what neither may do."""

import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import datasets
from runtimes.datasets import DataFileError, parquet
from runtimes.formats.parquet_footer import FooterError, read_footer

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def saved(tmp_path: Path, columns: dict[str, Any], **how: Any) -> Path:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table(columns), path, **how)
    return path


def mixed(tmp_path: Path, rows: int = 1000, **how: Any) -> tuple[Path, dict[str, list[Any]]]:
    rng = np.random.default_rng(1)
    words = np.array(["rot", "blau", "grün", "", None], object)
    columns = {
        "amount": pa.array(rng.normal(size=rows), mask=rng.random(rows) < 0.1),
        "single": pa.array(rng.normal(size=rows).astype(np.float32)),
        "count": pa.array(rng.integers(-5, 5, rows), mask=rng.random(rows) < 0.1),
        "small": pa.array(rng.integers(0, 200, rows).astype(np.uint8)),
        "flag": pa.array(rng.random(rows) < 0.5, mask=rng.random(rows) < 0.1),
        "word": pa.array(words[rng.integers(0, 5, rows)]),
        "coded": pa.array(words[rng.integers(0, 5, rows)]).dictionary_encode(),
    }
    return saved(tmp_path, columns, **how), {name: held.to_pylist() for name, held in columns.items()}


def refusal(path: Path) -> str:
    for reader in (datasets.inspect, datasets.read):
        with pytest.raises(DataFileError) as caught:
            reader(path)
        assert caught.value.help
    return caught.value.reason


def test_what_the_metadata_say_is_what_the_pages_hold(tmp_path: Path) -> None:
    path, told = mixed(tmp_path, row_group_size=300)
    facts = datasets.inspect(path)
    assert (facts.format, facts.rows, facts.tabular, facts.names_rows) == ("parquet", 1000, True, False)
    types = ["float64", "float32", "float64", "float64", "float64", "str", "str"]
    assert [(column.name, column.dtype) for column in facts.columns] == list(zip(told, types, strict=True))
    for column in facts.columns:
        held = told[column.name]
        assert column.missing == held.count(None)
        if column.dtype != "str":
            known = [value for value in held if value is not None]
            assert (column.least, column.largest) == (min(known), max(known))


def test_values_are_kept_and_missing_ones_stay_missing(tmp_path: Path) -> None:
    path, told = mixed(tmp_path, row_group_size=300)
    arrays = datasets.read(path).arrays
    assert list(arrays) == list(told)
    for name, held in told.items():
        if arrays[name].dtype == object:
            assert arrays[name].tolist() == held
        else:
            wanted = np.array([np.nan if value is None else value for value in held], arrays[name].dtype)
            np.testing.assert_array_equal(arrays[name], wanted)
    assert (arrays["single"].dtype, arrays["count"].dtype) == (np.dtype("float32"), np.dtype("float64"))


@pytest.mark.parametrize("rows", [1, 7, 300, 5000])
def test_parts_joined_are_the_whole(tmp_path: Path, rows: int) -> None:
    path, _ = mixed(tmp_path, 400, row_group_size=90)
    whole = datasets.read(path).arrays
    parts = list(datasets.batches(path, rows=rows))
    assert all(len(part.arrays["word"]) <= rows for part in parts)
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([part.arrays[name] for part in parts]), array)
    assert list(next(datasets.batches(path, names={"flag"})).arrays) == ["flag"]
    np.testing.assert_array_equal(datasets.read_column(path, "flag"), whole["flag"])
    with pytest.raises(KeyError):
        datasets.read_column(path, "none")


def test_rows_may_be_called_by_numbers_or_words(tmp_path: Path) -> None:
    path = saved(tmp_path, {"x": [1.0, 2.0], "row_ids": [17, 4]})
    assert datasets.inspect(path).names_rows
    assert [column.name for column in datasets.inspect(path).columns] == ["x"]
    ids = datasets.read(path).row_ids
    assert ids is not None
    assert ids.tolist() == ["17", "4"]
    ids = datasets.read(saved(tmp_path, {"x": [1.0, 2.0], "row_ids": ["a", "b"]})).row_ids
    assert ids is not None
    assert ids.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([Decimal("1.50")], "decimal numbers"),
        ([datetime(2026, 4, 1)], "points in time"),
        ([datetime(2026, 4, 1).date()], "dates"),
        ([[1, 2]], "lists or records"),
        ([{"a": 1}], "lists or records"),
        ([b"\x00"], "bytes"),
        ([None], "no values at all"),
        ([2**60], "cannot be held exactly"),
    ],
)
def test_what_is_no_plain_column_is_refused_by_name(tmp_path: Path, held: list[Any], said: str) -> None:
    path = saved(tmp_path, {"x": [1.0], "strange": held})
    if "exactly" in said:  # a value, which only reading shows
        with pytest.raises(DataFileError, match=said):
            datasets.read(path)
        return
    reason = refusal(path)
    assert said in reason
    assert "`strange`" in reason


def test_a_table_without_rows_or_with_names_twice_is_refused(tmp_path: Path) -> None:
    assert "no rows" in refusal(saved(tmp_path, {"x": pa.array([], pa.float64())}))
    twice = pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"])
    pq.write_table(twice, tmp_path / "data.parquet")
    assert "two columns" in refusal(tmp_path / "data.parquet")


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    for content in (b"", b"PAR1", b"a,b\n1,2\n" * 10, b"PAR1" + bytes(50), b"PARE" + bytes(50) + b"PARE"):
        path.write_bytes(content)
        assert "cannot be used" in refusal(path)
    path.write_bytes(b"PAR1" + bytes(20) + struct.pack("<I4s", 2**31, b"PAR1"))
    assert "bytes of metadata" in refusal(path)
    path.unlink()
    assert "does not exist" in refusal(path)
    path.mkdir()
    assert "directory" in refusal(path)


def test_a_changed_footer_is_told_or_read_the_same_way_and_never_breaks_the_reader(tmp_path: Path) -> None:
    """Every byte of the metadata, changed in three ways: facts, or one sentence."""
    path, _ = mixed(tmp_path, 60, row_group_size=20)
    content = bytearray(path.read_bytes())
    length = struct.unpack("<I", content[-8:-4])[0]
    outcomes = {"read": 0, "refused": 0}
    for place in range(len(content) - 8 - length, len(content)):
        for change in (0x01, 0x80, 0xFF):
            content[place] ^= change
            path.write_bytes(content)
            content[place] ^= change
            try:
                read_footer(path)
                outcomes["read"] += 1
            except FooterError:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 100, outcomes


def compact(*fields: tuple[int, int, bytes]) -> bytes:
    """A struct of Thrift's compact protocol whose fields follow one another by at most 15."""
    content, before = b"", 0
    for number, kind, value in fields:
        content += bytes([(number - before) << 4 | kind]) + value
        before = number
    return content + b"\0"


def footer(tmp_path: Path, metadata: bytes) -> Path:
    path = tmp_path / "data.parquet"
    path.write_bytes(b"PAR1" + bytes(8) + metadata + struct.pack("<I4s", len(metadata), b"PAR1"))
    return path


@pytest.mark.parametrize(
    "metadata",
    [
        compact((9, 9, b"\x1c" * 2_000)),  # lists of structs inside one another
        compact((9, 12, b"\x9c" * 5_000)),  # structs inside one another
        compact((2, 9, b"\xfc\xff\xff\xff\xff\x0f")),  # a list of four billion structs
        compact((9, 11, b"\xff\xff\xff\xff\x0f\x88")),  # a map of four billion entries
        compact((3, 6, b"\xff" * 40)),  # a number without an end
        compact((9, 8, b"\xff\xff\xff\xff\x0f")),  # a text longer than the file
        b"",
    ],
)
def test_metadata_that_promise_too_much_cost_nothing(tmp_path: Path, metadata: bytes) -> None:
    with pytest.raises(FooterError):
        read_footer(footer(tmp_path, metadata))


def test_a_file_that_promises_too_many_rows_is_refused(tmp_path: Path) -> None:
    """2^62 rows of equal values take no more bytes than two do."""
    name = compact((1, 5, b"\x0a"), (3, 5, b"\x00"), (4, 8, b"\x01x"))  # DOUBLE, required, `x`
    root = compact((4, 8, b"\x01r"), (5, 5, b"\x02"))
    rows = b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"  # zigzag of 2^62
    chunk = compact(
        (1, 5, b"\x0a"), (3, 9, b"\x18\x01x"), (5, 6, rows), (6, 6, b"\x02"), (7, 6, b"\x02"), (9, 6, b"\x08")
    )
    group = compact((1, 9, b"\x1c" + compact((3, 12, chunk))), (3, 6, rows))
    path = footer(tmp_path, compact((2, 9, b"\x2c" + root + name), (3, 6, rows), (4, 9, b"\x1c" + group)))
    assert read_footer(path).rows == 2**62
    assert "says that it has 4,611,686,018,427,387,904 rows" in refusal(path)


def test_columns_in_other_files_are_refused(tmp_path: Path) -> None:
    name = compact((1, 5, b"\x0a"), (3, 5, b"\x00"), (4, 8, b"\x01x"))
    root = compact((4, 8, b"\x01r"), (5, 5, b"\x02"))
    held = compact(
        (1, 5, b"\x0a"), (3, 9, b"\x18\x01x"), (5, 6, b"\x02"), (6, 6, b"\x02"), (7, 6, b"\x02"), (9, 6, b"\x08")
    )
    chunk = compact((1, 8, b"\x0b/etc/passwd"), (3, 12, held))
    group = compact((1, 9, b"\x1c" + chunk), (3, 6, b"\x02"))
    path = footer(tmp_path, compact((2, 9, b"\x2c" + root + name), (3, 6, b"\x02"), (4, 9, b"\x1c" + group)))
    assert "other files" in refusal(path)


def test_damaged_pages_are_a_sentence(tmp_path: Path) -> None:
    path, _ = mixed(tmp_path, 5000, row_group_size=1000, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    start = len(content) // 3
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    datasets.inspect(path)
    with pytest.raises(DataFileError, match="cannot be read"):
        datasets.read(path)


def test_without_the_package_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = mixed(tmp_path, 10)
    found: Callable[[str], Any] = lambda name: None  # noqa: E731
    monkeypatch.setattr(parquet, "find_spec", found)
    with pytest.raises(DataFileError) as caught:
        datasets.inspect(path)
    assert "pyarrow is not installed" in caught.value.reason
    assert "`parquet`" in caught.value.help


def test_facts_load_no_library(tmp_path: Path) -> None:
    path, _ = mixed(tmp_path, 10)
    script = (
        "import sys; from pathlib import Path; from runtimes import datasets\n"
        f"assert datasets.inspect(Path({str(path)!r})).rows == 10\n"
        "print([name for name in sys.modules if name.startswith('pyarrow')])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
