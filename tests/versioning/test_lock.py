"""`pgx lock` and `--locked`: what an audit stands on, and that it still does."""

import json
import re
from pathlib import Path

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_project(tmp_path / "project")
    monkeypatch.delenv("PGX_STORE", raising=False)
    monkeypatch.chdir(folder)
    write_spec(folder, "german-credit-trees", SMALL_TREES, "trees.yaml")
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert len(re.findall(old, text)) > 0
    path.write_text(re.sub(old, new, text, count=1), "utf-8")


def test_a_lock_holds_what_the_audit_stands_on_a_line_each(project: Path) -> None:
    assert main(["lock", "trees.yaml"]) == 0
    text = (project / "pgx.lock").read_text("utf-8")
    section = json.loads(text)["specs"]["trees.yaml"]
    assert set(section["models"]) == {"models/german-credit-trees.onnx"}
    assert set(section["data"]) == {"data/german-credit-train.csv", "data/german-credit-test.csv"}
    assert section["methods"]["tree_shap"] >= 1
    assert {"numpy", "onnxruntime"} <= set(section["environment"])
    for entries in section.values():
        for name in entries if isinstance(entries, dict) else ():
            value = json.dumps(entries[name])
            assert len([line for line in text.splitlines() if line.strip().rstrip(",") == f'"{name}": {value}']) == 1


def test_several_specs_of_a_folder_share_one_lock(project: Path) -> None:
    write_spec(project, "german-credit-trees", {**SMALL_TREES, "seed": 8}, "other.yaml")
    assert main(["lock", "trees.yaml"]) == 0
    alone = json.loads((project / "pgx.lock").read_text("utf-8"))["specs"]
    assert main(["lock", "other.yaml"]) == 0
    both = json.loads((project / "pgx.lock").read_text("utf-8"))["specs"]
    assert list(both) == ["other.yaml", "trees.yaml"]
    assert both["trees.yaml"] == alone["trees.yaml"]


def test_locking_again_writes_the_same_bytes(project: Path) -> None:
    main(["lock", "trees.yaml"])
    first = (project / "pgx.lock").read_bytes()
    assert main(["lock", "trees.yaml"]) == 0
    assert (project / "pgx.lock").read_bytes() == first


def test_a_spec_that_is_gone_leaves_the_lock(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_spec(project, "german-credit-trees", SMALL_TREES, "other.yaml")
    main(["lock", "trees.yaml", "other.yaml"])
    other.unlink()
    assert main(["lock", "trees.yaml"]) == 0
    assert list(json.loads((project / "pgx.lock").read_text("utf-8"))["specs"]) == ["trees.yaml"]
    assert "other.yaml is no longer there" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["check", "compile"])
def test_what_is_locked_passes(project: Path, word: str) -> None:
    main(["lock", "trees.yaml"])
    assert main([word, "trees.yaml", "--locked"]) == 0


@pytest.mark.parametrize("word", ["check", "compile", "run"])
def test_without_a_lock_nothing_is_locked(project: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word, "trees.yaml", "--locked"]) == 4
    said = capsys.readouterr().err
    assert "error[PGX5061]" in said
    assert "pgx lock trees.yaml" in said
    assert not (project / "runs").exists()


def test_a_lock_of_other_specs_is_none_of_this_one(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_spec(project, "german-credit-trees", SMALL_TREES, "other.yaml")
    main(["lock", "other.yaml"])
    assert main(["check", "trees.yaml", "--locked"]) == 4
    assert "does not know `trees.yaml`" in capsys.readouterr().err


def test_another_data_file_is_named_with_the_line_of_the_lock(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["lock", "trees.yaml"])
    file = project / "data" / "german-credit-test.csv"
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]), "utf-8")
    capsys.readouterr()
    assert main(["compile", "trees.yaml", "--locked", "--format", "json"]) == 4
    (item,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert item["code"] == "PGX5060"
    assert "data/german-credit-test.csv has changed" in item["message"]
    place = item["span"]
    line = (project / place["file"]).read_text("utf-8").splitlines()[place["start"]["line"] - 1]
    assert "data/german-credit-test.csv" in line


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r'"numpy": "[^"]*"', '"numpy": "1.0"', "library numpy is another version: 1.0 -> "),
        (r'"occlusion": \d+', '"occlusion": 99', "method occlusion is another version: 99 -> "),
        (r'"attribute": \d+', '"attribute": 99', "operation attribute is another version: 99 -> "),
        (r'"pgx": "[^"]*"', '"pgx": "0.0.1"', "pgx is another version: 0.0.1 -> "),
        (r'"occlusion": \d+', '"occlusions": 1', "method occlusion is not in the lock"),
        (r'"occlusion": \d+', '"occlusions": 1', "method occlusions is in the lock, but the audit does not use it"),
        (r'trees.onnx": "[^"]{5}', 'trees.onnx": "00000', "model file models/german-credit-trees.onnx has changed"),
    ],
)
def test_what_has_changed_is_named(
    project: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["lock", "trees.yaml"])
    edit(project / "pgx.lock", old, new)
    assert main(["check", "trees.yaml", "--locked"]) == 4
    assert said in capsys.readouterr().err


def test_a_run_that_is_not_as_locked_computes_nothing(project: Path) -> None:
    main(["lock", "trees.yaml"])
    edit(project / "pgx.lock", r'"numpy": "[^"]*"', '"numpy": "1.0"')
    assert main(["run", "trees.yaml", "--locked"]) == 4
    assert not (project / "runs").exists()
    assert list((project / ".pgx").iterdir()) == []


def test_without_locked_a_difference_is_a_warning_beside_the_plan(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["lock", "trees.yaml"])
    edit(project / "pgx.lock", r'"numpy": "[^"]*"', '"numpy": "1.0"')
    capsys.readouterr()
    assert main(["compile", "trees.yaml", "--format", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["schema"] == "pgx-plan/1"
    assert "warning[PGX5060]: library numpy" in told.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "PGX5062"),
        ('{"schema": "pgx-locks/2", "specs": {}}', "PGX5062"),
        ('{"schema": "pgx-locks/1", "specs": []}', "PGX5062"),
        ('{"schema": "pgx-locks/1", "specs": {"a": {"models": {"b": {}}}}}', "PGX5062"),
        ('{"schema": "pgx-locks/1", "specs": {\n<<<<<<< ours\n=======\n>>>>>>> theirs\n}}', "merge conflict"),
        ("no lock", "PGX5062"),
    ],
)
def test_a_broken_lock_is_the_authors_mistake(
    project: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pgx.lock").write_text(text, "utf-8")
    assert main(["compile", "trees.yaml", "--locked"]) == 2
    assert said in capsys.readouterr().err
