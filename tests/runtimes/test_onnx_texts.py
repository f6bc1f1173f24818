"""ONNX files that read texts: their facts, the size of a call, locales that a host has not, and pipelines of scikit-learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pgx_compiler as pgx
from runtimes.capabilities import View
from runtimes.frameworks import onnx_runtime
from runtimes.target import ModelFileError
from tests.whole_texts import BIAS, WORTH, count_words

pytestmark = pytest.mark.frameworks


def logits(path: Path, texts: list[str]) -> Any:
    handle = onnx_runtime.open_model(path, View("logit"))
    return handle.predict({"text": np.array(texts, object)[:, None]})[:, 1]


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx")
    facts = onnx_runtime.inspect(tmp_path / "words.onnx")
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in facts.inputs] == [("text", (None, 1), "str")]
    assert facts.n_outputs == 2
    assert "Differentiable" not in facts.capabilities
    assert "is text, which has no slope" in facts.lacks["Differentiable"]


@pytest.mark.parametrize("locale", ["", "en_US.UTF-8", "en_GB.UTF-8", "C.UTF-8"])
def test_small_letters_are_those_of_unicode_whatever_english_locale_is_named(tmp_path: Path, locale: str) -> None:
    count_words(tmp_path / "words.onnx", locale=locale)
    found = logits(tmp_path / "words.onnx", ["GOOD Été", "", "nothing known"])
    expected = (BIAS + np.array([WORTH["good"] + WORTH["été"], 0, 0])) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_locale_with_rules_of_its_own_is_not_replaced(tmp_path: Path) -> None:
    count_words(tmp_path / "words.onnx", locale="xx_XX.UTF-8")
    with pytest.raises(ModelFileError, match="xx_XX") as refused:
        onnx_runtime.open_model(tmp_path / "words.onnx", View("logit"))
    assert "install the locale" in refused.value.help


def test_calls_shrink_with_the_vocabulary(tmp_path: Path) -> None:
    """A text becomes as many numbers as there are words: 2 MiB hold 52 rows of 10,000 of them, at four bytes each."""
    count_words(tmp_path / "few.onnx")
    count_words(tmp_path / "many.onnx", worth={f"w{number}": 0.5 for number in range(10_000)})
    few, many = (onnx_runtime.open_model(tmp_path / name, View("logit")) for name in ("few.onnx", "many.onnx"))
    assert few.rows_per_call == 4096
    assert many.rows_per_call == 2**21 // 40_000


def test_a_pipeline_of_scikit_learn_gets_back_its_coefficients(tmp_path: Path) -> None:
    """Counts into a logistic regression: a word that stands once in a text is worth its coefficient in log-odds."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    good, bad = ("fine warm bright film", "lovely warm acting"), ("dull cold film", "grim acting, cold plot")
    texts, labels = [*good, *bad] * 8, [1, 1, 0, 0] * 8
    words = CountVectorizer()
    pipeline = make_pipeline(words, LogisticRegression()).fit(texts, labels)
    model = to_onnx(pipeline, initial_types=[("review", StringTensorType([None, 1]))], options={"zipmap": False})
    (tmp_path / "reviews.onnx").write_bytes(model.SerializeToString())
    np.savez(tmp_path / "rows.npz", review=np.array(texts), label=np.array(labels))
    spec = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "reviews"},
        "model": {"onnx": "reviews.onnx", "classes": ["bad", "good"]},
        "data": {"modality": "text", "train": {"path": "rows.npz", "target": "label"}},
        "explain": {
            "score": "log_odds",
            "target": "good",
            "rows": {"from": "train", "ids": [0, 3]},
            "perturbation": [{"use": "shapley_values"}, {"use": "occlusion"}],
        },
        "factsheet": {"formats": ["json"]},
    }
    (tmp_path / "a.yaml").write_text(json.dumps(spec))
    pgx.run(tmp_path / "a.yaml", output=tmp_path / "out", engine="inline")
    worth = dict(zip(words.get_feature_names_out(), pipeline[-1].coef_[0], strict=True))
    for step in ("shapley_values", "occlusion"):
        with np.load(tmp_path / "out" / "evidence" / step / "attributions.npz") as found:
            for row in range(2):
                labels_of_row = [str(one) for one in found["feature_labels"][row]]
                expected = [worth.get(label, 0.0) for label in labels_of_row]
                np.testing.assert_allclose(found["values"][row], expected, atol=1e-5)
            np.testing.assert_allclose(found["base_values"].ravel(), pipeline[-1].intercept_[0], atol=1e-5)
