"""Run a declared method on rows: the one place that knows how each kind of signature is called."""

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pgx_compiler.evidence.results import Attribution, Report, RowReport, Scores
from pgx_compiler.methods.attributing import Attributed, Progress, Several, attribute, base_values, row_rng
from pgx_compiler.methods.declaration import Declaration, Params, RowScore
from pgx_compiler.modalities.data import AuditData
from pgx_compiler.modalities.features import References, Rows
from pgx_compiler.modalities.game import Game, game_of_row
from pgx_compiler.modalities.table import Table, TableRow
from runtimes.capabilities import Floats, Integers, Predictor


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
    offered: dict[Any, Any] = {
        Rows: rows,
        AuditData: data,
        Table: table,
        np.random.Generator: np.random.default_rng(seed),
    }
    hints = typing.get_type_hints(declaration.function)
    arguments = {
        name: params if name == "params" else offered.get(hints[name], model)
        for name in inspect.signature(declaration.function).parameters
    }
    report: Report = declaration.function(**arguments)
    return report


def state(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    table: Table | None,
    params: Params,
    seed: int = 0,
    row_ids: Sequence[object] | None = None,
    progress: Progress | None = None,
    part: slice | None = None,
) -> list[RowReport]:
    """Run a local explanation on every row, or on a part of them; ``table`` for methods that ask for real values."""
    ids = list(range(len(rows))) if row_ids is None else list(row_ids)
    tick = progress or (lambda _done, _total: None)
    asked = range(len(rows))[part or slice(None)]
    wants_table = TableRow in typing.get_type_hints(declaration.function).values()
    found: list[RowReport] = []
    for done, index in enumerate(asked, 1):
        first: Game | TableRow
        if wants_table:
            assert table is not None
            first = table.row(index)
        else:
            target = int(rows.target[index])
            first = game_of_row(model, rows.inputs, index, rows.references, rows.features, target)
        rng = [row_rng(seed, ids[index])] if declaration.stochastic else []
        found.append(declaration.function(first, params, *rng))
        tick(done, len(asked))
    return found


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
    return scores_of(declaration, judge_rows(declaration, model, rows, values, params, seed, row_ids, progress))


def judge_rows(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    values: Floats,
    params: Params,
    seed: int = 0,
    row_ids: Sequence[object] | None = None,
    progress: Progress | None = None,
    part: slice | None = None,
) -> list[RowScore]:
    """What a faithfulness check says of each row, or of a part of them."""
    ids = list(range(len(rows))) if row_ids is None else list(row_ids)
    tick = progress or (lambda _done, _total: None)
    asked = range(len(rows))[part or slice(None)]
    found: list[RowScore] = []
    for done, index in enumerate(asked, 1):
        target = int(rows.target[index])
        game = game_of_row(model, rows.inputs, index, rows.references, rows.features, target)
        rng = [row_rng(seed, ids[index])] if declaration.stochastic else []
        found.append(declaration.function(game, values[index, : game.n_features], params, *rng))
        tick(done, len(asked))
    return found


def scores_of(declaration: Declaration, found: Sequence[RowScore]) -> Scores:
    """A faithfulness check over its rows."""
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
    "Several",
    "across_rows",
    "attribute",
    "base_values",
    "compare",
    "judge",
    "judge_rows",
    "make_global",
    "row_rng",
    "scores_of",
    "state",
]
