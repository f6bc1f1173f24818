"""The plan of a real spec: its table, its view for programs, and what is said of a plan that is stale."""

import json
import re

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main
from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.driver import compile, look_ahead, store_of
from pgx_compiler.ir.text import parse
from pgx_compiler.plan.stale import read_plan, what_differs
from pgx_compiler.plan.table import WIDTH, shortened, size, table

MORE_SAMPLES = {
    **SMALL_TREES,
    "explain.perturbation": [
        {"use": "shapley_values"},
        {"use": "kernel_shap", "with": {"samples": 300}},
        {"use": "occlusion"},
    ],
}


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


@pytest.fixture
def spec(project):
    return write_spec(project, "german-credit-trees", SMALL_TREES)


def numbers(line):
    return [int(word.replace(",", "")) for word in line.split() if re.fullmatch(r"[\d,]+", word)]


def test_the_table_fits_a_terminal_lines_up_and_sums_by_stage(spec):
    plan = compile(spec)
    lines = table(plan, look_ahead(plan, store_of(spec)).found).split("\n")
    assert max(map(len, lines)) <= WIDTH
    body = lines[2 : lines.index("")]
    ends = {
        len(line[: line.index(word) + len(word)]) for line in body for word in re.findall(r"\b[\d,]{3,}\b", line)[:1]
    }
    assert len(ends) == 1  # rows forward end in one column
    stage = next(line for line in body if line.startswith("faithfulness"))
    parts = [line for line in body if line.startswith("  deletion.")]
    assert len(parts) == 3
    assert numbers(stage.replace("(3)", "")) [:1] == [sum(numbers(line)[0] for line in parts)]  # fmt: skip
    assert stage.endswith("0/3")
    assert f"{plan.totals['forward']:,} model rows forward" in "\n".join(lines)


def test_the_table_of_the_largest_example_fits_too():
    from tests_project import ROOT

    for name in ("digits", "german-credit"):
        plan = compile(ROOT / "specs" / f"{name}.yaml")
        lines = table(plan, look_ahead(plan, store_of(ROOT / "specs" / "digits.yaml")).found).split("\n")
        assert max(map(len, lines)) <= WIDTH, name


def test_long_names_lose_their_middle_and_bytes_are_said_in_few_letters():
    assert shortened("rank_correlation.kernel_shap~integrated_gradients", 20) == "rank_co…ed_gradients"
    assert shortened("short", 20) == "short"
    assert [size(n) for n in (0, 720, 9999, 12_345, 96_000_000)] == ["-", "720 B", "9,999 B", "12 kB", "96 MB"]


def test_the_plan_stays_pure_and_states_stand_beside_it(spec, capsys):
    assert main(["compile", str(spec), "--format", "json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert main(["compile", str(spec), "--format", "json", "--states", "-s", "occlusion"]) == 0
    view = json.loads(capsys.readouterr().out)
    assert view["plan"] == plain
    assert "states" not in plain
    assert view["selection"]["chosen"] == ["explain.occlusion"]
    assert set(view["states"]) == {"explain.occlusion", "predict.onnx.test", "rows", "references"}
    assert set(view["states"].values()) == {"run"}
    assert view["seconds"] == {"nodes": {}, "left": 0, "nodes_left": 4, "nodes_predicted": 0}


def test_graphs_come_as_text_dot_and_mermaid(spec, capsys):
    assert main(["compile", str(spec), "--graph"]) == 0
    assert parse(capsys.readouterr().out) == compile(spec).graph.map(lambda node: node)
    assert main(["compile", str(spec), "--graph", "dot"]) == 0
    assert capsys.readouterr().out.startswith('digraph "german-credit-trees 1.0.0" {\n')
    assert main(["compile", str(spec), "--graph", "mermaid", "-s", "occlusion"]) == 0
    out = capsys.readouterr().out
    assert "flowchart LR\n" in out
    # two splits and the model, predictions, rows, references and occlusion
    assert len(re.findall(r"^    n\d+\[", out, re.MULTILINE)) == 7
    assert re.findall(r'subgraph s\d\["(\w+)"\]', out) == ["source", "model", "ground", "perturbation"]


def test_a_plan_is_not_stale_against_itself_and_a_changed_one_says_where(project, spec, tmp_path):
    agreed = tmp_path / "plan.json"
    agreed.write_text(compile(spec).to_json())
    assert what_differs(read_plan(agreed), compile(spec)) == []
    changed = compile(write_spec(project, "german-credit-trees", MORE_SAMPLES, "more.yaml"))
    said = what_differs(read_plan(agreed), changed)
    assert said[0] == "changed  explain.kernel_shap: params.with.samples: 200 -> 300"
    assert "changed  faithfulness.deletion.kernel_shap: it rests on explain.kernel_shap" in said
    assert not any("occlusion: params" in line or "shapley_values: params" in line for line in said)


def test_a_plan_with_other_steps_says_what_came_and_what_went(project, spec, tmp_path):
    agreed = tmp_path / "plan.json"
    agreed.write_text(compile(spec).to_json())
    fewer = {
        **SMALL_TREES,
        "explain.perturbation": [{"use": "shapley_values"}, {"use": "kernel_shap", "with": {"samples": 200}}],
    }
    fewer["precaution"] = [{"use": "class_balance"}, {"use": "outliers"}]
    said = what_differs(read_plan(agreed), compile(write_spec(project, "german-credit-trees", fewer, "fewer.yaml")))
    assert said[0] == "added    precaution.outliers"
    assert "removed  explain.occlusion" in said
    changed = next(line for line in said if line.startswith("changed  reliance: "))
    assert "inputs.attribution.occlusion: explain.occlusion -> None" in changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[:50], "it is not JSON"),
        (lambda text: text.replace('"seed": 7', '"seed": 8'), "it was changed after it was written"),
        (lambda _: "[]", "it is not a `pgx-plan/1` document"),
        (lambda _: '{"schema": "pgx-plan/1", "nodes": [3]}', "it is not a `pgx-plan/1` document"),
    ],
)
def test_what_is_no_whole_plan_is_refused(spec, tmp_path, change, reason):
    agreed = tmp_path / "plan.json"
    agreed.write_text(change(compile(spec).to_json()))
    with pytest.raises(AuthorError) as error:
        read_plan(agreed)
    (item,) = error.value.diagnostics
    assert reason in item.message


def test_a_stale_plan_ends_with_4_and_runs_nothing(project, spec, tmp_path, capsys):
    agreed = tmp_path / "plan.json"
    agreed.write_text(compile(spec).to_json())
    changed = write_spec(project, "german-credit-trees", MORE_SAMPLES, "more.yaml")
    assert main(["run", str(changed), "--plan", str(agreed), "-o", str(tmp_path / "out")]) == 4
    assert "explain.kernel_shap: params.with.samples: 200 -> 300" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["run", str(changed), "--plan", str(agreed), "--format", "json"]) == 4
    assert json.loads(capsys.readouterr().out)["differs"][0].startswith("changed  explain.kernel_shap")


@pytest.mark.frameworks
def test_a_part_is_run_says_so_and_never_passes_and_the_whole_goes_on_from_it(spec, tmp_path, capsys):
    arguments = ["run", str(spec), "--engine", "inline", "-o"]
    select = ["-s", "kernel_shap", "-s", "stage:precaution"]
    assert main([*arguments, str(tmp_path / "part"), *select]) == 3
    factsheet = json.loads((tmp_path / "part" / "factsheet.json").read_text())
    verdict, provenance = factsheet["verdict"], factsheet["provenance"]
    assert verdict["status"] == "incomplete"
    assert "-s kernel_shap -s stage:precaution" in verdict["sentence"]
    assert provenance["selection"] == "-s kernel_shap -s stage:precaution"
    done = {node["id"] for node in provenance["nodes"] if node["status"] == "done"}
    assert done == {"explain.kernel_shap", "precaution.class_balance", "predict.onnx.test", "rows", "references"}
    assert {node["status"] for node in provenance["nodes"]} == {"done", "not_selected"}
    assert verdict["counts"]["nodes_not_selected"] == len(provenance["nodes"]) - 5
    assert (tmp_path / "part" / "evidence" / "kernel_shap" / "attributions.npz").is_file()
    # plan.json is that of the whole audit: agreeing to it does not depend on what is run of it
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / "whole"), "--plan", str(tmp_path / "part" / "plan.json")]) == 0
    assert "5 cached" in capsys.readouterr().err
    assert main(["compile", str(spec), "-s", "state:modified"]) == 2
    assert "everything is known already" in capsys.readouterr().err


@pytest.mark.frameworks
def test_a_part_that_holds_every_gate_is_still_incomplete(project, tmp_path):
    spec = write_spec(project, "german-credit-trees", {**SMALL_TREES, "gates": []})
    assert main(["run", str(spec), "--engine", "inline", "-o", str(tmp_path / "part"), "-s", "occlusion"]) == 3
    assert json.loads((tmp_path / "part" / "factsheet.json").read_text())["verdict"]["status"] == "incomplete"


@pytest.mark.frameworks
def test_too_little_time_is_an_error_where_all_is_measured_and_a_warning_where_it_is_not(
    project, spec, tmp_path, capsys
):
    assert main(["run", str(spec), "--engine", "inline", "-o", str(tmp_path / "first")]) == 0
    short = {"strategy.budget.seconds": 1e-6}
    hurried = write_spec(project, "german-credit-trees", {**SMALL_TREES, **short}, "hurried.yaml")
    capsys.readouterr()
    assert main(["compile", str(hurried)]) == 0  # everything is known: nothing is left that would take time
    assert "PGX5030" not in capsys.readouterr().err
    more = write_spec(project, "german-credit-trees", {**MORE_SAMPLES, **short}, "more.yaml")
    assert main(["compile", str(more)]) == 2
    assert "error[PGX5030]" in capsys.readouterr().err
    assert main(["run", str(more), "-o", str(tmp_path / "no")]) == 2
    assert not (tmp_path / "no").exists()
    new = {**MORE_SAMPLES, **short, "precaution": [{"use": "outliers"}]}
    partly = write_spec(project, "german-credit-trees", new, "partly.yaml")
    assert main(["compile", str(partly)]) == 0
    assert "warning[PGX5030]" in capsys.readouterr().err
