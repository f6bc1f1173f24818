"""Diagnostics as text and JSON, as people and machines read them."""

import itertools
import json
import re
import time
import unicodedata

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.formats import json as json_format
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.diagnostics.render import WIDEST, Terminal, harmless, render_text

CODE = Code(2003, "unknown-key", "No such key.")


def diagnostic(line: int, column: int, length: int, severity: str = "error", label: str = "") -> Diagnostic:
    span = Span("a.yaml", line, column, line, column + length)
    return Diagnostic(CODE, "no such key", span, "allowed: a, b", severity, label, ("a", 0))  # type: ignore[arg-type]


def as_json(said: Diagnostics) -> str:
    return json_format.render(said, {}, ["a.yaml"])


def test_a_block_shows_the_place_the_line_the_caret_and_the_help() -> None:
    said = Diagnostics([diagnostic(7, 7, 5, label="did you mean `steps`?")])
    text = "\n" * 6 + "      stepz: 32\n"
    assert render_text(said, {"a.yaml": text}) == (
        "error[PGX2003]: no such key\n"
        " --> a.yaml:7:7\n"
        "  |\n"
        "7 |       stepz: 32\n"
        "  |       ^^^^^ did you mean `steps`?\n"
        "  |\n"
        "  = help: allowed: a, b\n"
        "\n"
        "1 error\n"
    )


def test_blocks_come_in_the_order_of_the_document_and_are_counted() -> None:
    said = Diagnostics([diagnostic(9, 1, 1), diagnostic(2, 1, 1, "warning"), diagnostic(2, 1, 1, "warning")])
    said.add(diagnostic(9, 1, 1))
    shown = render_text(said, {})
    assert shown.index("a.yaml:2:1") < shown.index("a.yaml:9:1")
    assert shown.endswith("\n1 error, 2 warnings\n")


def test_the_caret_stands_below_what_it_means_beside_wide_characters() -> None:
    lines = render_text(Diagnostics([diagnostic(1, 5, 2)]), {"a.yaml": "한글: xy"}).split("\n")
    # two wide characters take four cells, so that xy starts in the seventh
    assert lines[3] == "1 | 한글: xy"
    assert lines[4] == "  |       ^^"


def test_nothing_in_the_source_moves_the_cursor_or_turns_the_text() -> None:
    evil = "\x1b[2Ja\u202eb\tc\x00"
    shown = render_text(Diagnostics([diagnostic(1, 1, 1)]), {"a.yaml": evil})
    assert "1 | <U+001B>[2Ja<U+202E>b    c<U+0000>" in shown
    assert harmless("é 한 😀") == "é 한 😀"


def test_a_long_line_is_cut_around_the_caret() -> None:
    line = "a" * 5000 + "KEY" + "b" * 5000
    shown = render_text(Diagnostics([diagnostic(1, 5001, 3)]), {"a.yaml": line}).split("\n")
    assert len(shown[3]) <= WIDEST + 10
    caret = shown[4].index("^")
    assert shown[3][caret : caret + 3] == "KEY"


def test_colour_only_if_asked_for() -> None:
    said = Diagnostics([diagnostic(1, 1, 1)])
    assert "\x1b[" not in render_text(said, {"a.yaml": "x"})
    assert "\x1b[1;31merror[PGX2003]" in render_text(said, {"a.yaml": "x"}, Terminal(color=True))


def test_a_span_beyond_the_text_is_still_shown() -> None:
    span = Span("a.yaml", 3, 40, 9, 1)
    said = Diagnostics([Diagnostic(CODE, "m", span, "h"), Diagnostic(CODE, "n", None, "h")])
    shown = render_text(said, {"a.yaml": "x\ny\nz"})
    assert " --> a.yaml:3:40" in shown
    assert "error[PGX2003]: n\n  = help: h" in shown


def test_json_holds_everything_in_plain_ascii() -> None:
    document = json.loads(as_json(Diagnostics([diagnostic(2, 3, 4, label="ö")])))
    assert document == {
        "diagnostics": [
            {
                "code": "PGX2003",
                "name": "unknown-key",
                "severity": "error",
                "message": "no such key",
                "label": "ö",
                "help": "allowed: a, b",
                "path": ["a", 0],
                "span": {"file": "a.yaml", "start": {"line": 2, "column": 3}, "end": {"line": 2, "column": 7}},
            }
        ],
        "errors": 1,
        "warnings": 0,
    }
    assert as_json(Diagnostics([diagnostic(1, 1, 1, label="ö")])).isascii()


def test_an_authors_error_says_all_of_it() -> None:
    error = AuthorError(Diagnostics([diagnostic(1, 1, 1), diagnostic(2, 1, 1)]), {"a.yaml": "x\ny"})
    assert str(error).count("error[PGX2003]") == 2


def test_the_nearest_word_forgives_case_hyphens_and_slips_but_not_everything() -> None:
    known = ["class_balance", "integrated_gradients", "drift"]
    assert nearest("Class-Balance", known) == "class_balance"
    assert nearest("integrated_gradient", known) == "integrated_gradients"
    assert nearest("class_balance_check_of_mine", known) == "class_balance"
    assert nearest("zzz", known) is None
    assert quoted(range(5), 2) == "`0`, `1` and 3 more"
    assert shortened("x" * 100, 10) == "x" * 9 + "…"


LONG_HELP = "one of: " + ", ".join(f"`word{number}`" for number in range(30))


def cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in re.sub("\x1b\\[[0-9;]*m", "", text))


def test_on_a_terminal_nothing_is_wider_than_it_and_no_word_is_lost() -> None:
    item = Diagnostic(CODE, "the words do not fit " * 8, Span("a.yaml", 1, 61, 1, 64), LONG_HELP)
    sources = {"a.yaml": "한글 " * 20 + "key" + "x" * 200}
    shown = render_text(Diagnostics([item]), sources, Terminal(color=True, columns=60))
    assert max(cells(line) for line in shown.split("\n")[:-2]) <= 60
    plain = re.sub("\x1b\\[[0-9;]*m", "", shown)
    assert [word for word in LONG_HELP.split() if word not in plain] == []
    line, mark = next((a, b) for a, b in itertools.pairwise(plain.split("\n")) if "^" in b)
    start = cells(mark[: mark.index("^")])
    assert cells(line[: line.index("key")]) == start
    assert mark.count("^") == 3


def test_elsewhere_every_sentence_stays_on_its_line() -> None:
    shown = render_text(Diagnostics([Diagnostic(CODE, "m" * 300, None, LONG_HELP)]), {})
    assert f"= help: {LONG_HELP}\n" in shown
    assert "m" * 300 in shown
    assert "pgx explain" not in shown


def test_a_terminal_is_told_where_to_read_more_of_the_first_error() -> None:
    said = Diagnostics([diagnostic(1, 1, 1)])
    assert render_text(said, {}, Terminal(columns=80)).endswith(
        "\n1 error; `pgx explain PGX2003` says more of the first\n"
    )


def test_marks_that_take_no_room_move_no_caret() -> None:
    # e and a combining accent; a heart and the selector that colours it: neither mark takes a cell
    lines = render_text(Diagnostics([diagnostic(1, 7, 2)]), {"a.yaml": "e\u0301 \u2764\ufe0f xy"}).split("\n")
    assert lines[4] == "  |     ^^"


def test_a_line_as_long_as_a_file_is_cut_at_once() -> None:
    line = "한" * 500_000
    many = Diagnostics([diagnostic(1, 1 + 1000 * place, 2) for place in range(100)])
    started = time.perf_counter()
    assert len(render_text(many, {"a.yaml": line})) < 100_000
    assert time.perf_counter() - started < 5
