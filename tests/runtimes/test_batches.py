"""How many rows a call holds: what the inputs and the widest tensor of a network leave room for."""

from pathlib import Path

import numpy as np
import pytest

from runtimes.capabilities import View
from runtimes.formats.batches import rows_that_fit
from runtimes.target import TensorFacts


@pytest.mark.parametrize(
    ("shape", "dtype", "widest", "rows"),
    [
        ((None, 784), "float32", 0, 334),  # 2^20 / 3,136
        ((None, 784), "float32", 43_264, 48),  # 2^21 / 43,264: 16 channels of 26 x 26
        ((None, 784), "float32", 100, 334),  # the input is the widest
        ((None, 2), "float32", 0, 4096),
        ((None, 224, 224, 3), "float32", 4_816_896, 8),  # never fewer
        ((None, None), "str", 0, 4096),
    ],
)
def test_rows_of_a_call(shape: tuple[int | None, ...], dtype: str, widest: int, rows: int) -> None:
    assert rows_that_fit([TensorFacts("x", shape, dtype)], 4096, widest) == rows


@pytest.mark.frameworks
def test_an_onnx_network_is_asked_by_its_widest_tensor(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from runtimes.frameworks import onnx_runtime

    # 4 numbers a row become 8,192, of 32,768 bytes: 2^21 / 32,768 = 64 rows a call. The weights, as wide, do not count.
    wide, narrow = np.ones((4, 8192), np.float32), np.ones((8192, 1), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "wide"], ["h"]), helper.make_node("MatMul", ["h", "narrow"], ["y"])],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(wide, "wide"), numpy_helper.from_array(narrow, "narrow")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "wide.onnx")
    handle = onnx_runtime.open_model(tmp_path / "wide.onnx", View("value", "regression"))
    assert handle.rows_per_call == 64
    np.testing.assert_allclose(handle.predict({"x": np.ones((100, 4))}), np.full((100, 1), 32_768.0))
