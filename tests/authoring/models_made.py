"""Small Keras files and data files, made on the spot; no framework is needed to write or to read them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.hdf5_made import empty_hdf5

ADAM = {"class_name": "Adam", "config": {"learning_rate": 0.001}}


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def keras(path: Path, *layers: dict[str, Any], loss: str | None = None) -> Path:
    """A sequential model around `layers`; the first is the input."""
    config = {"name": "made", "layers": list(layers)}
    whole: dict[str, Any] = {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}
    return write(path, whole, loss)


def two_headed(path: Path) -> Path:
    """x -> hidden -> approved (softmax over 2), limit (a number)."""

    def after(name: str) -> list[dict[str, Any]]:
        history = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, 0, 0]}
        return [{"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}]

    layers = [
        ("x", layer("InputLayer", batch_shape=[None, 4], dtype="float32", name="x"), []),
        ("hidden", dense("hidden", 4, "relu"), after("x")),
        ("approved", dense("approved", 2, "softmax"), after("hidden")),
        ("limit", dense("limit", 1), after("hidden")),
    ]
    config = {
        "name": "made",
        "layers": [{**one, "name": name, "inbound_nodes": nodes} for name, one, nodes in layers],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["approved", 0, 0], ["limit", 0, 0]],
    }
    whole = {"module": "keras", "class_name": "Functional", "config": config, "registered_name": "Functional"}
    return write(path, whole, None)


def write(path: Path, config: dict[str, Any], loss: str | None) -> Path:
    if loss:
        config["compile_config"] = {"optimizer": ADAM, "loss": loss}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", empty_hdf5().ljust(20_000, b"\0"))
    return path


def numbers(count: int) -> dict[str, Any]:
    return layer("InputLayer", batch_shape=[None, count], dtype="float32", name="x")


def pixels(*shape: int) -> dict[str, Any]:
    return layer("InputLayer", batch_shape=[None, *shape], dtype="float32", name="x")


def dense(name: str, units: int, activation: str = "linear", inputs: int = 4) -> dict[str, Any]:
    made = layer("Dense", name=name, units=units, activation=activation, use_bias=True)
    return {**made, "build_config": {"input_shape": [None, inputs]}}


def table(path: Path, **columns: Any) -> Path:
    """A csv file of named columns."""
    rows = zip(*columns.values(), strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def archive(path: Path, **arrays: Any) -> Path:
    """A npz file of named arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path
