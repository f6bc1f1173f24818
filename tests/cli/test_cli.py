"""The command as a person uses it: words, exit statuses, what goes to stdout and what to stderr."""

import json
import os
import subprocess
import sys

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    monkeypatch.delenv("PGX_STORE", raising=False)
    return folder


def test_check_says_that_nothing_is_wrong(project, capsys):
    spec = write_spec(project, "digits")
    assert main(["check", str(spec)]) == 0
    told = capsys.readouterr()
    assert "nothing is wrong" in told.out
    assert told.err == ""


def test_check_says_everything_that_is_wrong_at_once(project, capsys):
    spec = write_spec(
        project, "digits", {"explain.scor": "logit", "explain.score": None, "data.train.path": "data/nowhere.npz"}
    )
    assert main(["check", str(spec)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "did you mean `score`" in told.err
    assert "nowhere.npz" in told.err


def test_check_gives_programs_json(project, capsys):
    spec = write_spec(project, "digits", {"explain.scor": "logit"})
    assert main(["check", str(spec), "--format", "json"]) == 2
    (item,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert item["code"] == "PGX2001" or item["code"].startswith("PGX2")
    assert item["span"]["file"] == str(spec)


def test_a_gradient_of_trees_is_refused_with_what_would_work(project, capsys):
    spec = write_spec(project, "german-credit-trees", {"explain.gradient": [{"use": "integrated_gradients"}]})
    assert main(["check", str(spec)]) == 2
    said = capsys.readouterr().err
    assert "integrated_gradients" in said
    for method in ("shapley_values", "kernel_shap", "occlusion"):
        assert method in said


def test_compile_is_the_same_plan_in_every_process(project):
    spec = write_spec(project, "german-credit-trees")
    plans = [
        subprocess.run(
            [sys.executable, "-m", "pgx_compiler", "compile", str(spec), "--format", "json"],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    ]
    assert plans[0] == plans[1]
    plan = json.loads(plans[0])
    assert str(project) not in plans[0].decode()
    tree = next(node for node in plan["nodes"] if node["id"] == "explain.shapley_values")
    assert tree["method"] == "tree_shap"
    assert "exact" in tree["note"]


def test_compile_prints_a_table_with_prices(project, capsys):
    assert main(["compile", str(write_spec(project, "german-credit-trees", SMALL_TREES))]) == 0
    told = capsys.readouterr().out
    line = next(line for line in told.splitlines() if line.startswith("  occlusion "))
    # 6 rows x (20 features x 8 references + the row itself); then 6 rows and 8 references for the base values
    assert f" {6 * (20 * 8 + 1) + 14:,} " in line
    assert "known already" in told


def test_a_plan_beyond_its_budget_is_refused_with_the_dearest_steps(project, capsys):
    spec = write_spec(project, "german-credit-trees", {"strategy.budget": {"model_rows": 1000}})
    assert main(["run", str(spec)]) == 2
    said = capsys.readouterr().err
    assert "but the budget allows 1,000" in said
    assert "explain.kernel_shap" in said


def test_explains_codes_methods_and_what_is_unknown(capsys):
    assert main(["explain", "pgx5010"]) == 0
    assert "budget" in capsys.readouterr().out
    assert main(["explain", "kernel_shap"]) == 0
    told = capsys.readouterr().out
    assert "Reading:" in told
    assert "samples" in told
    assert main(["explain", "kernel_shop"]) == 2
    assert "did you mean `kernel_shap`" in capsys.readouterr().err


def test_lists_every_method(capsys):
    from pgx_compiler.methods.catalogue import catalogue

    assert main(["methods"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in catalogue())
    assert main(["methods", "--format", "json"]) == 0
    assert {item["name"] for item in json.loads(capsys.readouterr().out)} == set(catalogue())


def test_schema_accepts_the_examples_and_knows_every_method(capsys):
    from jsonschema import Draft202012Validator
    from tests_project import ROOT

    from pgx_compiler.methods.catalogue import catalogue
    from pgx_compiler.spec.source import load

    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    validator = Draft202012Validator(schema)
    for spec in (ROOT / "specs").glob("*.yaml"):
        assert [error.message for error in validator.iter_errors(load(spec.read_text(), spec.name).data)] == []
    text = json.dumps(schema)
    assert all(f'"{name}"' in text for name in catalogue())
    broken = load((ROOT / "specs" / "digits.yaml").read_text(), "digits.yaml").data
    broken["explain"]["gradient"][1]["with"] = {"stepz": 3}
    assert any("stepz" in error.message for error in validator.iter_errors(broken))
    assert main(["schema", "factsheet"]) == 0
    assert "verdict" in json.loads(capsys.readouterr().out)["properties"]


def test_words_that_do_not_exist_end_with_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dance"])
    assert ended.value.code == 2


def test_our_own_failure_is_a_sentence_and_a_file(project, capsys, monkeypatch):
    from pgx_compiler.analysis import checked

    def broken(*_):
        raise RuntimeError("the sky fell")

    monkeypatch.setattr(checked, "analyse", broken)
    assert main(["check", str(write_spec(project, "digits"))]) == 70
    said = capsys.readouterr().err
    assert "the sky fell" in said
    assert "Traceback" not in said
    report = said.split("written down in ")[1].split(";")[0]
    with open(report) as file:
        assert "Traceback" in file.read()


def test_interrupted_is_130(project, capsys, monkeypatch):
    from pgx_compiler.analysis import checked

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checked, "analyse", interrupted)
    assert main(["check", str(write_spec(project, "digits"))]) == 130
    assert "run again to continue" in capsys.readouterr().err


def test_a_reader_that_has_gone_changes_nothing_about_the_exit_status(project):
    spec = write_spec(project, "digits", {"explain.scor": "logit"})
    for arguments, status in ((["methods"], 0), (["check", str(spec), "--format", "json"], 2)):
        command = [sys.executable, "-m", "pgx_compiler", *arguments]
        environment = {"PYTHONPATH": ":".join(sys.path), "PATH": ""}
        reading, writing = os.pipe()
        os.close(reading)
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment)
        os.close(writing)
        assert ended.returncode == status, ended.stderr
        assert "BrokenPipe" not in ended.stderr


def test_an_ascii_locale_is_no_reason_to_fail():
    environment = {
        "PYTHONPATH": ":".join(sys.path),
        "PATH": "",
        "LC_ALL": "POSIX",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    }
    for word in ("methods", "schema"):
        ended = subprocess.run([sys.executable, "-m", "pgx_compiler", word], capture_output=True, env=environment)
        assert ended.returncode == 0, ended.stderr
