"""ONNX models that read a text itself and count its words: what each word is worth is written down, so all else follows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WORTH = {"good": 2.0, "bad": -3.0, "film": 0.5, "very": 1.0, "not": -0.25, "été": 4.0}
"""What each occurrence of a word adds to the logit."""
BIAS = 0.125


def count_words(
    path: Path, axes: int = 2, beside: str = "", worth: Mapping[str, float] = WORTH, locale: str = "C.UTF-8"
) -> None:
    """A file whose logit of the second class is `BIAS` and the worth of the words of its text, in small letters.

    Args:
        path: where it is written.
        axes: the text is ``(rows,)`` or ``(rows, 1)``.
        beside: a further input ``(rows, 1)`` of numbers, which are added to the logit; empty: none.
        worth: of each word.
        locale: of StringNormalizer; empty: none is named.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    words = sorted(worth)
    named = {"locale": locale} if locale else {}
    nodes: list[Any] = [
        helper.make_node("Reshape", ["text", "all"], ["flat"]),
        helper.make_node("StringNormalizer", ["flat"], ["small"], case_change_action="LOWER", is_case_sensitive=0, **named),
        helper.make_node("Tokenizer", ["small"], ["tokens"], domain="com.microsoft", mark=0, mincharnum=1, pad_value="#",
                         tokenexp=r"[^\s.,!?()-]+"),
        helper.make_node("TfIdfVectorizer", ["tokens"], ["counts"], min_gram_length=1, max_gram_length=1, max_skip_count=0,
                         mode="TF", ngram_counts=[0], ngram_indexes=list(range(len(words))), pool_strings=words),
        helper.make_node("MatMul", ["counts", "worth"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["told"]),
    ]  # fmt: skip
    inputs = [helper.make_tensor_value_info("text", TensorProto.STRING, ["rows", 1][:axes])]
    logit = "told"
    if beside:
        inputs.append(helper.make_tensor_value_info(beside, TensorProto.FLOAT, ["rows", 1]))
        nodes.append(helper.make_node("Add", ["told", beside], ["with the number"]))
        logit = "with the number"
    nodes += [
        helper.make_node("Neg", [logit], ["other"]),
        helper.make_node("Concat", ["other", logit], ["both"], axis=1),
        helper.make_node("Mul", ["both", "half"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {"all": [-1], "worth": [[worth[word]] for word in words], "bias": [BIAS], "half": [0.5]}
    kinds = {"all": "int64"}
    graph = helper.make_graph(
        nodes,
        "words",
        inputs,
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(_array(held, kinds.get(name, "float32")), name) for name, held in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def _array(held: Sequence[Any], dtype: str) -> Any:
    import numpy as np

    return np.array(held, dtype)
