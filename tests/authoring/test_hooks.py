"""The hook for pre-commit and the CI files ready to copy: they are YAML, and every command in them exists."""

import json
import re
import shlex

import pytest
import yaml
from tests_project import ROOT, make_project, write_spec

from pgx_compiler.cli import main, parser

CI = sorted((ROOT / "docs" / "ci").glob("*.yaml"))


def commands_of(text):
    """The lines that call pgx, as a shell would split them; what a shell fills in stands for a file."""
    found = []
    for line in re.findall(r"(?:^|[\s&|;])(pgx [a-z].*)$", text, re.MULTILINE):
        line = re.sub(r"\$\{\{.*?\}\}|\$[A-Z_]+", "audit.yaml", line)
        words = shlex.split(re.split(r" *(?:\|\||&&|>|#)", line)[0])
        found.append(words[1:])
    return found


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_the_commands_of_a_ci_file_exist(path):
    text = path.read_text("utf-8")
    assert yaml.safe_load(text)
    called = commands_of(text)
    assert {words[0] for words in called} >= {"check", "run", "doctor"}
    for words in called:
        options = parser().parse_args(words)
        assert options.word == words[0]


def test_the_github_workflow_has_what_github_needs():
    whole = yaml.safe_load((ROOT / "docs" / "ci" / "github-actions.yaml").read_text("utf-8"))
    assert set(whole["jobs"]) == {"check", "run"}
    assert whole["jobs"]["run"]["needs"] == "check"
    for job in whole["jobs"].values():
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


def test_each_hook_calls_a_command_that_takes_several_files():
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert [hook["id"] for hook in hooks] == ["pgx-check", "pgx-check-isolated"]
    for hook in hooks:
        options = parser().parse_args([*hook["entry"].split()[1:], "a.yaml", "b.yaml"])
        assert options.spec == ["a.yaml", "b.yaml"]
        assert hook["types"] == ["yaml"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def test_check_takes_several_specs_and_says_of_each(project, capsys):
    for name in ("digits", "german-credit-trees"):
        write_spec(project, name)
    assert main(["check", "digits.yaml", "german-credit-trees.yaml"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == ["digits.yaml", "german-credit-trees.yaml"]


def test_one_wrong_spec_among_several_is_enough(project, capsys):
    write_spec(project, "digits", {"explain.scor": "logit"}, "wrong.yaml")
    write_spec(project, "german-credit-trees")
    assert main(["check", "wrong.yaml", "german-credit-trees.yaml", "nowhere.yaml"]) == 2
    told = capsys.readouterr()
    assert "did you mean `score`" in told.err
    assert "nowhere.yaml" in told.err
    assert told.out.startswith("german-credit-trees.yaml: nothing is wrong")


def test_several_specs_make_one_json_document(project, capsys):
    write_spec(project, "digits", {"explain.scor": "logit"}, "a.yaml")
    write_spec(project, "digits", {"explain.rowz": 1}, "b.yaml")
    assert main(["check", "a.yaml", "b.yaml", "--format", "json"]) == 2
    items = json.loads(capsys.readouterr().out)["diagnostics"]
    assert {item["span"]["file"] for item in items} == {"a.yaml", "b.yaml"}


def test_files_that_are_no_audits_are_passed_over_where_that_is_asked(project, capsys):
    write_spec(project, "digits")
    (project / "compose.yaml").write_text("services: {}\n")
    (project / "other.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    assert main(["check", "--skip-others", "compose.yaml", "digits.yaml", "other.yaml"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["digits.yaml"]
    assert main(["check", "--skip-others", "compose.yaml"]) == 0
    assert main(["check", "compose.yaml"]) == 2


@pytest.mark.parametrize(
    "text", ['apiVersion: "pgx/v1"', "# first\n'apiVersion' : pgx/v1", '{"apiVersion": "pgx/v1"}', "apiVersion: pgx/v9"]
)
def test_an_audit_is_known_by_its_version_however_it_is_written(text, project):
    (project / "one.yaml").write_text(text)
    assert main(["check", "--skip-others", "one.yaml"]) == 2  # looked at, and wrong


def test_a_file_that_cannot_be_read_is_not_passed_over(project):
    assert main(["check", "--skip-others", "nowhere.yaml"]) == 2
