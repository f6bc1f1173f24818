"""Names, values and messages of hostile vendors, all at once, in every text of a factsheet: they are read, and do nothing (T11, G1).

Every text of a whole factsheet is replaced by one of over 500 hostile strings, so that each string stands in some field and
each field holds some string; what is compared is how a browser's parser reads the pages of the hostile and of a plain one.
"""

import json
import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
import tinyhtml5

from pgx_compiler.report import presentable, templates
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import json_file
from tests.report.hostile_strings import ONE_MEGABYTE, STRINGS, Poisoned
from tests.report.sample import factsheet

FIRSTS = range(0, len(STRINGS), 200)
"""Each factsheet takes over 200 strings: these three take all of them."""
INERT = {
    "script",
    "style",
    "link",
    "meta",
    "img",
    "iframe",
    "object",
    "embed",
    "base",
    "form",
    "template",
    "math",
    "html",
    "body",
    "head",
}
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\U000e0000-\U000e0fff]"
)


def elements(parsed: Any) -> list[tuple[str, dict[str, str], str]]:
    """Tag, attributes and own text of every element, as the parser of the HTML standard sees them; no comments."""
    found = []
    for one in parsed.iter():
        assert isinstance(one.tag, str), "a comment, which no template writes"
        found.append((one.tag.rpartition("}")[2], dict(one.attrib), one.text or ""))
    return found


PLAIN = {"image": factsheet(image=True, rows=1), "table": factsheet(image=False, rows=1)}
DRAWN = {"html": templates.page, "document of the pdf": templates.document}


@pytest.fixture(params=PLAIN)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@cache
def poisoned(kind: str, first: int) -> tuple[Poisoned, Factsheet]:
    poison = Poisoned(first)
    return poison, poison(PLAIN[kind])


@cache
def source(kind: str, first: int | None, drawn: str) -> str:
    """A page of the hostile factsheet; first is None: of the plain one."""
    return DRAWN[drawn](PLAIN[kind] if first is None else poisoned(kind, first)[1])


@cache
def parsed(kind: str, first: int | None, drawn: str) -> Any:
    """The same page as a browser's parser reads it, once for all tests: it takes longer than drawing it."""
    return tinyhtml5.parse(source(kind, first, drawn))


def test_three_factsheets_take_every_string(kind: str) -> None:
    used = {text.rpartition("~")[0] for first in FIRSTS for text in poisoned(kind, first)[0].used.values()}
    assert used == set(STRINGS)
    assert len(used) >= 500


@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize("drawn", DRAWN)
def test_no_text_becomes_markup(kind: str, first: int, drawn: str) -> None:
    before, after = elements(parsed(kind, None, drawn)), elements(parsed(kind, first, drawn))
    tags, ours = Counter(tag for tag, _, _ in after), Counter(tag for tag, _, _ in before)
    assert set(tags) <= set(ours)
    assert {tag: tags[tag] for tag in INERT} == {tag: ours[tag] for tag in INERT}
    allowed = {(tag, name) for tag, attributes, _ in before for name in attributes}
    assert {(tag, name) for tag, attributes, _ in after for name in attributes} <= allowed
    for _, attributes, _ in after:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset", "formaction")]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    for ours_alone in ("style", "script"):
        texts = [text for tag, attributes, text in after if tag == ours_alone and "type" not in attributes]
        assert texts == [text for tag, attributes, text in before if tag == ours_alone and "type" not in attributes]


@pytest.mark.parametrize("first", FIRSTS)
def test_the_strings_are_there_to_be_read(kind: str, first: int) -> None:
    parts = [part for one in parsed(kind, first, "html").iter() for part in (one.text, one.tail) if part]
    read = " ".join(" ".join(parts).split())
    for title in ("Kernel SHAP", "Drift", "Class 5 is rare"):
        # prose loses its code marks; spaces are the browser's
        written = " ".join(presentable.shown(poisoned(kind, first)[0].of(title)).replace("`", "").split())
        assert written in read.replace("`", "")


@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize("drawn", DRAWN)
def test_nothing_that_hides_turns_or_commands_reaches_a_page(kind: str, first: int, drawn: str) -> None:
    text = source(kind, first, drawn)
    left = UNSEEN.search(text if drawn == "html" else text.replace("\u2060", ""))  # words of Hangul are joined by it
    assert left is None, text[max(0, left.start() - 80) : left.end()]


@pytest.mark.parametrize("first", FIRSTS)
def test_the_script_gets_names_as_data(kind: str, first: int) -> None:
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", source(kind, first, "html"), re.DOTALL)
    assert len(scripts) == 2
    assert not re.search("[<>&\x7f-\U0010ffff]", scripts[0])
    assert not UNSEEN.search(json.dumps(json.loads(scripts[0]), ensure_ascii=False))


@pytest.mark.parametrize("first", FIRSTS)
def test_the_json_keeps_every_text_and_shows_controls_as_escapes(kind: str, first: int) -> None:
    hostile = poisoned(kind, first)[1]
    text = json_file.text(hostile)
    assert json_file.again(hostile) == hostile
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", text)


def test_a_word_of_a_megabyte_is_cut_and_counted() -> None:
    plain = PLAIN["table"]
    sheet = plain.model_copy(
        update={"audit": plain.audit.model_copy(update={"name": ONE_MEGABYTE, "owner": "W" * 999_999})}
    )
    for text in (templates.page(sheet), templates.document(sheet)):
        assert len(text) < 1_000_000
        assert "[1,000,000 characters" in text
        assert "[999,999 characters" in text
    assert ONE_MEGABYTE in json_file.text(sheet)


def test_half_a_character_in_a_message_breaks_no_file() -> None:
    """File names in no encoding reach Python's messages as halves of characters, which JSON readers refuse."""
    plain = PLAIN["table"]
    sheet = plain.model_copy(update={"audit": plain.audit.model_copy(update={"owner": "caf\udce9.onnx"})})
    assert json.loads(json_file.text(sheet))["audit"]["owner"] == "caf\ufffd.onnx"
    assert json_file.again(sheet).audit.owner == "caf\ufffd.onnx"
    assert "caf\ufffd.onnx" in templates.page(sheet)


def test_marks_do_not_pile_up_over_the_lines_around() -> None:
    assert presentable.shown("e" + "\u0301" * 200 + "a\u0308") == "e" + "\u0301" * 4 + "a\u0308"


def test_texts_that_were_different_stay_so() -> None:
    one, other = presentable.shown("x" * 5000 + "a"), presentable.shown("x" * 5000 + "b")
    assert one != other
    assert one == presentable.shown("x" * 5000 + "a")
