"""factsheet.pdf: tagged, in order, reproducible, and closed to the outside."""

import base64
import io
import re
from pathlib import Path

import pypdf
import pytest

from pgx_compiler.report import heat_maps, templates, view
from pgx_compiler.report.formats import pdf_document
from pgx_compiler.report.words import ENGLISH
from tests.report.sample import factsheet
from tests.report.test_html_page import EVIL, hostile

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("document") / "factsheet.pdf"
    pdf_document.write(factsheet(rows=2), written)
    return written


@pytest.fixture(scope="module")
def reader(path: Path) -> pypdf.PdfReader:
    return pypdf.PdfReader(path)


def outline(reader: pypdf.PdfReader) -> list[str]:
    """Titles of the top level of the bookmarks."""
    return [str(entry.title) for entry in reader.outline if not isinstance(entry, list)]


def test_it_says_that_it_is_tagged_and_for_universal_access(path: Path, reader: pypdf.PdfReader) -> None:
    catalogue = reader.trailer["/Root"]
    assert catalogue["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in catalogue
    assert catalogue["/Lang"] == "en"
    assert "digits 1.0.0" in str(reader.metadata and reader.metadata.title)
    assert b"pdfuaid" in catalogue["/Metadata"].get_object().get_data()


def test_sections_come_in_order_in_text_and_bookmarks(reader: pypdf.PdfReader) -> None:
    titles = [ENGLISH[f"section_{name}"] for name in view.SECTIONS]
    marks = outline(reader)
    assert marks[0].startswith("digits")
    assert [mark for mark in marks if mark in titles] == titles
    text = "\n".join(page.extract_text() for page in reader.pages[1:])
    for title in titles:  # raises where a heading does not come after the one before it
        text = text[text.index(f"\n{title}\n") + len(title) :]


def test_the_first_page_is_the_decision_and_every_page_is_numbered(reader: pypdf.PdfReader) -> None:
    first = reader.pages[0].extract_text()
    for part in ("Failed", "One of four gates failed", "0.318", "0.612", "9f2c9f2c9f2c9f2c", "undecided"):
        assert part in first
    total = len(reader.pages)
    for place, page in enumerate(reader.pages, 1):
        text = page.extract_text()
        assert f"{place} / {total}" in text
        assert "digits 1.0.0 \u00b7 sha256:9f2c9f2c9f2c" in text


def test_the_contents_name_the_pages_that_the_sections_are_on(reader: pypdf.PdfReader) -> None:
    contents = reader.pages[1].extract_text()
    starts = {
        str(e.title): reader.get_destination_page_number(e) + 1 for e in reader.outline if not isinstance(e, list)
    }
    for name in view.SECTIONS:
        title = ENGLISH[f"section_{name}"]
        found = re.search(rf"{re.escape(title)}\s*(\d+)", contents)
        assert found is not None
        assert int(found[1]) == starts[title]


def test_all_fonts_are_embedded(reader: pypdf.PdfReader) -> None:
    fonts = [font.get_object() for page in reader.pages for font in page["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        described = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        assert set(described["/FontDescriptor"]) & {"/FontFile", "/FontFile2", "/FontFile3"}


def test_the_same_factsheet_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    pdf_document.write(factsheet(rows=2), tmp_path / "again.pdf")
    assert (tmp_path / "again.pdf").read_bytes() == path.read_bytes()


def test_hostile_names_are_printed_and_do_nothing(tmp_path: Path) -> None:
    pdf_document.write(hostile(), tmp_path / "hostile.pdf")
    reader = pypdf.PdfReader(tmp_path / "hostile.pdf")
    assert "alert(1)" in reader.pages[0].extract_text()
    assert "/Names" not in reader.trailer["/Root"] or "/EmbeddedFiles" not in reader.trailer["/Root"]["/Names"]
    actions = [a.get_object() for page in reader.pages for a in page.get("/Annots", [])]
    assert all("/URI" not in a.get("/A", {}) for a in actions)
    assert EVIL not in templates.document(hostile())


PLANTED = (
    '<link rel=attachment href="{url}">',
    '<link rel=stylesheet href="{url}">',
    "<style>@import url({url});</style>",
    "<style>p {{ background: url({url}) }}</style><p>seen",
    '<img src="{url}" alt="picture">',
)


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("kind", ["file", "http"])
def test_a_planted_link_stops_the_rendering(planted: str, kind: str, tmp_path: Path) -> None:
    from weasyprint.urls import FatalURLFetchingError

    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    url = secret.as_uri() if kind == "file" else "http://127.0.0.1:9/secret.txt"
    page = f"<html lang=en><title>t</title><body><p>text</p>{planted.format(url=url)}</body></html>"
    with pytest.raises(FatalURLFetchingError, match="loads nothing from outside"):
        pdf_document.render(page, b"0" * 32)


def test_a_drawing_cannot_load_a_picture_either(tmp_path: Path) -> None:
    # WeasyPrint draws on without the picture there, instead of stopping.
    uri = heat_maps.heat_map([1.0, -1.0, 0.5, 0.0], 2)
    (tmp_path / "secret.png").write_bytes(base64.b64decode(uri.partition(",")[2]))

    def pictures(body: str) -> int:
        page = f"<html lang=en><title>t</title><body>{body}</body></html>"
        return len(pypdf.PdfReader(io.BytesIO(pdf_document.render(page, b"0" * 32))).pages[0].images)

    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>t</title>{}</svg>'
    assert pictures(f'<img src="{uri}" alt="picture">') == 1
    assert pictures(drawing.format(f'<image href="{(tmp_path / "secret.png").as_uri()}" width="9" height="9" />')) == 0


def test_hangul_words_are_kept_whole_and_have_glyphs(tmp_path: Path) -> None:
    sheet = factsheet(rows=0, description="설명가능성 감사 보고서")
    text = templates.document(sheet)
    assert "설\u2060명\u2060가\u2060능\u2060성 감\u2060사 보\u2060고\u2060서" in text
    assert "\u2060" not in text[: text.index("<body")]


def test_long_tables_are_cut_and_say_so() -> None:
    sheet = factsheet(rows=0)
    facts = [sheet.facts[0].model_copy(update={"id": f"precaution.drift.psi.{i}"}) for i in range(350)]
    text = templates.document(sheet.model_copy(update={"facts": facts}))
    assert text.count("data-status=") == 200
    assert "150 more rows" in text
