"""The laws of each capability as functions over a handle; each returns the violations that it found.

A runtime of a third party is held to the same laws: ``check(handle, inputs, rng)`` returns an empty list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.capabilities import (
    AttentionReadable,
    Composer,
    Differentiable,
    Floats,
    Inputs,
    LayerDifferentiable,
    Predictor,
    Rectified,
    Rule,
    RulePropagating,
    TreeEnsemble,
)

_TOLERANCE = 1e-5
"""Relative to the larger of 1 and the largest score: float32 sums in another order differ by about 1e-6."""
_SLOPE_TOLERANCE = 0.03
"""Relative. Rounding of a float32 score is about 0.1 % of the differences taken; the rest is room for kinks."""


@dataclass(frozen=True)
class Violation:
    """One broken law."""

    law: str
    detail: str


def check(handle: Predictor, inputs: Inputs, rng: np.random.Generator) -> list[Violation]:
    """Hold a handle to the laws of every capability that it shows.

    Args:
        handle: an opened model.
        inputs: a few real rows, at least three.
        rng: chooses targets and directions.
    """
    found = check_predictor(handle, inputs)
    if isinstance(handle, Differentiable):
        found += check_differentiable(handle, inputs, rng)
    if isinstance(handle, LayerDifferentiable) and handle.layers:
        found += check_layers(handle, inputs, rng)
    if isinstance(handle, Rectified):
        found += check_rectified(handle, inputs, rng)
    if isinstance(handle, AttentionReadable):
        found += check_attention(handle, inputs)
    if isinstance(handle, RulePropagating):
        found += check_rule_propagating(handle, inputs, rng)
    if isinstance(handle, TreeEnsemble):
        found += check_tree_ensemble(handle, inputs)
    if isinstance(handle, Composer):
        found += check_composer(handle, inputs, rng)
    return found


def check_predictor(handle: Predictor, inputs: Inputs) -> list[Violation]:
    """Shape, dtype, determinism, independence of the batch, and counting."""
    return list(_predictor(handle, inputs))


def check_differentiable(handle: Differentiable, inputs: Inputs, rng: np.random.Generator) -> list[Violation]:
    """Shapes, determinism, independence of the batch, counting, and agreement with central differences."""
    return list(_differentiable(handle, inputs, rng))


def check_layers(handle: LayerDifferentiable, inputs: Inputs, rng: np.random.Generator) -> list[Violation]:
    """Shapes, determinism, independence of the batch, counting, and the chain rule where everything goes through a layer."""
    return list(_layers(handle, inputs, rng))


def check_rectified(handle: Rectified, inputs: Inputs, rng: np.random.Generator) -> list[Violation]:
    """Shapes, determinism, independence of the batch and counting; and that the gradient itself stays as it was."""
    return list(_rectified(handle, inputs, rng))


def check_attention(handle: AttentionReadable, inputs: Inputs) -> list[Violation]:
    """Each position's shares of attention add up to one, are those of the row alone, and are counted."""
    return list(_attention(handle, inputs))


def check_rule_propagating(handle: RulePropagating, inputs: Inputs, rng: np.random.Generator) -> list[Violation]:
    """Contributions add up to differences, relevance is of the right shape, and both are counted."""
    return list(_rule_propagating(handle, inputs, rng))


def check_tree_ensemble(handle: TreeEnsemble, inputs: Inputs) -> list[Violation]:
    """Well-formed trees whose leaves and base add up to the scores."""
    return list(_tree_ensemble(handle, inputs))


def check_composer(handle: Composer, inputs: Inputs, rng: np.random.Generator) -> list[Violation]:
    """Scores of coalitions are those of the composed rows; and each counts as a row, however little was computed."""
    return list(_composer(handle, inputs, rng))


def _rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())))


def _take(inputs: Inputs, index: Any) -> dict[str, Any]:
    return {name: np.asarray(array)[index] for name, array in inputs.items()}


def _differs(first: Floats, second: Floats) -> bool:
    scale = max(1.0, float(np.abs(first).max(initial=0.0)))
    return first.shape != second.shape or bool(np.abs(first - second).max(initial=0.0) > _TOLERANCE * scale)


def _predictor(handle: Predictor, inputs: Inputs) -> Iterator[Violation]:
    rows = _rows(inputs)
    before, kept = handle.spent.forward, {name: np.array(array, copy=True) for name, array in inputs.items()}
    scores = handle.predict(inputs)
    if handle.spent.forward - before != rows:
        yield Violation("counting", f"{rows} rows asked, {handle.spent.forward - before} counted")
    if any(not np.array_equal(kept[n], inputs[n], equal_nan=kept[n].dtype.kind == "f") for n in inputs):
        yield Violation("inputs stay", "predict changed the rows that it was given")
    if scores.dtype != np.float64 or scores.ndim != 2 or len(scores) != rows:
        yield Violation("shape", f"{scores.dtype} {scores.shape} for {rows} rows")
        return
    if not np.isfinite(scores).all():
        yield Violation("finite", f"{int((~np.isfinite(scores)).sum())} scores are not finite")
    if scores.tobytes() != handle.predict(inputs).tobytes():
        yield Violation("determinism", "the same rows give other bytes the second time")
    backwards = np.arange(rows)[::-1]
    if _differs(scores[backwards], handle.predict(_take(inputs, backwards))):
        yield Violation("rows are independent", "reversed rows do not give reversed scores")
    single = np.concatenate([handle.predict(_take(inputs, slice(row, row + 1))) for row in range(rows)])
    if _differs(scores, single):
        yield Violation("batch invariance", "rows one by one give other scores")
    many = np.resize(np.arange(rows), min(handle.rows_per_call, 5000) + 1)
    if _differs(scores[many], handle.predict(_take(inputs, many))):
        yield Violation("any number of rows", f"{len(many)} rows give other scores than {rows}")
    if handle.predict(_take(inputs, slice(0, 0))).shape != (0, scores.shape[1]):
        yield Violation("no rows", "no rows do not give an array of no rows")


def _differentiable(handle: Differentiable, inputs: Inputs, rng: np.random.Generator) -> Iterator[Violation]:
    rows = _rows(inputs)
    outputs = handle.predict(inputs).shape[1]
    target = rng.integers(outputs, size=rows)
    before = handle.spent.backward
    slopes = handle.gradient(inputs, target)
    if handle.spent.backward - before != rows:
        yield Violation("counting", f"{rows} gradients asked, {handle.spent.backward - before} counted")
    for name, array in inputs.items():
        if name not in slopes or slopes[name].shape != array.shape or slopes[name].dtype != np.float64:
            yield Violation("gradient shape", f"the gradient of `{name}` is not float64 {array.shape}")
            return
    again = handle.gradient(inputs, target)
    if any(slopes[name].tobytes() != again[name].tobytes() for name in inputs):
        yield Violation("gradient determinism", "the same rows give other bytes the second time")
    for row in range(rows):
        alone = handle.gradient(_take(inputs, slice(row, row + 1)), target[row : row + 1])
        if any(_differs(slopes[name][row], alone[name][0]) for name in inputs):
            yield Violation("gradient batch invariance", f"row {row} alone has another gradient")
            break
    # Real rows may stand on a kink itself (a flat background ties every max pooling), where slopes are a choice.
    nudged = {name: (array + 0.05 * _normal(array, rng)).astype(array.dtype) for name, array in inputs.items()}
    yield from _central_differences(handle, nudged, target, handle.gradient(nudged, target), rng)


def _normal(array: Any, rng: np.random.Generator) -> Floats:
    """A random direction; whole numbers beside floats are given and stay as they are."""
    drawn = rng.normal(size=array.shape)
    return drawn if array.dtype.kind == "f" else np.zeros(array.shape)


def _central_differences(
    handle: Differentiable, inputs: Inputs, target: Any, slopes: Inputs, rng: np.random.Generator
) -> Iterator[Violation]:
    """Slopes along random directions; where two step sizes disagree there is a kink, which proves nothing."""
    rows, compared, directions = _rows(inputs), 0, 4
    size_of_score = np.maximum(1.0, np.abs(handle.predict(inputs)[np.arange(rows), target]))
    for _ in range(directions):
        way = {name: _normal(array, rng) for name, array in inputs.items()}
        # Half of the direction is the gradient's own, so that the change rises above float32's rounding.
        for name in way:
            size = np.sqrt((slopes[name] ** 2).mean()) or 1.0
            way[name] += slopes[name] / size
        said = sum((slopes[name] * way[name]).reshape(rows, -1).sum(axis=1) for name in inputs)
        # Steps change the score by about 0.1 %: far above float32's rounding, and across few kinks.
        step = np.minimum(1e-3 * size_of_score / np.maximum(np.abs(said), 0.25), 4e-3)
        wide, narrow = (_slope(handle, inputs, way, target, size) for size in (step, 0.5 * step))
        scale = np.maximum(np.abs(wide), np.abs(narrow))
        smooth = np.abs(wide - narrow) <= _SLOPE_TOLERANCE * scale + 1e-3
        wrong = smooth & (np.abs(narrow - said) > _SLOPE_TOLERANCE * np.maximum(scale, np.abs(said)) + 2e-3)
        compared += int(smooth.sum())
        if wrong.any():
            row = int(np.argmax(wrong))
            yield Violation(
                "central differences", f"row {row}: {narrow[row]:.6g} by differences, {said[row]:.6g} by the gradient"
            )
            return
    if 2 * compared < rows * directions:
        yield Violation("central differences", f"only {compared} of {rows * directions} slopes could be compared")


def _slope(handle: Differentiable, inputs: Inputs, way: Inputs, target: Any, step: Floats) -> Floats:
    moved = []
    for sign in (1.0, -1.0):
        rows = {
            name: (array + sign * step.reshape(-1, *[1] * (array.ndim - 1)) * way[name]).astype(array.dtype)
            for name, array in inputs.items()
        }
        moved.append(handle.predict(rows)[np.arange(len(target)), target])
    return np.asarray((moved[0] - moved[1]) / (2.0 * step), np.float64)


_LAYERS_CHECKED = 3
"""Of a deep network, spread from the first to the last: each is traced for itself."""


def _layers(handle: LayerDifferentiable, inputs: Inputs, rng: np.random.Generator) -> Iterator[Violation]:
    rows = _rows(inputs)
    target = rng.integers(handle.predict(inputs).shape[1], size=rows)
    places = np.unique(np.linspace(0, len(handle.layers) - 1, _LAYERS_CHECKED).astype(np.int64))
    chained = []
    for layer in [handle.layers[place] for place in places]:
        before = (handle.spent.forward, handle.spent.backward)
        given = handle.activations(inputs, layer.name)
        same, slopes = handle.layer_gradient(inputs, target, layer.name)
        asked = (handle.spent.forward - before[0], handle.spent.backward - before[1])
        if asked != (rows, rows):
            yield Violation("counting", f"`{layer.name}`: {rows} rows asked each way, {asked} counted")
        fits = all(size in (None, found) for size, found in zip(layer.shape, given.shape[1:], strict=False))
        if given.shape != slopes.shape or len(given) != rows or given.ndim != len(layer.shape) + 1 or not fits:
            words = f"`{layer.name}` {layer.shape} gives {given.shape} and slopes {slopes.shape}"
            yield Violation("layer shape", words)
            return
        if given.dtype != np.float64 or slopes.dtype != np.float64 or _differs(given, same):
            yield Violation("layer activations", f"`{layer.name}` gives other activations without its gradient")
        if slopes.tobytes() != handle.layer_gradient(inputs, target, layer.name)[1].tobytes():
            yield Violation("layer determinism", f"`{layer.name}`: the same rows give other bytes the second time")
        alone = handle.layer_gradient(_take(inputs, slice(1, 2)), target[1:2], layer.name)[1]
        if _differs(slopes[1], alone[0]):
            yield Violation("layer batch invariance", f"`{layer.name}`: row 1 alone has another gradient")
        chained.append(_chain_holds(handle, inputs, target, layer.name, slopes, rng))
    # A layer beside a skip connection carries a part of the change; the one that makes the score carries all of it.
    if not any(chained):
        yield Violation("chain rule", "by no layer do activations and gradient give the change of the score")


def _chain_holds(
    handle: LayerDifferentiable, inputs: Inputs, target: Any, layer: str, slopes: Floats, rng: np.random.Generator
) -> bool:
    """Whether what a layer changes, times its gradient, is what the score changes, for small steps of the input.

    Ids cannot be moved a little: rows of them are compared with other rows, where the score is linear in the layer at best.
    """
    step = 1e-3
    moved = {name: (a + step * _normal(a, rng)).astype(a.dtype) for name, a in inputs.items()}
    if all(array.dtype.kind != "f" for array in inputs.values()):
        moved = {name: np.roll(array, 1, axis=0) for name, array in inputs.items()}
    column = np.arange(_rows(inputs)), target
    change = handle.predict(moved)[column] - handle.predict(inputs)[column]
    given = handle.activations(moved, layer) - handle.activations(inputs, layer)
    said = (given * slopes).reshape(_rows(inputs), -1).sum(axis=1)
    return bool(np.abs(said - change).max() <= 0.05 * np.abs(change).max() + 1e-5)


def _rectified(handle: Rectified, inputs: Inputs, rng: np.random.Generator) -> Iterator[Violation]:
    rows = _rows(inputs)
    target = rng.integers(handle.predict(inputs).shape[1], size=rows)
    plain = handle.gradient(inputs, target)
    for rule in ("guided", "deconvolution"):
        before = handle.spent.backward
        slopes = handle.rectified_gradient(inputs, target, rule)
        if handle.spent.backward - before != rows:
            yield Violation("counting", f"{rule}: {rows} gradients asked, {handle.spent.backward - before} counted")
        for name, array in inputs.items():
            if name not in slopes or slopes[name].shape != array.shape or slopes[name].dtype != np.float64:
                yield Violation("rectified shape", f"{rule}: the gradient of `{name}` is not float64 {array.shape}")
                return
        alone = handle.rectified_gradient(_take(inputs, slice(1, 2)), target[1:2], rule)
        if any(_differs(slopes[name][1], alone[name][0]) for name in inputs):
            yield Violation("rectified batch invariance", f"{rule}: row 1 alone has another gradient")
    after = handle.gradient(inputs, target)
    if any(plain[name].tobytes() != after[name].tobytes() for name in inputs):
        yield Violation("rectified leaves no trace", "the plain gradient is another one afterwards")


def _attention(handle: AttentionReadable, inputs: Inputs) -> Iterator[Violation]:
    rows, before = _rows(inputs), handle.spent.forward
    found = handle.attention(inputs)
    if handle.spent.forward - before != rows:
        yield Violation("counting", f"{rows} rows asked, {handle.spent.forward - before} counted")
    alone = handle.attention(_take(inputs, slice(1, 2)))
    for name, scores in found.items():
        if scores.ndim != 4 or len(scores) != rows or _differs(scores.sum(axis=-1), np.ones(scores.shape[:-1])):
            yield Violation("attention", f"`{name}` gives {scores.shape}, whose last axis should add up to one")
        elif name not in alone or _differs(scores[1], alone[name][0]):
            yield Violation("attention batch invariance", f"`{name}`: row 1 alone looks at something else")


def _composer(handle: Composer, inputs: Inputs, rng: np.random.Generator) -> Iterator[Violation]:
    """The first row against the others, its features drawn as neighbours along the first axis, one element fixed."""
    row, references = _take(inputs, slice(0, 1)), _take(inputs, slice(1, None))
    owners, features = {}, 0
    for name, array in row.items():
        shape = array.shape[1:]
        parts = min(4, shape[0]) if shape else 1
        place = np.arange(shape[0]) * parts // shape[0] if shape else np.zeros((), np.int64)
        owner = np.broadcast_to((features + place).reshape(-1, *[1] * (len(shape) - 1)) if shape else features, shape)
        owners[name] = np.array(owner, np.int64, order="C")
        features += parts
    owners[next(iter(owners))].reshape(-1)[-1:] = -1
    coalitions = handle.coalitions(row, references, owners)
    if coalitions is None:
        return
    masks = np.concatenate(
        [~np.eye(features, dtype=bool), rng.random((16, features)) < 0.5, np.ones((1, features), bool)]
    )
    masks = masks[coalitions.takes(masks)]
    before = handle.spent.forward
    scores = coalitions.scores(masks) if len(masks) else np.zeros((0, 0))
    rows = len(masks) * _rows(references)
    if handle.spent.forward - before != rows:
        yield Violation("counting", f"{rows} rows of coalitions asked, {handle.spent.forward - before} counted")
    for at, mask in enumerate(masks):
        present = np.append(mask, True)
        composed = {name: np.where(present[owners[name]], row[name], references[name]) for name in row}
        if _differs(scores[at * _rows(references) : (at + 1) * _rows(references)], handle.predict(composed)):
            yield Violation("coalitions", f"coalition {mask.astype(int).tolist()} has another score than its rows")
            return


def _rule_propagating(handle: RulePropagating, inputs: Inputs, rng: np.random.Generator) -> Iterator[Violation]:
    rows = _rows(inputs)
    others = _take(inputs, (np.arange(rows) + 1) % rows)
    others |= {name: array for name, array in inputs.items() if array.dtype.kind != "f"}
    scores = handle.predict(inputs), handle.predict(others)
    target = rng.integers(scores[0].shape[1], size=rows)
    spent = handle.spent.forward, handle.spent.backward
    found = handle.rescaled_contributions(inputs, others, target)
    if (handle.spent.forward - spent[0], handle.spent.backward - spent[1]) != (rows, rows):
        yield Violation(
            "counting", f"{rows} pairs of rows are counted otherwise than as one row each, forward and backward"
        )
    yield from _shaped(found, inputs, "contribution")
    everyone = np.arange(rows)
    change = scores[0][everyone, target] - scores[1][everyone, target]
    total = np.asarray(sum(found[name].reshape(rows, -1).sum(axis=1) for name in inputs))
    # Rules that are no closed form are quadratures.
    if np.abs(total - change).max() > 1e-3 * max(1.0, float(np.abs(change).max())):
        row = int(np.abs(total - change).argmax())
        yield Violation("contributions add up", f"row {row}: {total[row]:.6g} of a difference of {change[row]:.6g}")
    try:
        relevance = handle.relevance(inputs, target, (("any", Rule("epsilon")),))
    except ValueError:
        return  # the score is no sum, or a layer has no rule: both are said where the file is inspected
    yield from _shaped(relevance, inputs, "relevance")


def _shaped(found: Inputs, inputs: Inputs, word: str) -> Iterator[Violation]:
    for name, array in inputs.items():
        if name not in found or found[name].shape != array.shape or found[name].dtype != np.float64:
            yield Violation(f"{word} shape", f"the {word} of `{name}` is not float64 {array.shape}")
        elif not np.isfinite(found[name]).all():
            yield Violation(f"{word} finite", f"the {word} of `{name}` is not finite everywhere")


def _tree_ensemble(handle: TreeEnsemble, inputs: Inputs) -> Iterator[Violation]:
    scores = handle.predict(inputs)
    rows = np.asarray(inputs[handle.input_name], np.float64)
    total = np.repeat(np.asarray(handle.base, np.float64)[None], len(rows), axis=0)
    if total.shape != scores.shape:
        yield Violation("tree outputs", f"the base has {len(handle.base)} outputs, the scores {scores.shape[1]}")
        return
    for place, tree in enumerate(handle.trees):
        inner = tree.feature >= 0
        children = np.concatenate([tree.left[inner], tree.right[inner]])
        if sorted(children.tolist()) != list(range(1, len(tree.feature))):
            yield Violation("tree shape", f"tree {place}: its nodes are not one tree with its root first")
            return
        if tree.feature.max(initial=-1) >= rows.shape[1] or np.abs(tree.values[inner]).max(initial=0.0) > 0:
            yield Violation("tree shape", f"tree {place}: a column that is not there, or a value at an inner node")
            return
        for row, x in enumerate(rows):
            node = 0
            while tree.feature[node] >= 0:
                value = x[tree.feature[node]]
                left = tree.missing_left[node] if np.isnan(value) else value <= tree.threshold[node]
                node = int(tree.left[node] if left else tree.right[node])
            total[row] += tree.values[node]
    if _differs(scores, total):
        worst = float(np.abs(scores - total).max())
        yield Violation("additivity", f"base and leaves miss the scores by up to {worst:.3g}")
