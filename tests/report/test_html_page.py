"""factsheet.html: one closed file, all of the factsheet in it, and hostile names inert."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler.report import templates, view
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import html_page
from pgx_compiler.report.formats.json_file import text as json_text
from pgx_compiler.report.numbers import number
from tests.report.sample import FORM, factsheet

EVIL = "</script></style><script>alert(1)</script><img src=x onerror=alert(2)>"
NUMBER = r"\u2212?\d+(?:,\d{3})*(?:\.\d+)?(?:\u00d710[\u2070-\u207f\u00b9\u00b2\u00b3]+)?"
VOID = {"meta", "img", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """Elements, ids and text of a page; complains of elements that are not closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.of: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        self.of.setdefault(self.open[-1] if self.open else "", []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module", params=[True, False], ids=["image", "table"])
def sheet(request: pytest.FixtureRequest) -> Factsheet:
    return factsheet(image=request.param)


@pytest.fixture(scope="module")
def source(sheet: Factsheet, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "factsheet.html"
    html_page.write(sheet, path)
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_every_section_is_there_once_and_every_link_leads_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"decision", "contents", *view.SECTIONS} <= set(ids)
    links = [attributes["href"] or "" for attributes in page.all("a")]
    assert len(links) > 20
    assert all(link.startswith("#") and link[1:] in ids for link in links)


def test_nothing_is_loaded_from_outside(source: str, page: Page) -> None:
    loading = [value for tag, attributes in page.elements for name, value in attributes.items()
               if name in ("src", "srcset", "data", "action", "poster") or (name == "href" and tag != "a")]  # fmt: skip
    assert all(value is not None and value.startswith("data:image/png;base64,") for value in loading)
    assert not page.all("link")
    assert [word for word in ("@import", "url(", "fetch(", "XMLHttpRequest", "sendBeacon") if word in source] == []


def test_the_policy_allows_exactly_the_style_and_script_of_the_page(page: Page) -> None:
    policy = next(a["content"] or "" for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    style, script = "".join(page.of["style"]), page.of["script"][-1]
    for content in (style, script):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for _, attributes in page.elements:  # the policy would refuse them, and the page look different
        assert [name for name in attributes if name == "style" or name.startswith("on")] == []


def test_it_can_be_heard_and_walked_through(page: Page) -> None:
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all("scope" in attributes for attributes in page.all("th"))
    names = [tag for tag, _ in page.elements]
    drawn = [place for place, tag in enumerate(names) if tag == "svg"]
    assert len(drawn) > 10
    assert all(names[place + 1] == "title" for place in drawn)
    assert page.all("html")[0]["lang"] == "en"


def test_every_number_of_the_first_page_is_in_the_json(source: str, sheet: Factsheet) -> None:
    first = source[source.index('<section id="decision"') : source.index('<section id="scope"')]
    shown = re.findall(r'class="(?:tile-value|n)">\s*([^<]+?)\s*<', first)
    numbers = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)
        elif value is not None:
            numbers.add(number(value))

    walk(json.loads(json_text(sheet)))
    read = [part for text in shown for part in re.findall(NUMBER, text)]
    thresholds = {"0.0001", "0.5", "0"}  # words of the gates, whose JSON is "<= 1.0e-4", ">= 0.5" and "> 0"
    assert len(read) >= 12
    assert [part for part in read if part not in numbers | thresholds] == []


def test_what_was_not_measured_stays_visible_with_its_reason(page: Page) -> None:
    text = " ".join("".join(page.text).split())
    assert "failed: too few rows for a covariance" in text
    assert "the budget was spent" in text
    assert "the worker ran out of memory" in text


def test_a_step_that_failed_keeps_its_card() -> None:
    whole = factsheet(rows=2)
    broken = whole.explanations[0].model_copy(
        update={"status": "failed", "reason": "the worker died", "mean_absolute": [], "mean_signed": [],
                "mean_absolute_interval": None}
    )  # fmt: skip
    sheet = whole.model_copy(update={"explanations": [broken, *whole.explanations[1:]]})
    text = " ".join("".join(Page(templates.page(sheet)).text).split())
    assert "failed: the worker died" in text


def test_a_factsheet_with_nothing_in_it_still_says_so() -> None:
    empty = factsheet(rows=0).model_copy(
        update={"findings": [], "gates": [], "precaution": [], "explanations": [], "examples": [], "agreement": [],
                "faithfulness": [], "expectations": [], "tuning": None}
    )  # fmt: skip
    text = " ".join("".join(Page(templates.page(empty)).text).split())
    assert "The spec sets no gate" in text
    assert "The spec asks for no search." in text
    assert text.count("The spec asks for none of this.") == 4


def test_the_same_factsheet_gives_the_same_bytes(tmp_path: Path, sheet: Factsheet, source: str) -> None:
    html_page.write(sheet, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == source.encode()


def hostile() -> Factsheet:
    """Every name that comes from outside is an attack."""
    sheet = factsheet(image=False, rows=2, name=EVIL, owner=EVIL, classes=[EVIL], description=EVIL, labels={EVIL: EVIL})
    names = [EVIL, *FORM[1:]]
    examples = [
        one.model_copy(
            update={"target": EVIL, "predicted": EVIL, "label": EVIL, "row_id": EVIL, "inputs": {EVIL: EVIL}}
        )
        for one in sheet.examples
    ]
    explanations = [one.model_copy(update={"feature_names": names, "title": EVIL, "parameters": {EVIL: EVIL}})
                    for one in sheet.explanations]  # fmt: skip
    findings = [one.model_copy(update={"title": EVIL, "subject": EVIL}) for one in sheet.findings]
    facts = [one.model_copy(update={"title": EVIL, "id": EVIL if place == 0 else one.id})
             for place, one in enumerate(sheet.facts)]  # fmt: skip
    return sheet.model_copy(
        update={"examples": examples, "explanations": explanations, "findings": findings, "facts": facts}
    )


def test_hostile_names_are_text_and_nothing_else() -> None:
    harmless, page = Page(templates.page(factsheet(image=False, rows=2))), Page(templates.page(hostile()))
    assert len(page.all("script")) == len(harmless.all("script")) == 2
    assert len(page.all("img")) == len(harmless.all("img"))
    assert len(page.all("style")) == 1
    assert EVIL in "".join(page.text)  # it is read as it was written
    data = json.loads(page.of["script"][0])
    assert data["features"][0] == EVIL


def test_characters_that_hide_or_reorder_are_made_visible() -> None:
    sheet = factsheet(rows=0, owner="good\u202edab\u0000")
    text = templates.page(sheet)
    assert "good\ufffddab\ufffd" in text
    assert "\u202e" not in text
    assert "\u0000" not in text


def test_no_template_marks_data_as_safe() -> None:
    sources = {path.name: path.read_text("utf-8") for path in templates.folder().glob("*.j2")}
    assert len(sources) > 10
    assert not [name for name, content in sources.items() if re.search(r"\|\s*safe|autoescape|Markup", content)]


def test_the_page_stays_small() -> None:
    sheet = factsheet(rows=40)
    facts = [sheet.facts[0].model_copy(update={"id": f"precaution.drift.psi.{i}"}) for i in range(1500)]
    text = templates.page(sheet.model_copy(update={"facts": facts}))
    assert len(text.encode()) < 3_000_000
    assert "500 more rows" in text  # 1500 facts, 1000 shown
    assert text.count('data-status="') == 1000


def test_templates_of_an_installed_package_are_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, checkout = tmp_path / "installed", tmp_path / "checkout"
    monkeypatch.setattr(templates, "FOLDERS", (installed, checkout))
    with pytest.raises(FileNotFoundError, match="installed"):
        templates.folder()
    checkout.mkdir()
    (checkout / "page.html.j2").touch()
    assert templates.folder() == checkout
    installed.mkdir()
    (installed / "page.html.j2").touch()
    assert templates.folder() == installed
