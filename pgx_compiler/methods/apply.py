"""Run a declared method on rows: the one place that knows how each kind of signature is called."""

import inspect
import typing
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Attribution, FeatureValues, Report, RowReport, Scores
from pgx_compiler.methods.declaration import Declaration, Params, RowScore
from pgx_compiler.methods.embedding import above_embedding, onto_inputs
from pgx_compiler.modalities.data import AuditData
from pgx_compiler.modalities.features import FIXED, References, Rows
from pgx_compiler.modalities.game import Game, game_of_row
from pgx_compiler.modalities.table import Table, TableRow
from runtimes.capabilities import Floats, Integers, Predictor

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
    notes: dict[str, Floats] = field(default_factory=dict)
    """``(rows,)`` each: what the method declares as its `quantities`."""


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
    bases: list[Floats] = []
    maps: dict[str, list[NDArray[Any]]] = {}
    notes: dict[str, list[Floats]] = {}
    step = 1 if declaration.per_row else max(1, min(8, len(rows)))
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        rng = row_rng(seed, ids[start])
        if declaration.per_row:
            target = int(rows.target[start])
            game = game_of_row(model, rows.inputs, start, rows.references, rows.features, target)
            found = declaration.function(game, params, *([rng] if declaration.stochastic else []))
            values.append(_padded(found.values.T, len(rows.features)))
            errors.append(None if found.standard_error is None else _padded(found.standard_error.T, len(rows.features)))
        else:
            seen: tuple[Predictor, Rows] = (model, rows.of_rows(part))
            if declaration.capability in ("Differentiable", "RulePropagating"):
                seen = above_embedding(*seen)
            if seen[0] is not model:
                bases.append(base_values(*seen))
            found = declaration.function(*seen, params, *([rng] if declaration.stochastic else []))
            drawn = found
            if isinstance(found, FeatureValues):
                values.append(found.values)
                errors.append(found.standard_error)
                drawn = found.maps
            else:
                values.append(seen[1].features.sum_onto(found))
                errors.append(None)
            for name, array in onto_inputs(drawn, rows.of_rows(part)).items():
                maps.setdefault(name, []).append(array)
        if isinstance(found, FeatureValues):
            for name, note in found.notes.items():
                notes.setdefault(name, []).append(np.atleast_1d(np.asarray(note, np.float64)))
        tick(part.stop, len(rows))
    known = [error for error in errors if error is not None]
    scores = model.predict(rows.inputs)[np.arange(len(rows)), rows.target]
    return Attributed(
        values=np.concatenate(values).astype(np.float64),
        standard_error=np.concatenate(known).astype(np.float64) if len(known) == len(errors) else None,
        base_values=np.concatenate(bases) if bases else base_values(model, rows),
        scores=scores,
        maps={name: np.concatenate(parts) for name, parts in maps.items()},
        notes={name: np.concatenate(parts) for name, parts in notes.items()},
    )


def make_global(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    data: AuditData | None,
    table: Table | None,
    params: Params,
    seed: int = 0,
) -> Report:
    """Run a global explanation on what its signature asks for: the table, or the model with rows or with the data."""
    offered: dict[Any, Any] = {Rows: rows, AuditData: data, Table: table, np.random.Generator: np.random.default_rng(seed)}
    hints = typing.get_type_hints(declaration.function)
    arguments = {
        name: params if name == "params" else offered.get(hints[name], model)
        for name in inspect.signature(declaration.function).parameters
    }
    report: Report = declaration.function(**arguments)
    return report


def _padded(values: Floats, features: int) -> Floats:
    """Values of one row ``(outputs, own features)`` with zeros for the features that are absent from it."""
    return np.pad(values, ((0, 0), (0, features - values.shape[1])))


def state(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    table: Table | None,
    params: Params,
    seed: int = 0,
    row_ids: Sequence[object] | None = None,
    progress: Progress | None = None,
) -> list[RowReport]:
    """Run a local explanation on every row; ``table`` for methods that ask for real values."""
    ids = list(range(len(rows))) if row_ids is None else list(row_ids)
    tick = progress or (lambda _done, _total: None)
    wants_table = TableRow in typing.get_type_hints(declaration.function).values()
    found: list[RowReport] = []
    for index, row_id in enumerate(ids):
        first: Game | TableRow
        if wants_table:
            assert table is not None
            first = table.row(index)
        else:
            target = int(rows.target[index])
            first = game_of_row(model, rows.inputs, index, rows.references, rows.features, target)
        rng = [row_rng(seed, row_id)] if declaration.stochastic else []
        found.append(declaration.function(first, params, *rng))
        tick(index + 1, len(ids))
    return found


def base_values(model: Predictor, rows: Rows) -> Floats:
    """Worth of the empty coalition for each row's target: the mean score over its references, ``(rows,)``."""
    shared = len(next(iter(rows.references.inputs.values()))) == 1
    fixed = any((owner == FIXED).any() for owner in rows.features.owners.values())
    if shared and not fixed and not rows.references.packed:
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
        found.append(declaration.function(game, values[index, : game.n_features], params, *rng))
        tick(index + 1, len(ids))
    extra = {name: np.array(_of_one_length([score.extra for score in found], name)) for name in found[0].extra}
    return Scores(
        np.array([score.score for score in found], np.float64),
        declaration.title,
        better=declaration.better,
        extra=extra,
    )


def _of_one_length(extras: Sequence[Mapping[str, Any]], name: str) -> list[Floats]:
    """What a check leaves of each row; curves of rows that differ in their features, over shares of them that are the same."""
    held = [np.asarray(extra[name], np.float64) for extra in extras]
    longest = max(one.size for one in held)
    if all(one.size == longest for one in held):
        return held
    shares = [
        np.asarray(extra.get("moved_share", np.linspace(0, 1, one.size)))
        for extra, one in zip(extras, held, strict=True)
    ]
    grid = np.linspace(0, 1, longest)
    return [np.interp(grid, share, one) for share, one in zip(shares, held, strict=True)]


def compare(declaration: Declaration, first: Attribution, second: Attribution, params: Params) -> Scores:
    """Compare two attributions of the same rows and features."""
    if first.values.shape != second.values.shape:
        raise ValueError(f"{first.step} and {second.step} explain different rows or features")
    if first.present is None:
        scores: Scores = declaration.function(first, second, params)
        return scores
    return _compare_own_features(declaration, first, second, params)


def _compare_own_features(declaration: Declaration, first: Attribution, second: Attribution, params: Params) -> Scores:
    """Row by row, each on the features that it has: absent ones would agree for nothing.

    The level of chance depends on the number of features; that of the rows' mean is given.
    """
    assert first.present is not None
    parts: list[Scores] = []
    for row in range(len(first.values)):
        own = np.flatnonzero(first.present[row])
        one, other = (_restricted(side, row, own) for side in (first, second))
        parts.append(declaration.function(one, other, params))
    levels = [part.chance for part in parts if part.chance is not None]
    return replace(
        parts[0],
        # what is counted may depend on how many features a row has
        title=parts[0].title if len({part.title for part in parts}) == 1 else declaration.title,
        values=np.concatenate([part.values for part in parts]),
        chance=float(np.mean(levels)) if levels else None,
        undefined=next((part.undefined for part in parts if part.undefined), None),
        extra={name: np.concatenate([part.extra[name] for part in parts]) for name in parts[0].extra},
    )


def _restricted(side: Attribution, row: int, own: Integers) -> Attribution:
    error = side.standard_error
    return replace(
        side,
        values=side.values[row : row + 1, own],
        standard_error=None if error is None else error[row : row + 1, own],
        present=None,
    )


MOST_SHIFTS = 8
"""Ways to pair each row with another one: enough for a median, and a fraction of what the explanations cost."""


def across_rows(declaration: Declaration, first: Attribution, second: Attribution, params: Params) -> float | None:
    """The median of a comparison when each row's explanation is held against that of another row.

    What two explanations share here is not about the row: features that matter everywhere (the middle of a picture), or
    nowhere. Agreement on a row is what goes beyond it. None below two rows, or where it is undefined.
    """
    rows = len(second.values)
    if second.present is not None:
        return None  # features of other rows are other features
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
    "make_global",
    "row_rng",
    "state",
]
