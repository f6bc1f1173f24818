"""Whole audits of texts on a model whose words have known worth, however the text reaches it.

The model looks up two numbers for each token, takes their mean over the six positions, and gives the two numbers as logits
of a softmax. Padding stands for (0, 0), so that with the fill ``delete`` each word adds a sixth of its own number to a logit,
whatever else the text holds: the value that every method must give it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pgx_compiler as pgx

pytestmark = pytest.mark.frameworks

WORDS = ["<pad>", "<unk>", "good", "bad", "film", "very"]
TABLE = np.array([[0, 0], [0.3, -0.3], [-6, 6], [9, -9], [0.6, 0], [0, 1.2]], np.float32)
LENGTH = 6
TEXTS = ["A very good film", "very bad", "bad bad good!", "", "film film film film film film bad"]
LABELS = [1, 0, 0, 0, 1]
IDS = [
    [1, 5, 2, 4, 0, 0],
    [5, 3, 0, 0, 0, 0],
    [3, 3, 2, 1, 0, 0],
    [0] * 6,
    [4] * 6,
]
"""What the tokenizer must make of `TEXTS`: lower case, signs of their own, unknown words as ``<unk>``, cut at six."""


def model(path: Path, masked: bool) -> None:
    """Ids, and with ``masked`` a mask that says which of them count."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [helper.make_node("Gather", ["table", "ids"], ["looked_up"])]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", LENGTH])]
    constants = [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(np.array([1], np.int64), "along")]
    counted = "looked_up"
    if masked:
        inputs.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["rows", LENGTH]))
        constants.append(numpy_helper.from_array(np.array([2], np.int64), "last"))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["weights", "last"], ["wide"]),
            helper.make_node("Mul", ["looked_up", "wide"], ["counted"]),
        ]
        counted = "counted"
    nodes += [
        helper.make_node("ReduceMean", [counted, "along"], ["mean"], keepdims=0),
        helper.make_node("Softmax", ["mean"], ["probabilities"], axis=1),
    ]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])]
    graph = helper.make_graph(nodes, "bag", inputs, outputs, constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def audited(
    folder: Path,
    data: dict[str, Any],
    inputs: dict[str, Any],
    masked: bool = False,
    factsheet: dict[str, Any] | None = None,
    **explain: Any,
) -> Any:
    model(folder / "bag.onnx", masked)
    (folder / "words.json").write_text(json.dumps(WORDS))
    spec = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "bag"},
        "model": {"onnx": "bag.onnx", "classes": ["negative", "positive"], "inputs": inputs},
        "data": {"modality": "text", **data},
        "explain": {
            "score": "logit",
            "target": "positive",
            "rows": {"from": "train", "all": True},
            "fill": {"kind": "delete"},
            "perturbation": [{"use": "kernel_shap"}, {"use": "occlusion"}],
            **explain,
        },
        "agreement": [{"use": "sign_agreement"}],
        "faithfulness": [{"use": "deletion"}],
        "factsheet": factsheet or {"formats": ["json"]},
    }
    (folder / "a.yaml").write_text(json.dumps(spec))
    return pgx.run(folder / "a.yaml", output=folder / "out", engine="inline")


def evidence(folder: Path, step: str) -> dict[str, Any]:
    with np.load(folder / "out" / "evidence" / step / "attributions.npz") as archive:
        return dict(archive)


def check_worth(folder: Path) -> None:
    for step in ("kernel_shap", "occlusion"):
        found = evidence(folder, step)
        assert found["input_ids"].tolist() == IDS
        for row, ids in enumerate(IDS):
            count = max(1, sum(place > 0 for place in ids))
            assert found["present"][row].sum() == count
            worth = TABLE[ids, 1] / LENGTH
            np.testing.assert_allclose(found["values"][row], np.where(found["present"][row], worth, 0), atol=1e-6)
        np.testing.assert_allclose(found["base_values"], 0, atol=1e-6)


def write_npz(folder: Path, **more: Any) -> None:
    np.savez(folder / "ids.npz", ids=np.array(IDS), y=np.array(LABELS), **more)


def test_token_ids(tmp_path: Path) -> None:
    write_npz(tmp_path)
    data = {"train": {"path": "ids.npz", "target": "y"}}
    audited(tmp_path, data, {"ids": {"kind": "tokens", "vocabulary": "words.json"}})
    check_worth(tmp_path)
    labels = evidence(tmp_path, "occlusion")["feature_labels"]
    assert labels[0].tolist() == ["<unk>", "very", "good", "film", "", ""]
    assert labels[3].tolist() == ["(no text)", "", "", "", "", ""]


def test_ids_without_a_vocabulary_are_called_by_themselves(tmp_path: Path) -> None:
    write_npz(tmp_path)
    audited(tmp_path, {"train": {"path": "ids.npz", "target": "y"}}, {"ids": {"pad": 0}})
    check_worth(tmp_path)
    assert evidence(tmp_path, "occlusion")["feature_labels"][1].tolist() == ["5", "3", "", "", "", ""]


def test_a_mask_goes_along(tmp_path: Path) -> None:
    write_npz(tmp_path, attention_mask=(np.array(IDS) > 0).astype(np.int64))
    data = {"train": {"path": "ids.npz", "target": "y"}}
    audited(tmp_path, data, {"ids": {"vocabulary": "words.json"}}, masked=True)
    check_worth(tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_column_of_text_is_cut(tmp_path: Path, suffix: str) -> None:
    rows = list(zip(TEXTS, LABELS, strict=True))
    if suffix == "csv":
        lines = ["text,label", *(f'"{text}",{label}' for text, label in rows)]
    else:
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    (tmp_path / f"rows.{suffix}").write_text("\n".join(lines) + "\n")
    data = {"train": {"path": f"rows.{suffix}", "target": "label"}, "tokenizer": {"vocabulary": "words.json"}}
    audited(tmp_path, data, {}, masked=True)
    check_worth(tmp_path)


def test_an_id_that_the_vocabulary_has_not_stops_the_audit(tmp_path: Path) -> None:
    np.savez(tmp_path / "ids.npz", ids=np.array([*IDS[:4], [9] * 6]), y=np.array(LABELS))
    audit = audited(tmp_path, {"train": {"path": "ids.npz", "target": "y"}}, {"ids": {"vocabulary": "words.json"}})
    assert audit.verdict.status == "incomplete"
    assert "holds the token id 9, and the vocabulary has 6" in (tmp_path / "out" / "factsheet.json").read_text()


def test_sentences_are_removed_whole(tmp_path: Path) -> None:
    write_npz(tmp_path)
    data = {"train": {"path": "ids.npz", "target": "y"}}
    inputs = {"ids": {"vocabulary": "words.json"}}
    audited(
        tmp_path,
        data,
        inputs,
        features={"units": "sentences"},
        perturbation=[{"use": "occlusion"}, {"use": "exact_shapley"}],
    )
    found = evidence(tmp_path, "exact_shapley")
    # no word of this vocabulary ends a sentence: a text is one feature, worth all that its words add
    assert found["present"].sum(axis=1).tolist() == [1] * 5
    np.testing.assert_allclose(found["values"][:, 0], TABLE[np.array(IDS), 1].sum(axis=1) / LENGTH, atol=1e-6)


@pytest.mark.parametrize("shows", [False, True])
def test_words_stand_in_the_factsheet_only_where_the_spec_shows_rows(tmp_path: Path, shows: bool) -> None:
    """Words are raw data: neither the page nor the facts may hold one unless the spec says so."""
    from pgx_compiler.report import templates

    np.savez(tmp_path / "ids.npz", ids=np.array(IDS[:2]), label=np.array(LABELS[:2]))
    given = {"train": {"path": "ids.npz", "target": "label"}}
    known = {"ids": {"kind": "tokens", "pad": 0, "vocabulary": "words.json"}}
    audit = audited(tmp_path, given, known, factsheet={"formats": ["json"], "show_rows": shows})
    page = templates.page(audit.factsheet)
    told = "good" in page or '"good"' in audit.factsheet.model_dump_json()
    assert told is shows
    (first, *_) = audit.factsheet.explanations
    assert [word.word for word in first.by_word][:1] == (["bad"] if shows else [])
    if shows:
        # <unk> very good film: each adds a sixth of its own number to the logit of `positive`
        worth = {word.word: word.mean for word in first.by_word}
        assert worth["good"] == pytest.approx(1.0, abs=1e-6)
        assert worth["very"] == pytest.approx(0.2, abs=1e-6)
        assert audit.factsheet.examples[0].features == ["<unk>", "very", "good", "film"]
