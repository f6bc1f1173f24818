"""What is printed of hostile names: diagnostics in every format, plans in every drawing, notes on a terminal (T11, G1).

Each of over 500 strings stands in a message, a help line, a label, a path of the spec and a line of the source.
"""

import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from pgx_compiler import words
from pgx_compiler.audit import Audit
from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.formats import format_called, names
from pgx_compiler.diagnostics.render import Terminal
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.plan import dot, mermaid
from tests.report.hostile_strings import ONE_MEGABYTE, STRINGS, Poisoned
from tests.report.sample import factsheet

MOVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What commands a terminal, hides text or turns it."""
CODE = Code(9991, "made-up-for-this-test", "Raised by a test alone.")


def said_of(text: str, number: int) -> Diagnostics:
    found = Diagnostics()
    span = Span(f"audit{number}.yaml", 1, 1, 1, max(2, len(text)))
    found.add(Diagnostic(CODE, f"no feature `{text}`", span, f"write {text}", label=text, path=("data", text)))
    found.add(Diagnostic(CODE, f"{text}", None, text or "x", severity="warning"))
    return found


@pytest.mark.parametrize("format", names())
def test_diagnostics_of_hostile_names_do_nothing(format: str) -> None:
    chosen = format_called(format)
    for number, text in enumerate(STRINGS):
        sources = {f"audit{number}.yaml": f"{text}\n"}
        made = chosen.render(said_of(text, number), sources, [f"audit{number}.yaml"], Terminal(False, 80))
        assert not MOVING.search(made), (text, made)
        assert made == chosen.render(said_of(text, number), sources, [f"audit{number}.yaml"], Terminal(False, 80))


def test_an_annotation_is_one_command_whatever_it_says() -> None:
    for number, text in enumerate(STRINGS):
        made = format_called("github").render(said_of(text, number), {}, [f"audit{number}.yaml"])
        assert sorted(line.split(" ")[0] for line in made.splitlines()) == ["::error", "::warning"]
        for line in made.splitlines():
            properties = line.split("::")[1].partition(" ")[2].split(",")
            assert {one.partition("=")[0] for one in properties} <= {
                "file",
                "line",
                "endLine",
                "col",
                "endColumn",
                "title",
            }


def test_sarif_has_no_links_that_a_name_brought() -> None:
    for number, text in enumerate(STRINGS):
        log = json.loads(format_called("sarif").render(said_of(text, number), {}, [f"audit{number}.yaml"]))
        for result in log["runs"][0]["results"]:
            # SARIF 2.1.0, 3.11.6: `[text](target)` is a link, unless a backslash stands before the bracket
            assert not re.search(r"(?<!\\)\[[^\[\]]*\]\(", result["message"]["text"]), text
        assert len(log["runs"][0]["results"]) == 2


def test_junit_is_xml_with_the_elements_of_junit_alone() -> None:
    for number, text in enumerate(STRINGS):
        root = ET.fromstring(format_called("junit").render(said_of(text, number), {}, [f"audit{number}.yaml"]))  # noqa: S314
        assert {one.tag for one in root.iter()} <= {
            "testsuites",
            "testsuite",
            "testcase",
            "failure",
            "skipped",
            "system-out",
        }


def test_json_keeps_names_as_they_are() -> None:
    for number, text in enumerate(STRINGS):
        made = json.loads(format_called("json").render(said_of(text, number), {}, [f"audit{number}.yaml"]))
        assert any(f"no feature `{text}`" in str(value) for value in _values(made))


def _values(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [one for each in value.values() for one in _values(each)]
    if isinstance(value, list):
        return [one for each in value for one in _values(each)]
    return [str(value)]


def hostile_graph() -> Graph:
    model = Node("model", "model")
    return Graph([model, *(Node(f"explain.{text}~{number}", "attribute", {"model": "model"}, method="kernel_shap", step=text,
                                note=text, runtime="onnx_runtime", cost={"forward": 5}) for number, text in enumerate(STRINGS))])  # fmt: skip


def test_a_flowchart_has_the_lines_of_a_flowchart_alone() -> None:
    made = mermaid.render(hostile_graph(), STRINGS[3])
    label = r'"(?:[A-Za-z0-9 _.,:+/=-]|#\d+;|<br/>)*"'
    line = re.compile(
        rf"---|title: {label}|flowchart LR|  subgraph s\d+\[{label}\]|    n\d+\[{label}\]|  end|  n\d+ --> n\d+"
    )
    wrong = [one for one in made.split("\n") if not line.fullmatch(one)]
    assert wrong == []
    assert len(re.findall(r"-->", made)) == len(STRINGS)


def test_a_dot_file_has_the_strings_of_its_nodes_alone() -> None:
    made = dot.render(hostile_graph(), STRINGS[3])
    without = re.sub(r'"(?:[^"\\]|\\.)*"', '""', made)
    allowed = re.compile(
        r'digraph "" \{|  rankdir=LR;|  (graph|node|edge) \[.*\];|  subgraph cluster_\d+ \{|    label="";|    n\d+ \[label=""\];|  \}|  n\d+ -> n\d+;|\}'
    )
    assert [one for one in without.split("\n") if not allowed.fullmatch(one)] == []
    assert not MOVING.search(made)
    assert "<script>" in made  # Graphviz reads `<` as markup only outside of quotes


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_words_say_cannot_command_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, people = Screen(), Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", people)
    for text in STRINGS:
        words.say(text)
        words.answer(text)
        words.answer_json({"name": text, text: 1})
    assert not MOVING.search(screen.getvalue())
    assert not MOVING.search(people.getvalue())


def test_programs_get_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in STRINGS:
        pipe = io.StringIO()
        monkeypatch.setattr(sys, "stdout", pipe)
        words.answer_json({"name": text})
        assert json.loads(pipe.getvalue()) == {"name": text}
        pipe = io.StringIO()
        monkeypatch.setattr(sys, "stdout", pipe)
        words.answer(text)
        assert pipe.getvalue() == f"{text}\n"


def test_a_notebook_shows_names_as_text(tmp_path: Any) -> None:
    plain = Audit(tmp_path, factsheet(image=False, rows=1))._repr_html_()
    for first in range(0, len(STRINGS), 200):
        made = Audit(tmp_path, Poisoned(first)(factsheet(image=False, rows=1)))._repr_html_()
        assert re.findall(r"</?[a-zA-Z]+", made) == re.findall(r"</?[a-zA-Z]+", plain)
        assert not re.search(r"<[^>]*\son\w+=", made)


def test_a_word_of_a_megabyte_is_printed_in_a_line_that_ends() -> None:
    for format in ("text", "concise", "github"):
        made = format_called(format).render(
            said_of(ONE_MEGABYTE, 1), {"audit1.yaml": ONE_MEGABYTE}, ["audit1.yaml"], Terminal(False, 80)
        )
        assert len(made) < 6 * len(ONE_MEGABYTE)
