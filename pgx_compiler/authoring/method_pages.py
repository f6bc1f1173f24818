"""What the catalogue says of its methods, laid out for a terminal of any width."""

import re
import shutil
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

from pgx_compiler.authoring.type_words import default_words, one_line, type_words
from pgx_compiler.authoring.yaml_text import flow
from pgx_compiler.methods.catalogue import STAGES, catalogue, computing
from pgx_compiler.methods.declaration import Cost, Declaration, Shape
from pgx_compiler.spec.model import STEP_PATHS

NARROWEST, USUAL, WIDEST = 40, 100, 120
EXAMPLE = Shape(rows=100, features=20, references=50, outputs=2, data_rows=1000, test_rows=250)
"""What a price is told for."""

NEEDS = {
    "": "the data alone",
    "Predictor": "predictions",
    "Differentiable": "gradients (a Keras file, a SavedModel or an ONNX network)",
    "LayerDifferentiable": "layers that can be looked into (a Keras file, a SavedModel or an ONNX network)",
    "Rectified": "gradients through rectifiers (a Keras file, a SavedModel or an ONNX network with ReLU)",
    "RulePropagating": "relevance by rules (a Keras file, a SavedModel or an ONNX network)",
    "TfExplained": "the library tf-explain (the extra `tf-explain`), and a Keras file that reads pictures",
    "AttentionReadable": "attention that can be read (a Keras file, a SavedModel or an ONNX network)",
    "TreeEnsemble": "the trees of an ensemble (an ONNX file)",
    "LinearModel": "a score that is a weighted sum (an ONNX file)",
    "Trainable": "a model that can be trained again (a Keras file)",
}
"""Capability to what an author must give."""


def terminal_width() -> int:
    """Columns to write for: those of the terminal, between a narrow one and what can still be read."""
    return min(WIDEST, max(NARROWEST, shutil.get_terminal_size((USUAL, 24)).columns))


def described(declaration: Declaration) -> dict[str, Any]:
    """A method as plain data."""
    schema = declaration.params.model_json_schema()
    fields, definitions = schema.get("properties", {}), schema.get("$defs", {})
    return {
        "name": declaration.name,
        "stage": declaration.stage,
        "summary": declaration.summary,
        "needs": declaration.capability or "data",
        "stochastic": declaration.stochastic,
        "modalities": sorted(declaration.modalities),
        "tasks": sorted(declaration.tasks),
        "paper": declaration.paper,
        "parameters": {
            name: {
                "type": type_words(field, definitions),
                "default": field.get("default"),
                "description": one_line(field.get("description", "")),
            }
            for name, field in fields.items()
        },
        "example": example(declaration),
        "reading": declaration.reading,
        "limits": declaration.limits,
        "laws": list(declaration.laws),
        "estimates": declaration.estimates,
        "exact": declaration.exact,
    }


def page(declaration: Declaration, width: int) -> str:
    """All that there is to say of one method."""
    parts = [
        [declaration.name],
        [_wrapped(one_line(declaration.summary), width)],
        _fit(declaration, width),
        ["Parameters (`with:`):", *_parameters(declaration, width)],
        ["Step:", *textwrap.indent(example(declaration), "  ").splitlines()],
        ["Cost:", _wrapped(price(declaration), width, "  ")],
        ["Reading:", _wrapped(one_line(declaration.reading), width, "  ")],
        ["Limits:", _wrapped(one_line(declaration.limits), width, "  ")],
    ]
    if declaration.paper:
        parts.append(["Paper:", f"  {declaration.paper}"])
    return "\n\n".join("\n".join(part) for part in parts)


def _fit(declaration: Declaration, width: int) -> list[str]:
    """Stage, needs, data and what tests hold, as a small table."""
    rows = {"stage": declaration.stage, "needs": needs_words(declaration)}
    rows["data"] = ", ".join(sorted(declaration.modalities))
    if len(declaration.tasks) == 1:
        rows["task"] = ", ".join(declaration.tasks)
    if declaration.estimates:
        rows["computes"] = f"{declaration.estimates}, {'exactly' if declaration.exact else 'by sampling'}"
    elif declaration.stochastic:
        rows["draws"] = "at random, from the seed of the spec"
    if declaration.is_request:
        rows["computed by"] = (
            ", ".join(one.name for one in computing(declaration.name)) + "; the compiler picks the best"
        )
    if declaration.codes:
        rows["findings"] = ", ".join(declaration.codes)
    if declaration.laws:
        rows["held by tests"] = ", ".join(law.replace("_", " ") for law in declaration.laws)
    wide = max(len(key) for key in rows) + 2
    return [
        _wrapped(value, width, "  " + " " * wide).replace(" " * (wide + 2), f"  {key.ljust(wide)}", 1)
        for key, value in rows.items()
    ]


def needs_words(declaration: Declaration) -> str:
    """What an author must give for a method."""
    if declaration.stage == "agreement":
        return "two explanations of the same rows"
    if declaration.is_request:
        return "what the method needs that computes it"
    words = NEEDS.get(declaration.capability, declaration.capability)
    extra = {"labels": "labels", "test": "a test split", "sensitive": "a feature marked sensitive"}
    return ", ".join([words, *(extra.get(need, need) for need in sorted(declaration.needs))])


def _parameters(declaration: Declaration, width: int) -> list[str]:
    schema = declaration.params.model_json_schema()
    lines: list[str] = []
    for name, field in schema.get("properties", {}).items():
        default = default_words(field)
        told = f"{type_words(field, schema.get('$defs', {}))}; {f'default {default}' if default else 'may be left out'}"
        lines.append(_wrapped(f"{name}: {told}", width, "  ", "    "))
        lines.append(_wrapped(one_line(field.get("description", "")), width, "      "))
    return lines or ["  none"]


def example(declaration: Declaration) -> str:
    """A step as it may be pasted into a spec, its defaults written out."""
    where = next(path for path in STEP_PATHS if path[-1] == declaration.stage)
    lines = [f"{'  ' * depth}{key}:" for depth, key in enumerate(where)]
    pad = "  " * len(where)
    lines.append(f"{pad}- use: {declaration.name}")
    fields = declaration.params.model_json_schema().get("properties", {})
    shown = {name: field["default"] for name, field in fields.items() if field.get("default") not in (None, {}, [])}
    if shown:
        lines.append(f"{pad}  with:")
        lines += [f"{pad}    {name}: {flow(value)}" for name, value in shown.items()]
    return "\n".join(lines)


def price(declaration: Declaration) -> str:
    """What a method asks of a model for an example, in words."""
    if declaration.is_request:
        return f"that of the method that computes it: {', '.join(one.name for one in computing(declaration.name))}"
    cost = declaration.cost(declaration.params(), EXAMPLE)
    asked = _rows(cost)
    if declaration.stage == "precaution":
        return f"{asked}, for {EXAMPLE.data_rows:,} rows of data" if cost != Cost() else asked
    if declaration.stage == "agreement" or cost == Cost():
        return asked
    memory = f", about {_bytes(cost.bytes)} of memory" if cost.bytes else ""
    return (
        f"{asked}{memory}, for {EXAMPLE.rows} rows of {EXAMPLE.features} features, {EXAMPLE.references} references and the"
        " defaults"
    )


def _rows(cost: Cost) -> str:
    words = [f"{cost.forward:,} model rows forward"] if cost.forward else []
    words += [f"{cost.backward:,} of gradients"] if cost.backward else []
    return " and ".join(words) or "no model rows"


def _bytes(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count} {unit}"
        count //= 1000
    return f"{count} GB"


def _wrapped(text: str, width: int, indent: str = "", later: str | None = None) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if later is None else later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def listed(stage: str | None = None, modality: str | None = None) -> list[Declaration]:
    """The methods by stage, in the order in which stages run."""
    methods = [d for one in STAGES for d in catalogue().values() if d.stage == one and stage in (None, one)]
    return [d for d in methods if modality is None or modality in d.modalities]


def table(methods: Collection[Declaration], width: int, refused: Mapping[str, str] | None = None) -> str:
    """A line for each method, by stage; those that a model cannot do stand below, with the reason."""
    refused = refused or {}
    wide = max((len(d.name) for d in methods), default=0) + 2
    lines: list[str] = []
    for stage in STAGES:
        able = [d for d in methods if d.stage == stage and d.name not in refused]
        if able:
            lines += ["", f"{stage}:"]
            lines += [f"  {d.name.ljust(wide)}{_first(d, width - wide - 2)}" for d in able]
    unable = [d for d in methods if d.name in refused]
    if unable:
        lines += ["", "not possible here:"]
        for d in unable:
            told = _wrapped(refused[d.name], width, "  " + " " * wide)
            lines.append(f"  {d.name.ljust(wide)}{told[wide + 2 :]}")
    if not methods:
        lines = ["", "no method of the catalogue fits"]
    return "\n".join([*lines[1:], "", "pgx explain METHOD says more."])


def _first(declaration: Declaration, room: int) -> str:
    first = re.split(r"(?<=[.:]) ", declaration.summary)[0]
    return textwrap.shorten(first, max(20, room), placeholder=" …")
