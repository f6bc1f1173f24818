"""`pgx upgrade`: an older spec in the language of today, with every comment where it was."""

import json
from pathlib import Path

import pytest

from pgx_compiler.cli import main
from pgx_compiler.diagnostics.diagnostic import Span
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.parse import parse
from pgx_compiler.versioning.migrations import Edit, migrations
from pgx_compiler.versioning.upgrade import CURRENT, replaced

OLD = """\
# An audit from before the first release.
apiVersion: "pgx/v0"   # the draft
kind: Audit
metadata: {name: old, labels: {method: not a step}}
model: {onnx: a.onnx}
data: {modality: tabular, train: {path: a.csv}}

x-steps:
  ks: &ks
    method: kernel_shap
    params:
      samples: 200   # enough
precautions:            # is the data fit?
  - method: class_balance
  - {params: {statistic: ks},   method: drift}
explain:
  perturbation:
    - *ks
    - method: occlusion
tuning:
  space: {fit.epochs: {choice: [1, 2]}}
  explain: {methods: [integrated_gradients]}
"""
NEW = """\
# An audit from before the first release.
apiVersion: "pgx/v1"   # the draft
kind: Audit
metadata: {name: old, labels: {method: not a step}}
model: {onnx: a.onnx}
data: {modality: tabular, train: {path: a.csv}}

x-steps:
  ks: &ks
    use: kernel_shap
    with:
      samples: 200   # enough
precaution:            # is the data fit?
  - use: class_balance
  - {with: {statistic: ks},   use: drift}
explain:
  perturbation:
    - *ks
    - use: occlusion
tuning:
  space: {fit.epochs: {choice: [1, 2]}}
  explain: {methods: [integrated_gradients]}
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.yaml"
    path.write_text(OLD, "utf-8")
    return path


def test_only_what_the_language_calls_otherwise_is_rewritten(old: Path) -> None:
    assert main(["upgrade", str(old), "--write"]) == 0
    assert old.read_text("utf-8") == NEW
    assert parse(NEW, "new.yaml").spec is not None


def test_without_write_the_difference_is_shown_and_nothing_written(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upgrade", str(old)]) == 0
    told = capsys.readouterr()
    assert '-apiVersion: "pgx/v0"   # the draft\n+apiVersion: "pgx/v1"   # the draft' in told.out
    assert "the stage `precautions` is called `precaution`" in told.err
    assert old.read_text("utf-8") == OLD


def test_programs_get_the_same_as_json(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upgrade", str(old), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["steps"][0]["from"], told["steps"][-1]["to"], told["written"]) == ("pgx/v0", CURRENT, False)


def test_a_spec_of_today_stays_as_it_is(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old.write_text(NEW, "utf-8")
    assert main(["upgrade", str(old), "--write"]) == 0
    assert old.read_text("utf-8") == NEW
    assert "is pgx/v1 already" in capsys.readouterr().out


def test_what_is_wrong_besides_is_said(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old.write_text(OLD.replace("kind: Audit", "kind: Audits"), "utf-8")
    assert main(["upgrade", str(old)]) == 0
    assert "PGX2003" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (("- method: occlusion", "- {method: occlusion, use: saliency}"), "PGX5070", 19),
        (("metadata: {name: old,", "metadata: {name: old, x: *ks,"), "PGX1012", 4),
        (("tuning:\n", "factsheet: *ks\ntuning:\n"), "PGX5071", 10),
        (('"pgx/v0"', "pgx/v7"), "PGX5072", 2),
        (('apiVersion: "pgx/v0"', "kinds: a"), "PGX5072", 2),
        (("kind: Audit", "kind: [Audit"), "PGX1005", 4),
    ],
)
def test_what_cannot_be_migrated_is_refused_with_its_line(
    old: Path, change: tuple[str, str], code: str, line: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert change[0] in OLD
    before = OLD.replace(*change)
    old.write_text(before, "utf-8")
    assert main(["upgrade", str(old), "--write", "--format", "json"]) == 2
    items = json.loads(capsys.readouterr().out)["diagnostics"]
    assert (code, line) in [(item["code"], item["span"]["start"]["line"]) for item in items]
    assert old.read_text("utf-8") == before


def test_check_tells_of_upgrade(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(old)]) == 2
    assert f"pgx upgrade {old} --write" in capsys.readouterr().err


def test_every_older_version_leads_to_the_language_of_today() -> None:
    assert AuditSpec.model_json_schema()["properties"]["apiVersion"]["const"] == CURRENT
    for start in migrations():
        version, steps = start, 0
        while version != CURRENT:
            version, steps = migrations()[version].TO, steps + 1
            assert steps <= len(migrations()), f"from {start} the way goes in a circle"
    assert all(migration.CHANGES for migration in migrations().values())


def test_edits_of_one_line_do_not_move_each_other() -> None:
    text = "{a: 1, b: '2', a: 3}"
    edits = [
        Edit(Span("f", 1, 2, 1, 3), "longer"),
        Edit(Span("f", 1, 11, 1, 14), "xyz"),
        Edit(Span("f", 1, 16, 1, 17), ""),
    ]
    assert replaced(text, edits) == "{longer: 1, b: 'xyz', : 3}"
