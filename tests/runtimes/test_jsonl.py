"""Lines of JSON: what is kept, what is missing, and what is refused with the line named."""

from pathlib import Path

import numpy as np
import pytest

from runtimes import datasets
from runtimes.datasets import DataFileError


def lines(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_columns_keep_their_types_and_null_is_missing(tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        '{"text": "good", "stars": 5, "seen": true, "row_ids": "a1"}\n'
        '{"stars": null, "text": null, "seen": false, "row_ids": "a2"}\n'
        '{"text": "caf\\u00e9\\n", "stars": -2.5e1, "seen": null, "row_ids": "a3"}\n',
    )
    facts, data = datasets.inspect(path), datasets.read(path)
    assert [(column.name, column.dtype) for column in facts.columns] == [
        ("text", "str"), ("stars", "float64"), ("seen", "float64"),
    ]  # fmt: skip
    assert (facts.format, facts.rows, facts.tabular) == ("jsonl", 3, True)
    assert data.arrays["text"].tolist() == ["good", None, "café\n"]
    np.testing.assert_array_equal(data.arrays["stars"], [5.0, np.nan, -25.0])
    np.testing.assert_array_equal(data.arrays["seen"], [1.0, 0.0, np.nan])
    assert data.row_ids is not None
    assert data.row_ids.tolist() == ["a1", "a2", "a3"]


def test_numbers_wanted_as_text_stay_as_they_are_written(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"label": 1.0, "n": 2}\n{"label": 10, "n": 3}\n')
    assert datasets.read(path, {"label"}).arrays["label"].tolist() == ["1.0", "10"]
    assert datasets.read_column(path, "label", text=True).tolist() == ["1.0", "10"]
    assert datasets.read_column(path, "n").tolist() == [2.0, 3.0]
    with pytest.raises(KeyError):
        datasets.read_column(path, "m")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("{}\n", "line 1 has no keys"),
        ('{"a": 1}\n[1]\n', "line 2 is no object with keys"),
        ('{"a": 1}\n{"a": 2\n', "line 2 is no JSON"),
        ('{"a": 1}\n\n{"a": 2}\n', "line 2 is empty"),
        ('{"a": 1}\n{"b": 2}\n', "line 2 has no `a`"),
        ('{"a": 1}\n{"a": 2, "b": 2}\n', "line 2 has `b`, which line 1 has not"),
        ('{"a": 1, "a": 2}\n', "the key 'a' stands there twice"),
        ('{"a": 1}\n{"a": "x"}\n', "`a` of line 2 is text, and a number before"),
        ('{"a": 1}\n{"a": true}\n', "`a` of line 2 is true or false, and a number before"),
        ('{"a": [1, 2]}\n', "`a` of line 1 is a list"),
        ('{"a": {"b": 1}}\n', "`a` of line 1 is an object"),
        ('{"a": NaN}\n', "NaN is no number in JSON"),
        ('{"a": 12345678901234567890}\n', "cannot be held exactly"),
        ('{"a": 1e999}\n', "cannot be held exactly"),
        ('{"a": "\\ud83d"}\n', "line 1 holds half of a letter"),
        ('[\n{"a": 1}\n]\n', "is one JSON list"),
        ("[" * 100_000 + "\n", "nested too deeply"),
        (b'{"a": "x"}\n{"a": "caf\xe9"}\n', "line 2 is not UTF-8 (byte 0xe9)"),
        ('{"a": 1}\n'.encode("utf-16"), "is UTF-16"),
    ],
)
def test_broken_lines_name_the_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = lines(tmp_path, text)
    for reader in (datasets.inspect, datasets.read):
        with pytest.raises(DataFileError) as caught:
            reader(path)
        assert caught.value.help
        assert said in caught.value.reason


def test_a_byte_order_mark_and_a_missing_last_newline_are_fine(tmp_path: Path) -> None:
    assert datasets.read(lines(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}')).arrays["a"].tolist() == [1.0, 2.0]
