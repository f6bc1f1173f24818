"""Any signature: every model of the zoo is asked as an audit asks, and answers what was worked out beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx_zoo import GEMM, SIGNATURES, WB, Signature, make, node, tensor

from runtimes.adaptation import Adaptation
from runtimes.capabilities import View
from runtimes.conformance import check
from runtimes.formats.onnx_facts import facts_of
from runtimes.frameworks import onnx_runtime
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks


def view_of(signature: Signature) -> View:
    return View(signature.score, signature.task, signature.output, Adaptation.of(signature.adaptation))


@pytest.fixture(params=SIGNATURES, ids=str)
def signature(request: pytest.FixtureRequest) -> Signature:
    found: Signature = request.param
    return found


@pytest.fixture
def path(signature: Signature, tmp_path: Path) -> Path:
    onnx.save(signature.model(), tmp_path / "made.onnx")
    return tmp_path / "made.onnx"


def test_a_model_answers_what_was_worked_out(signature: Signature, path: Path) -> None:
    handle = onnx_runtime.open_model(path, view_of(signature))
    np.testing.assert_allclose(handle.predict(signature.inputs), signature.expected(), atol=signature.tolerance)
    if signature.rows_per_call is not None:
        assert handle.rows_per_call == signature.rows_per_call


def test_its_facts_say_so_without_running_it(signature: Signature, path: Path) -> None:
    facts = facts_of(path, view_of(signature))
    assert [tensor.name for tensor in facts.inputs] == list(signature.inputs)
    for tensor_, array in zip(facts.inputs, signature.inputs.values(), strict=True):
        assert tensor_.shape[1:] == array.shape[1:]
    assert signature.score in facts.scores
    expected = signature.expected().shape[1] if signature.columns is None else signature.columns
    assert facts.n_outputs == expected
    assert (facts.problem is None) == (signature.columns != 0)


def test_the_laws_of_a_predictor_hold(signature: Signature, path: Path) -> None:
    handle = onnx_runtime.open_model(path, view_of(signature))
    assert check(handle, signature.inputs, np.random.default_rng(0)) == []


# what the file says of names


def softmax_over(classes: int, metadata: dict[str, str]) -> Any:
    weights = {"w": np.ones((3, classes), np.float32)}
    nodes = [node("MatMul", ["x", "w"], ["z"]), node("Softmax", ["z"], ["y"])]
    return make(nodes, [tensor("x", [None, 3])], [tensor("y", [None, classes])], weights, metadata=metadata)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["cat", "dog", "owl"]', ("cat", "dog", "owl")),
        ("{0: 'cat', 1: 'dog', 2: 'owl'}", ("cat", "dog", "owl")),
        ('{"0": "cat", "2": "owl", "1": "dog"}', ("cat", "dog", "owl")),
        ("cat, dog, owl", ("cat", "dog", "owl")),
        ("cat, dog", ()),  # one too few: of another output
        ("cat, cat, owl", ()),
        ("__import__('os').getcwd()", ()),
        ("{0: 'cat', 2: 'owl', 3: 'dog'}", ()),
    ],
)
def test_names_of_classes_come_from_metadata(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    onnx.save(softmax_over(3, {"names": text, "feature_names": "a,b,c"}), tmp_path / "made.onnx")
    facts = facts_of(tmp_path / "made.onnx")
    assert facts.classes == names
    assert facts.feature_names == ("a", "b", "c")


@pytest.mark.parametrize("name", ["linear classifier of words", "a list of maps"])
def test_labels_of_operators_name_the_classes(tmp_path: Path, name: str) -> None:
    signature = next(one for one in SIGNATURES if one.name == name)
    onnx.save(signature.model(), tmp_path / "made.onnx")
    assert facts_of(tmp_path / "made.onnx").classes == ("no", "yes", "maybe")


# what cannot be explained


def of_shape(shape: Any, rows: int | None = None, *, weights: Any = None) -> Any:
    nodes = [node("Gemm", ["x", "w", "b"], ["z"]), node("Reshape", ["z", "to"], ["y"])]
    return make(nodes, [tensor("x", [rows, 3])], [tensor("y", shape)], {**WB, "to": np.array(weights)})


def of_either_rank() -> Any:
    """A branch of two axes, and one of one: nothing tells the rank."""
    flat = onnx.helper.make_graph([node("ReduceMax", ["z"], ["a"], axes=[1], keepdims=0)], "a", [], [tensor("a", None)])
    whole = onnx.helper.make_graph([node("Identity", ["z"], ["c"])], "c", [], [tensor("c", None)])
    nodes = [GEMM, node("If", ["yes"], ["y"], then_branch=flat, else_branch=whole)]
    return make(nodes, [tensor("x", [None, 3])], [tensor("y", None)], {**WB, "yes": np.array(True)})


@pytest.mark.parametrize(
    ("model", "reason", "help_"),
    [
        (lambda: of_shape([None, 2, 1, 2], weights=[-1, 2, 1, 2]), "more than one axis", "select"),
        (lambda: of_shape([2], 1, weights=[2]), "2 for 1 rows: its axis 0 is not the rows", "batch_axis: 1"),
        (lambda: of_shape([6], weights=[6]), "6 for any number of rows: its axis 0 is not the rows", "another output"),
        (lambda: of_shape([], 1, weights=np.zeros(0, np.int64)), "a single number: it has no axis of rows", "another"),
        (
            of_either_rank,
            "the file does not say what shape the output `y` has",
            "`model.classes`",
        ),
    ],
)
def test_an_output_that_cannot_be_explained_says_why(tmp_path: Path, model: Any, reason: str, help_: str) -> None:
    onnx.save(model(), tmp_path / "made.onnx")
    problem = facts_of(tmp_path / "made.onnx").problem
    assert problem is not None
    assert reason in problem[0]
    assert help_ in problem[1]


def test_a_session_that_cannot_run_is_the_authors_to_mend(tmp_path: Path) -> None:
    """Of a state with rows on axis 1 that is given for one row alone."""
    voice = next(one for one in SIGNATURES if one.name == "fixed rate and state")
    onnx.save(voice.model(), tmp_path / "made.onnx")
    said = {"inputs": {"sr": {"fixed": 16000}, "state": {"fixed": np.zeros((2, 3, 4)).tolist()}}}
    handle = onnx_runtime.open_model(
        tmp_path / "made.onnx", View("probability", "classification", None, Adaptation.of(said))
    )
    with pytest.raises(ModelFileError, match="cannot run the model on 7 rows"):
        handle.predict(voice.inputs)


# weights beside the file


def external(folder: Path, location: str = "weights/made.data") -> Path:
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    model = make([GEMM], [tensor("x", [None, 3])], [tensor("z", [None, 2])], WB)
    onnx.save(model, folder / "made.onnx", save_as_external_data=True, location=location, size_threshold=0)
    return folder / "made.onnx"


def test_weights_beside_the_file_are_found_below_its_folder(tmp_path: Path) -> None:
    signature = next(one for one in SIGNATURES if one.name == "float32")
    path = external(tmp_path)
    assert facts_of(path).beside == {"weights/made.data": tmp_path / "weights/made.data"}
    handle = onnx_runtime.open_model(path, View("value", "regression"))
    np.testing.assert_allclose(handle.predict(signature.inputs), signature.expected(), atol=1e-5)


def test_weights_that_were_moved_are_read_from_where_they_are_now(tmp_path: Path) -> None:
    signature = next(one for one in SIGNATURES if one.name == "float32")
    path = external(tmp_path)
    moved = (tmp_path / "weights/made.data").rename(tmp_path / "5e1f.data")
    asked = Adaptation(beside={"weights/made.data": moved})
    handle = onnx_runtime.open_model(path, View("value", "regression", None, asked))
    np.testing.assert_allclose(handle.predict(signature.inputs), signature.expected(), atol=1e-5)
    moved.write_bytes(moved.read_bytes()[:20])
    with pytest.raises(ModelFileError, match="truncated"):
        onnx_runtime.open_model(path, View("value", "regression", None, asked))


def test_int8_weights_and_names_of_inputs_stay(tmp_path: Path) -> None:
    """A model of whole numbers alone: x int8, y = x * 2, exactly."""
    model = make(
        [node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), node("Mul", ["f", "two"], ["y"])],
        [tensor("x", [None, 2], TensorProto.INT8)],
        [tensor("y", [None, 2])],
        {"two": np.float32(2)},
    )
    onnx.save(model, tmp_path / "made.onnx")
    handle = onnx_runtime.open_model(tmp_path / "made.onnx", View("value", "regression"))
    x = np.array([[1, -128], [127, 0]], np.int8)
    np.testing.assert_array_equal(handle.predict({"x": x}), [[2, -256], [254, 0]])
    with pytest.raises(ValueError, match="holds values that are not"):
        handle.predict({"x": np.array([[0.5, 1.0]])})
