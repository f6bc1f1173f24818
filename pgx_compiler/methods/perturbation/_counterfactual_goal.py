"""What a changed row must score to count as a counterfactual, for classes and for numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.modalities.table import TableRow
from runtimes.capabilities import Floats

OTHER = "other"
"""Any class but the one that the model predicts for the row."""


@dataclass(frozen=True)
class Goal:
    """What is wanted of the model's scores."""

    words: str
    """``good instead of bad``."""
    aim: str
    """``good``."""
    gap: Callable[[Floats], Floats]
    """Scores ``(n, outputs)`` to how far each is from the goal, ``(n,)`` in the score's unit: reached where it is 0 or
    below."""


def goal_of(
    row: TableRow,
    scores: Floats,
    wanted: str,
    margin: float,
    change: float | None = None,
    values: Sequence[float] | None = None,
) -> Goal:
    """The goal for a row whose own ``scores`` are ``(outputs,)``.

    Raises:
        UnfitParams: `wanted` is no class, or nothing says what a regression should give.
    """
    if row.table.task == "regression":
        if wanted != OTHER:
            raise UnfitParams("`wanted` names a class, and a regression has none; say `change` or `range`")
        return _number(row, float(scores[row.target]), change, values)
    if change is not None or values is not None:
        raise UnfitParams("`change` and `range` are for regression; a classification has `wanted`")
    outputs, current = row.table.outputs, int(np.argmax(scores))
    if wanted not in (OTHER, *outputs):
        raise UnfitParams(f"`wanted` is `{wanted}`, and the classes are {', '.join(outputs)}")
    if wanted == OTHER:
        other = f"{outputs[1 - current]}" if len(outputs) == 2 else "another class"
        words = f"{other} instead of {outputs[current]}{_ahead(margin)}"
        return Goal(words, other, lambda found: -_lead(found, current) + margin)
    aim = outputs.index(wanted)
    # A row that has the class already may still want the margin.
    instead = "" if aim == current else f" instead of {outputs[current]}"
    return Goal(f"{wanted}{instead}{_ahead(margin)}", wanted, lambda found: _behind(found, aim) + margin)


def _ahead(margin: float) -> str:
    return f" by at least {margin:g}" if margin > 0 else ""


def staying(row: TableRow, scores: Floats) -> Goal:
    """That the predicted class stays what it is."""
    current = int(np.argmax(scores))
    name = row.table.outputs[current]
    return Goal(f"still {name}", name, lambda found: _behind(found, current))


def _lead(scores: Floats, of: int) -> Floats:
    """How far the best other class is ahead of one; a tie counts as just behind, whatever the order of the classes."""
    lead = np.delete(scores, of, axis=1).max(axis=1) - scores[:, of]
    return np.where(lead == 0, -np.finfo(np.float64).tiny, lead)


def _behind(scores: Floats, of: int) -> Floats:
    """How far one class is behind the best other; a tie counts as just behind."""
    behind = np.delete(scores, of, axis=1).max(axis=1) - scores[:, of]
    return np.where(behind == 0, np.finfo(np.float64).tiny, behind)


def _number(row: TableRow, score: float, change: float | None, values: Sequence[float] | None) -> Goal:
    target = row.target
    if change is not None and values is not None:
        raise UnfitParams("`change` and `range` both say what is wanted; give one")
    if values is not None:
        low, high = values
        return Goal(
            f"between {low:.6g} and {high:.6g} instead of {score:.6g}",
            "in the range wanted",
            lambda found: np.maximum(low - found[:, target], found[:, target] - high),
        )
    if change is not None:
        sign, aim = np.sign(change), score + change
        words = f"at {'least' if change > 0 else 'most'} {aim:.6g} instead of {score:.6g}"
        return Goal(words, "as wanted", lambda found: np.asarray(sign * (aim - found[:, target]), np.float64))
    labels, of = row.table.train.labels, "the labels"
    if labels is not None and row.table.score_name == "log_value":
        labels, of = np.log(labels[labels > 0].astype(np.float64)), "the logarithms of the labels above 0"
    spread = float(np.std(labels)) if labels is not None and len(labels) else 0.0
    if not spread > 0:
        raise UnfitParams("say what is wanted of a regression: `change: 5` or `range: [10, 20]`")
    words = f"{spread:.6g} (the standard deviation of {of}) away from {score:.6g}"
    return Goal(words, "as wanted", lambda found: spread - np.abs(found[:, target] - score))
