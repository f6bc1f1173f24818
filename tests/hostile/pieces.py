"""What hostile files are made of: a small honest audit, and ways to write models, archives and arrays by hand."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CANARY = "canary-7f3a19"
"""What stands in the file that nobody may read. No real secret is ever used."""


@dataclass(frozen=True)
class Case:
    """One hostile audit: how it is made, and what must be said of it."""

    row: str
    """Of the catalogue: ``B4``."""
    name: str
    make: Callable[[Path], None]
    """Writes ``audit.yaml`` and its files into a folder; ``canary.txt`` stands in the folder above it."""
    says: tuple[str, ...] = ()
    """Words of the message, the place among them."""
    status: int = 2
    help: bool = True
    """Whether a way out is printed (a line ``help:``)."""
    options: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.row}-{self.name}"


def canary_of(folder: Path) -> Path:
    return folder.parent / "canary.txt"


def spec(folder: Path, model: Mapping[str, Any] | None = None, **changes: Any) -> None:
    """The smallest audit of the model and table beside it, with top-level keys replaced."""
    said: dict[str, Any] = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "hostile"},
        "model": dict(model or {"keras": "model.keras"}),
        "data": {"modality": "tabular", "train": {"path": "rows.csv", "target": "y"}},
        "precaution": [{"use": "class_balance"}],
    }
    (folder / "audit.yaml").write_text(json.dumps({**said, **changes}, indent=1))


def table(folder: Path) -> None:
    """Forty honest rows of four columns and a label."""
    rows = np.random.default_rng(3).normal(size=(40, 4)).round(3)
    lines = ["a,b,c,d,y", *(",".join([*map(str, row), str(place % 2)]) for place, row in enumerate(rows))]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


def dense(name: str = "out", units: int = 2, activation: str = "softmax", **more: Any) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": name, "units": units, "activation": activation, "use_bias": True},
        "registered_name": None,
        "build_config": {"input_shape": [None, 4]},
        **more,
    }


def layer(kind: str, module: str = "keras.layers", registered: str | None = None, **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": {"name": "evil", **config}, "registered_name": registered}


def sequential(*layers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    given = layer("InputLayer", name="x", batch_shape=[None, 4], dtype="float32")
    config = {"name": "made", "layers": [given, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None, **more}


def hdf5(fill: Callable[[Any], None], **options: Any) -> bytes:
    """The bytes of an HDF5 file."""
    import h5py

    held = io.BytesIO()
    with h5py.File(held, "w", **options) as file:
        fill(file)
    return held.getvalue()


def honest_weights(file: Any) -> None:
    file["layers/dense/vars/0"] = np.arange(8, dtype=np.float32).reshape(4, 2) / 8
    file["layers/dense/vars/1"] = np.zeros(2, np.float32)


METADATA = b'{"keras_version": "3.15.1"}'


def keras_members(config: Any = None, weights: bytes | None = None) -> dict[str, bytes]:
    """The members of an archive, in the order in which Keras writes them."""
    said = config if isinstance(config, bytes) else json.dumps(config or sequential(dense())).encode()
    return {
        "metadata.json": METADATA,
        "config.json": said,
        "model.weights.h5": hdf5(honest_weights) if weights is None else weights,
    }


def keras(folder: Path, config: Any = None, weights: bytes | None = None, **extra: bytes) -> Path:
    """A ``.keras`` archive; its members are stored, as Keras stores them."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (keras_members(config, weights) | extra).items():
            archive.writestr(name, content)
    return path


def honest_onnx() -> Any:
    """softmax(x · w): four inputs, two classes."""
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(4, 2) / 8, "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["p"], axis=1)]
    return graph(nodes, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])], [weights])


def graph(nodes: list[Any], inputs: list[Any], weights: list[Any], **more: Any) -> Any:
    """A model whose output ``p`` has two columns."""
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 2])
    made = helper.make_graph(nodes, "made", inputs, [given], weights)
    opsets = more.pop("opset_imports", [helper.make_opsetid("", 17)])
    return helper.make_model(made, opset_imports=opsets, ir_version=9, **more)


def onnx_audit(folder: Path, model: Any) -> None:
    """An audit of an ONNX model, honest but for its model."""
    table(folder)
    content = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    spec(folder, {"onnx": "model.onnx"})


def keras_audit(folder: Path, config: Any = None, weights: bytes | None = None, **extra: bytes) -> None:
    """An audit of a Keras model, honest but for its model."""
    table(folder)
    keras(folder, config, weights, **extra)
    spec(folder)


def file_audit(folder: Path, content: bytes, name: str = "model.keras") -> None:
    """An audit whose model is a file of some bytes."""
    table(folder)
    (folder / name).write_bytes(content)
    spec(folder, {"onnx" if name.endswith(".onnx") else "keras": name})


def data_audit(folder: Path, content: bytes, name: str = "rows.csv", **split: Any) -> None:
    """An audit whose training data is a file of some bytes."""
    keras(folder)
    (folder / name).write_bytes(content)
    said = {"path": name, "target": "y", **split}
    spec(folder, data={"modality": "tabular", "train": said})
