"""Labels that the check lets pass are those that a run can read, and no others."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler.analysis.analyse import analyse
from pgx_compiler.execute.bench import UnfitInput, read_labels
from pgx_compiler.spec.parse import parse
from runtimes import datasets

ROOT = Path(__file__).parents[2] / "specs"
SPEC = """
apiVersion: pgx/v1
kind: Audit
metadata: {{name: a}}
model: {{onnx: models/german-credit-trees.onnx, classes: {classes}}}
data: {{modality: tabular, train: {{path: data/labels.{suffix}, target: y}}}}
precaution: [{{use: class_balance}}]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    (folder / "models").mkdir()
    model = "german-credit-trees.onnx"
    (folder / "models" / model).write_bytes((ROOT / "models" / model).read_bytes())
    (folder / "data").mkdir()
    return folder


def said(root: Path, suffix: str, classes: list[str]) -> list[str]:
    text = SPEC.format(classes=str(classes), suffix=suffix)
    return [d.message for d in analyse(parse(text, "a.yaml"), root).diagnostics if d.code.name == "bad-labels"]


def can_be_read(root: Path, suffix: str, classes: list[str]) -> bool:
    raw = datasets.read(root / f"data/labels.{suffix}", {"y"}).arrays["y"]
    try:
        read_labels(raw, {"split": "train", "target": "y", "task": "classification", "classes": classes})
    except UnfitInput:
        return False
    return True


CELLS = st.sampled_from(["0", "1", "2", "-1", "0.5", "1.0", "no", "yes", "1e0", "", "3"])
CLASSES = st.sampled_from([["no", "yes"], ["0", "1"], ["1", "2"], ["-1", "1"], ["yes", "2"]])


@given(st.lists(CELLS, min_size=1, max_size=4), CLASSES)
@settings(max_examples=60, deadline=None)
def test_of_a_table_the_check_and_the_run_agree(root: Path, cells: list[str], classes: list[str]) -> None:
    (root / "data/labels.csv").write_text("a,y\n" + "".join(f"1,{cell}\n" for cell in cells))
    assert (said(root, "csv", classes) == []) == can_be_read(root, "csv", classes)


@given(st.lists(CELLS, min_size=1, max_size=4), st.booleans(), CLASSES)
@settings(max_examples=60, deadline=None)
def test_of_an_archive_the_check_and_the_run_agree(
    root: Path, cells: list[str], numbers: bool, classes: list[str]
) -> None:
    y = (
        np.array([float(cell) if cell not in ("no", "yes", "") else np.nan for cell in cells])
        if numbers
        else np.array(cells)
    )
    np.savez(root / "data/labels.npz", x=np.ones((len(cells), 20)), y=y)
    assert (said(root, "npz", classes) == []) == can_be_read(root, "npz", classes)


def test_a_table_above_the_limit_is_left_to_the_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgx_compiler.analysis.checks import labels

    (root / "data/labels.csv").write_text("a,y\n1,9\n")
    assert len(said(root, "csv", ["no", "yes"])) == 1
    monkeypatch.setattr(labels, "LARGEST_TABLE", 4)
    assert said(root, "csv", ["no", "yes"]) == []
