"""Explain rows with one attribution method, for one target or for several at once."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import ROWS_OF_A_BATCH, Declaration, Params, Shape
from pgx_compiler.methods.embedding import above_embedding, onto_inputs
from pgx_compiler.modalities.features import FIXED, Rows
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import Floats, Integers, Predictor

Progress = Callable[[int, int], None]
"""``(rows done, rows)``."""


@dataclass(frozen=True)
class Several:
    """What an attribution method gave for every one of several targets."""

    targets: Integers
    """``(rows, outputs)``."""
    values: Floats
    """``(rows, features, outputs)``."""
    standard_error: Floats | None
    base_values: Floats
    """``(rows, outputs)``, as `scores` is."""
    scores: Floats


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
    several: Several | None = None
    """Of several targets all, where they are not too many for the method; all else is of the primary one."""


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
    part: slice | None = None,
) -> Attributed:
    """Explain rows with one method; per-row games or batches as its declaration says.

    With a `part`, whose first row is a multiple of `Declaration.rows_together`, only those rows: what they are given is
    to the bit what they are given among all.

    Of several targets (`Rows.targets`) a game answers all at once, and so does a method that says so
    (`Declaration.shares_targets`); any other is called again for each of them, unless they are too many
    (`Declaration.times_for_targets`): then it explains the primary one alone.
    """
    ids = list(range(len(rows))) if row_ids is None else list(row_ids)
    tick = progress or (lambda _done, _total: None)
    shared = rows.references.shared
    if part is not None:
        rows, ids = rows.of_rows(part), ids[part]
    make = _games if declaration.per_row else _batches
    found = make(declaration, model, rows, params, seed, ids, tick)
    asked = rows.target[:, None] if rows.targets is None else rows.targets
    shape = Shape(len(rows), len(rows.features), len(rows.references))
    again = rows.targets is not None and found.every is None
    if again and declaration.times_for_targets(params, shape, asked.shape[1]) is not None:
        found = _for_each_target(found, declaration, model, rows, params, seed, ids)
    scores = _scores(declaration, model, rows)[np.arange(len(rows))[:, None], asked]
    at = (np.arange(len(rows)), rows.primary)
    if found.bases is not None:
        base, bases = found.every_bases, found.bases
    else:
        base = _base_values(model, rows, asked, shared=shared)
        bases = base[at]
    several = None
    if rows.targets is not None and found.every is not None and base is not None:
        several = Several(rows.targets, found.every, found.every_error, base, scores)
    return Attributed(
        values=found.values,
        standard_error=found.error,
        base_values=bases,
        scores=scores[at],
        maps=found.maps,
        notes=found.notes,
        several=several,
    )


def _scores(declaration: Declaration, model: Predictor, rows: Rows) -> Floats:
    """The model's score of each row, ``(rows, outputs)``, asked for in the groups in which rows are explained.

    In one call for all, its last bits would depend on how many rows there are, and so on where they are cut into parts.
    """
    step = declaration.rows_together or len(rows)
    parts = [model.predict(rows.of_rows(slice(at, at + step)).inputs) for at in range(0, len(rows), step)]
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Found:
    """What a method gave for the primary target, and for every target where it has been asked for them."""

    values: Floats
    error: Floats | None
    bases: Floats | None
    """``(rows,)``, where they are those of another view of the model than the one given."""
    maps: dict[str, NDArray[Any]]
    notes: dict[str, Floats]
    every: Floats | None = None
    """``(rows, features, outputs)``."""
    every_error: Floats | None = None
    every_bases: Floats | None = None
    """``(rows, outputs)``, where `bases` is given."""


def _games(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    params: Params,
    seed: int,
    ids: Sequence[object],
    tick: Progress,
) -> _Found:
    """Play each row's game, for all its targets at once."""
    asked = rows.target[:, None] if rows.targets is None else rows.targets
    values: list[Floats] = []
    errors: list[Floats | None] = []
    notes: dict[str, list[float]] = {}
    for row, place in enumerate(rows.primary):
        game = game_of_row(model, rows.inputs, row, rows.references, rows.features, asked[row])
        rng = [row_rng(seed, ids[row])] if declaration.stochastic else []
        found = declaration.function(game, params, *rng)
        values.append(_padded(found.values, len(rows.features)))
        drawn = found.standard_error
        errors.append(None if drawn is None else _padded(drawn, len(rows.features)))
        for name, note in found.notes.items():
            told = np.atleast_1d(np.asarray(note, np.float64))
            notes.setdefault(name, []).append(float(told[place] if told.size > 1 else told[0]))
        tick(row + 1, len(rows))
    every = np.stack(values).astype(np.float64)
    # A row of which nothing had to be drawn has no error: that says nothing of the others.
    none = all(error is None for error in errors)
    known = [np.zeros_like(value) if error is None else error for value, error in zip(values, errors, strict=True)]
    every_error = None if none else np.stack(known).astype(np.float64)
    at = (np.arange(len(rows)), slice(None), rows.primary)
    return _Found(
        values=every[at],
        error=None if every_error is None else every_error[at],
        bases=None,
        maps={},
        notes={name: np.array(told) for name, told in notes.items()},
        every=every,
        every_error=every_error,
    )


def _batches(
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    params: Params,
    seed: int,
    ids: Sequence[object],
    tick: Progress,
) -> _Found:
    """Explain a few rows at a time, for the primary target, and for all where the method shares what it asks among them."""
    values: list[Floats] = []
    errors: list[Floats | None] = []
    bases: list[Floats] = []
    maps: dict[str, list[NDArray[Any]]] = {}
    notes: dict[str, list[Floats]] = {}
    for start in range(0, len(rows), ROWS_OF_A_BATCH):
        part = slice(start, min(start + ROWS_OF_A_BATCH, len(rows)))
        rng = row_rng(seed, ids[start])
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
            for name, note in found.notes.items():
                notes.setdefault(name, []).append(np.atleast_1d(np.asarray(note, np.float64)))
        else:
            values.append(seen[1].features.sum_onto(found))
            errors.append(None)
        for name, array in onto_inputs(drawn, rows.of_rows(part)).items():
            maps.setdefault(name, []).append(array)
        tick(part.stop, len(rows))
    known = [error for error in errors if error is not None]
    told = np.concatenate(values).astype(np.float64)
    error = np.concatenate(known).astype(np.float64) if len(known) == len(errors) else None
    shared, at = told.ndim == 3, (np.arange(len(rows)), slice(None), rows.primary)
    return _Found(
        values=told[at] if shared else told,
        error=error[at] if shared and error is not None else error,
        bases=np.concatenate(bases) if bases else None,
        maps={name: np.concatenate(parts) for name, parts in maps.items()},
        notes={name: np.concatenate(parts) for name, parts in notes.items()},
        every=told if shared else None,
        every_error=error if shared else None,
    )


def _for_each_target(
    found: _Found,
    declaration: Declaration,
    model: Predictor,
    rows: Rows,
    params: Params,
    seed: int,
    ids: Sequence[object],
) -> _Found:
    """Call a method again for each further target of a row: for the primary one it has been called already."""
    assert rows.targets is not None
    here, (_, count) = np.arange(len(rows)), rows.targets.shape
    # Of each row the places of its other targets, in order.
    others = np.array([[place for place in range(count) if place != own] for own in rows.primary], np.int64)
    values = np.repeat(found.values[:, :, None], count, axis=2)
    errors = None if found.error is None else np.repeat(found.error[:, :, None], count, axis=2)
    bases = None if found.bases is None else np.repeat(found.bases[:, None], count, axis=1)
    for places in others.T:
        asked = Rows(rows.inputs, rows.targets[here, places], rows.references, rows.features)
        one = _batches(declaration, model, asked, params, seed, ids, lambda _done, _total: None)
        values[here, :, places] = one.values
        if errors is not None and one.error is not None:
            errors[here, :, places] = one.error
        if bases is not None and one.bases is not None:
            bases[here, places] = one.bases
    return replace(found, every=values, every_error=errors, every_bases=bases)


def _padded(values: Floats, features: int) -> Floats:
    """Values of one row ``(own features, outputs)`` with zeros for the features that are absent from it."""
    return np.pad(values, ((0, features - len(values)), (0, 0)))


def base_values(model: Predictor, rows: Rows) -> Floats:
    """Worth of the empty coalition for each row's target: the mean score over its references, ``(rows,)``."""
    return _base_values(model, rows, rows.target[:, None], shared=rows.references.shared)[:, 0]


def _base_values(model: Predictor, rows: Rows, targets: Integers, *, shared: bool) -> Floats:
    """Worth of the empty coalition for each row's targets ``(rows, k)``, at the model rows of one.

    Args:
        model: asked for scores.
        rows: a part of them may be a single row, which says nothing of whether all share their references.
        targets: ``(rows, k)``.
        shared: whether they do.
    """
    fixed = any((owner == FIXED).any() for owner in rows.features.owners.values())
    if shared and not fixed and not rows.references.packed:
        scores = model.predict(rows.references.of_row(0)).mean(axis=0)
        return np.asarray(scores[targets], np.float64)
    # Elements that are never perturbed stay as they are in the row, so that rows differ even where references do not.
    games = (
        game_of_row(model, rows.inputs, row, rows.references, rows.features, own) for row, own in enumerate(targets)
    )
    return np.array([game.empty() for game in games], np.float64)
