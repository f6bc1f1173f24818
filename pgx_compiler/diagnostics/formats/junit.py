"""JUnit's XML, which every CI server shows: a suite for each file, a case for each code that was said of it.

A file with no error has a case that passes. A rule about which nothing was said has no case: a check may have been silent
because another failed before it, and that is not a pass.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.diagnostics.remark import Remark, in_files, is_file, only, remarks, whole_sentence
from pgx_compiler.diagnostics.render import Terminal, harmless

STREAM = "stdout"


def render(
    diagnostics: Diagnostics, sources: Mapping[str, str], subjects: Sequence[str], terminal: Terminal | None = None
) -> str:
    """Everything that was found, as test suites."""
    del sources, terminal
    by_file: dict[str, dict[str, list[Remark]]] = {subject: {} for subject in subjects if is_file(subject)}
    for remark in in_files(remarks(diagnostics)):
        file = remark.span.file if remark.span else only(subjects) or "pgx"
        by_file.setdefault(file, {}).setdefault(f"{remark.rule.id} {remark.rule.name}", []).append(remark)
    suites = []
    for file, cases in by_file.items():
        wrong = any(remark.level == "error" for said in cases.values() for remark in said)
        suites.append(suite(file, cases if wrong else {"no error in this file": [], **cases}, file))
    return document(suites)


def document(suites: Sequence[ET.Element]) -> str:
    """Suites as a whole file."""
    root = ET.Element("testsuites", {"name": "pgx", **_totals(suites)})
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def suite(name: str, cases: Mapping[str, Sequence[Remark]], classname: str) -> ET.Element:
    """A suite with one case for each name: it fails by an error, is skipped where it is undecided, else passes."""
    found = [_case(case, said, classname) for case, said in cases.items()]
    counts = {
        "tests": len(found),
        "failures": sum(case.find("failure") is not None for case in found),
        "errors": 0,
        "skipped": sum(case.find("skipped") is not None for case in found),
    }
    element = ET.Element("testsuite", {"name": _legal(name), **{key: str(count) for key, count in counts.items()}})
    element.extend(found)
    return element


def _totals(suites: Sequence[ET.Element]) -> dict[str, str]:
    return {
        key: str(sum(int(one.get(key, "0")) for one in suites)) for key in ("tests", "failures", "errors", "skipped")
    }


def _case(name: str, said: Sequence[Remark], classname: str) -> ET.Element:
    case = ET.Element("testcase", name=_legal(name), classname=_legal(classname), time="0")
    places = [remark.span for remark in said if remark.span]
    if places:
        case.set("file", _legal(places[0].file))
        case.set("line", str(places[0].line))
    failing = [r for r in said if r.status == "failed" and r.level == "error"]
    undecided = [r for r in said if r.status == "undecided"]
    if failing:
        failure = ET.SubElement(case, "failure", message=_legal(whole_sentence(failing[0])), type=_legal(name))
        failure.text = _legal("\n\n".join(_told(remark) for remark in failing))
    elif undecided:
        ET.SubElement(case, "skipped", message=_legal("; ".join(whole_sentence(r) for r in undecided)))
    rest = [remark for remark in said if remark not in failing and remark not in undecided]
    if rest:
        ET.SubElement(case, "system-out").text = _legal("\n\n".join(_told(remark) for remark in rest))
    return case


def _told(remark: Remark) -> str:
    place = f"{remark.span.file}:{remark.span.line}:{remark.span.column}: " if remark.span else ""
    help_ = f"\n  help: {remark.help}" if remark.help else ""
    return f"{place}{remark.level}: {whole_sentence(remark)}{help_}"


def _legal(text: str) -> str:
    """Text that survives XML 1.0 and whatever shows it: what is no XML, hides or turns text is spelled out."""
    return harmless(text, keep_newlines=True)
