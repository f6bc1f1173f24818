"""Methods, judgements and comparisons on rows that each have features of their own."""

import numpy as np
import pytest

from pgx_compiler.evidence.results import Attribution
from pgx_compiler.execute.reliance import _even_share, _inside, _owned, shares
from pgx_compiler.methods.apply import attribute, compare, judge
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities import image
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from tests.methods.models import Linear

SIDE = 6


@pytest.fixture
def rows():
    """Eleven pictures (more than one batch) with one to six segments each; the last two rows of pixels are fixed."""
    rng = np.random.default_rng(5)
    images = rng.random((11, SIDE, SIDE, 1))
    counts = np.array([1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 6])
    owner = np.stack([np.arange(SIDE * SIDE).reshape(SIDE, SIDE, 1) % count for count in counts])
    owner[:, -2:] = FIXED
    features = FeatureMap(tuple(f"s{i}" for i in range(6)), {"x": owner}, {"kind": "segments"}, counts)
    references = References({"x": rng.random((1, 3, SIDE, SIDE, 1))})
    return Rows({"x": images}, rng.integers(0, 2, 11), references, features)


@pytest.fixture
def model():
    return Linear(np.random.default_rng(6).normal(size=(SIDE * SIDE, 2)))


def truth(model, rows):
    """Of a linear model: weight times difference from the mean reference, summed over each row's own segments."""
    apart = rows.inputs["x"] - rows.references.inputs["x"].mean(axis=1)
    parts = (apart.reshape(11, -1) * model.weights.T[rows.target]).reshape(rows.inputs["x"].shape)
    owner = rows.features.owners["x"]
    return np.stack([(parts * (owner == s)).sum(axis=(1, 2, 3)) for s in range(6)], axis=1)


@pytest.mark.parametrize(
    "name", ["exact_shapley", "kernel_shap", "permutation_shap", "occlusion", "integrated_gradients"]
)
def test_both_directions_give_a_linear_model_s_own_parts_whatever_the_batch(name, model, rows):
    declaration = catalogue()[name]
    found = attribute(declaration, model, rows, declaration.params())
    assert np.allclose(found.values, truth(model, rows), atol=1e-8)
    absent = ~rows.features.present(len(rows))
    assert absent.any()
    assert (found.values[absent] == 0).all()
    gap = found.values.sum(axis=1) - (found.scores - found.base_values)
    assert np.allclose(gap, 0, atol=1e-8)


@pytest.mark.parametrize(("name", "signed"), [("saliency", False), ("smoothgrad", True)])
def test_slopes_are_summed_over_each_row_s_own_segments(name, signed, model, rows):
    declaration = catalogue()[name]
    found = attribute(declaration, model, rows, declaration.params())
    slopes = model.weights.T[rows.target].reshape(rows.inputs["x"].shape)
    slopes = slopes if signed else np.abs(slopes)
    owner = rows.features.owners["x"]
    expected = np.stack([(slopes * (owner == s)).sum(axis=(1, 2, 3)) for s in range(6)], axis=1)
    assert np.allclose(found.values, expected)


@pytest.mark.parametrize("name", ["deletion", "insertion", "completeness_gap"])
def test_explanations_are_judged_on_the_features_that_a_row_has(name, model, rows):
    declaration = catalogue()[name]
    found = judge(declaration, model, rows, truth(model, rows), declaration.params())
    assert found.values.shape == (11,)
    assert np.isfinite(found.values).all()
    if name == "completeness_gap":
        assert np.allclose(found.values, 0, atol=1e-8)
    for array in found.extra.values():
        assert len(array) == 11


def test_comparisons_leave_out_what_is_absent_and_say_where_nothing_can_be_told(rows):
    rng = np.random.default_rng(0)
    present = rows.features.present(11)
    first, second = (
        Attribution("a", "a", "gradient", np.where(present, rng.normal(size=(11, 6)), 0), None, True, present)
        for _ in range(2)
    )
    declaration = catalogue()["top_k_overlap"]
    found = compare(declaration, first, second, declaration.params(k=4))
    few = rows.features.counts <= 4
    assert np.isnan(found.values[few]).all()
    assert np.isfinite(found.values[~few]).all()
    # chance is k over the row's number: 4/5 in two rows, 4/6 in two, undefined in the others
    assert found.chance == pytest.approx((2 * 4 / 5 + 2 * 4 / 6) / 4)
    assert found.undefined
    automatic = compare(declaration, first, second, declaration.params())
    assert automatic.title == declaration.title  # the number of features looked at differs from row to row


def test_a_region_s_share_weighs_each_row_s_segments_by_how_much_of_them_lies_in_it(rows):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:2] = True
    owners = rows.features.owners["x"]
    owned = np.stack([_inside(image.over_channels(mask, owner.shape, {}), owner, rows.features) for owner in owners])
    for row, owner in enumerate(owners):
        for segment in range(6):
            size = (owner == segment).sum()
            inside = (owner[:2] == segment).sum()
            assert owned[row, segment] == pytest.approx(inside / size if size else 0.0)
    values = np.random.default_rng(1).normal(size=(11, 6)) * rows.features.present(11)
    expected = (np.abs(values) * owned).sum(axis=1) / np.abs(values).sum(axis=1)
    assert np.allclose(shares(values, owned), expected)
    # an even share of a row with n segments is the sum of their parts in the region over n
    assert _even_share(owned, rows.features) == pytest.approx(np.mean(owned.sum(axis=1) / rows.features.counts))
    assert (_owned("upper", rows.features, {"upper": owned}) == owned).all()


def test_regions_lie_where_the_channels_are_not(rows):
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    last = image.feature_map({"x": (4, 4, 3)}, {"superpixels": "patches", "size": 2})
    first = image.feature_map({"x": (3, 4, 4)}, {"superpixels": "patches", "size": 2, "channels_first": True})
    for features in (last, first):
        owner = features.owners["x"]
        flat = image.over_channels(mask, owner.shape, features.layout)
        assert _inside(flat, owner, features).tolist() == [1, 1, 0, 0]
