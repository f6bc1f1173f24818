"""Some explained rows in full, as far as the spec shows rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.analysis.targets import output_words
from pgx_compiler.evidence.store import Artifact
from pgx_compiler.ir.node import Node
from pgx_compiler.report.explained import asked
from pgx_compiler.report.factsheet import Example, ExampleValues
from pgx_compiler.report.gathering import Gathering
from pgx_compiler.report.volumes import slices_of

SHOWN_ROWS = 10
"""Rows shown in full: enough to see patterns, few enough to be looked at."""


def examples(run: Gathering) -> list[Example]:
    """Some rows in full: one of each explained class in turn, in file order."""
    # side by side stands only what explains the same rows on the same features
    same = [node for node in asked(run, "attribute") if node.inputs["references"] == "references"]
    done = [(node, run.artifacts[node.id]) for node in same if node.id in run.artifacts]
    rows = run.artifacts.get("rows")
    if not done or rows is None:
        return []
    targets = rows.arrays["target"]
    return [_example(run, done, rows, index) for index in _spread(targets)]


def _spread(targets: Any) -> list[int]:
    queues = [list(np.flatnonzero(targets == target)) for target in np.unique(targets)]
    turns = [queue[i] for i in range(max(map(len, queues))) for queue in queues if i < len(queue)]
    return sorted(int(i) for i in turns[:SHOWN_ROWS])


def _example(run: Gathering, done: Sequence[tuple[Node, Artifact]], rows: Artifact, index: int) -> Example:
    audit = run.plan.audit
    first = done[0][1].arrays
    count = int(first["present"][index].sum()) if "present" in first else len(first["values"][index])
    label = int(rows.arrays["labels"][index]) if "labels" in rows.arrays and audit.classes else None
    shows = audit.spec.factsheet.show_rows
    image = _picture(first, index) if shows and audit.features.layout.get("kind") in _FLAT else None
    inputs = _inputs_in_words(run, first, index) if shows and audit.spec.data.modality == "tabular" else None
    explanations = [
        ExampleValues(
            step=node.step or node.id,
            values=artifact.arrays["values"][index][:count].tolist(),
            standard_error=artifact.arrays["standard_error"][index][:count].tolist()
            if "standard_error" in artifact.arrays
            else None,
        )
        for node, artifact in done
    ]
    return Example(
        row_id=str(rows.arrays["row_ids"][index]),
        target=_output(audit, int(rows.arrays["target"][index])),
        # a regression predicts what is explained: the largest of its outputs is no class
        predicted=_output(audit, int(rows.arrays["target" if audit.outputs else "predicted"][index])),
        label=None if label is None else _output(audit, label),
        score=float(first["scores"][index]),
        base_value=float(first["base_values"][index]),
        explanations=explanations,
        inputs=inputs,
        image=image,
        features=_own_features(first, index, count, audit.features.names, shows),
        owners=_segments(first, index) if shows and audit.features.layout.get("kind") == "segments" else None,
        slices=slices_of(audit, first, index, [one.values for one in explanations], shows),
        image_note="" if shows else "The rows themselves are not shown: the spec keeps raw data out of the factsheet.",
    )


def _own_features(arrays: Any, index: int, count: int, names: Sequence[str], shows: bool) -> list[str] | None:
    """Names of a row's own features, where rows differ."""
    if "present" not in arrays:
        return None
    if shows and "feature_labels" in arrays:
        return [str(label) for label in arrays["feature_labels"][index][:count]]
    return list(names[:count])


_FLAT = ("grid", "segments")
"""Layouts of pictures, which are shown whole."""

_SEGMENT_SIDE = 112
"""Pixels of a drawn segmentation, at most: as many as a page shows."""


def _segments(arrays: Any, index: int) -> list[list[int]] | None:
    """Which segment owns each pixel of a row, thinned to what can be seen."""
    name = next((key for key in arrays if key.startswith("owner_")), None)
    if name is None:
        return None
    owner = np.asarray(arrays[name][index])
    while owner.ndim > 2:  # all channels of a pixel belong to one segment
        owner = owner[0] if owner.shape[0] <= 4 < owner.shape[-1] else owner[..., 0]
    step = max(1, -(-max(owner.shape) // _SEGMENT_SIDE))
    thinned: list[list[int]] = owner[::step, ::step].tolist()
    return thinned


def _output(audit: Resolved, position: int) -> str:
    """The class at a position; of a regression its value, or which of its outputs."""
    if audit.outputs:
        return output_words(audit.outputs[position])
    return audit.classes[position] if audit.classes else "value"


def _picture(arrays: Any, index: int) -> list[list[float]] | None:
    name = next((key for key in arrays if key.startswith("input_")), None)
    if name is None:
        return None
    pixels = np.asarray(arrays[name][index], np.float64)
    grey = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    low, high = float(np.min(arrays[name])), float(np.max(arrays[name]))
    scaled = (grey - low) / (high - low) if high > low else np.zeros_like(grey)
    rows: list[list[float]] = np.round(scaled, 4).tolist()
    return rows


def _inputs_in_words(run: Gathering, arrays: Any, index: int) -> dict[str, str]:
    audit = run.plan.audit
    row = {k.removeprefix("input_"): arrays[k][index : index + 1] for k in arrays if k.startswith("input_")}
    owner = np.concatenate([o.reshape(-1) for o in audit.features.owners.values()])
    words = {}
    for position, name in enumerate(audit.features.names):
        held = audit.features.elements(row, position)[0]
        feature = audit.spec.data.features.get(name)
        if len(held) > 1:
            words[name] = _group_in_words(name, [audit.columns[i] for i in np.flatnonzero(owner == position)], held)
        elif held.dtype.kind not in "biuf":
            words[name] = str(held[0])
        elif not np.isfinite(held[0]):
            words[name] = "missing" if np.isnan(held[0]) else f"{held[0]:g}"
        elif feature and feature.categories and int(held[0]) == held[0] and 0 <= held[0] < len(feature.categories):
            words[name] = feature.categories[int(held[0])]
        else:
            words[name] = f"{held[0]:.6g}" + (f" {feature.unit}" if feature and feature.unit else "")
    return words


def _group_in_words(name: str, columns: Sequence[str], held: Any) -> str:
    """What a group of columns says: of one-hot columns the one that is set, of others all that they hold."""
    short = [column.removeprefix(name).lstrip("=_") or column for column in columns]
    if held.dtype.kind in "biuf" and np.isin(held, (0, 1)).all() and held.sum() <= 1:
        return short[int(np.argmax(held))] if held.any() else "none"
    return ", ".join(f"{column} {value:.6g}" if held.dtype.kind in "biuf" else f"{column} {value}"
                     for column, value in zip(short, held, strict=True))  # fmt: skip
