"""Numbers of outputs, and sameness of two files, for models that the examples do not have."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pgx_compiler.evidence.results import Attribution
from pgx_compiler.execute.model_checks import parity
from pgx_compiler.methods.apply import across_rows
from pgx_compiler.methods.catalogue import catalogue
from runtimes.formats import keras_runtime
from runtimes.formats.keras_facts import facts_of as keras_facts_of
from runtimes.formats.onnx_facts import facts_of


def test_classes_are_counted_at_the_zipmap_where_no_shape_says_them(tmp_path):
    # What scikit-learn's multinomial logistic regression becomes: the shape behind a Normalizer is not inferred.
    scores = helper.make_node(
        "LinearClassifier", ["X"], ["label", "raw"], domain="ai.onnx.ml",
        coefficients=[1.0, 0.0, 0.0, 1.0, -1.0, 0.0], intercepts=[0.0, 0.0, 0.0], classlabels_ints=[0, 1, 2],
        post_transform="SOFTMAX",
    )  # fmt: skip
    normal = helper.make_node("Normalizer", ["raw"], ["scores"], domain="ai.onnx.ml", norm="L1")
    named = helper.make_node("ZipMap", ["scores"], ["map"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    answer = helper.make_value_info("map", helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    ))  # fmt: skip
    graph = helper.make_graph(
        [scores, normal, named], "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])], [answer]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "logistic.onnx")
    assert facts_of(tmp_path / "logistic.onnx").n_outputs == 3


@pytest.mark.parametrize(("difference", "same"), [(0.01, True), (50.0, False)])
def test_large_outputs_may_differ_by_their_own_rounding(difference, same):
    # 300,000 in float32 has a spacing of 0.03; the tolerance of 1e-4 is a part of it, 30.
    output = np.array([[300_000.0], [100_000.0]])
    other = output + difference
    _, holds = parity({"output": output, "score": output}, {"output": other, "score": other}, "value")
    assert holds is same


def test_agreement_of_other_rows_is_that_of_rows_exchanged():
    # Both say the same of each row, and of every row the opposite of the next: 1 on the row, -1 on the other one.
    values = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    said = Attribution("step", "method", "gradient", values, None, True)
    declaration = catalogue()["rank_correlation"]
    assert declaration.function(said, said, declaration.params()).values.tolist() == [1.0, 1.0]
    assert across_rows(declaration, said, said, declaration.params()) == pytest.approx(-1.0)
    one = Attribution("step", "method", "gradient", values[:1], None, True)
    assert across_rows(declaration, one, one, declaration.params()) is None


@pytest.mark.frameworks
def test_a_keras_file_that_ends_in_arithmetic_still_says_how_wide_it_is(tmp_path):
    keras = keras_runtime.keras()
    columns = keras.Input((2,))
    scaled = keras.layers.Rescaling(1000.0)(keras.layers.Dense(1)(columns))
    keras.Model(columns, scaled).save(tmp_path / "price.keras")
    facts = keras_facts_of(tmp_path / "price.keras")
    assert (facts.n_outputs, facts.outputs[0].shape) == (1, (None, 1))
