"""The audit that the benchmarks of faults run: a real model and table of credit, in a folder of their own."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_MODEL = """
apiVersion: pgx/v1
kind: Audit
metadata: {name: struck}
seed: 3
model: {onnx: models/german-credit-trees.onnx, task: classification, classes: [good, bad]}
data:
  modality: tabular
  train: {path: data/german-credit-train.csv, target: bad_risk}
  test: {path: data/german-credit-test.csv, target: bad_risk}
factsheet: {formats: [json]}
"""


def put_into(place: Path, rest: str) -> None:
    """Write ``audit.yaml`` with the model, and the rest as it is given, and its files beside it."""
    (place / "audit.yaml").write_text(_MODEL + rest)
    for name in ("models", "data"):
        shutil.copytree(ROOT / "specs" / name, place / name)
