"""The pages of ``docs/`` that are written from the code: the language, the catalogue of methods, and the diagnostics.

``make docs`` writes them; a test holds them against what this would write.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import pgx_compiler
from pgx_compiler.analysis.strategy import page as strategy_page
from pgx_compiler.authoring.method_pages import NEEDS
from pgx_compiler.authoring.type_words import default_words, one_line, type_words
from pgx_compiler.diagnostics.codes import collect
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.examples import examples
from pgx_compiler.diagnostics.formats import names
from pgx_compiler.evidence.finding_codes import FINDING_CODES
from pgx_compiler.execute.events import events_schema
from pgx_compiler.methods.catalogue import STAGES, catalogue
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.spec.model import AuditSpec

_WRITTEN = "<!-- Written by `make docs` from the code: change it there. -->"

_ABOUT_DIAGNOSTICS = (
    "What pgx says of a spec, and of what it was asked to do. `pgx explain PGX2001` prints an entry in a terminal, and"
    " `pgx check SPEC --format {formats}` says all that is wrong with a spec, in the format asked for. The exit status is 2"
    " wherever one of them is an error."
)
_ABOUT_LANGUAGE = (
    "Every key of a spec, `apiVersion: pgx/v1`. `pgx schema` prints the same as JSON Schema, for completion in an editor. A"
    " key's role says what changing it does: *semantic* keys change the answer, *operational* ones how it is computed,"
    " *descriptive* ones neither. Top-level keys that start with `x-` are yours."
)

_ABOUT_EVENTS = (
    "What happens in a run, one JSON object a line: in `events.jsonl` of the run's folder, and on standard output, as it"
    " happens, with `pgx run SPEC --format json`, which ends with an `answer`. `pgx schema events` prints the JSON Schema of a"
    " line. Every event has `event` (its name), `run_id` (of which run: a run resumed into the same folder appends to the"
    " file), `sequence` (its place in the run, from 0, without gaps) and `time` (UTC, to the millisecond). A run that was"
    " killed leaves at most one torn line and no `run_ended`; readers pass over what is no whole line. Names stay; new keys"
    " and events may come. `pgx run --otel`, or the variable `OTEL_EXPORTER_OTLP_ENDPOINT`, exports the same as OpenTelemetry"
    " spans (extra `otel`): one for the run, and below it one for each node."
)

_KINDS = {
    1: "Reading: the text is no YAML that can be read",
    2: "Form: the text is not an audit",
    3: "Names: nothing is called so",
    4: "Meaning: it cannot be done, or makes no sense",
    5: "Files, plans and runs",
    6: "Running",
    7: "Gates",
    9: "Ours",
}
"""First digit of a code to what its kind is."""

_STAGES = {
    "precaution": "Before the model is believed: is the data fit, and does the model hold?",
    "perturbation": "Black box: what happens to the score when features are removed? Runs on ONNX Runtime.",
    "gradient": "White box: how does the score react to each feature? Runs on TensorFlow.",
    "agreement": "Do two explanations of the same rows say the same?",
    "faithfulness": "Is what an explanation says true of the model?",
}


def pages() -> dict[str, str]:
    """File name below ``docs/`` to its text."""
    return {
        "diagnostics.md": diagnostics_page(),
        "methods.md": methods_page(),
        "language.md": language_page(),
        "strategy.md": strategy_page.page(),
        "events.md": events_page(),
    }


# events


def events_page() -> str:
    """Every event with its fields."""
    lines = ["# Events", _WRITTEN, _ABOUT_EVENTS]
    schema = events_schema()
    for one in schema["oneOf"]:
        event = schema["$defs"][one["$ref"].rpartition("/")[2]]
        lines.append(f"## `{event['properties']['event']['const']}`\n\n{one_line(event['description'])}")
        rows = [
            f"| `{name}` | {type_words(field)} | {one_line(field.get('description', ''))} |"
            for name, field in event["properties"].items()
            if name not in ("event", "run_id", "sequence", "time")
        ]
        lines.append("\n".join(["| key | value | what it says |", "|---|---|---|", *rows]))
    return "\n\n".join(lines) + "\n"


# diagnostics


def diagnostics_page() -> str:
    """Every code with its explanation, and where there is one an example."""
    lines = [
        "# Diagnostics",
        _WRITTEN,
        _ABOUT_DIAGNOSTICS.format(formats="|".join(names())),
    ]
    for kind, codes in groupby(collect(pgx_compiler).values(), key=lambda code: code.number // 1000):
        lines.append(f"## {_KINDS.get(kind, 'More')}")
        for code in codes:
            lines += _code(code)
    return "\n\n".join(lines) + "\n"


def _code(code: Code) -> Iterator[str]:
    yield f"### {code} {code.name}"
    yield one_line(code.explanation)
    example = examples().get(str(code))
    if example:
        yield f"```text\n{example}\n```"


# methods


def methods_page() -> str:
    """The catalogue by stage, and the findings that its methods and the rest of the program may make."""
    lines = [
        "# Methods",
        _WRITTEN,
        "The catalogue: what may stand behind `use:`. `pgx methods` lists it, `pgx explain METHOD` prints an entry.",
    ]
    for stage in STAGES:
        lines += [f"## {stage}", _STAGES[stage]]
        for name in catalogue().of_stage(stage):
            lines += _method(catalogue()[name])
    return "\n\n".join([*lines, *_findings()]) + "\n"


def _method(one: Declaration) -> Iterator[str]:
    yield f"### {one.name}"
    yield one_line(one.summary)
    needs = NEEDS.get(one.capability, one.capability) if not one.is_request else "whatever computes it"
    rows = [("needs", needs), ("data", ", ".join(sorted(one.modalities))), ("tasks", ", ".join(sorted(one.tasks)))]
    if one.needs:
        rows.append(("of the data", ", ".join(sorted(one.needs))))
    if one.estimates:
        rows.append(("computes", f"`{one.estimates}`{', exactly' if one.exact else ', by sampling'}"))
    if one.stochastic:
        rows.append(("random", "yes: a second run under another seed shows its noise"))
    rows += [(word, ", ".join(f"`{name}`" for name in names)) for word, names in _words_of(one) if names]
    if one.paper:
        rows.append(("paper", f"<{one.paper}>"))
    yield "\n".join(f"- **{word}**: {told}" for word, told in rows)
    schema = one.params.model_json_schema()
    properties = schema.get("properties", {})
    if properties:
        yield _table(("parameter", "takes", "default", "meaning"), (
            (f"`{key}`", type_words(field, schema.get("$defs")), _default(field, key in schema.get("required", ())),
             one_line(field.get("description", "")))
            for key, field in properties.items()
        ))  # fmt: skip
    yield f"*Reading.* {one_line(one.reading)}"
    yield f"*Limits.* {one_line(one.limits)}"


def _words_of(one: Declaration) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "laws held in tests", one.laws
    yield "findings", one.codes
    yield (
        "measures",
        tuple(name.replace("{", "").replace("}", "") if "{" not in name else _open(name) for name in one.measures),
    )


def _open(name: str) -> str:
    """``share_missing_{variable}`` as ``share_missing_VARIABLE``."""
    return "".join(part.upper() if index % 2 else part for index, part in enumerate(name.replace("}", "{").split("{")))


def _findings() -> Iterator[str]:
    by = {code: d.name for d in catalogue().values() for code in d.codes}
    yield "## Findings"
    yield (
        "A finding has an effect above its threshold, is significant after correction for the number of tests, and rests on"
        " enough rows. Its code is a stable word, which `accept` and `tuning.narrow` take."
    )
    yield _table(("code", "about", "says", "made by"), (
        (f"`{code}`", known.stage, known.meaning, _made_by(code, by))
        for code, known in FINDING_CODES.items()
    ))  # fmt: skip


def _made_by(code: str, by: Mapping[str, str]) -> str:
    if code in by:
        return f"`{by[code]}`"
    return "nothing yet: the word is reserved" if FINDING_CODES[code].reserved else "pgx"


# language


def language_page() -> str:
    """Every key of the language: where it stands, what it takes, its default, its role and its meaning."""
    schema = AuditSpec.model_json_schema(by_alias=True)
    lines = [
        "# The language",
        _WRITTEN,
        _ABOUT_LANGUAGE,
    ]
    seen: dict[str, str] = {}
    for place, definition in _sections(schema, seen):
        lines += [f"## {place}", one_line(definition.get("description", ""))]
        required = definition.get("required", ())
        lines.append(_table(("key", "takes", "default", "role", "meaning"), (
            (f"`{key}`", _takes(field, schema, seen), _default(field, key in required), field.get("role", ""),
             one_line(field.get("description", "")))
            for key, field in definition["properties"].items()
        )))  # fmt: skip
    return "\n\n".join(line for line in lines if line) + "\n"


def _sections(schema: Mapping[str, Any], seen: dict[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each part of the language once, where it first stands: its place and its schema."""
    waiting: list[tuple[str, str, Mapping[str, Any]]] = [("the whole", "AuditSpec", schema)]
    while waiting:
        place, name, definition = waiting.pop(0)
        inner = []
        for key, field in definition["properties"].items():
            for target, suffix in _targets(field):
                found = schema["$defs"][target]
                if target not in seen and "properties" in found:
                    seen[target] = f"{place}.{key}{suffix}" if name != "AuditSpec" else f"{key}{suffix}"
                    inner.append((seen[target], target, found))
        waiting = inner + waiting
        yield place, definition


def _targets(field: Mapping[str, Any], suffix: str = "") -> Iterator[tuple[str, str]]:
    """The definitions that a field's schema points to, and how its place is written: ``gates[]``, ``features.NAME``."""
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2], suffix
    for part in field.get("anyOf", ()):
        yield from _targets(part, suffix)
    if isinstance(field.get("items"), Mapping):
        yield from _targets(field["items"], f"{suffix}[]")
    if isinstance(field.get("additionalProperties"), Mapping):
        yield from _targets(field["additionalProperties"], f"{suffix}.NAME")


def _takes(field: Mapping[str, Any], schema: Mapping[str, Any], seen: Mapping[str, str]) -> str:
    words = type_words(field, schema["$defs"])
    links = [seen[target] for target, _ in _targets(field) if target in seen]
    return words + "".join(f"; see [{at}](#{_anchor(at)})" for at in dict.fromkeys(links))


def _anchor(heading: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _default(field: Mapping[str, Any], required: bool) -> str:
    return "required" if required else default_words(field)


def _table(heads: tuple[str, ...], rows: Any) -> str:
    """A table of Markdown, whose cells may hold bars."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
