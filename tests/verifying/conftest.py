"""One small run of the boosted trees, with its pages, for all tests of this folder."""

import shutil
from pathlib import Path

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main

CHANGES = {**SMALL_TREES, "factsheet": {"formats": ["html", "pdf"]}}


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the run ``runs/a`` of ``audit.yaml``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PGX_STORE", raising=False)
        folder = make_project(tmp_path_factory.mktemp("verifying") / "project")
        spec = write_spec(folder, "german-credit-trees", CHANGES, "audit.yaml")
        assert main(["run", str(spec), "-o", str(folder / "runs" / "a")]) == 0
    return folder


@pytest.fixture
def run(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run with a copy of its store, in the shape of a project."""
    monkeypatch.delenv("PGX_STORE", raising=False)
    shutil.copytree(project / ".pgx", tmp_path / ".pgx")
    return Path(shutil.copytree(project / "runs" / "a", tmp_path / "runs" / "a"))


@pytest.fixture
def alone(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run without anything else."""
    monkeypatch.delenv("PGX_STORE", raising=False)
    return Path(shutil.copytree(project / "runs" / "a", tmp_path / "elsewhere" / "a"))
