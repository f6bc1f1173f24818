"""The lowering of tree ensembles from ONNX files: other libraries' models, every operator version, every test and aggregate."""

from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import TreeEnsemble, View
from runtimes.formats.onnx_trees import predict_trees

pytestmark = pytest.mark.frameworks

GOLDEN = Path(__file__).parent / "golden"
SCORES = {
    "regressor": ("value", "regression"),
    "binary": ("logit", "classification"),
    "classes": ("logit", "classification"),
}
METHOD = "tree_shap"


def opened(path, score, task):
    from runtimes.frameworks import onnx_runtime

    facts, handle = onnx_runtime.inspect(path), onnx_runtime.open_model(path, View(score, task))
    assert isinstance(handle, TreeEnsemble)
    assert catalogue()[METHOD].admits(facts, Shape(1, 8), score) is None
    return handle


@pytest.mark.parametrize("kind", list(SCORES))
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_converted_model_is_explained_as_shap_explains_the_original(library, kind):
    # README.md of the folder has the script. Binary: one column s of the original, seen as [-s, s].
    held, name = np.load(GOLDEN / "golden.npz"), f"{library}_{kind}"
    handle = opened(GOLDEN / f"{name}.onnx", *SCORES[kind])
    explained, background = held["explained"], held["background"]
    scores, values = held[f"{name}_scores"], held[f"{name}_values"]
    if kind == "binary":
        scores, values = np.concatenate([-scores, scores], 1), np.concatenate([-values, values], 2)
    np.testing.assert_allclose(handle.predict({handle.input_name: explained}), scores, atol=1e-5)
    features = FeatureMap(tuple("abcdefgh"), {handle.input_name: np.arange(8)})
    references = References({handle.input_name: background[None]})
    method = catalogue()[METHOD]
    for output in range(scores.shape[1]):
        rows = Rows({handle.input_name: explained}, np.full(6, output), references, features)
        ours = attribute(method, handle, rows, method.params())
        np.testing.assert_allclose(ours.values, values[:, :, output], atol=1e-5)
        np.testing.assert_allclose(ours.values.sum(axis=1), ours.scores - ours.base_values, atol=1e-5)


def saved(path, node, columns, outputs, version):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, outputs])],
    )
    opsets = [helper.make_opsetid("", 21 if version == 5 else 17), helper.make_opsetid("ai.onnx.ml", version)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10 if version == 5 else 8), path)
    return path


MODES = {"LEQ": 0, "LT": 1, "GTE": 2, "GT": 3, "EQ": 4, "NEQ": 5, "MEMBER": 6}


def version_5(path, modes, aggregate=1, missing=0, post=0, dtype=np.float32):
    """Two trees over columns 0 to 2 with two targets; whole numbers as thresholds, so that equality happens.

    Tree 1: node 0 (leaf 0 | node 1), node 1 (leaf 1 | leaf 2). Tree 2: node 2 (node 3 | leaf 3), node 3 (leaf 4 | leaf 5).
    """
    from onnx import helper, numpy_helper

    members = np.array([1, 3, np.nan] * modes.count("MEMBER"), dtype)
    more = {"membership_values": numpy_helper.from_array(members)} if members.size else {}
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        aggregate_function=aggregate,
        post_transform=post,
        n_targets=2,
        tree_roots=[0, 2],
        nodes_modes=numpy_helper.from_array(np.array([MODES[mode] for mode in modes], np.uint8)),
        nodes_featureids=[0, 1, 2, 0],
        nodes_splits=numpy_helper.from_array(np.array([1, 2, 1, 2], dtype)),
        nodes_truenodeids=[0, 1, 3, 4],
        nodes_trueleafs=[1, 1, 0, 1],
        nodes_falsenodeids=[1, 2, 3, 5],
        nodes_falseleafs=[0, 1, 1, 1],
        nodes_missing_value_tracks_true=[missing] * 4,
        leaf_targetids=[0, 1, 0, 1, 0, 1],
        leaf_weights=numpy_helper.from_array(np.array([1, 2, 4, 8, 16, 32], dtype)),
        **more,
    )
    return saved(path, node, 3, 2, 5)


GRID = np.stack(np.meshgrid(*[[0, 1, 2, 3, np.nan]] * 3), -1).reshape(-1, 3).astype(np.float32)


@pytest.mark.parametrize("aggregate", [0, 1])
@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize(
    "modes",
    [["LEQ", "LT", "GTE", "GT"], ["EQ", "NEQ", "LEQ", "EQ"], ["MEMBER", "LEQ", "NEQ", "GT"], ["LEQ", "MEMBER", "MEMBER", "EQ"]],
    ids="-".join,
)  # fmt: skip
def test_version_5_is_read_as_onnx_runtime_computes_it(tmp_path, modes, missing, aggregate):
    handle = opened(version_5(tmp_path / "m.onnx", modes, aggregate, missing), "value", "regression")
    asked = handle.predict({"x": GRID})
    np.testing.assert_allclose(predict_trees(handle.trees, handle.base, GRID.astype(float)), asked, atol=1e-6)
    assert len(np.unique(asked, axis=0)) >= 4
    method, exact = catalogue()[METHOD], catalogue()["exact_shapley"]
    features = FeatureMap(("a", "b", "c"), {"x": np.arange(3)})
    rows = Rows({"x": GRID[[7, 31, 60, 94]]}, np.array([0, 1, 0, 1]), References({"x": GRID[None, ::9]}), features)
    found = attribute(method, handle, rows, method.params())
    np.testing.assert_allclose(found.values, attribute(exact, handle, rows, exact.params()).values, atol=1e-6)


@pytest.mark.parametrize(("aggregate", "post"), [(2, 0), (3, 0), (1, 2)])
def test_version_5_that_does_not_add_up_is_only_asked(tmp_path, aggregate, post):
    from runtimes.frameworks import onnx_runtime

    path = version_5(tmp_path / "m.onnx", ["LEQ", "LT", "GTE", "GT"], aggregate, post=post)
    assert onnx_runtime.inspect(path).capabilities == {"Predictor"}
    assert not isinstance(onnx_runtime.open_model(path, View("value", "regression")), TreeEnsemble)


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_several_targets_and_equalities_of_the_older_regressor(tmp_path, aggregate):
    from onnx import helper

    # One tree: x0 = 1 ? leaf (1, 2) : (x1 != 2 ? leaf (4, 8) : leaf (16, 32)); another that is one leaf.
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        aggregate_function=aggregate,
        n_targets=2,
        base_values=[0.5, -0.5],
        nodes_treeids=[0] * 5 + [1],
        nodes_nodeids=[0, 1, 2, 3, 4, 0],
        nodes_featureids=[0, 0, 1, 0, 0, 0],
        nodes_values=[1.0, 0.0, 2.0, 0.0, 0.0, 0.0],
        nodes_modes=["BRANCH_EQ", "LEAF", "BRANCH_NEQ", "LEAF", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 3, 0, 0, 0],
        nodes_falsenodeids=[2, 0, 4, 0, 0, 0],
        target_treeids=[0] * 6 + [1],
        target_nodeids=[1, 1, 3, 3, 4, 4, 0],
        target_ids=[0, 1, 0, 1, 0, 1, 1],
        target_weights=[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
    )
    handle = opened(saved(tmp_path / "m.onnx", node, 3, 2, 3), "value", "regression")
    asked = handle.predict({"x": GRID})
    np.testing.assert_allclose(predict_trees(handle.trees, handle.base, GRID.astype(float)), asked, atol=1e-6)
    assert len(np.unique(asked[:, 0])) == 3


def test_a_forest_in_version_5_is_explained_in_probability(tmp_path):
    # Two trees that average to shares of two classes: leaf weights of each tree sum to one half.
    from onnx import helper, numpy_helper

    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=2,
        tree_roots=[0],
        nodes_modes=numpy_helper.from_array(np.array([0, 0], np.uint8)),
        nodes_featureids=[0, 1],
        nodes_splits=numpy_helper.from_array(np.array([1, 2], np.float32)),
        nodes_truenodeids=[0, 1],
        nodes_trueleafs=[1, 1],
        nodes_falsenodeids=[1, 2],
        nodes_falseleafs=[0, 1],
        leaf_targetids=[0, 1, 0],
        leaf_weights=numpy_helper.from_array(np.array([1, 1, 1], np.float32)),
    )
    handle = opened(saved(tmp_path / "m.onnx", node, 3, 2, 5), "probability", "classification")
    full = GRID[~np.isnan(GRID).any(axis=1)]
    np.testing.assert_allclose(
        predict_trees(handle.trees, handle.base, full.astype(float)), handle.predict({"x": full})
    )
