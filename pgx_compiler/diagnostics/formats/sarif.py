"""SARIF 2.1.0, which code-scanning services read; columns are counted in code points."""

import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pgx_compiler.diagnostics.diagnostic import Diagnostics, Span
from pgx_compiler.diagnostics.remark import Remark, Rule, in_files, is_file, only, remarks, whole_sentence
from pgx_compiler.diagnostics.render import Terminal, harmless

STREAM = "stdout"

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "pgxLine/v1"
"""Digest of rule, file, the line's own words and how many equal ones stand above: a line that only moves keeps it."""

_LINK = re.compile(r"\[([^\[\]]*)\]\(")

_KINDS = {"failed": "fail", "undecided": "open", "passed": "pass"}


def render(
    diagnostics: Diagnostics, sources: Mapping[str, str], subjects: Sequence[str], terminal: Terminal | None = None
) -> str:
    """Everything that was found, as one run."""
    del terminal
    return log(remarks(diagnostics), sources, subjects)


def log(said: Sequence[Remark], sources: Mapping[str, str], subjects: Sequence[str]) -> str:
    """Remarks as a SARIF log; a remark without a place belongs to the subject, where there is one."""
    said, subject = in_files(said), only(subjects)
    rules: dict[str, Rule] = {}
    for remark in said:
        rules.setdefault(remark.rule.id, remark.rule)
    order = {name: index for index, name in enumerate(sorted(rules))}
    files = sorted({remark.span.file for remark in said if remark.span} | {one for one in subjects if is_file(one)})
    seen: dict[str, int] = {}
    run = {
        "tool": {"driver": {"name": "pgx", **_version(), "rules": [_rule(rules[name]) for name in order]}},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": _location(file)} for file in files],
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(remark, order, sources, subject, seen) for remark in said],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=True) + "\n"


def _version() -> dict[str, str]:
    try:
        return {"semanticVersion": importlib.metadata.version("pgx-compiler")}
    except importlib.metadata.PackageNotFoundError:
        return {}


def _rule(rule: Rule) -> dict[str, Any]:
    title = rule.name.replace("-", " ").replace("_", " ")
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in title.split()),
        "shortDescription": {"text": title[:1].upper() + title[1:]},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": rule.explanation, "markdown": rule.explanation},
    }


def _result(
    remark: Remark, order: Mapping[str, int], sources: Mapping[str, str], subject: str, seen: dict[str, int]
) -> dict[str, Any]:
    text = _plain(whole_sentence(remark) + (f"\nHelp: {remark.help}" if remark.help else ""))
    kind = _KINDS[remark.status]
    result: dict[str, Any] = {
        "ruleId": remark.rule.id,
        "ruleIndex": order[remark.rule.id],
        "kind": kind,
        "level": remark.level if kind == "fail" else "none",  # the standard asks for `none` beside any other kind
        "message": {"text": text},
        "partialFingerprints": {FINGERPRINT: _fingerprint(remark, sources, subject, seen)},
    }
    file = remark.span.file if remark.span else subject
    if file:
        place: dict[str, Any] = {"artifactLocation": _location(file)}
        if remark.span:
            place["region"] = _region(remark.span)
        result["locations"] = [{"physicalLocation": place}]
    if remark.path:
        result["properties"] = {"path": list(remark.path)}
    return result


def _plain(text: str) -> str:
    r"""A message that is read as it is written: a name such as ``[x](http://…)`` would become a link (SARIF 2.1.0, 3.11.6)."""
    return _LINK.sub(r"\\[\1\\](", harmless(text, keep_newlines=True))


def _region(span: Span) -> dict[str, int]:
    region = {"startLine": span.line, "startColumn": span.column, "endLine": span.end_line}
    return {**region, "endColumn": span.end_column}


def _location(file: str) -> dict[str, str]:
    """A file as a URI: relative to the working folder where it is below it, else absolute."""
    relative = os.path.relpath(file)
    if relative.startswith(".."):
        return {"uri": Path(os.path.abspath(file)).as_uri()}
    return {"uri": quote(os.fsencode(Path(relative).as_posix()))}


def _fingerprint(remark: Remark, sources: Mapping[str, str], subject: str, seen: dict[str, int]) -> str:
    span = remark.span
    file, words = (span.file if span else subject), remark.subject
    place = _location(file)["uri"] if file else ""
    if span is not None and span.file in sources:
        lines = sources[span.file].split("\n")
        words += "\n" + (lines[span.line - 1].strip() if span.line <= len(lines) else "")
    told = f"{remark.rule.id}\n{place}\n{words}".encode("utf-8", "backslashreplace")
    digest = hashlib.sha256(told).hexdigest()[:32]
    seen[digest] = seen.get(digest, 0) + 1
    return f"{digest}:{seen[digest]}"
