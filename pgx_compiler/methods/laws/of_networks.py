"""What methods promise that follow derivatives or look into layers."""

from collections.abc import Sequence

import numpy as np

from pgx_compiler.methods.apply import attribute, base_values, make_global
from pgx_compiler.methods.declaration import Declaration, UnfitParams
from pgx_compiler.methods.laws.bench import Bench, beyond, explained, reported, size_of
from pgx_compiler.modalities.features import FIXED
from runtimes.capabilities import LayerDifferentiable


def implementation_invariance(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Networks that compute the same function by other layers get the same values (Sundararajan et al. 2017)."""
    if bench.twin is None:
        return None
    one = explained(declaration, bench, seed)
    other = attribute(declaration, bench.twin, bench.rows, declaration.params(), seed)
    return [
        *beyond(np.abs(one.scores - other.scores), 1e-9 * size_of(one), "the bench's twin is no twin"),
        *beyond(np.abs(one.values - other.values), 1e-6 * size_of(one), "equal functions have different values"),
    ]


def shift_invariance(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """A constant that is added to the input, and taken off by the first layer, changes nothing (Kindermans et al. 2017)."""
    if bench.shifted is None:
        return None
    one = explained(declaration, bench, seed)
    other = attribute(declaration, *bench.shifted, declaration.params(), seed)
    return [
        *beyond(np.abs(one.scores - other.scores), 1e-5 * size_of(one), "the bench's shift is not taken off"),
        *beyond(np.abs(one.values - other.values), 1e-5 * size_of(one), "a shift of the input changes the values"),
    ]


def mirrored(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """A row that is its own mirror image, for a model to which mirror images are the same, has such an explanation."""
    if not bench.mirrored:
        return None
    found = explained(declaration, bench, seed)
    if not found.values.any():
        return ["the explanation says nothing"]
    one, other = (list(side) for side in zip(*bench.mirrored, strict=True))
    apart = np.abs(found.values[:, one] - found.values[:, other])
    return beyond(apart, 1e-9 * np.abs(found.values).max(), "mirror images have different values")


def conductance_adds_up(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """What the channels of a layer carry adds up to the score of a row minus the mean score of its references."""
    report = make_global(declaration, bench.model, bench.rows, None, bench.table, declaration.params(), seed)
    scores = bench.model.predict(bench.rows.inputs)[np.arange(len(bench.rows)), bench.rows.target]
    difference = scores - base_values(bench.model, bench.rows)
    gap = np.abs(report.arrays["conductance"].sum(axis=1) - difference)
    return beyond(gap, 1e-6 * max(1.0, np.abs(difference).max()), "channels do not carry the difference")


def influence_is_slope(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where the score has the same slope by a layer at a row and its references, the channels' influence is that slope."""
    rows, model = bench.rows, bench.model
    assert isinstance(model, LayerDifferentiable)
    report = make_global(declaration, model, rows, None, bench.table, declaration.params(), seed)
    layer = next(one.name for one in model.layers if one.shape[-1] == report.arrays["influence"].shape[1])
    slopes = model.layer_gradient(rows.inputs, rows.target, layer)[1]
    at_references = model.layer_gradient(rows.references.of_row(0), rows.target[: len(rows.references)], layer)[1]
    if np.abs(at_references - slopes[: len(at_references)]).max() > 1e-12:
        return None
    expected = slopes.reshape(len(rows), -1, slopes.shape[-1]).sum(axis=1)
    return beyond(np.abs(report.arrays["influence"] - expected), 1e-9, "influence is not the slope")


def shares_of_attention(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """What the positions of a row get is not negative and adds up to one."""
    values = explained(declaration, bench, seed).values
    return [
        *beyond(np.abs(values.sum(axis=1) - 1.0), 1e-9, "shares do not add up to one"),
        *beyond(-values, 0.0, "a share is negative"),
    ]


def conservation(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where no layer adds a bias, the values of a row add up to its score itself."""
    if not bench.unbiased:
        return None
    found = explained(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - found.scores)
    return beyond(gap, 1e-4 * size_of(found), "values do not add up to the score")


def adversaries_hold(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """With the change that was found a row gets another decision; what is never perturbed is not changed."""
    rows, arrays = bench.rows, reported(declaration, bench, seed).arrays
    changes = {name: arrays[f"change_{name}"] for name in rows.inputs if f"change_{name}" in arrays}
    moved = {name: (array + changes.get(name, 0.0)).astype(array.dtype) for name, array in rows.inputs.items()}
    before, after = (bench.model.predict(inputs).argmax(axis=1) for inputs in (rows.inputs, moved))
    fixed = [change[:, rows.features.owners[name] == FIXED].any() for name, change in changes.items()]
    return [
        *beyond(
            np.asarray((before != after) != arrays["found"], np.float64), 0.0, "a change does not do what is stated"
        ),
        *beyond(np.asarray(fixed, np.float64), 0.0, "what is never perturbed is changed"),
    ]


def helps_itself(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """No training row speaks against its own label."""
    try:
        itself = reported(declaration, bench, seed).arrays["self_influence"]
    except UnfitParams:  # the bench's last layer is not one that can be looked at
        return None
    return beyond(-itself, 1e-9 * np.abs(itself).max(), "a training row speaks against its own label")


def climbs(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What is made scores no less than what it was made from."""
    arrays = reported(declaration, bench, seed).arrays
    if "start_score" not in arrays:
        return None
    return beyond(arrays["start_score"] - arrays["score"], 0.0, "what is made scores less than its start")
