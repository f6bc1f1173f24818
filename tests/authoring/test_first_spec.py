"""`pgx init`: what it writes is checked by the checks that a person's spec goes through."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tests_project import make_project

from pgx_compiler.cli import main
from pgx_compiler.driver import check, compile
from pgx_compiler.spec.source import load
from tests.authoring.models_made import archive, dense, keras, layer, numbers, pixels, table, two_headed

DRAWN = np.random.default_rng(5)
ROWS = 60
EXAMPLES = {
    "digits": ["models/digits.keras", "models/digits.onnx", "data/digits-train.npz", "data/digits-test.npz"],
    "german-credit": [
        "models/german-credit.onnx",
        "data/german-credit-onehot-test.csv",
        "models/german-credit.keras",
        "data/german-credit-onehot-train.csv",
    ],
    "german-credit-trees": [
        "data/german-credit-test.csv",
        "models/german-credit-trees.onnx",
        "data/german-credit-train.csv",
    ],
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("examples") / "project")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(spec="audit.yaml"):
    """The written spec as plain data, once it is known that nothing is wrong with it."""
    checked = check(spec)
    assert [item.message for item in checked.diagnostics] == []
    return load(Path(spec).read_text(), "audit.yaml").data


def wanted(text):
    """A spec with every suggested block taken: the `# ` of the blocks at the margin is gone."""
    blocks = text.split("\n\n")
    opened = [
        "\n".join(line.removeprefix("# ") for line in block.splitlines())
        if re.match(r"# (strategy|gates|tuning):", block)
        else block
        for block in blocks
    ]
    return "\n\n".join(opened), [block.split(":")[0].removeprefix("# ") for block in blocks if block.startswith("# ")]


def uses(steps):
    return [step["use"] for step in steps]


def table_model(folder, outputs=2, activation="softmax", columns=4, loss=None):
    name = folder / "model.keras"
    return keras(name, numbers(columns), dense("out", outputs, activation, columns), loss=loss)


def columns(count=4):
    return {f"c{i}": DRAWN.normal(size=ROWS).round(3) for i in range(count)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_spec_for_each_example_passes_without_a_word_and_compiles(name, examples, monkeypatch, capsys):
    monkeypatch.chdir(examples)
    spec = f"{name}-made.yaml"
    assert main(["init", *EXAMPLES[name], "-o", spec]) == 0
    data = made(spec)
    steps = {step.id for step in check(spec).audit.steps}
    assert steps <= {node.step for node in compile(spec).graph}
    assert data["metadata"]["name"] == name
    assert data["data"]["train"]["path"].endswith("train.npz" if name == "digits" else "train.csv")
    assert data["data"]["test"]["path"].endswith("test.npz" if name == "digits" else "test.csv")
    assert spec in capsys.readouterr().out


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_suggested_block_may_be_taken(name, examples, monkeypatch):
    monkeypatch.chdir(examples)
    assert main(["init", *EXAMPLES[name], "-o", "suggested.yaml", "--force"]) == 0
    text, blocks = wanted(Path("suggested.yaml").read_text())
    white_box = name != "german-credit-trees"
    assert {"strategy", "gates", *(["tuning"] if white_box else [])} <= set(blocks)
    Path("taken.yaml").write_text(text)
    data = made("taken.yaml")
    assert len(data["gates"]) == (4 if white_box else 3)
    assert ("tuning" in data) == white_box


def test_the_digits_are_read_as_what_they_are(examples, monkeypatch):
    monkeypatch.chdir(examples)
    assert main(["init", *EXAMPLES["digits"], "--force"]) == 0
    data = made()
    assert data["data"]["modality"] == "image"
    assert data["data"]["preprocess"] == {"scale": [0, 1]}
    assert data["model"]["classes"] == [str(digit) for digit in range(10)]
    assert data["explain"]["features"] == {"superpixels": "patches", "size": 2}  # 28 pixels over 16 patches, rounded up
    assert uses(data["explain"]["gradient"])
    assert "correlation" not in uses(data["precaution"])  # of tables alone


def test_one_hot_columns_become_the_questions_of_the_form(examples, monkeypatch):
    monkeypatch.chdir(examples)
    assert main(["init", *EXAMPLES["german-credit"], "--force"]) == 0
    data = made()
    features = data["data"]["features"]
    assert len(features) == 13
    assert features["purpose"] == {"columns": ["purpose=*"]}
    assert all("role" not in feature for feature in features.values())  # who is protected, a person says
    audit = check("audit.yaml").audit
    assert len(audit.features) == 20
    assert "# age: {role: sensitive}" in Path("audit.yaml").read_text()


def test_trees_are_asked_for_no_gradient(examples, monkeypatch):
    monkeypatch.chdir(examples)
    assert main(["init", *EXAMPLES["german-credit-trees"], "--force"]) == 0
    data = made()
    assert "gradient" not in data["explain"]
    assert "shapley_values" in uses(data["explain"]["perturbation"])
    assert "# not for this model and data: adversarial_robustness" in Path("audit.yaml").read_text()


def test_labels_of_words_name_the_classes(here):
    table_model(here)
    table(here / "rows.csv", **columns(), decision=["yes", "no"] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    data = made()
    assert data["model"]["classes"] == ["no", "yes"]
    assert data["data"]["train"] == {"path": "rows.csv", "target": "decision"}
    assert data["explain"]["rows"]["from"] == "train"


def test_without_labels_nothing_that_needs_them_is_asked_for(here, capsys):
    table_model(here)
    table(here / "rows.csv", **columns())
    assert main(["init", "model.keras", "rows.csv"]) == 0
    data = made()
    assert "target" not in data["data"]["train"]
    assert "stratify" not in data["explain"]["rows"]
    assert "class_balance" not in uses(data["precaution"])
    assert "no column or array of labels was found" in capsys.readouterr().err


def test_a_model_with_two_outputs_gets_one_named_and_the_other_mentioned(here):
    two_headed(here / "model.keras")
    table(here / "rows.csv", **columns(), approved=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    assert made()["model"]["output"] == "approved"
    assert "there are also: limit" in Path("audit.yaml").read_text()


def test_an_image_without_channel_is_an_image(here):
    flat = layer("Flatten", name="flat")
    keras(here / "model.keras", pixels(8, 8), flat, dense("out", 3, "softmax", 64))
    x, y = DRAWN.integers(0, 256, (ROWS, 8, 8)).astype(np.uint8), np.arange(ROWS) % 3
    archive(here / "images.npz", x=x, y=y)
    assert main(["init", "images.npz", "model.keras"]) == 0
    data = made()
    assert data["data"]["modality"] == "image"
    assert data["model"]["classes"] == ["0", "1", "2"]
    assert data["explain"]["features"]["size"] == 1


def test_a_model_that_rescales_its_pixels_gets_them_as_they_are(here):
    rescaling = layer("Rescaling", name="rescaling", scale=1 / 255, offset=0.0)
    keras(
        here / "model.keras", pixels(8, 8, 1), rescaling, layer("Flatten", name="flat"), dense("out", 2, "softmax", 64)
    )
    x = DRAWN.integers(0, 256, (ROWS, 8, 8, 1)).astype(np.uint8)
    archive(here / "images.npz", x=x, y=np.arange(ROWS) % 2)
    assert main(["init", "images.npz", "model.keras"]) == 0
    assert made()["data"]["preprocess"] == {"scale": [0, 255]}


def test_a_number_without_bounds_is_a_regression(here):
    table_model(here, 1, "linear", loss="mean_squared_error")
    table(here / "rows.csv", **columns(), price=DRAWN.normal(size=ROWS).round(2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    data = made()
    assert data["model"]["task"] == "regression"
    assert data["explain"]["score"] == "value"
    assert "classes" not in data["model"]
    assert "target" not in data["explain"]


def test_a_log_link_is_explained_below_its_exponential(here):
    table_model(here, 1, "exponential", loss="poisson")
    table(here / "rows.csv", **columns(), claims=DRAWN.poisson(2.0, ROWS))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    data = made()
    assert (data["model"]["task"], data["explain"]["score"]) == ("regression", "log_value")
    assert "differences are ratios; or value" in Path("audit.yaml").read_text()


def test_a_loss_over_logits_is_a_classification(here):
    table_model(here, 2, "linear", loss="sparse_categorical_crossentropy")
    table(here / "rows.csv", **columns(), label=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    assert made()["model"]["task"] == "classification"


def test_ids_and_dates_that_the_model_has_no_place_for_stand_beside(here):
    table_model(here)
    extra = {"customer_id": range(ROWS), "date": [f"2026-01-{1 + i % 28:02}" for i in range(ROWS)]}
    table(here / "rows.csv", **extra, **columns(), label=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    assert made()["data"]["features"] == {"customer_id": {"role": "id"}, "date": {"role": "time"}}


def test_words_that_the_model_cannot_read_are_left_out_by_name(here):
    table_model(here)
    table(here / "rows.csv", town=["Ulm", "Bonn"] * (ROWS // 2), **columns(), label=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    assert made()["data"]["columns"] == ["c0", "c1", "c2", "c3"]


def test_underscores_make_a_group_only_where_each_row_has_exactly_one(here):
    table_model(here, columns=6)
    one = np.eye(3, dtype=int)[np.arange(ROWS) % 3]
    flags = {"paid_rent": DRAWN.integers(0, 2, ROWS), "paid_tax": DRAWN.integers(0, 2, ROWS)}
    jobs = {f"job_{name}": one[:, i] for i, name in enumerate(("clerk", "cook", "judge"))}
    table(here / "rows.csv", **jobs, **flags, size=DRAWN.normal(size=ROWS).round(3), label=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    assert made()["data"]["features"] == {"job": {"columns": ["job_*"]}}


def test_what_only_the_author_can_settle_is_said_and_the_spec_is_written(here, capsys):
    table_model(here, columns=3)
    table(here / "rows.csv", **columns(7), label=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 2
    said = capsys.readouterr().err
    assert "3 features expected by the model, 7 given" in said
    assert "data.columns" in said
    assert Path("audit.yaml").exists()


def test_a_spec_that_is_there_is_not_written_over(here, capsys):
    table_model(here)
    table(here / "rows.csv", **columns(), label=[0, 1] * (ROWS // 2))
    Path("audit.yaml").write_text("mine")
    assert main(["init", "model.keras", "rows.csv"]) == 2
    assert "error[PGX5091]: `audit.yaml` is there already" in capsys.readouterr().err
    assert Path("audit.yaml").read_text() == "mine"
    assert main(["init", "model.keras", "rows.csv", "--force"]) == 0
    assert made()["apiVersion"] == "pgx/v1"


def test_files_must_lie_below_the_spec(here, capsys):
    table_model(here / "models")
    table(here / "data" / "rows.csv", **columns(), label=[0, 1] * (ROWS // 2))
    (here / "specs").mkdir()
    files = ["models/model.keras", "data/rows.csv"]
    assert main(["init", *files, "-o", "specs/audit.yaml"]) == 2
    assert "write the spec above all files, `-o audit.yaml`" in capsys.readouterr().err
    assert main(["init", *files]) == 0
    assert made()["model"] == {"keras": "models/model.keras", "task": "classification", "classes": ["0", "1"]}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["rows.csv"], "error[PGX5090]: no model file is given"),
        (["model.keras"], "no data file is given"),
        (["model.keras", "modell.keras", "rows.csv"], "`modell.keras` does not exist"),
        (["model.keras", "notes.txt"], "`notes.txt` ends in `.txt`"),
        (["model.keras", "other.keras", "rows.csv"], "two keras files are given"),
        (["model.keras", "rows.csv", "b.csv", "c.csv"], "3 data files are given"),
        (["empty.keras", "rows.csv"], "empty.keras"),
    ],
)
def test_files_that_make_no_audit_are_refused_with_what_to_do(files, told, here, capsys):
    table_model(here)
    for name in ("rows.csv", "b.csv", "c.csv"):
        table(here / name, **columns(), label=[0, 1] * (ROWS // 2))
    Path("notes.txt").write_text("notes")
    Path("empty.keras").write_bytes(b"")
    Path("other.keras").write_bytes(Path("model.keras").read_bytes())
    assert main(["init", *files]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "= help: " in said
    assert not Path("audit.yaml").exists()


def test_a_folder_that_cannot_be_written_is_named(here, capsys):
    table_model(here / "project")
    table(here / "project" / "rows.csv", **columns(), label=[0, 1] * (ROWS // 2))
    (here / "project" / "audit.yaml").mkdir()
    files = ["project/model.keras", "project/rows.csv"]
    assert main(["init", *files, "-o", "project/audit.yaml", "--force"]) == 2
    assert "error[PGX5092]: cannot write `project/audit.yaml`: is a directory" in capsys.readouterr().err


def test_of_two_nameless_data_files_the_larger_is_for_training(here):
    table_model(here)
    rows = columns()
    table(here / "b.csv", **rows, label=[0, 1] * (ROWS // 2))
    table(here / "a.csv", **{name: values[:20] for name, values in rows.items()}, label=[0, 1] * 10)
    assert main(["init", "model.keras", "a.csv", "b.csv"]) == 0
    data = made()["data"]
    assert (data["train"]["path"], data["test"]["path"]) == ("b.csv", "a.csv")


def test_the_schema_for_the_editor_comes_along_but_replaces_none(here):
    table_model(here)
    table(here / "rows.csv", **columns(), label=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv"]) == 0
    assert Path("audit.yaml").read_text().startswith("# yaml-language-server: $schema=audit.schema.json\n")
    assert json.loads(Path("audit.schema.json").read_text())["title"] == "pgx audit"
    Path("audit.schema.json").write_text("mine")
    assert main(["init", "model.keras", "rows.csv", "--force"]) == 0
    assert Path("audit.schema.json").read_text() == "mine"


def test_programs_get_json(here, capsys):
    table_model(here)
    table(here / "rows.csv", **columns(), label=[0, 1] * (ROWS // 2))
    assert main(["init", "model.keras", "rows.csv", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == ["audit.yaml", "audit.schema.json"]
    assert any("labels in `label`" in guess for guess in told["guesses"])
