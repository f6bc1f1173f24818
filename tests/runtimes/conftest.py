"""Models and rows that the tests of the runtimes share: the examples' own, and small ones made on the spot."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes import datasets
from tests.hdf5_made import empty_hdf5

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def models() -> Path:
    return ROOT / "specs" / "models"


@pytest.fixture(scope="session")
def digits() -> datasets.RawData:
    return datasets.read(ROOT / "specs" / "data" / "digits-test.npz")


def dense(name: str, units: int, activation: str = "linear", inputs: int = 4) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": name, "units": units, "activation": activation, "use_bias": True},
        "registered_name": None,
        "build_config": {"input_shape": [None, inputs]},
    }


def input_layer(size: int = 4, dtype: str = "float32") -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, size], "dtype": dtype, "name": "x"},
        "registered_name": None,
    }


def sequential(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = {"name": "made", "layers": list(layers)}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None, **more}


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Write a ``.keras`` archive around a configuration; its weights are 1,008 bytes without an array."""

    def write(config: Any, extra: dict[str, bytes] | None = None) -> Path:
        weights = empty_hdf5().ljust(1008, b"\0")
        path = tmp_path / "made.keras"
        text = config if isinstance(config, bytes) else json.dumps(config).encode()
        members = {"metadata.json": b'{"keras_version": "3.15.1"}', "config.json": text, "model.weights.h5": weights}
        with zipfile.ZipFile(path, "w") as file:
            for name, content in (members | (extra or {})).items():
                file.writestr(name, content)
        return path

    return write
