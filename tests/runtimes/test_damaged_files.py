"""Files whose parts do not fit together, as the fuzz of files has found them: refused with a reason, never a traceback."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from runtimes import datasets
from runtimes.datasets import DataFileError
from runtimes.target import ModelFileError, framework_for

MODELS = Path(__file__).parents[2] / "specs" / "models"


def changed_keras(folder: Path, change) -> Path:
    """The digits model with its configuration changed."""
    path = folder / "changed.keras"
    with zipfile.ZipFile(MODELS / "digits.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return path


def changed_onnx(folder: Path, name: str, change) -> Path:
    path = folder / name
    model = onnx.load(MODELS / name)
    change(model)
    path.write_bytes(model.SerializePartialToString())
    return path


@pytest.mark.parametrize("value", ["text", 3, [1]])
def test_a_layer_whose_build_configuration_is_no_mapping(tmp_path, value):
    def change(config):
        for layer in config["config"]["layers"]:
            layer["build_config"] = value

    with pytest.raises(ModelFileError) as refused:
        framework_for("keras").inspect(changed_keras(tmp_path, change))
    assert refused.value.reason.startswith("`changed.keras` is not laid out as a Keras model is (AttributeError: ")
    assert refused.value.help == "export or download the model again"


def attribute(model, name):
    (node,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    return next(attribute for attribute in node.attribute if attribute.name == name)


@pytest.mark.parametrize("name", ["nodes_truenodeids", "nodes_featureids", "class_ids", "class_nodeids"])
def test_trees_with_a_list_cut_short_are_a_black_box(tmp_path, name):
    def change(model):
        del attribute(model, name).ints[-1:]

    facts = framework_for("onnx").inspect(changed_onnx(tmp_path, "german-credit-trees.onnx", change))
    assert facts.capabilities == {"Predictor"}


def test_trees_of_mixed_order_are_read_alike(tmp_path):
    """Nodes need not stand tree by tree: those of two trees exchanged pairwise are the same trees."""
    sound = framework_for("onnx").inspect(MODELS / "german-credit-trees.onnx")

    def change(model):
        ids = np.array(attribute(model, "nodes_treeids").ints)
        order = np.concatenate([np.flatnonzero(ids % 2 == 1), np.flatnonzero(ids % 2 == 0)])
        (node,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
        for one in node.attribute:
            if one.name.startswith("nodes_"):
                field = one.ints or one.floats or one.strings
                values = [field[place] for place in order]
                del field[:]
                field.extend(values)

    mixed = framework_for("onnx").inspect(changed_onnx(tmp_path, "german-credit-trees.onnx", change))
    assert (mixed.capabilities, mixed.work_per_row) == (sound.capabilities, sound.work_per_row)


def test_text_that_is_not_utf8_in_an_onnx_file(tmp_path):
    path = tmp_path / "digits.onnx"
    content = (MODELS / "digits.onnx").read_bytes()
    version = onnx.load(MODELS / "digits.onnx").producer_version.encode()
    assert content.count(version) == 1
    path.write_bytes(content.replace(version, b"\xff" * len(version)))
    with pytest.raises(ModelFileError, match="digits.onnx"):
        framework_for("onnx").inspect(path)


@pytest.mark.parametrize("header", [b"{'descr': '<f4', (", b"{'descr': 3, 'fortran_order': False, 'shape': (1,), }"])
def test_a_header_of_an_array_that_is_no_literal(tmp_path, header):
    path = tmp_path / "rows.npz"
    text = header.ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(4)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataFileError) as refused:
        datasets.inspect(path)
    assert "the array `x` is damaged" in refused.value.reason


def test_what_is_sound_is_read_as_before(tmp_path):
    shutil.copy(MODELS / "digits.keras", tmp_path)
    assert framework_for("keras").inspect(tmp_path / "digits.keras").n_outputs == 10
