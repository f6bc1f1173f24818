"""What a checked audit holds, re-derived from the example files; and that checking opens nothing heavy."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler.analysis.analyse import Analysis, analyse
from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.spec.parse import parse

SPECS = Path(__file__).parents[2] / "specs"


def check(text: str, root: Path = SPECS) -> Analysis:
    return analyse(parse(text, "a.yaml"), root)


def resolved(name: str, change: Callable[[str], str] = lambda text: text) -> Resolved:
    analysis = check(change((SPECS / name).read_text("utf-8")))
    assert [item.message for item in analysis.diagnostics] == []
    assert analysis.resolved is not None
    return analysis.resolved


def codes(analysis: Analysis) -> list[str]:
    return [str(item.code) for item in analysis.diagnostics]


def test_digits_resolve_to_patches_on_both_files() -> None:
    audit = resolved("digits.yaml")
    assert len(audit.features) == 14 * 14  # 28 pixels in patches of 2
    assert audit.score == "logit"
    assert (audit.n_outputs, audit.classes) == (10, tuple("0123456789"))
    assert (audit.rows, audit.references, audit.fill) == (32, 1, {"kind": "mean"})
    assert audit.sources == {"image": ("x",)}
    assert audit.inputs[0].shape == (None, 28, 28, 1)
    assert (audit.masks["border"].height, audit.masks["border"].width) == (28, 28)


def test_steps_run_where_they_can_and_have_their_defaults() -> None:
    audit = resolved("digits.yaml")
    assert {step.id: step.runs_on for step in audit.steps} == {
        "class_balance": None,
        "missing_values": None,
        "duplicate_rows": None,
        "outliers": None,
        "drift": None,
        "adversarial_robustness": "keras",
        "kernel_shap": "onnx",
        "occlusion": "onnx",
        "saliency": "keras",
        "integrated_gradients": "keras",
        "rank_correlation": None,
        "top_k_overlap": None,
        "deletion": "onnx",
    }
    step = audit.step("integrated_gradients")
    assert step.path == ("explain", "gradient", 1)
    assert step.params.model_dump()["steps"] == 64
    assert step.span is not None
    assert "integrated_gradients" in audit.document.text.split("\n")[step.span.line - 1]
    assert [one.id for one in audit.attributions] == ["kernel_shap", "occlusion", "saliency", "integrated_gradients"]
    with pytest.raises(KeyError):
        audit.step("lime")


def test_perturbation_runs_on_keras_where_there_is_no_onnx() -> None:
    def white_box_alone(text: str) -> str:
        gate = "  - fact: model.parity.max_difference\n    max: 1.0e-4\n"
        return text.replace("  onnx: models/digits.onnx\n", "").replace(gate, "")

    assert resolved("digits.yaml", white_box_alone).step("kernel_shap").runs_on == "keras"


def test_61_columns_become_the_20_questions_of_the_form() -> None:
    audit = resolved("german-credit.yaml")
    assert (len(audit.columns), len(audit.features)) == (61, 20)
    # 7 numbers stand alone; the other 13 features own the 54 one-hot columns
    assert sorted(audit.features.sizes().tolist())[:7] == [1] * 7
    assert int(audit.features.sizes().sum()) == 61
    assert set(audit.groups) == {name for name in audit.features.names if name in audit.groups}
    assert audit.references == 50


def test_trees_are_explained_in_log_odds_unless_the_spec_says_otherwise() -> None:
    audit = resolved("german-credit-trees.yaml", lambda text: text.replace("  score: log_odds\n", ""))
    assert audit.score == "log_odds"
    assert set(audit.models) == {"onnx"}
    assert audit.step("shapley_values").runs_on == "onnx"


def test_files_carry_their_digest_and_their_path_below_the_spec() -> None:
    audit = resolved("german-credit-trees.yaml")
    file = audit.data["train"]
    assert file.relative == "data/german-credit-train.csv"
    assert file.sha256 == hashlib.sha256((SPECS / file.relative).read_bytes()).hexdigest()


def test_classes_without_names_are_numbered() -> None:
    audit = resolved(
        "german-credit-trees.yaml",
        lambda text: text.replace("  classes: [good, bad]\n", "").replace("target: bad\n", "target: '1'\n"),
    )
    assert audit.classes == ("0", "1")


def test_columns_with_the_role_of_an_id_are_not_read_by_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes((SPECS / "models/german-credit-trees.onnx").read_bytes())
    lines = (SPECS / "data/german-credit-train.csv").read_text("utf-8").splitlines()
    numbered = [f"customer,{lines[0]}"] + [f"{i},{line}" for i, line in enumerate(lines[1:])]
    (tmp_path / "d.csv").write_text("\n".join(numbered) + "\n", "utf-8")
    spec = """\
apiVersion: pgx/v1
kind: Audit
metadata: {name: a}
model: {onnx: m.onnx}
data:
  modality: tabular
  train: {path: d.csv, target: bad_risk}
  features: {customer: {role: id}}
precaution: [{use: class_balance}]
"""
    audit = check(spec, tmp_path).resolved
    assert audit is not None
    assert "customer" not in audit.columns
    assert audit.beside == ("customer",)
    unmarked = check(spec.replace("{role: id}", "{}"), tmp_path)
    assert codes(unmarked) == ["PGX4020"]
    assert "20 features expected by the model, 21 given" in next(iter(unmarked.diagnostics)).message


def test_no_file_is_reached_outside_the_folder_of_the_spec(tmp_path: Path) -> None:
    inside = tmp_path / "audit"
    inside.mkdir()
    (inside / "link.onnx").symlink_to(SPECS / "models/digits.onnx")
    os.mkfifo(inside / "pipe.npz")
    (inside / "loop.npz").symlink_to(inside / "loop.npz")
    spec = """\
apiVersion: pgx/v1
kind: Audit
metadata: {name: a}
model: {onnx: link.onnx}
data: {modality: image, train: {path: pipe.npz}, test: {path: loop.npz}}
precaution: [{use: missing_values}]
"""
    found = check(spec, inside)
    assert codes(found) == ["PGX5001", "PGX5002", "PGX5002"]
    assert "a link out of the spec's folder" in next(iter(found.diagnostics)).message


def test_warnings_alone_do_not_fail_an_audit() -> None:
    text = (SPECS / "digits.yaml").read_text("utf-8").replace("  preprocess: {scale: [0, 1]}\n", "")
    analysis = check(text)
    assert codes(analysis) == ["PGX4023", "PGX4023"]
    assert analysis.resolved is not None


def test_a_failed_prerequisite_is_said_once() -> None:
    text = (SPECS / "german-credit.yaml").read_text("utf-8")
    assert codes(check(text.replace("models/german-credit.keras", "models/lost.keras"))) == ["PGX5002"]
    assert codes(check(text.replace("german-credit-onehot-train", "lost"))) == ["PGX5002"]
    assert codes(check(text.replace("use: kernel_shap", "use: kernel_shop"))) == ["PGX3001"]


def test_the_check_imports_no_framework() -> None:
    program = """
import sys
from pathlib import Path
from pgx_compiler.analysis.analyse import analyse
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.source import read_source
path = Path(sys.argv[1])
assert analyse(parse(read_source(path), path.name), path.parent).resolved is not None
heavy = {"tensorflow", "keras", "onnxruntime", "shap", "hyperopt", "weasyprint", "h5py", "PIL", "sklearn"}
print(sorted(heavy & set(sys.modules)), sorted(name for name in sys.modules if name.startswith("scipy.")))
"""
    root = SPECS.parent
    command = [sys.executable, "-c", program, str(SPECS / "digits.yaml")]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


def paths_of(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else []
    return [path, *(place for key, value in inner for place in paths_of(value, (*path, key)))]


DOCUMENTS = [parse((SPECS / name).read_text("utf-8"), name).document for name in ("digits.yaml", "german-credit.yaml")]
PLACES = [(document, path) for document in DOCUMENTS for path in paths_of(document.data) if path]
WORDS = [
    "occlusion",
    "saliency",
    "x",
    "age",
    "data",
    "agreement.rank_correlation",
    "text",
    "regression",
    "train",
    "bad",
]
VALUES: list[Any] = [None, True, 0, 1, -3, 0.5, 10**6, "", *WORDS, [], {}, [0], ["occlusion"], {"use": "occlusion"}]


@given(st.sampled_from(PLACES), st.sampled_from(VALUES), st.booleans())
@settings(max_examples=250, deadline=None)
def test_whatever_stands_in_one_place_is_resolved_or_complained_about(place: Any, value: Any, delete: bool) -> None:
    import copy
    import json

    document, path = place
    data = copy.deepcopy(document.data)
    held: Any = data
    for part in path[:-1]:
        held = held[part]
    if delete:
        del held[path[-1]]
    else:
        held[path[-1]] = value
    analysis = check(json.dumps(data, indent=1))
    assert (analysis.resolved is None) == analysis.diagnostics.failed
    assert all(item.span is not None and item.help for item in analysis.diagnostics)


def test_a_spec_that_did_not_parse_is_handed_back_with_its_reasons() -> None:
    parsed = parse("a: 1\n", "a.yaml")
    assert codes(analyse(replace(parsed), SPECS)) == [str(item.code) for item in parsed.diagnostics]


def test_a_spec_with_thousands_of_mistakes_is_refused_in_seconds() -> None:
    import time

    text = (SPECS / "german-credit-trees.yaml").read_text("utf-8")
    many = text + "accept: []\n" + text[text.index("gates:") : text.index("factsheet:")]
    steps = "".join("  - use: outlirs\n" for _ in range(8_000))
    started = time.perf_counter()
    found = check(text.replace("precaution:\n", f"precaution:\n{steps}"))
    assert time.perf_counter() - started < 20
    assert found.resolved is None
    assert len(found.diagnostics) == 101
    assert codes(check(many)) == ["PGX1007"]


def test_a_spec_of_no_valid_form_with_more_mistakes_than_are_shown_is_refused() -> None:
    """Found by the fuzz: the search for further mistakes gave up by an exception that nobody caught."""
    text = (SPECS / "german-credit-trees.yaml").read_text("utf-8")
    steps = "".join("  - use: outlirs\n" for _ in range(200))
    found = check(text.replace("precaution:\n", f"precaution:\n{steps}").replace("seed: 7", "seed: seven"))
    assert found.resolved is None
    messages = [item.message for item in found.diagnostics]
    assert any("`seed` takes a whole number" in message for message in messages)
    assert any("no method is called `outlirs`" in message for message in messages)


@pytest.mark.parametrize("step", ["5e-324", "1e-300", "1e-18"])
def test_a_grid_of_more_places_than_there_are_numbers_is_refused(step: str) -> None:
    """Found by the fuzz: the number of steps was infinite, and rounding it failed."""
    text = (SPECS / "digits.yaml").read_text("utf-8")
    line = "    optimizer.learning_rate: {loguniform: [1.0e-4, 1.0e-2]}"
    assert line in text
    found = check(text.replace(line, f"    optimizer.learning_rate: {{quniform: [0, 1e9, {step}]}}"))
    assert found.resolved is None
    (message,) = [item.message for item in found.diagnostics]
    assert message == f"from 0 to 1000000000.0 there are too many steps of {float(step)}"
