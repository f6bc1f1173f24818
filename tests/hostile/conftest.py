"""A process that forks runs of `pgx`, shared by the files of a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.forking import Forking
from tests.hostile.pieces import honest_onnx, onnx_audit, spec


def small_audit(folder: Path, name: str = "hostile", **changes: object) -> Path:
    """A real audit of a real model with four nodes to compute, and a store of its own; returns the folder."""
    (folder / ".pgx").mkdir(parents=True, exist_ok=True)
    onnx_audit(folder, honest_onnx())
    json_alone: dict[str, object] = {"factsheet": {"formats": ["json"]}, "metadata": {"name": name}}
    spec(folder, {"onnx": "model.onnx"}, **{**json_alone, **changes})
    return folder


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    opened = Forking(tmp_path_factory.mktemp("forking"))
    folder = small_audit(tmp_path_factory.mktemp("warm") / "audit")
    warm = opened.warm(["run", folder / "audit.yaml", "--engine", "inline", "-o", folder / "out"])
    assert warm.status == 0, warm.said
    yield opened
    opened.close()
