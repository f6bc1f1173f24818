"""Files and specs damaged at random: always a named result, never a traceback, and the process lives on.

A few hundred here; `benchmarks/fuzz_specs.py` and `benchmarks/fuzz_files.py` go on for as long as one likes.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.cli import main
from runtimes import datasets
from runtimes.datasets import DataFileError
from runtimes.target import ModelFileError, framework_for
from tests.hostile.bad_models import legacy, mutated
from tests.hostile.pieces import dense, honest_onnx, keras, sequential

SPEC = (Path(__file__).parents[2] / "specs" / "german-credit-trees.yaml").read_bytes()


def test_mutated_specs_get_a_diagnostic(tmp_path: Path) -> None:
    spec = tmp_path / "audit.yaml"
    refused = 0
    for seed in range(60):
        spec.write_bytes(mutated(SPEC, seed))
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            status = main(["check", str(spec)])
        assert status == 2, told.getvalue()
        assert "Traceback" not in told.getvalue()
        refused += "audit.yaml" in told.getvalue()
    assert refused == 60


def of_keras(folder: Path) -> bytes:
    return keras(folder).read_bytes()


def of_hdf5(folder: Path) -> bytes:
    legacy(sequential(dense()))(folder)
    return (folder / "model.h5").read_bytes()


def of_onnx(folder: Path) -> bytes:
    content: bytes = honest_onnx().SerializeToString()
    return content


def of_npz(folder: Path) -> bytes:
    np.savez(folder / "made.npz", x=np.arange(12.0).reshape(3, 4), y=np.arange(3))
    return (folder / "made.npz").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "make"),
    [("keras", of_keras), ("h5", of_hdf5), ("onnx", of_onnx), ("npz", of_npz)],
    ids=["keras", "h5", "onnx", "npz"],
)
def test_mutated_files_end_in_a_named_result(tmp_path: Path, suffix: str, make: Callable[[Path], bytes]) -> None:
    content = make(tmp_path)
    path = tmp_path / f"mutant.{suffix}"
    said: list[tuple[str, str]] = []
    for seed in range(400):
        path.write_bytes(mutated(content, seed))
        try:
            if suffix == "npz":
                datasets.read(path)
            else:
                framework_for("onnx" if suffix == "onnx" else "keras").inspect(path)
        except (ModelFileError, DataFileError) as error:
            said.append((error.reason, error.help))
    assert len(said) > 40
    assert [reason for reason, _ in said if path.name not in reason] == []
    assert all(help_ for _, help_ in said)
