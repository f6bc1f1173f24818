"""From text to the typed spec: aliases of keys, the author's own keys, and everything wrong in one go."""

from pathlib import Path

import pytest

from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.validate import Schema, expected, problems

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))

SMALLEST = """\
apiVersion: pgx/v1
kind: Audit
metadata: {name: a}
model: {onnx: a.onnx}
data: {modality: tabular, train: {path: a.csv}}
precaution:
  - use: outliers
    with: {z: 3, share: 1e-3}
explain:
  rows: {from: train, sample: 4}
"""


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_examples_parse_without_a_word(path: Path) -> None:
    parsed = parse(path.read_text("utf-8"), path.name)
    assert [item.message for item in parsed.diagnostics] == []
    assert parsed.spec is not None
    assert parsed.spec.metadata.name == path.stem


def test_keys_that_python_reserves_have_their_yaml_names() -> None:
    spec = parse(SMALLEST, "a.yaml").spec
    assert spec is not None
    assert spec.precaution[0].with_ == {"z": 3, "share": 0.001}
    assert spec.explain.rows.from_ == "train"
    misnamed = parse(SMALLEST.replace("with:", "with_:").replace("{from:", "{from_:"), "a.yaml")
    assert [item.label for item in misnamed.diagnostics] == ["did you mean `with`?", "did you mean `from`?"]


def test_keys_of_ones_own_stand_at_the_top_alone() -> None:
    assert len(parse(SMALLEST + "x-notes: {any: [thing]}\n", "a.yaml").diagnostics) == 0
    (said,) = parse(SMALLEST.replace("{name: a}", "{name: a, x-notes: b}"), "a.yaml").diagnostics
    assert str(said.code) == "PGX2001"


def test_a_refused_scalar_is_not_complained_about_twice() -> None:
    (said,) = parse(SMALLEST.replace("sample: 4", "sample: 017"), "a.yaml").diagnostics
    assert str(said.code) == "PGX1008"
    (said,) = parse(SMALLEST.replace("name: a", "name: 1_0"), "a.yaml").diagnostics
    assert str(said.code) == "PGX1008"


def test_parameters_are_checked_without_conversion_at_their_place() -> None:
    document = parse(SMALLEST, "a.yaml").document
    at = ("explain", "rows")
    model, found = problems(Schema(AuditSpec, "the audit"), {"apiVersion": 1}, document, at)
    assert model is None
    # apiVersion of the wrong kind; kind, metadata, model and data missing
    assert sorted(str(item.code) for item in found) == ["PGX2003", "PGX2004", "PGX2004", "PGX2004", "PGX2004"]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "a whole number"),
        (int | float, "a number"),
        (list[int | float] | None, "a list of numbers"),
        (list[str], "a list of texts"),
        (bool, "true or false"),
        (dict[str, int], "a mapping"),
        (str | int, "text or a whole number"),
    ],
)
def test_types_are_named_in_plain_words(annotation: object, words: str) -> None:
    assert expected(annotation) == words
