"""Whole audits of models whose signature is not the simple one: the file says one thing, the data holds another."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_zoo import JOBS, SIGNATURES, Signature, ml, node

from pgx_compiler import driver
from pgx_compiler.analysis.checked import check

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(11)


def zoo(name: str) -> Signature:
    return next(one for one in SIGNATURES if one.name == name)


def project(folder: Path, signature: Signature, model: Mapping[str, Any], data: Mapping[str, Any]) -> Path:
    """A spec over a model of the zoo, in a project of its own."""
    (folder / ".pgx").mkdir(exist_ok=True)
    onnx.save(signature.model(), folder / "made.onnx")
    spec = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "signature"},
        "model": {"onnx": "made.onnx", "task": signature.task, **model},
        "data": data,
        "explain": {"rows": {"from": "train", "sample": 4}, "perturbation": [{"use": "occlusion"}]},
        "factsheet": {"formats": ["json"]},
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    return folder / "spec.yaml"


EVERY_WAY = {
    "agreement": [{"use": "rank_correlation"}],
    "faithfulness": [{"use": "deletion"}, {"use": "completeness_gap"}],
}


def changed(spec: Path, explain: Mapping[str, Any], **rest: Any) -> Path:
    """The spec with other keys under `explain`, and at its top."""
    written = json.loads(spec.read_text())
    written["explain"] |= explain
    spec.write_text(json.dumps(written | rest))
    return spec


def run(spec: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Run a spec; the factsheet, and what occlusion left."""
    checked = check(spec)
    assert checked.audit is not None, [item.message for item in checked.diagnostics]
    ran = driver.run(spec, spec.parent / "run", engine="inline")
    assert {name: one.reason for name, one in ran.result.outcomes.items() if one.reason} == {}
    with np.load(spec.parent / "run" / "evidence" / "occlusion" / "attributions.npz") as held:
        return ran, dict(held)


def table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def test_one_input_a_column_with_words_and_whole_numbers(tmp_path: Path) -> None:
    """y = job + 0.5 years + 2 income + 4 owns: a column's occlusion is its own term, less the mean of the background's."""
    n = 40
    columns = {
        "owns": RNG.integers(0, 2, n),
        "income": np.round(RNG.normal(size=n), 3),
        "job": RNG.choice(JOBS[:3, 0], n),
        "years": RNG.integers(0, 30, n),
    }
    table(tmp_path / "rows.csv", columns)
    spec = project(tmp_path, zoo("one input a column"), {}, {"modality": "tabular", "train": {"path": "rows.csv"}})
    _, found = run(spec)
    assert found["feature_names"].tolist() == ["job", "years", "income", "owns"]
    rows = found["row_ids"].astype(int)
    jobs = np.array([{"clerk": 1.0, "smith": -2.0, "baker": 0.25}[word] for word in columns["job"]])
    terms = np.stack([jobs, 0.5 * columns["years"], 2 * columns["income"], 4 * columns["owns"]], axis=1)
    # every term is additive, so all rows' differences from one another are those of the terms
    values = found["values"]
    np.testing.assert_allclose(values - values[0], terms[rows] - terms[rows[0]], atol=1e-4)


def test_a_state_and_a_rate_are_given_and_never_perturbed(tmp_path: Path) -> None:
    """A product with (1, 2, -1) at 8 kHz, which halves it, below a sigmoid; the state of ones adds 8."""
    x = RNG.normal(size=(30, 3)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    model = {
        "classes": ["silence", "speech"],
        "output": "p",
        "inputs": {"sr": {"fixed": 8000}, "state": {"fixed": "ones", "batch_axis": 1}},
    }
    data = {"modality": "tabular", "train": {"path": "rows.npz", "target": "y"}, "columns": ["a", "b", "c"]}
    _, found = run(project(tmp_path, zoo("fixed rate and state"), model, data))
    assert found["feature_names"].tolist() == ["a", "b", "c"]
    rows = found["row_ids"].astype(int)
    logit = x[rows] @ [1, 2, -1] / 2 + 8
    # every row is said to be speech (the logit is 8 give or take little), and speech is what is explained
    np.testing.assert_allclose(found["scores"], logit, atol=1e-4)
    assert found["targets"].tolist() == [1] * 4


@pytest.mark.parametrize("held", ["channels first", "channels last"])
@pytest.mark.parametrize("said", [True, False])
def test_images_with_channels_first(tmp_path: Path, held: str, said: bool) -> None:
    """The model answers with the mean of each channel over the upper three of six rows of pixels."""
    images = RNG.uniform(size=(12, 6, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=images.transpose(0, 3, 1, 2) if held == "channels first" else images)
    model: dict[str, Any] = {"inputs": {"image": {"layout": "NCHW", "value_range": [0, 1]}}} if said else {}
    spec = project(tmp_path, zoo("channels first"), model, {"modality": "image", "train": {"path": "rows.npz"}})
    fill = {"kind": "value", "value": 0}
    changed(spec, {"target": "0", "features": {"superpixels": "patches", "size": 2}, "fill": fill})
    _, found = run(spec)
    values = found["values"].reshape(4, 3, 4)  # patches of 2 x 2 pixels: three down, four across
    chosen = images[found["row_ids"].astype(int)].astype(np.float64)
    # output 0 is the first channel; a patch of the first row of patches loses its sum over 3 x 8 pixels
    first = chosen[:, :2, :, 0].reshape(4, 2, 4, 2).sum(axis=(1, 3)) / 24
    second = chosen[:, 2, :, 0].reshape(4, 4, 2).sum(axis=2) / 24  # only one of its two rows of pixels is looked at
    np.testing.assert_allclose(values[:, 0], first, atol=1e-5)
    np.testing.assert_allclose(values[:, 1], second, atol=1e-5)
    np.testing.assert_allclose(values[:, 2], 0, atol=1e-7)


@pytest.mark.parametrize("name", ["batch fixed at 3", "If, with a flag that is fixed", "float64", "Loop"])
def test_other_signatures_need_no_word_or_one(tmp_path: Path, name: str) -> None:
    signature = zoo(name)
    x = RNG.normal(size=(20, 3))
    np.savez(tmp_path / "rows.npz", x=x)
    model = {"inputs": {"switch": {"fixed": [0]}}} if "flag" in name else {}
    spec = project(tmp_path, signature, model, {"modality": "tabular", "train": {"path": "rows.npz"}})
    _, found = run(changed(spec, {"target": "0"}))
    rows = x[found["row_ids"].astype(int)]
    weights = {"Loop": [3, 0, 0], "If, with a flag that is fixed": [1.0, 4.0, -1.5]}.get(name, [0.5, 2.0, -0.75])
    bias = 0.0 if name == "Loop" else 0.1
    np.testing.assert_allclose(found["scores"], rows @ weights + bias, atol=1e-5)


def test_a_list_of_maps_names_the_classes_itself(tmp_path: Path) -> None:
    x = RNG.normal(size=(60, 3)).astype(np.float32)
    table(
        tmp_path / "rows.csv", {**{f"c{i}": x[:, i] for i in range(3)}, "kind": RNG.choice(["no", "yes", "maybe"], 60)}
    )
    data = {"modality": "tabular", "train": {"path": "rows.csv", "target": "kind"}}
    spec = project(tmp_path, zoo("a list of maps"), {}, data)
    changed(spec, {"target": "maybe", "score": "probability"})
    audit = check(spec).audit
    assert audit is not None
    assert audit.classes == ("no", "yes", "maybe")
    _, found = run(spec)
    assert found["targets"].tolist() == [2] * 4
    assert ((found["scores"] > 0) & (found["scores"] < 1)).all()


def test_one_number_of_a_detector_is_explained(tmp_path: Path) -> None:
    """The detector's table times the sum of x: the largest of row 8 is 35 times a sum above zero, 32 times one below."""
    x = RNG.normal(size=(30, 3)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x)
    model = {"output": {"name": "detection", "select": [8], "reduce": "max"}}
    _, found = run(
        project(tmp_path, zoo("index and index"), model, {"modality": "tabular", "train": {"path": "rows.npz"}})
    )
    total = x[found["row_ids"].astype(int)].sum(axis=1)
    np.testing.assert_allclose(found["scores"], np.where(total > 0, 35, 32) * total, rtol=1e-5)


def test_missing_values_that_trees_read_pass_everywhere(tmp_path: Path) -> None:
    """TreeEnsemble of ai.onnx.ml 5: x0 <= 0 or missing gives -1.5, else 2.5."""
    x = RNG.normal(size=(60, 3))
    cells = [["" if i % 3 == 0 and j == 0 else f"{v:.4f}" for j, v in enumerate(row)] for i, row in enumerate(x)]
    columns = dict(zip(("a", "b", "c"), zip(*cells, strict=True), strict=True))
    table(tmp_path / "rows.csv", columns)
    data = {"modality": "tabular", "train": {"path": "rows.csv"}}
    for fill in ({"kind": "background", "size": 10}, {"kind": "mean"}):
        spec = project(tmp_path, zoo("TreeEnsemble of ai.onnx.ml 5, NaN"), {}, data)
        precaution = [{"use": "missing_values"}, {"use": "correlation"}, {"use": "outliers"}]
        steps = [{"use": "occlusion"}, {"use": "kernel_shap"}]
        every = {"fill": fill, "rows": {"from": "train", "all": True}, "perturbation": steps}
        changed(spec, every, precaution=precaution, **EVERY_WAY)
        _, found = run(spec)
        left = np.array([cell == "" or float(cell) <= 0 for cell in columns["a"]])
        np.testing.assert_allclose(found["scores"], np.where(left, -1.5, 2.5))
        np.testing.assert_allclose(found["values"][:, 1:], 0)
        assert np.isfinite(found["values"]).all()


def test_several_inputs_may_be_wide(tmp_path: Path) -> None:
    """Three numbers and a letter; the numbers as an array or as numbered columns."""
    signature = zoo("Scaler, OneHotEncoder, Normalizer")
    x, letters = RNG.normal(size=(20, 3)).astype(np.float32), RNG.choice(["a", "b"], 20)
    np.savez(tmp_path / "rows.npz", x=x, c=letters)
    table(tmp_path / "rows.csv", {"c": letters, **{f"x_{i}": x[:, i] for i in range(3)}})
    answers = []
    for name in ("rows.npz", "rows.csv"):
        _, found = run(project(tmp_path, signature, {}, {"modality": "tabular", "train": {"path": name}}))
        assert found["feature_names"].tolist() == ["x_0", "x_1", "x_2", "c"]
        answers.append(found["values"])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_one_input_of_several_words_is_read_from_columns(tmp_path: Path) -> None:
    """LabelEncoder over (rows, 2) words: north 1, south 2, east 4; the score is their sum, so that each word adds its own."""
    nodes = [
        ml("LabelEncoder", ["c"], ["n"], keys_strings=["north", "south", "east"], values_floats=[1.0, 2.0, 4.0]),
        node("ReduceSum", ["n", "axes"], ["y"], keepdims=1),
    ]
    read = [onnx.helper.make_tensor_value_info("c", onnx.TensorProto.STRING, [None, 2])]
    given = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1])]
    graph = onnx.helper.make_graph(nodes, "g", read, given, [onnx.numpy_helper.from_array(np.array([1]), "axes")])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    signature = Signature("words", lambda: onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), {}, {})
    held = RNG.choice(["north", "south", "east"], (20, 2))
    np.savez(tmp_path / "rows.npz", c=held)
    table(tmp_path / "rows.csv", {"from": held[:, 0], "to": held[:, 1]})
    worth = np.vectorize({"north": 1.0, "south": 2.0, "east": 4.0}.get)(held)
    for name in ("rows.npz", "rows.csv"):
        spec = project(tmp_path, signature, {}, {"modality": "tabular", "train": {"path": name}})
        _, found = run(changed(spec, {"fill": {"kind": "background", "size": 20}}))
        shown = found["row_ids"].astype(int)
        np.testing.assert_allclose(found["values"], (worth - worth.mean(axis=0))[shown], atol=1e-6)


def test_weights_beside_the_file_are_part_of_the_question(tmp_path: Path) -> None:
    signature, x = zoo("float32"), RNG.normal(size=(20, 3)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x)
    spec = project(tmp_path, signature, {}, {"modality": "tabular", "train": {"path": "rows.npz"}})
    changed(spec, {"target": "0"})
    models = [signature.model(), signature.model()]
    weights = onnx.numpy_helper.to_array(models[1].graph.initializer[0])
    models[1].graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(3 * weights, "w"))
    for factor, model in zip((1, 3), models, strict=True):
        (tmp_path / "made.data").unlink(missing_ok=True)
        onnx.save(model, tmp_path / "made.onnx", save_as_external_data=True, location="made.data", size_threshold=0)
        ran, found = run(spec)
        assert set(ran.plan.lock["models"]) == {"made.onnx", "made.data"}
        rows = x[found["row_ids"].astype(int)]
        np.testing.assert_allclose(found["scores"], rows @ [0.5, 2.0, -0.75] * factor + 0.1, atol=1e-5)


# what is refused


@pytest.mark.parametrize(
    ("name", "model", "code", "words"),
    [
        ("fixed rate and state", {}, 4006, "the input `sr` is a single value"),
        ("fixed rate and state", {"inputs": {"sr": {"fixed": 1}}}, 4006, "`state` 2 × any × 4"),
        ("fixed rate and state", {"inputs": {"sr": {"fixed": "fast"}}}, 4006, "`fast` is no int64"),
        ("index and index", {}, 4007, "more than one axis is left"),
        ("index and index", {"output": {"select": [9], "reduce": "max"}}, 4007, "no position 9 on its axis 1"),
        ("a list of tensors", {}, 4007, "is a list of tensors"),
    ],
)
def test_what_does_not_fit_is_said_before_it_runs(
    tmp_path: Path, name: str, model: dict[str, Any], code: int, words: str
) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((4, 3)))
    spec = project(
        tmp_path, zoo(name), {"task": "regression", **model}, {"modality": "tabular", "train": {"path": "rows.npz"}}
    )
    said = [(item.code.number, item.message) for item in check(spec).diagnostics]
    assert [number for number, _ in said] == [code]
    assert words in said[0][1]


def test_inputs_that_depend_on_one_another_change_together(tmp_path: Path) -> None:
    n = 30
    columns = {
        "job": RNG.choice(JOBS[:3, 0], n),
        "years": RNG.integers(0, 30, n),
        "income": np.round(RNG.normal(size=n), 3),
        "owns": RNG.integers(0, 2, n),
    }
    table(tmp_path / "rows.csv", columns)
    data = {
        "modality": "tabular",
        "train": {"path": "rows.csv"},
        "features": {"career": {"columns": ["job", "years"]}},
    }
    _, found = run(project(tmp_path, zoo("one input a column"), {}, data))
    assert found["feature_names"].tolist() == ["career", "income", "owns"]
    jobs = np.array([{"clerk": 1.0, "smith": -2.0, "baker": 0.25}[word] for word in columns["job"]])
    career = (jobs + 0.5 * columns["years"])[found["row_ids"].astype(int)]
    np.testing.assert_allclose(found["values"][:, 0] - found["values"][0, 0], career - career[0], atol=1e-4)
