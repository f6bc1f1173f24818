"""Whole audits of models that read the text itself, on a model whose words have known worth; see `tests.whole_texts`."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pgx_compiler as pgx
from pgx_compiler.cli import main
from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.methods.catalogue import catalogue
from tests.whole_texts import BIAS, WORTH, count_words

pytestmark = pytest.mark.frameworks

TEXTS = ["A very good film", "Not bad, very \n", "bad bad (good)!", "", "un été, (very) good"]
WORDS = [
    ["A", "very", "good", "film"],
    ["Not", "bad", ",", "very"],
    ["bad", "bad", "(", "good", ")", "!"],
    ["(no text)"],
    ["un", "été", ",", "(", "very", ")", "good"],
]
LABELS = [1, 0, 0, 0, 1]
MOST = 7


def write(folder: Path, suffix: str, column: str = "text", **more: Any) -> str:
    """The rows in a file, whose name is returned."""
    rows = {column: TEXTS, "label": LABELS, **more}
    path = folder / f"rows.{suffix}"
    if suffix == "npz":
        np.savez(path, **{name: np.array(held) for name, held in rows.items()})
    elif suffix == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([list(rows), *zip(*rows.values(), strict=True)])
    else:
        lines = [json.dumps(dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)]
        path.write_text("\n".join(lines) + "\n")
    return path.name


def spec_of(file: str, **changes: Any) -> dict[str, Any]:
    """An audit; ``a__b`` of the changes is the key `b` below `a`."""
    spec: dict[str, Any] = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "whole"},
        "model": {"onnx": "words.onnx", "classes": ["negative", "positive"]},
        "data": {"modality": "text", "train": {"path": file, "target": "label"}},
        "explain": {
            "score": "logit",
            "target": "positive",
            "rows": {"from": "train", "all": True},
            "perturbation": [{"use": "kernel_shap"}, {"use": "occlusion"}],
        },
        "agreement": [{"use": "sign_agreement"}],
        "faithfulness": [{"use": "deletion"}, {"use": "insertion"}],
        "factsheet": {"formats": ["json"]},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = spec
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return spec


def run(folder: Path, spec: dict[str, Any]) -> Any:
    (folder / "a.yaml").write_text(json.dumps(spec))
    return pgx.run(folder / "a.yaml", output=folder / "out", engine="inline")


def evidence(folder: Path, step: str) -> dict[str, Any]:
    with np.load(folder / "out" / "evidence" / step / "attributions.npz") as archive:
        return dict(archive)


def said(folder: Path, spec: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What `pgx check` has to say of a spec."""
    (folder / "a.yaml").write_text(json.dumps(spec))
    main(["check", str(folder / "a.yaml")])
    told = capsys.readouterr()
    return told.out + told.err


def check_worth(folder: Path, base: float = BIAS / 2) -> None:
    """The logit of a class of two is half of the sum, so each word is worth half of its number."""
    for step in ("kernel_shap", "occlusion"):
        found = evidence(folder, step)
        assert found["feature_labels"].shape == (len(TEXTS), MOST)
        for row, words in enumerate(WORDS):
            assert found["feature_labels"][row, : len(words)].tolist() == words
            assert found["present"][row].sum() == len(words)
            expected = np.zeros(MOST)
            expected[: len(words)] = [WORTH.get(word.lower(), 0.0) / 2 for word in words]
            np.testing.assert_allclose(found["values"][row], expected, atol=1e-6)
        np.testing.assert_allclose(found["base_values"].ravel(), base, atol=1e-6)


@pytest.mark.parametrize(("suffix", "axes"), [("csv", 2), ("jsonl", 1), ("npz", 2)])
def test_each_word_is_worth_its_coefficient(tmp_path: Path, suffix: str, axes: int) -> None:
    count_words(tmp_path / "words.onnx", axes)
    run(tmp_path, spec_of(write(tmp_path, suffix)))
    check_worth(tmp_path)
    pieces = evidence(tmp_path, "occlusion")["input_text"]
    assert ["".join(row) for row in pieces] == TEXTS
    facts = json.loads((tmp_path / "out" / "factsheet.json").read_text())
    assert facts["verdict"]["status"] == "passed"


def test_a_locale_that_this_host_has_not_changes_nothing(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx", locale="")  # en_US.UTF-8 is what such a file means
    run(tmp_path, spec_of(write(tmp_path, "csv")))
    check_worth(tmp_path)


def test_the_column_is_found_by_the_inputs_name_and_another_can_be_named(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx")
    file = write(tmp_path, "csv", title=["t u"] * 5)
    run(tmp_path, spec_of(file))
    check_worth(tmp_path)
    run(tmp_path, spec_of(file, data__columns=["title"]))
    assert evidence(tmp_path, "occlusion")["feature_labels"].tolist() == [["t", "u"]] * 5


def test_a_number_beside_the_text_is_read_and_kept(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx", beside="stars")
    run(tmp_path, spec_of(write(tmp_path, "csv", stars=[1.0, 2.0, 3.0, 4.0, 5.0])))
    for step in ("kernel_shap", "occlusion"):
        found = evidence(tmp_path, step)
        np.testing.assert_allclose(found["base_values"].ravel(), (BIAS + np.arange(1, 6)) / 2, atol=1e-6)
        np.testing.assert_allclose(found["values"][0, :4], [0, 0.5, 1.0, 0.25], atol=1e-6)


def test_sentences(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx")
    np.savez(tmp_path / "rows.npz", text=np.array(["Good. Very good! A film", "bad"]), label=np.array([1, 0]))
    run(tmp_path, spec_of("rows.npz", explain__features={"units": "sentences"}))
    found = evidence(tmp_path, "occlusion")
    assert found["feature_labels"].tolist() == [["Good.", "Very good!", "A film"], ["bad", "", ""]]
    np.testing.assert_allclose(found["values"], [[1, 1.5, 0.25], [-1.5, 0, 0]], atol=1e-6)


def test_a_word_can_stand_for_each_removed_one(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx")
    run(tmp_path, spec_of(write(tmp_path, "csv"), explain__fill={"kind": "mask", "token": "film"}))
    found = evidence(tmp_path, "occlusion")
    np.testing.assert_allclose(found["values"][0, :4], [-0.25, 0.25, 0.75, 0], atol=1e-6)
    # four, four, six, none and seven times `film`, which is worth 0.5
    np.testing.assert_allclose(found["base_values"].ravel(), (BIAS + np.array([2, 2, 3, 0, 3.5])) / 2, atol=1e-6)


def test_what_is_said_of_the_data(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx")
    file = write(tmp_path, "csv")
    (tmp_path / "test.csv").write_text("text,label\nbad bad (good)!,0\na film,1\n")
    spec = spec_of(
        file,
        data__test={"path": "test.csv", "target": "label"},
        precaution=[
            {"use": name} for name in ("duplicate_rows", "outliers", "drift", "missing_values", "class_balance")
        ],
    )
    run(tmp_path, spec)
    facts = {
        fact["id"]: fact["value"] for fact in json.loads((tmp_path / "out" / "factsheet.json").read_text())["facts"]
    }
    assert facts["precaution.duplicate_rows.share_leaked"] == 0.5  # one of the two test texts
    assert facts["precaution.duplicate_rows.share_repeated"] == 0
    assert facts["precaution.missing_values.rows_incomplete"] == 0


def test_every_method_of_texts_answers(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx")
    methods = [
        name
        for name, one in catalogue().items()
        if one.stage == "perturbation" and "text" in one.modalities and one.capability == "Predictor"
    ]
    assert {"exact_shapley", "lime", "mmd_critic", "necessary_features", "occlusion", "rise"} <= set(methods)
    changes = {"explain__perturbation": [{"use": name} for name in methods], "agreement": [], "faithfulness": []}
    run(tmp_path, spec_of(write(tmp_path, "csv"), explain__rows={"from": "train", "ids": [0, 2]}, **changes))
    facts = json.loads((tmp_path / "out" / "factsheet.json").read_text())
    assert facts["verdict"]["status"] == "passed"
    answered = {*(one["step"] for one in facts["explanations"]), *(one["step"] for one in facts["statements"])}
    assert answered == set(methods)


CASES = {
    "tokens": ({"explain__features": {"units": "tokens"}}, ["PGX4033", "what it cuts is not ours to see"]),
    "gradient": (
        {"explain__gradient": [{"use": "integrated_gradients"}]},
        ["PGX4010", "input `text` is text, which has no slope"],
    ),
    "mask without a word": ({"explain__fill": {"kind": "mask"}}, ["PGX4027", "add `token: WORD`"]),
    "mask with an id": ({"explain__fill": {"kind": "mask", "value": 3}}, ["PGX4028", "write `token: WORD`"]),
    "mask with white space": ({"explain__fill": {"kind": "mask", "token": " "}}, ["PGX4027", "is no word"]),
    "a tokenizer": ({"data__tokenizer": {"vocabulary": "v.txt"}}, ["PGX4029", "reads the text itself (`text`)"]),
    "padding": ({"model__inputs": {"text": {"pad": 0}}}, ["PGX4029", "`pad` is for token ids"]),
    "tokens of a string": ({"model__inputs": {"text": {"kind": "tokens"}}}, ["PGX4026", "is said to hold token ids"]),
    "a table": ({"data__modality": "tabular"}, ["PGX40"]),
    "no such column": ({"data__columns": ["texts"]}, ["PGX3020", "did you mean `text`?"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_said(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    count_words(tmp_path / "words.onnx")
    (tmp_path / "v.txt").write_text("[PAD]\n[UNK]\ngood\n")
    changes, told = CASES[case]
    heard = said(tmp_path, spec_of(write(tmp_path, "csv"), **changes), capsys)
    assert all(word in heard for word in told), heard


def test_text_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count_words(tmp_path / "words.onnx")
    np.savez(tmp_path / "rows.npz", text=np.arange(5), label=np.array(LABELS))
    heard = said(tmp_path, spec_of("rows.npz"), capsys)
    assert "PGX4021" in heard
    assert "reads one text a row" in heard


@pytest.mark.parametrize(
    ("text", "told"),
    [("half \ud800", "what is no letter"), ("a\0b", "what is no letter"), ("x" * 1_000_001, "1,000,001 letters")],
)
def test_texts_that_no_model_can_be_given_stop_the_audit(tmp_path: Path, text: str, told: str) -> None:
    count_words(tmp_path / "words.onnx")
    np.savez(tmp_path / "rows.npz", text=np.array(["a good film", text]), label=np.array([1, 0]))
    try:
        run(tmp_path, spec_of("rows.npz"))
    except AuthorError as error:
        heard = str(error)
    else:
        heard = (tmp_path / "out" / "events.jsonl").read_text()
    assert told in heard
    assert "row 1" in heard


def test_two_texts_and_which_is_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_texts(tmp_path / "words.onnx")
    file = write(tmp_path, "csv", title=["good"] * 5)
    heard = said(tmp_path, spec_of(file), capsys)
    assert "PGX4026" in heard
    assert "kind: text" in heard
    run(tmp_path, spec_of(file, model__inputs={"text": {"kind": "text"}}))
    found = evidence(tmp_path, "occlusion")
    np.testing.assert_allclose(found["base_values"].ravel(), (BIAS + 2.0) / 2, atol=1e-6)  # the title stays: `good`
    np.testing.assert_allclose(found["values"][0, :4], [0, 0.5, 1.0, 0.25], atol=1e-6)


def two_texts(path: Path) -> None:
    """The words of a title, put before the text, count as well."""
    import onnx

    count_words(path, axes=1)
    model = onnx.load(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info("title", onnx.TensorProto.STRING, ["rows"]))
    nodes = [
        onnx.helper.make_node("StringConcat", ["title", "space"], ["apart"]),
        onnx.helper.make_node("StringConcat", ["apart", "text"], ["both texts"]),
        *(type(node).FromString(node.SerializeToString()) for node in model.graph.node),
    ]
    nodes[2].input[0] = "both texts"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(onnx.helper.make_tensor("space", onnx.TensorProto.STRING, [1], [b" "]))
    model.opset_import[0].version = 20
    onnx.save(model, path)


def test_a_first_spec_is_drawn_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count_words(tmp_path / "words.onnx")
    train = write(tmp_path, "csv", column="review", source=["a", "b", "a", "b", "a"])
    spec = tmp_path / "audit.yaml"
    assert main(["init", str(tmp_path / "words.onnx"), str(tmp_path / train), "-o", str(spec)]) == 0
    told = spec.read_text()
    assert "modality: text" in told
    assert "target: label" in told
    assert "- review" in told  # of two columns of words, the one of most letters
    assert main(["check", str(spec)]) == 0
    capsys.readouterr()
