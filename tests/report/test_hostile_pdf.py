"""The PDF of a factsheet whose every text is hostile: it is set, asks nobody for anything, and can be read (G1, G2)."""

import io
import re
from typing import Any

import pypdf
import pytest

from pgx_compiler.report import templates
from pgx_compiler.report.formats import pdf_document
from tests.report.hostile_strings import STRINGS, Poisoned
from tests.report.sample import factsheet

pytestmark = pytest.mark.frameworks

FORBIDDEN = {
    "/URI",
    "/JavaScript",
    "/JS",
    "/Launch",
    "/SubmitForm",
    "/ImportData",
    "/GoToR",
    "/EmbeddedFile",
    "/Filespec",
    "/OpenAction",
    "/AA",
    "/XFA",
    "/RichMedia",
}


@pytest.mark.parametrize("first", range(0, len(STRINGS), 200))
def test_it_is_printed_fetches_nothing_and_acts_on_nothing(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    closed = pdf_document.closed_fetcher

    def watched() -> Any:
        fetcher = closed()
        fetch = fetcher.fetch

        def noted(url: str, headers: Any = None) -> Any:
            asked.append(url)
            return fetch(url, headers)

        fetcher.fetch = noted
        return fetcher

    monkeypatch.setattr(pdf_document, "closed_fetcher", watched)
    poison = Poisoned(first)
    # what has no text of its own, or repeats it, costs seconds and adds nothing
    plain = factsheet(image=False, rows=1).model_copy(update={"agreement": [], "faithfulness": [], "tuning": None})
    sheet = poison(plain)
    made = pdf_document.render(templates.document(sheet), b"0" * 32)
    assert [url for url in asked if not url.startswith("data:image/png;base64,")] == []

    reader = pypdf.PdfReader(io.BytesIO(made))
    words = {str(word) for number in range(1, reader.trailer["/Size"]) for word in _names(_object(reader, number))}
    assert words & FORBIDDEN == set()
    assert "/Link" in words  # the links within it are seen by this test
    # pypdf reads a font that has characters beyond the first plane as pairs of bytes
    text = "".join(re.sub(r"[\s\x00]", "", page.extract_text()) for page in reader.pages)
    shown = [one for one in poison.used.values() if re.fullmatch("[!-~ ]{4,40}", one) and "`" not in one]
    printed = [one for one in shown if re.sub(r"\s", "", one) in text]
    assert len(printed) > len(shown) / 2, (len(printed), len(shown))


def _object(reader: pypdf.PdfReader, number: int) -> Any:
    return reader.get_object(pypdf.generic.IndirectObject(number, 0, reader))


def _names(value: Any) -> set[str]:
    if isinstance(value, pypdf.generic.NameObject):
        return {value}
    if isinstance(value, dict):
        return {str(key) for key in value} | {name for one in value.values() for name in _names(one)}
    if isinstance(value, list):
        return {name for one in value for name in _names(one)}
    return set()
