"""Run a declared method on rows: the one place that knows how each kind of signature is called."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Attribution, FeatureValues, Scores
from pgx_compiler.methods.declaration import Declaration, Params, RowScore
from pgx_compiler.modalities.features import FIXED, References, Rows
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import Floats, Predictor

Progress = Callable[[int, int], None]
"""``(rows done, rows)``."""


@dataclass(frozen=True)
class Attributed:
    """What an attribution method gave for all rows."""

    values: Floats
    """``(rows, features)``."""
    standard_error: Floats | None
    base_values: Floats
    """``(rows,)``: the mean score over the references: where the attributions start from."""
    scores: Floats
    """``(rows,)``: the model's score for the target: where they should arrive."""
    maps: dict[str, NDArray[Any]]
    """Input name to the map on the model's own input; empty for methods that only know features."""


def row_rng(seed: int, row_id: object) -> np.random.Generator:
    """The generator of one row: the same whatever other rows are asked for beside it."""
    return np.random.default_rng([seed, zlib.crc32(str(row_id).encode())])


def attribute(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    params: Params,
    seed: int = 0,
    row_ids: Sequence[object] | None = None,
    progress: Progress | None = None,
) -> Attributed:
    """Explain rows with one method; per-row games or batches as its declaration says."""
    ids = list(range(len(rows))) if row_ids is None else list(row_ids)
    tick = progress or (lambda _done, _total: None)
    values: list[Floats] = []
    errors: list[Floats | None] = []
    maps: dict[str, list[NDArray[Any]]] = {}
    step = 1 if declaration.per_row else max(1, min(8, len(rows)))
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        rng = row_rng(seed, ids[start])
        if declaration.per_row:
            target = int(rows.target[start])
            game = game_of_row(model, rows.inputs, start, rows.references, rows.features, target)
            found = declaration.function(game, params, *([rng] if declaration.stochastic else []))
            values.append(found.values.T)
            errors.append(None if found.standard_error is None else found.standard_error.T)
        else:
            found = declaration.function(
                model, slice_rows(rows, part), params, *([rng] if declaration.stochastic else [])
            )
            if isinstance(found, FeatureValues):
                values.append(found.values)
                errors.append(found.standard_error)
            else:
                values.append(rows.features.sum_onto(found))
                errors.append(None)
                for name, array in found.items():
                    maps.setdefault(name, []).append(array)
        tick(part.stop, len(rows))
    known = [error for error in errors if error is not None]
    scores = model.predict(rows.inputs)[np.arange(len(rows)), rows.target]
    return Attributed(
        values=np.concatenate(values).astype(np.float64),
        standard_error=np.concatenate(known).astype(np.float64) if len(known) == len(errors) else None,
        base_values=base_values(model, rows),
        scores=scores,
        maps={name: np.concatenate(parts) for name, parts in maps.items()},
    )


def slice_rows(rows: Rows, part: slice) -> Rows:
    """Some of the rows, with their references."""
    return Rows(
        {name: array[part] for name, array in rows.inputs.items()},
        rows.target[part],
        rows.references.of_rows(part),
        rows.features,
    )


def base_values(model: Predictor, rows: Rows) -> Floats:
    """Worth of the empty coalition for each row's target: the mean score over its references, ``(rows,)``."""
    shared = len(next(iter(rows.references.inputs.values()))) == 1
    fixed = any((owner == FIXED).any() for owner in rows.features.owners.values())
    if shared and not fixed:
        scores = model.predict(rows.references.of_row(0)).mean(axis=0)
        return np.asarray(scores[rows.target], np.float64)
    # Elements that are never perturbed stay as they are in the row, so that rows differ even where references do not.
    games = (
        game_of_row(model, rows.inputs, row, rows.references, rows.features, int(target))
        for row, target in enumerate(rows.target)
    )
    return np.array([game.empty()[0] for game in games], np.float64)


def judge(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    values: Floats,
    params: Params,
    seed: int = 0,
    row_ids: Sequence[object] | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Run a faithfulness check on every row's explanation, ``values (rows, features)``."""
    ids = list(range(len(rows))) if row_ids is None else list(row_ids)
    tick = progress or (lambda _done, _total: None)
    found: list[RowScore] = []
    for index, row_id in enumerate(ids):
        target = int(rows.target[index])
        game = game_of_row(model, rows.inputs, index, rows.references, rows.features, target)
        rng = [row_rng(seed, row_id)] if declaration.stochastic else []
        found.append(declaration.function(game, values[index], params, *rng))
        tick(index + 1, len(ids))
    extra = {name: np.array([score.extra[name] for score in found], np.float64) for name in found[0].extra}
    return Scores(
        np.array([score.score for score in found], np.float64),
        declaration.title,
        better=declaration.better,
        extra=extra,
    )


def compare(declaration: Declaration, first: Attribution, second: Attribution, params: Params) -> Scores:
    """Compare two attributions of the same rows and features."""
    if first.values.shape != second.values.shape:
        raise ValueError(f"{first.step} and {second.step} explain different rows or features")
    scores: Scores = declaration.function(first, second, params)
    return scores


MOST_SHIFTS = 8
"""Ways to pair each row with another one: enough for a median, and a fraction of what the explanations cost."""


def across_rows(declaration: Declaration, first: Attribution, second: Attribution, params: Params) -> float | None:
    """The median of a comparison when each row's explanation is held against that of another row.

    What two explanations share here is not about the row: features that matter everywhere (the middle of a picture), or
    nowhere. Agreement on a row is what goes beyond it. None below two rows, or where it is undefined.
    """
    rows = len(second.values)
    found: list[Floats] = []
    for shift in np.unique(np.linspace(1, max(1, rows - 1), MOST_SHIFTS).astype(np.int64)) if rows > 1 else ():
        error = second.standard_error
        moved = replace(
            second,
            values=np.roll(second.values, shift, axis=0),
            standard_error=None if error is None else np.roll(error, shift, axis=0),
        )
        found.append(np.asarray(compare(declaration, first, moved, params).values, np.float64))
    known = np.concatenate(found) if found else np.zeros(0)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else None


__all__ = [
    "MOST_SHIFTS",
    "Attributed",
    "Progress",
    "References",
    "across_rows",
    "attribute",
    "base_values",
    "compare",
    "judge",
    "row_rng",
    "slice_rows",
]
