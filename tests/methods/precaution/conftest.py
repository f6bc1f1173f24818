"""Audit data for the tests of precaution methods, made by the modalities' own functions."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.modalities import image, tabular
from pgx_compiler.modalities.data import AuditData, Split, Variable

FILES = Path(__file__).resolve().parents[3] / "specs" / "data"


def _table(
    train: np.ndarray,
    labels: Sequence[float] | np.ndarray | None = None,
    test: np.ndarray | None = None,
    test_labels: Sequence[float] | np.ndarray | None = None,
    *,
    columns: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    roles: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    task: str = "classification",
    more: Sequence[Variable] = (),
) -> AuditData:
    train = np.asarray(train, np.float64)
    columns = columns or [f"x{i}" for i in range(train.shape[1])]
    features = tabular.feature_map({"x": train.shape[1:]}, {"columns": columns, "groups": groups or {}})
    splits = []
    for name, rows, y in (("train", train, labels), ("test", test, test_labels)):
        if rows is None:
            splits.append(None)
            continue
        dtype = np.int64 if task == "classification" else np.float64
        known = None if y is None else np.asarray(y, dtype)
        splits.append(Split(name, {"x": np.asarray(rows, np.float64)}, known, np.arange(len(rows))))
    if classes is None:
        classes = ("no", "yes") if task == "classification" else ()
    held = tabular.variables(
        splits[0].inputs, None if splits[1] is None else splits[1].inputs, features, columns, roles or {}
    )
    return AuditData("tabular", task, tuple(classes), splits[0], splits[1], features, (*held, *more))


def _digits() -> AuditData:
    splits = []
    for name in ("train", "test"):
        with np.load(FILES / f"digits-{name}.npz") as archive:
            pixels = next(archive[k] for k in archive.files if archive[k].ndim >= 3)
            splits.append(Split(name, {"x": pixels}, archive["y"].astype(np.int64), np.arange(len(pixels))))
    train, test = splits
    features = image.feature_map({"x": train.inputs["x"].shape[1:]}, {"size": 4})
    variables = image.variables(train.inputs, test.inputs, features, (), {})
    return AuditData("image", "classification", tuple("0123456789"), train, test, features, variables)


def _german() -> AuditData:
    """German credit, one-hot: the status-and-sex group and age are sensitive."""
    tables, labels = [], []
    for name in ("train", "test"):
        with (FILES / f"german-credit-onehot-{name}.csv").open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
        values = np.array(rows, np.float64)
        target = header.index("bad_risk")
        labels.append(values[:, target])
        tables.append(np.delete(values, target, axis=1))
    columns = [c for c in header if c != "bad_risk"]
    stems = dict.fromkeys(c.split("=")[0] for c in columns if "=" in c)
    return _table(
        tables[0],
        labels[0],
        tables[1],
        labels[1],
        columns=columns,
        groups={stem: [f"{stem}=*"] for stem in stems},
        roles={"personal_status_sex": "sensitive", "age": "sensitive"},
        classes=("good", "bad"),
    )


@pytest.fixture
def table() -> Callable[..., AuditData]:
    """``table(train, labels, test, test_labels, ...)``: a table as an audit sees it."""
    return _table


@pytest.fixture(scope="session")
def digits() -> AuditData:
    """The repository's digits, 4,000 training and 1,000 test rows."""
    return _digits()


@pytest.fixture(scope="session")
def german() -> AuditData:
    """The repository's German credit data, 700 training and 300 test rows."""
    return _german()
