"""`pgx diff` as a person uses it: specs, revisions of git and plans."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main

GATE = SMALL_TREES["gates"][0]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_project(tmp_path / "project")
    monkeypatch.delenv("PGX_STORE", raising=False)
    monkeypatch.chdir(folder)
    spec("old.yaml")
    return folder


def spec(name: str, **changes: Any) -> Path:
    return write_spec(Path.cwd(), "german-credit-trees", {**SMALL_TREES, **changes}, name)


def git(*arguments: str) -> None:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def commit() -> None:
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")


def told(capsys: pytest.CaptureFixture[str], old: str, new: str, status: int) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["diff", old, new, "--format", "json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def paths(changes: list[dict[str, Any]]) -> list[str]:
    return [change["path"] for change in changes]


def test_a_spec_does_not_differ_from_itself(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "old.yaml", "old.yaml"]) == 0
    assert capsys.readouterr().out == "Nothing changed.\n"


def test_two_specs_are_compared_by_what_they_mean(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weaker = {**GATE, "min": 0.25}
    spec("new.yaml", gates=[weaker], seed=8, **{"metadata.owner": "someone else"})
    found = told(capsys, "old.yaml", "new.yaml", 1)
    assert paths(found["thresholds"]) == ["gates[0].min"]
    assert paths(found["question"]) == ["seed"]
    assert paths(found["without_effect"]) == ["metadata.owner"]
    assert (found["ground"], found["answer"]) == ([], None)


def test_words_for_people_alone_are_no_change(project: Path) -> None:
    spec("new.yaml", **{"metadata.owner": "someone else", "factsheet.language": "ko"})
    assert main(["diff", "old.yaml", "new.yaml"]) == 0


def test_other_data_are_another_ground(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "data" / "more.csv").write_text((project / "data" / "german-credit-test.csv").read_text())
    spec("new.yaml", **{"data.test.path": "data/more.csv"})
    found = told(capsys, "old.yaml", "new.yaml", 1)
    assert {shift["name"] for shift in found["ground"]} == {"data/german-credit-test.csv", "data/more.csv"}


def test_a_spec_is_held_against_a_revision(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit()
    spec("old.yaml", gates=[])
    found = told(capsys, "HEAD:old.yaml", "old.yaml", 1)
    assert [(change["path"], change["effect"]) for change in found["thresholds"]] == [("gates[0]", "removed")]
    assert found["ground"] == []


def test_a_revision_knows_the_files_of_its_time(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit()
    file = project / "data" / "german-credit-test.csv"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    (shift,) = told(capsys, "HEAD:old.yaml", "old.yaml", 1)["ground"]
    assert (shift["category"], shift["old"]) == ("data", before)
    assert shift["new"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_pointer_of_large_file_storage_stands_for_its_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = project / "models" / "german-credit-trees.onnx"
    content = model.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    model.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n")
    commit()
    model.write_bytes(content)
    assert told(capsys, "HEAD:old.yaml", "old.yaml", 0)["ground"] == []


def test_files_that_were_not_committed_are_not_known_to_differ(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".gitignore").write_text("models/\n")
    commit()
    assert told(capsys, "HEAD:old.yaml", "old.yaml", 0)["ground"] == []


def test_the_lock_of_a_revision_says_its_versions(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lock", "old.yaml"])
    lock = json.loads((project / "pgx.lock").read_text())
    lock["specs"]["old.yaml"]["environment"]["numpy"] = "1.0"
    (project / "pgx.lock").write_text(json.dumps(lock))
    commit()
    (shift,) = told(capsys, "HEAD:old.yaml", "old.yaml", 1)["ground"]
    assert (shift["name"], shift["old"]) == ("numpy", "1.0")


def test_what_a_revision_extends_is_read_from_that_revision(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "child.yaml").write_text("extends: old.yaml\nseed: 9\n")
    commit()
    spec("old.yaml", seed=7, gates=[{**GATE, "min": 0.25}])
    found = told(capsys, "HEAD:child.yaml", "child.yaml", 1)
    assert paths(found["thresholds"]) == ["gates[0].min"]
    assert found["question"] == []


@pytest.mark.parametrize(
    "side",
    ["HEAD;touch x:old.yaml", "--output=x:old.yaml", "$(touch x):old.yaml", "no-branch:old.yaml", "HEAD..HEAD:old.yaml",
     "HEAD:../old.yaml", "HEAD:/etc/passwd", "HEAD:nowhere.yaml", "HEAD:", "HEAD:a/../../old.yaml"],
)  # fmt: skip
def test_only_revisions_and_paths_below_the_folder_are_asked_for(
    project: Path, side: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commit()
    before = sorted(project.iterdir())
    assert main(["diff", "--", side, "old.yaml"]) == 2
    assert "PGX5063" in capsys.readouterr().err
    assert sorted(project.iterdir()) == before


def test_outside_of_a_repository_there_is_no_revision(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert main(["diff", "HEAD:old.yaml", "old.yaml"]) == 2
    assert "git knows no revision `HEAD` here" in capsys.readouterr().err


def write_plan(name: str, of: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["compile", of, "--format", "json"]) == 0
    Path(name).write_text(capsys.readouterr().out)


def test_a_moved_threshold_shows_between_plans(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec("new.yaml", gates=[{**GATE, "min": 0.25}], seed=8)
    write_plan("a.json", "old.yaml", capsys)
    write_plan("b.json", "new.yaml", capsys)
    for pair in (("a.json", "b.json"), ("old.yaml", "b.json"), ("a.json", "new.yaml")):
        found = told(capsys, *pair, 1)
        assert (paths(found["thresholds"]), paths(found["question"])) == (["gates[0].min"], ["seed"])
    assert not told(capsys, "a.json", "old.yaml", 0)["changed"]


def test_plans_that_do_not_hold_their_question_are_compared_by_their_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [{"use": "shapley_values"}, {"use": "kernel_shap", "with": {"samples": 256}}, {"use": "occlusion"}]
    spec("new.yaml", **{"explain.perturbation": steps})
    for name, of in (("a.json", "old.yaml"), ("b.json", "new.yaml")):
        write_plan(name, of, capsys)
        plan = json.loads(Path(name).read_text())
        del plan["audit"]["question"]
        Path(name).write_text(json.dumps(plan))
    found = told(capsys, "a.json", "b.json", 1)
    assert ("explain.kernel_shap.with.samples", 200, 256) in [
        (change["path"], change["old"], change["new"]) for change in found["question"]
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"schema": "pgx-plan/1"}', "PGX5069"),
        ('{"schema": "pgx-plan/1", "nodes": 3}', "PGX5069"),
        ("{", "PGX5069"),
        ('{"schema": "pgx-baseline/1"}', "PGX5064"),
        ("[1]", "PGX1006"),
        ("{}", "PGX2004"),
    ],
)
def test_a_document_of_no_kind_is_refused(
    project: Path, text: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "x.json").write_text(text)
    assert main(["diff", "x.json", "old.yaml"]) == 2
    assert f"error[{code}]" in capsys.readouterr().err


def test_without_an_accepted_run_there_is_no_baseline_to_show(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", "show", "old.yaml"]) == 2
    assert "error[PGX5065]: there is no `baselines/german-credit-trees.json`" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "data", "old.yaml"]) == 2
    assert "PGX5012" in capsys.readouterr().err
