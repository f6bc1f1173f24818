"""One model of what is wrong, in every format: for people, programs, editors and CI servers."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pgx_compiler.cli import main
from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.formats import format_called, junit, names, sarif

KEY = Code(2003, "unknown-key", "No such key: look it up in the schema of the language.")
RANGE = Code(4004, "bad-range", "A range has two ends, the smaller one first, in the unit of the values.")
EVIL = "50 % of a:b, c\r\n::error::no\x1b[2J\ud800"
"""What breaks a format: its own separators, line ends, an escape, half of a surrogate pair."""


def said(message: str = "no such key") -> Diagnostics:
    return Diagnostics(
        [
            Diagnostic(
                KEY, message, Span("a.yaml", 2, 3, 2, 8), "allowed: a, b", label="did you mean `b`?", path=("a",)
            ),
            Diagnostic(KEY, "no such key", Span("b.yaml", 1, 1, 1, 4), "allowed: c", path=("c", 0)),
            Diagnostic(RANGE, "the range is odd", Span("a.yaml", 1, 1, 3, 2), "turn it", "warning"),
            Diagnostic(RANGE, "nothing anywhere", None, "look again"),
        ]
    )


SOURCES = {"a.yaml": "x: 1\n  한글: 1\n", "b.yaml": "yyy: 2\n"}


def shown(name: str, found: Diagnostics, subject: str = "a.yaml") -> str:
    return format_called(name).render(found, SOURCES, [subject])


def test_the_formats_are_found_by_walking_and_text_is_the_default() -> None:
    assert names()[0] == "text"
    assert set(names()) == {"text", "concise", "json", "sarif", "junit", "github"}
    assert format_called("mermaid") is format_called("text")


def codes_in(name: str, text: str) -> set[str]:
    return set(re.findall(r"PGX\d{4}", text))


@pytest.mark.parametrize("name", names())
def test_every_format_says_every_code_file_and_message_and_survives_any_text(name: str) -> None:
    text = shown(name, said())
    assert codes_in(name, text) == {"PGX2003", "PGX4004"}
    assert "b.yaml" in text
    assert "did you mean `b`?" in text
    text = shown(name, said(EVIL))
    text.encode()  # nothing in it that cannot be written
    assert "\x1b" not in text
    assert "\r" not in text


def test_concise_is_one_line_each_with_place_severity_and_code() -> None:
    assert shown("concise", said()).splitlines() == [
        "a.yaml: error PGX4004 nothing anywhere",
        "a.yaml:1:1: warning PGX4004 the range is odd",
        "a.yaml:2:3: error PGX2003 no such key (did you mean `b`?)",
        "b.yaml:1:1: error PGX2003 no such key",
    ]
    assert len(shown("concise", said(EVIL)).splitlines()) == 4
    assert shown("concise", Diagnostics()) == ""


def test_workflow_commands_are_one_line_each_and_cannot_be_broken_out_of() -> None:
    lines = shown("github", said(EVIL), "a, b:c%.yaml").splitlines()
    assert len(lines) == 4
    assert lines[0] == ("::error file=a%2C b%3Ac%25.yaml,title=PGX4004 bad-range::nothing anywhere%0Ahelp: look again")
    # columns of two different lines are left out
    assert lines[1].startswith("::warning file=a.yaml,line=1,endLine=3,title=PGX4004 bad-range::the range is odd")
    properties, _, message = lines[2].removeprefix("::error ").partition("::")
    assert properties == "file=a.yaml,line=2,endLine=2,col=3,endColumn=8,title=PGX2003 unknown-key"
    assert message.startswith("50 %25 of a:b, c<U+000D>%0A::error::no<U+001B>[2J<U+D800> (did you mean `b`?)%0Ahelp: ")


# SARIF

RESULT: dict[str, Any] = {"ruleId": str, "ruleIndex": int, "kind": str, "level": str, "message": dict}


def run_of(text: str) -> dict[str, Any]:
    log = json.loads(text)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    assert len(log["runs"]) == 1
    run: dict[str, Any] = log["runs"][0]
    return run


def test_sarif_has_what_the_standard_requires_of_each_object() -> None:
    run = run_of(shown("sarif", said(EVIL)))
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "pgx"
    assert run["columnKind"] == "unicodeCodePoints"
    assert [rule["id"] for rule in rules] == ["PGX2003", "PGX4004"]
    assert [rule["name"] for rule in rules] == ["UnknownKey", "BadRange"]
    assert [rule["help"]["text"] for rule in rules] == [KEY.explanation, RANGE.explanation]
    assert {artifact["location"]["uri"] for artifact in run["artifacts"]} == {"a.yaml", "b.yaml"}
    for result in run["results"]:
        assert {key: type(result[key]) for key in RESULT} == RESULT
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note", "none")
        assert result["message"]["text"]
        assert result["partialFingerprints"]


def test_sarif_regions_count_from_one_in_code_points_and_end_after_the_last() -> None:
    results = run_of(shown("sarif", said()))["results"]
    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert "region" not in places[0]  # it belongs to the file as a whole
    assert places[0]["artifactLocation"] == {"uri": "a.yaml"}
    assert places[2]["region"] == {"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 8}
    assert [result["level"] for result in results] == ["error", "warning", "error", "error"]


def test_sarif_with_nothing_to_say_is_a_whole_log_with_no_results() -> None:
    run = run_of(shown("sarif", Diagnostics()))
    assert run["results"] == []
    assert run["tool"]["driver"]["rules"] == []


def test_a_fingerprint_stays_when_the_line_moves_and_differs_between_equal_lines() -> None:
    def prints(text: str, *lines: int) -> list[str]:
        found = Diagnostics([Diagnostic(KEY, "m", Span("a.yaml", line, 1, line, 3), "h") for line in lines])
        results = run_of(sarif.render(found, {"a.yaml": text}, ["a.yaml"]))["results"]
        return [result["partialFingerprints"][sarif.FINGERPRINT] for result in results]

    first, second = prints("ab: 1\nx: 1\nab: 1\n", 1, 3)
    assert first != second
    assert prints("\n\n  ab: 1\nx: 1\nab: 1\n", 3, 5) == [first, second]
    assert prints("ab: 2\n", 1) != [first]


def test_a_file_elsewhere_or_with_spaces_becomes_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def uri(file: str) -> str:
        found = Diagnostics([Diagnostic(KEY, "m", Span(file, 1, 1, 1, 2), "h")])
        result = run_of(sarif.render(found, {}, [file]))["results"][0]
        return str(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])

    assert uri("my spec#1.yaml") == "my%20spec%231.yaml"
    assert uri(str(tmp_path / "sub" / "a.yaml")) == "sub/a.yaml"
    outside = uri("../b c.yaml")
    assert outside.startswith("file:///")
    assert unquote(outside).endswith("/b c.yaml")


# JUnit


def suites_of(text: str) -> dict[str, dict[str, ET.Element]]:
    root = ET.fromstring(text)  # noqa: S314 (our own output)
    assert root.tag == "testsuites"
    assert int(root.get("tests", "-1")) == len(list(root.iter("testcase")))
    assert int(root.get("failures", "-1")) == len(list(root.iter("failure")))
    found = {}
    for suite in root:
        cases = {case.get("name", ""): case for case in suite}
        assert int(suite.get("tests", "-1")) == len(cases)
        assert int(suite.get("failures", "-1")) == len(list(suite.iter("failure")))
        assert int(suite.get("skipped", "-1")) == len(list(suite.iter("skipped")))
        found[suite.get("name", "")] = cases
    return found


def test_junit_has_a_suite_a_file_and_a_failing_case_a_code() -> None:
    suites = suites_of(shown("junit", said()))
    assert {name: sorted(cases) for name, cases in suites.items()} == {
        "a.yaml": ["PGX2003 unknown-key", "PGX4004 bad-range"],
        "b.yaml": ["PGX2003 unknown-key"],
    }
    failure = suites["a.yaml"]["PGX2003 unknown-key"].find("failure")
    assert failure is not None
    assert failure.get("message") == "no such key (did you mean `b`?)"
    assert failure.text == "a.yaml:2:3: error: no such key (did you mean `b`?)\n  help: allowed: a, b"
    mixed = suites["a.yaml"]["PGX4004 bad-range"]  # an error and a warning of the same code
    assert [child.tag for child in mixed] == ["failure", "system-out"]


def test_junit_of_a_clean_file_is_a_case_that_passes_and_a_warning_passes_with_words() -> None:
    assert {
        name: [len(case) for case in cases.values()] for name, cases in suites_of(shown("junit", Diagnostics())).items()
    } == {"a.yaml": [0]}
    warned = Diagnostics([item for item in said() if item.severity == "warning"])
    cases = suites_of(shown("junit", warned))["a.yaml"]
    assert list(cases) == ["no error in this file", "PGX4004 bad-range"]
    assert [child.tag for child in cases["PGX4004 bad-range"]] == ["system-out"]


def test_junit_holds_no_character_that_xml_cannot() -> None:
    text = junit.render(said(EVIL + "\x00\ufffe"), {}, ["a.yaml"])
    failure = suites_of(text)["a.yaml"]["PGX2003 unknown-key"].find("failure")
    assert failure is not None
    assert "<U+001B>[2J<U+D800><U+0000><U+FFFE>" in (failure.text or "")


# several files, and what is in no file


def test_of_several_files_each_that_is_fine_passes_and_what_has_no_place_belongs_to_none() -> None:
    suites = suites_of(junit.render(said(), {}, ["a.yaml", "c.yaml"]))
    assert {name: sorted(cases) for name, cases in suites.items()} == {
        "a.yaml": ["PGX2003 unknown-key", "PGX4004 bad-range"],
        "b.yaml": ["PGX2003 unknown-key"],
        "c.yaml": ["no error in this file"],
        "pgx": ["PGX4004 bad-range"],
    }
    run = run_of(sarif.render(said(), {}, ["a.yaml", "c.yaml"]))
    assert [artifact["location"]["uri"] for artifact in run["artifacts"]] == ["a.yaml", "b.yaml", "c.yaml"]
    assert "locations" not in run["results"][0]


@pytest.mark.parametrize("place", ["<stdin>", "<--set seed=x>"])
def test_what_stands_in_no_file_says_its_place_in_the_message(place: str) -> None:
    found = Diagnostics([Diagnostic(KEY, "no such key", Span(place, 2, 6, 2, 7), "h")])
    result = run_of(sarif.render(found, {place: "x"}, ["a.yaml"]))["results"][0]
    assert result["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "a.yaml"}}}]
    assert result["message"]["text"].startswith(f"{place}:2:6: no such key")
    command = format_called("github").render(found, {}, ["a.yaml"])
    assert command.startswith(f"::error file=a.yaml,title=PGX2003 unknown-key::{place}:2:6: no such key")
    assert list(suites_of(junit.render(found, {}, [place]))) == ["pgx"]


# through the command


def broken(folder: Path) -> Path:
    path = folder / "audit.yaml"
    path.write_text("apiVersion: pgx/v1\nkind: Audit\nmetadata: {name: a}\nstratgy: {}\n")
    return path


def unreadable(folder: Path) -> Path:
    return folder / "nowhere.yaml"


def not_text(folder: Path) -> Path:
    path = folder / "latin.yaml"
    path.write_bytes(b"kind: \xff\n")
    return path


@pytest.mark.parametrize("make", [broken, unreadable, not_text])
@pytest.mark.parametrize("name", names())
def test_the_command_speaks_every_format_and_ends_with_two_even_if_nothing_can_be_read(
    name: str, make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    assert main(["check", str(path), "--format", name]) == 2
    out, err = capsys.readouterr()
    text, other = (err, out) if name == "text" else (out, err)
    assert other == ""
    assert codes_in(name, text)
    assert path.name in text
    if name == "sarif":
        assert len(run_of(text)["results"]) >= 1
    if name == "junit":
        assert list(suites_of(text)) == [str(path)]


def test_importing_the_words_imports_no_format() -> None:
    looked = "import sys, pgx_compiler.words.check; print([m for m in sys.modules if 'sarif' in m or 'junit' in m])"
    assert subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, check=True).stdout == "[]\n"
