"""Keras files are read without Keras, and refused with a reason where they hold more than layers."""

import copy
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes.formats.keras_facts import facts_of
from runtimes.formats.keras_file import read_keras
from runtimes.formats.keras_tuning import apply_settings, tunables_of
from runtimes.target import ModelFileError
from tests.runtimes.conftest import dense, input_layer, sequential

GOOD = sequential(input_layer(), dense("hidden", 3, "relu"), dense("out", 2, "softmax", 3))
COMPILED = {
    "optimizer": {
        "module": "keras.optimizers",
        "class_name": "Adam",
        "config": {"name": "adam", "learning_rate": 0.0010000000474974513, "beta_1": 0.9, "amsgrad": False},
        "registered_name": None,
    },
    "loss": "sparse_categorical_crossentropy",
}
Archive = Callable[..., Path]


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        facts_of(path)
    assert caught.value.help
    return caught.value.reason


def test_facts_of_a_small_network_are_counted_by_hand(archive: Archive) -> None:
    facts = facts_of(archive({**GOOD, "compile_config": COMPILED}))
    assert facts.parameters == (4 + 1) * 3 + (3 + 1) * 2
    assert facts.n_outputs == 2
    assert facts.activation == "softmax"
    assert facts.scores == {"logit", "probability", "log_odds"}
    offered = {"Predictor", "Differentiable", "LayerDifferentiable", "Rectified", "RulePropagating", "Trainable"}
    assert facts.capabilities == offered
    assert facts.loss == "sparse_categorical_crossentropy"
    assert facts.inputs[0].shape == (None, 4)
    assert facts.outputs[0].shape == (None, 2)


def test_facts_need_no_framework(models: Path) -> None:
    before = set(sys.modules)
    facts_of(models / "digits.keras")
    loaded = {name.split(".")[0] for name in set(sys.modules) - before}
    assert not loaded & {"tensorflow", "keras", "h5py"}


def test_a_sigmoid_column_counts_as_two_classes(archive: Archive) -> None:
    facts = facts_of(archive(sequential(input_layer(), dense("out", 1, "sigmoid"))))
    assert facts.n_outputs == 2
    assert facts.outputs[0].shape == (None, 1)


def test_a_linear_end_gives_values(archive: Archive) -> None:
    assert facts_of(archive(sequential(input_layer(), dense("out", 1)))).scores == {"value", "logit"}


def test_whole_numbers_offer_a_gradient_where_they_are_looked_up(archive: Archive) -> None:
    plain = facts_of(archive(sequential(input_layer(dtype="int32"), dense("out", 2, "softmax", 4))))
    assert "Differentiable" not in plain.capabilities
    embedding = {
        "module": "keras.layers",
        "class_name": "Embedding",
        "config": {"name": "words", "input_dim": 9, "output_dim": 2},
        "registered_name": None,
        "build_config": {"input_shape": [None, 4]},
    }
    facts = facts_of(archive(sequential(input_layer(dtype="int32"), embedding, dense("out", 2, "softmax", 2))))
    assert {"Differentiable", "EmbeddingDifferentiable"} <= facts.capabilities
    assert facts.parameters == 9 * 2 + 3 * 2


def test_a_file_without_a_loss_is_not_trainable(archive: Archive) -> None:
    assert "Trainable" not in facts_of(archive({**GOOD, "compile_config": {}})).capabilities


def test_a_loss_of_the_authors_own_is_not_trainable(archive: Archive) -> None:
    loss = {"module": "mine", "class_name": "MyLoss", "config": {}, "registered_name": "mine>MyLoss"}
    facts = facts_of(archive({**GOOD, "compile_config": {**COMPILED, "loss": loss}}))
    assert "Trainable" not in facts.capabilities
    assert facts.loss is None


def test_tunables_leave_the_number_of_classes_alone(archive: Archive) -> None:
    tunables = facts_of(archive({**GOOD, "compile_config": COMPILED})).tunables
    assert tunables == {
        "layers.hidden.units": 3,
        "layers.hidden.activation": "relu",
        "layers.hidden.kernel_regularizer.l2": 0.0,
        "layers.out.kernel_regularizer.l2": 0.0,
        "optimizer.learning_rate": 0.001,
        "optimizer.beta_1": 0.9,
        "fit.batch_size": 32,
        "fit.epochs": 5,
    }


def test_classes_stay_fixed_behind_a_separate_activation(archive: Archive) -> None:
    softmax = {"module": "keras.layers", "class_name": "Softmax", "config": {"name": "p", "axis": -1}}
    facts = facts_of(archive(sequential(input_layer(), dense("hidden", 3), dense("out", 2, "linear", 3), softmax)))
    assert "layers.out.units" not in facts.tunables
    assert facts.tunables["layers.hidden.units"] == 3
    assert facts.activation == "softmax"


def test_settings_are_written_where_they_were_declared(archive: Archive) -> None:
    file = read_keras(archive({**GOOD, "compile_config": COMPILED}))
    places = tunables_of(file, ["out"])
    before = copy.deepcopy(file.config)
    settings = {"layers.hidden.units": 7.0, "optimizer.learning_rate": 0.5, "layers.out.kernel_regularizer.l2": 0.1}
    config = apply_settings(file, places, {**settings, "fit.epochs": 3})
    assert config["config"]["layers"][1]["config"]["units"] == 7
    assert config["config"]["layers"][2]["config"]["kernel_regularizer"]["config"] == {"l2": 0.1}
    assert config["compile_config"]["optimizer"]["config"]["learning_rate"] == 0.5
    assert file.config == before


@pytest.mark.parametrize(
    ("address", "value"),
    [("layers.hidden.rate", 0.5), ("layers.out.units", 3), ("layers.hidden.units", "many"), ("layers.hidden.units", 0)],
)
def test_settings_that_the_file_does_not_offer_are_refused(archive: Archive, address: str, value: Any) -> None:
    file = read_keras(archive(GOOD))
    with pytest.raises(ModelFileError, match="layers"):
        apply_settings(file, tunables_of(file, ["out"]), {address: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_name": "Lambda"}, "`evil` is refused: Lambda holds code"),
        ({"class_name": "TFSMLayer"}, "TFSMLayer is not on the list"),
        ({"class_name": "system", "module": "os"}, "system comes from the module `os`"),
        (
            {"class_name": "Layer", "module": "keras.src.applications.convnext"},
            "Layer comes from the module `keras.src.applications.convnext`",
        ),
        ({"class_name": "Dense", "registered_name": "mine>Dense"}, r"custom object \(`mine>Dense`\)"),
        ({"class_name": "get_file", "module": "keras.utils"}, "module `keras.utils`"),
        ({"class_name": "function", "module": "builtins", "config": "eval"}, "a function of its own"),
        ({"class_name": ["Dense"]}, "is no class name"),
    ],
)
def test_what_is_not_keras_own_is_refused(archive: Archive, change: dict[str, Any], said: str) -> None:
    evil = {**dense("evil", 2, "linear", 3), **change}
    with pytest.raises(ModelFileError, match=said):
        facts_of(archive(sequential(input_layer(), dense("hidden", 3), evil)))


def test_code_inside_a_wrapper_is_found(archive: Archive) -> None:
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "hidden_code"}}
    wrapper = {"module": "keras.layers", "class_name": "TimeDistributed", "config": {"name": "w", "layer": inner}}
    assert "`hidden_code` is refused: Lambda" in refusal(archive(sequential(input_layer(), wrapper)))


def test_a_switch_for_safe_mode_inside_the_file_is_refused(archive: Archive) -> None:
    assert "safe_mode" in refusal(archive({**GOOD, "safe_mode": False}))


def test_sizes_that_the_weights_cannot_fill_are_refused_before_they_are_allocated(archive: Archive) -> None:
    said = refusal(archive(sequential(input_layer(), dense("huge", 10**10, "softmax"))))
    assert (
        said == "`made.keras`: layer `huge` declares units = 10,000,000,000, more than 1,008 bytes of weights can fill"
    )


def test_more_weights_than_bytes_are_refused(archive: Archive) -> None:
    # (900 + 1) * 900 + (900 + 1) * 2 weights, against 1,008 bytes.
    wide = sequential(input_layer(900), dense("wide", 900, "relu", 900), dense("out", 2, "softmax", 900))
    assert "declares 812,702 weights and holds 1,008 bytes" in refusal(archive(wide))


def test_stateful_layers_are_refused(archive: Archive) -> None:
    memory = dense("memory", 3)
    memory["config"]["stateful"] = True
    assert "`memory` is stateful" in refusal(archive(sequential(input_layer(), memory, dense("out", 2, "softmax", 3))))


def test_a_configuration_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", b" " * 3_000_000)
        file.writestr("model.weights.h5", b"")
    assert "`config.json` declares 3,000,000 bytes" in refusal(path)


def test_deep_nesting_is_refused(archive: Archive) -> None:
    assert "nested too deeply" in refusal(archive(b'{"a":' * 100_000 + b"1" + b"}" * 100_000))
    assert "nested too deeply" in refusal(archive(b'{"a":' * 100 + b"1" + b"}" * 100))


def test_unexpected_members_are_refused(archive: Archive) -> None:
    assert "`assets/vocabulary.txt`" in refusal(archive(GOOD, extra={"assets/vocabulary.txt": b"x"}))


def test_a_zip_without_a_model_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    assert "not a Keras model: it has no config.json" in refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs pointer"),
        (b"\x80\x04\x95\x00", "pickle"),
        (b"\x08\x08\x12\x07tf2onnx", "neither a Keras archive nor an HDF5 file"),
        (b"PK\x03\x04rest", "damaged archive"),
        (b"\x89HDF\r\n\x1a\nrest", "damaged HDF5"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    assert said in refusal(path)


def test_a_truncated_archive_is_refused(tmp_path: Path, models: Path) -> None:
    path = tmp_path / "cut.keras"
    whole = (models / "digits.keras").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged archive" in refusal(path)


def test_missing_files_and_directories(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.keras")
    assert "is a directory" in refusal(tmp_path)


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = [1.0, 2.0]
    assert "holds weights only" in refusal(path)


def test_a_layer_of_code_in_hdf5_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = (
            '{"class_name": "Sequential", "config": {"name": "m", "layers": '
            '[{"class_name": "Lambda", "config": {"name": "code"}}]}}'
        )
    assert "`code` is refused: Lambda holds code" in refusal(path)
