"""`pgx methods` and `pgx explain METHOD` in a terminal: they fit, they are complete, and their example may be pasted."""

import json

import pytest
import yaml
from tests_project import ROOT

from pgx_compiler.authoring.method_pages import EXAMPLE, described, example, page, price
from pgx_compiler.authoring.possible import refusals
from pgx_compiler.authoring.type_words import one_line
from pgx_compiler.cli import main
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.spec.model import STEP_PATHS

MODELS = ROOT / "specs" / "models"
METHODS = [catalogue()[name] for name in catalogue()]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("declaration", METHODS, ids=lambda declaration: declaration.name)
def test_a_page_fits_and_says_everything(declaration, width):
    text = page(declaration, width)
    # an address is not broken: it would lead nowhere
    assert [line for line in text.splitlines() if len(line) > width and "://" not in line] == []
    flat = " ".join(text.split())
    for told in (declaration.summary, declaration.reading, declaration.limits, declaration.paper):
        assert " ".join(one_line(told).split()) in flat
    for name, field in described(declaration)["parameters"].items():
        assert field["description"]
        assert f" {name}: {field['type']}; " in flat
        assert field["description"] in flat


@pytest.mark.parametrize("declaration", METHODS, ids=lambda declaration: declaration.name)
def test_the_example_of_a_page_is_a_step_of_the_language(declaration):
    place = yaml.safe_load(example(declaration))
    for key in next(path for path in STEP_PATHS if path[-1] == declaration.stage):
        place = place[key]
    (step,) = place
    assert step["use"] == declaration.name
    params = declaration.params.model_validate(step.get("with", {}))
    assert params == declaration.params()


def test_the_price_of_an_example_is_that_of_the_method():
    declaration = catalogue()["occlusion"]
    # every row: each feature removed, filled from every reference; and the row itself
    rows = EXAMPLE.rows * (EXAMPLE.features * EXAMPLE.references + 1)
    assert price(declaration).startswith(f"{rows:,} model rows forward")


def test_the_terminal_is_asked_for_its_width(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["explain", "kernel_shap"]) == 0
    narrow = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["explain", "kernel_shap"]) == 0
    wide = capsys.readouterr().out.splitlines()
    assert len(wide) < len(narrow)
    assert max(map(len, narrow)) <= 60 < max(map(len, wide)) <= 100


def test_a_mistyped_method_is_a_mistake_with_a_suggestion(capsys):
    assert main(["explain", "kernel_shop"]) == 2
    said = capsys.readouterr().err
    assert "error[PGX3090]: there is nothing called `kernel_shop`" in said
    assert "did you mean `kernel_shap`?" in said


def test_methods_are_filtered_by_stage_and_modality(capsys):
    assert main(["methods", "--stage", "gradient", "--modality", "text", "--format", "json"]) == 0
    names = {item["name"] for item in json.loads(capsys.readouterr().out)}
    assert names == {d.name for d in METHODS if d.stage == "gradient" and "text" in d.modalities}


def test_methods_of_a_model_say_why_not(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["methods", "--model", str(MODELS / "german-credit-trees.onnx"), "--stage", "gradient"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("not possible here:")
    assert "integrated_gradients" in told
    assert "it needs gradients, and the model is onnx (tree ensemble)" in told


@pytest.mark.parametrize(
    ("file", "cannot", "can"),
    [
        ("german-credit-trees.onnx", {"integrated_gradients", "exact_shapley"}, {"tree_shap", "kernel_shap"}),
        ("digits.keras", {"tree_shap", "correlation"}, {"integrated_gradients", "kernel_shap"}),
        ("digits.onnx", {"tree_shap", "attention_rollout"}, {"kernel_shap", "integrated_gradients", "grad_cam", "lrp"}),
    ],
)
def test_what_a_model_can_do_is_what_the_checks_allow(file, cannot, can):
    refused = refusals(str(MODELS / file))
    assert cannot <= set(refused)
    assert not can & set(refused)
    assert all(refused.values())


def test_another_modality_may_be_asked_about():
    assert "it does not work on text data" in refusals(str(MODELS / "german-credit.keras"), "text").values()


@pytest.mark.parametrize("file", ["nowhere.keras", "digits.kera", "../data/digits-test.npz"])
def test_a_file_that_is_no_model_is_said_to_be_none(file, capsys):
    assert main(["methods", "--model", str(MODELS / file)]) == 2
    assert "= help: " in capsys.readouterr().err
