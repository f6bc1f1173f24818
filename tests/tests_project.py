"""A project in a temporary folder: the examples' models and data linked, and specs cut down to seconds."""

import json
import shutil
from pathlib import Path
from typing import Any

from pgx_compiler.spec.source import load

ROOT = Path(__file__).parent.parent


def make_project(folder: Path) -> Path:
    """A copy of the examples' files; returns the folder."""
    (folder / ".pgx").mkdir(parents=True)
    for part in ("models", "data"):
        shutil.copytree(ROOT / "specs" / part, folder / part)
    return folder


def write_spec(folder: Path, name: str, changes: dict[str, Any] | None = None, file: str | None = None) -> Path:
    """An example spec with some values changed (dotted paths; None deletes); returns its path."""
    spec = load((ROOT / "specs" / f"{name}.yaml").read_text(), name).data
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = spec
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    path = folder / (file or f"{name}.yaml")
    path.write_text(json.dumps(spec, indent=2))  # JSON is YAML, and keeps words such as `on` apart from booleans
    return path


SMALL_TREES = {
    "precaution": [{"use": "class_balance"}],
    "explain.rows": {"from": "test", "sample": 6},
    "explain.fill": {"kind": "background", "size": 8},
    "explain.perturbation": [
        {"use": "shapley_values"},
        {"use": "kernel_shap", "with": {"samples": 200}},
        {"use": "occlusion"},
    ],
    "gates": [
        {
            "fact": "agreement.rank_correlation",
            "between": ["shapley_values", "kernel_shap"],
            "aggregate": "median",
            "min": 0.5,
        }
    ],
    "factsheet": {"formats": ["json"]},
}
"""The audit of the boosted trees, in a few seconds and without a page being drawn."""
