"""Tables and archives: what is kept, what is missing, and what is refused with the place named."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import datasets
from runtimes.datasets import DataFileError, npz


def table(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> str:
    for reader in (datasets.inspect, datasets.read):
        with pytest.raises(DataFileError) as caught:
            reader(path)
        assert caught.value.help
    return caught.value.reason


def test_numbers_are_floats_and_empty_cells_are_missing(tmp_path: Path) -> None:
    data = datasets.read(table(tmp_path, "age,job\n31,clerk\n,\n-2.5e1,None\n"))
    np.testing.assert_array_equal(data.arrays["age"], [31.0, np.nan, -25.0])
    assert data.arrays["job"].tolist() == ["clerk", None, "None"]


def test_words_for_missing_stay_words(tmp_path: Path) -> None:
    data = datasets.read(table(tmp_path, "country,level\nNA,1\nDE,NA\n"))
    assert data.arrays["country"].tolist() == ["NA", "DE"]
    assert data.arrays["level"].tolist() == ["1", "NA"]


def test_codes_and_long_numbers_are_not_rounded(tmp_path: Path) -> None:
    data = datasets.read(table(tmp_path, "zip,account,n\n01067,12345678901234567890,0\n10115,1,0.5\n"))
    assert data.arrays["zip"].tolist() == ["01067", "10115"]
    assert data.arrays["account"].tolist() == ["12345678901234567890", "1"]
    assert data.arrays["n"].tolist() == [0.0, 0.5]


def test_python_only_spellings_are_text(tmp_path: Path) -> None:
    assert datasets.read(table(tmp_path, "a,b\n1_000,0x10\n2,3\n")).arrays["a"].tolist() == ["1_000", "2"]


def test_a_byte_order_mark_is_not_part_of_the_name(tmp_path: Path) -> None:
    facts = datasets.inspect(table(tmp_path, b"\xef\xbb\xbfage,b\n1,x\n"))
    assert [(column.name, column.dtype) for column in facts.columns] == [("age", "float64"), ("b", "str")]
    assert (facts.rows, facts.tabular) == (1, True)


def test_quoted_commas_and_lines_are_one_cell(tmp_path: Path) -> None:
    data = datasets.read(table(tmp_path, 'a,b\n"x, y","two\nlines"\n'))
    assert data.arrays["a"].tolist() == ["x, y"]
    assert data.arrays["b"].tolist() == ["two\nlines"]


def test_a_table_names_its_rows(tmp_path: Path) -> None:
    data = datasets.read(table(tmp_path, "row_ids,a\nk1,1\nk2,2\n"))
    assert data.row_ids is not None
    assert data.row_ids.tolist() == ["k1", "k2"]
    assert list(data.arrays) == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "has a header and no rows"),
        ("a,b,a\n1,2,3\n", "columns 1 and 3 are both called `a`"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("a,b\n1,2\n3\n", "row 2 (line 3) has 1 cells, the header has 2"),
        ("a,b\n1,2,3\n", "row 1 (line 2) has 3 cells, the header has 2"),
        ("a,b\n1,2\n\n3,4\n", "line 3 is empty"),
        ("a;b\n1;2\n", "separated by semicolons"),
        ("a\tb\n1\t2\n", "separated by tabs"),
        ("1,2\n3,4\n", "the first line holds numbers"),
        (b"a,b\n1,2\n1,\x00\n", "line 3 holds a NUL byte"),
        (b"a,b\n1,caf\xe9\n", "line 2 is not UTF-8 (byte 0xe9)"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        ('a,b\n1,"open\n', "line 2"),
    ],
)
def test_broken_tables_name_the_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(table(tmp_path, text))


@pytest.mark.parametrize("name", ["none.csv", "none.npz"])
def test_missing_files(tmp_path: Path, name: str) -> None:
    assert "does not exist" in refusal(tmp_path / name)


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataFileError) as caught:
        datasets.read(tmp_path / "data.feather")
    assert ".csv" in caught.value.help


def saved(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_an_archive_keeps_arrays_names_and_ids(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = saved(tmp_path, x=x, y=np.array([0, 1, 1]), feature_names=np.array(["a", "b"]), row_ids=np.array([7, 8, 9]))
    facts, data = datasets.inspect(path), datasets.read(path)
    assert [(column.name, column.shape, column.dtype) for column in facts.columns] == [
        ("x", (2,), "float32"),
        ("y", (), "int64"),
    ]
    assert (facts.rows, facts.feature_names, facts.tabular) == (3, ("a", "b"), False)
    np.testing.assert_array_equal(data.arrays["x"], x)
    assert data.row_ids is not None
    assert data.row_ids.tolist() == [7, 8, 9]
    assert list(data.arrays) == ["x", "y"]


def test_pickled_arrays_are_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.ones(2), words=np.array(["a", None], object))
    assert "`words` holds Python objects" in refusal(path)


def test_arrays_of_different_lengths_are_refused(tmp_path: Path) -> None:
    assert "`x` has 3 rows, `y` has 2" in refusal(saved(tmp_path, x=np.ones((3, 2)), y=np.ones(2)))
    assert "`row_ids` has 2" in refusal(saved(tmp_path, x=np.ones((3, 2)), row_ids=np.ones(2)))


def test_a_single_value_and_no_rows_are_refused(tmp_path: Path) -> None:
    assert "single value" in refusal(saved(tmp_path, x=np.float64(3)))
    assert "has no rows" in refusal(saved(tmp_path, x=np.ones((0, 2))))


def crafted(tmp_path: Path, header: bytes, body: bytes = b"") -> Path:
    path = tmp_path / "crafted.npz"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", start + body)
    return path


def test_declared_sizes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    rows = npz.LIMIT_BYTES // 8 + 1
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows},), }}\n".encode()
    assert "declares more than 4,294,967,296 bytes" in refusal(crafted(tmp_path, header))


def test_code_in_a_header_is_refused(tmp_path: Path) -> None:
    assert "`x` is damaged" in refusal(crafted(tmp_path, b"__import__('os').getcwd()\n"))


def test_an_array_shorter_than_it_declares_is_refused(tmp_path: Path) -> None:
    path = crafted(tmp_path, b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", bytes(8))
    with pytest.raises(DataFileError, match="`x` declares 24 bytes and holds 8"):
        datasets.read(path)


def test_archives_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    path.write_bytes(b"<html>")
    assert "not a NumPy archive" in refusal(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("notes.txt", "x")
    path.write_bytes(buffer.getvalue())
    assert "`notes.txt`, which is no array" in refusal(path)
    whole = saved(tmp_path, x=np.random.default_rng(0).normal(size=1000)).read_bytes()
    path.write_bytes(whole[:-40])
    assert "truncated" in refusal(path)


def test_one_column_is_what_it_is_among_all(tmp_path: Path) -> None:
    path = table(tmp_path, "age,job\n31,clerk\n,\n")
    for name, column in datasets.read(path).arrays.items():
        np.testing.assert_array_equal(datasets.read_column(path, name), column)
    archive = tmp_path / "a.npz"
    np.savez_compressed(archive, x=np.arange(6.0).reshape(3, 2), y=np.array([0, 1, 2]))
    assert datasets.read_column(archive, "y").tolist() == [0, 1, 2]
    for file in (path, archive):
        with pytest.raises(KeyError):
            datasets.read_column(file, "nothing")
    assert datasets.read_column(path, "age", text=True).tolist() == ["31", None]


def test_a_format_that_reads_everything_at_once_gives_a_column_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path, "a,b\n1,2\n3,4\n")
    monkeypatch.delattr(datasets.formats()[".csv"], "read_column")
    assert datasets.read_column(path, "b").tolist() == [2.0, 4.0]
