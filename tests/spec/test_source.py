"""The reader of YAML: values by the 1.2 core schema, spans in code points, and no text that makes it fail or hang."""

import os
import socket
import string
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.diagnostics.formats import json as json_format
from pgx_compiler.diagnostics.render import render_text
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.scalars import AmbiguousScalarError, UnusableNumberError, resolve
from pgx_compiler.spec.source import load, read_source


def codes_of(text: str) -> list[str]:
    return [str(item.code) for item in load(text, "a.yaml").diagnostics]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        ("+.5", 0.5),
        ("-12", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("0", 0),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("2026-03-01", "2026-03-01"),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        ("1st", "1st"),
        (".keras", ".keras"),
        ("-9007199254740992", -(2**53)),
    ],
)
def test_plain_scalars_are_read_by_the_core_schema(text: str, value: Any) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", ["017", "-08", "1_000", "0x1_F", "1.5_0", "1:30", "12:30:45", "0b11"])
def test_texts_that_readers_differ_about_are_refused(text: str) -> None:
    with pytest.raises(AmbiguousScalarError):
        resolve(text)


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan", "1e400", "9007199254740993", "9" * 5000, "0x" + "f" * 5000])
def test_numbers_that_no_float64_holds_are_refused(text: str) -> None:
    with pytest.raises(UnusableNumberError):
        resolve(text)


def test_spans_count_lines_and_code_points_from_one() -> None:
    document = load("a: 1\n'😀': {한글: [x, yy]}\n", "a.yaml")
    # line 2: the quotes and the emoji take columns 1 to 3, the colon 4, the brace 6, 한글 7 and 8, yy 15 and 16
    key = document.keys["😀", "한글"]
    assert (key.line, key.column, key.end_line, key.end_column) == (2, 7, 2, 9)
    value = document.values["😀", "한글", 1]
    assert (value.line, value.column, value.end_column) == (2, 15, 17)
    assert document.data == {"a": 1, "😀": {"한글": ["x", "yy"]}}


def test_a_path_that_the_document_lacks_points_at_its_nearest_parent() -> None:
    document = load("a:\n  b: 1\n", "a.yaml")
    assert document.value_span(("a", "c", 0)) == document.keys[("a",)]
    assert document.value_span(("a", "b")) == document.values["a", "b"]
    assert document.key_span(()) == document.keys[("a",)]


def test_an_alias_is_its_anchors_value_and_points_at_the_anchors_text() -> None:
    document = load("x-a: &a {k: 8}\nb: *a\n", "a.yaml")
    assert document.data["b"] == {"k": 8}
    assert document.values[("b",)].line == 2
    assert document.values["b", "k"].line == 1
    assert len(document.diagnostics) == 0


def test_the_first_of_duplicate_keys_counts_and_both_places_are_named() -> None:
    document = load("a: 1\nb: 2\na: 3\n", "a.yaml")
    (said,) = document.diagnostics
    assert document.data == {"a": 1, "b": 2}
    assert (str(said.code), said.span and said.span.line) == ("PGX1007", 3)
    assert "line 1, column 1" in said.message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 20_000,
        "- " * 100_000,
        "x: [" + "1," * 60_000 + "]",
        "x-a: &a [1]\nb: [" + "*a," * 200 + "]",
        "\n".join(f"{' ' * i}k{i}:" for i in range(300)),
        "a: 1\n" * 30_000,
        "".join(f"a{i}: 017\n" for i in range(20_000)),
    ],
)
def test_limits_are_said_within_seconds(text: str) -> None:
    started = time.perf_counter()
    assert codes_of(text)[-1:] == ["PGX1002"]
    assert time.perf_counter() - started < 5.0


def test_a_bomb_of_merge_keys_is_refused_at_once() -> None:
    levels = [f"x-{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    assert set(codes_of("\n".join(["x-0: &a0 {k: 1}", *levels]))) <= {"PGX1012", "PGX1002"}


def test_a_colon_without_a_space_is_a_place_not_a_crash() -> None:
    (said,) = load("a:b\nc: d\n", "a.yaml").diagnostics
    assert "space after the colon" in said.help


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x85", "\u202e", "\u2066", "\u2028", "\ufeff", "\r"])
def test_characters_that_disguise_a_text_are_refused_where_they_stand(character: str) -> None:
    (said,) = load(f"a: 1\nb: x{character}y\n", "a.yaml").diagnostics
    assert str(said.code) == "PGX1004"
    assert said.span is not None
    assert (said.span.line, said.span.column) == (2, 5)


def test_windows_line_ends_are_line_ends() -> None:
    document = load("a: 1\r\nb: |\r\n  x\r\n  y\r\nc: 3\r\n", "a.yaml")
    assert document.data == {"a": 1, "b": "x\ny\n", "c": 3}
    assert document.keys[("c",)].line == 5


def special(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "large":
        path.write_bytes(b"#" * (2**20 + 1))
    return Path("/dev/zero") if kind == "device" else path


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("pipe", 1001),
        ("socket", 1001),
        ("folder", 1001),
        ("loop", 1001),
        ("device", 1001),
        ("missing", 1001),
        ("large", 1002),
    ],
)
def test_what_is_no_regular_file_is_refused_without_waiting(kind: str, code: int, tmp_path: Path) -> None:
    with pytest.raises(AuthorError) as caught:
        read_source(special(kind, tmp_path))
    assert [item.code.number for item in caught.value.diagnostics] == [code]


def test_a_path_that_is_none_is_a_diagnostic() -> None:
    for path in ("a\0b", "a" * 5000):
        with pytest.raises(AuthorError):
            read_source(Path(path))


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"#" * 2**20)
    assert len(read_source(tmp_path / "a.yaml")) == 2**20


YAMLISH = st.text(alphabet=st.sampled_from("abk01 \n\t:-?,[]{}&*!|>'\"%@`#~<.=_\\uxé한😀\u202e\x00"), max_size=60)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(string.printable.replace("\r", "").replace("\x0b", "").replace("\x0c", ""), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(string.ascii_letters + string.digits, min_size=1, max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def exercise(text: str) -> None:
    parsed = parse(text, "a.yaml")
    assert parsed.spec is not None or parsed.diagnostics.failed
    rendered = render_text(parsed.diagnostics, {"a.yaml": text}) + json_format.render(
        parsed.diagnostics, {}, ["a.yaml"]
    )
    assert "\x1b" not in rendered
    assert "\u202e" not in rendered
    for item in parsed.diagnostics:
        assert item.span is not None
        assert item.help


@given(YAMLISH)
@settings(max_examples=600, deadline=None)
def test_no_text_makes_the_reader_fail(text: str) -> None:
    exercise(text)


@given(st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_the_reader_fail(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        with pytest.raises(AuthorError, match="PGX1003"):
            read_source(path)
    else:
        if text.startswith("\ufeff"):
            return
        assert read_source(path) == text
        exercise(text)


@given(st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=8), PLAIN, min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_json_is_read_back_as_it_was_written(data: dict[str, Any]) -> None:
    import json

    text = json.dumps(data, indent=1, ensure_ascii=False)
    document = load(text, "a.yaml")
    assert [str(item.code) for item in document.diagnostics] == []
    assert document.data == data


SPEC = (Path(__file__).parents[2] / "specs" / "german-credit.yaml").read_text("utf-8")


@given(st.integers(0, len(SPEC) - 1), st.integers(0, 12), YAMLISH)
@settings(max_examples=300, deadline=None)
def test_no_mutation_of_a_real_spec_makes_parsing_fail(start: int, length: int, inserted: str) -> None:
    exercise(SPEC[:start] + inserted + SPEC[start + length :])
