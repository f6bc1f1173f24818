"""Least squares in mixed precision against NumPy's in double, where matrices are kind and where they are not."""

import numpy as np
import pytest

from pgx_compiler.methods.perturbation import _centred_masks
from pgx_compiler.methods.perturbation._centred_masks import CentredMasks, solve
from pgx_compiler.methods.perturbation._random_masks import in_blocks

ROWS, FEATURES = 900, 60


def design(each_its_own=False, alike=0, masks=None):
    rng = np.random.default_rng(3)
    if masks is None:
        masks = rng.random((ROWS, FEATURES)) < rng.random((ROWS, 1))
    for column in range(alike):
        masks[:, column + 1] = masks[:, column] ^ (rng.random(len(masks)) < 0.002)
    weights = rng.random(len(masks)) + 0.1
    centre = masks.mean(axis=1, keepdims=True) if each_its_own else (weights @ masks / weights.sum())[None]
    return CentredMasks(masks, centre, np.sqrt(weights)[:, None], list(in_blocks(len(masks), FEATURES)))


def in_double(given, response, penalty):
    rows = given.root * (given.masks - given.centre)
    left = np.concatenate([rows, np.sqrt(penalty) * np.eye(rows.shape[1])])
    right = np.concatenate([response, np.zeros((rows.shape[1], response.shape[1]))])
    return rows, np.linalg.lstsq(left, right, rcond=None)[0]


def ridge(penalty):
    return lambda gram: penalty * np.eye(len(gram))


@pytest.mark.parametrize("each_its_own", [False, True])
@pytest.mark.parametrize("unit", [1.0, 1e30, 1e-30])
def test_coefficients_are_those_of_double_precision_and_rows_are_single(each_its_own, unit):
    given = design(each_its_own)
    response = unit * np.random.default_rng(0).normal(size=(ROWS, 3))
    found = solve(given, response, ridge(0.5))
    rows, wanted = in_double(given, response, 0.5)
    assert {held.dtype for held in found.rows} == {np.dtype("float32")}
    np.testing.assert_allclose(found.coefficients, wanted, rtol=1e-9, atol=1e-11 * np.abs(wanted).max())
    np.testing.assert_allclose(found.missed, response - rows @ wanted, rtol=1e-8, atol=1e-10 * unit)
    inverse = np.linalg.inv(rows.T @ rows + 0.5 * np.eye(FEATURES))
    np.testing.assert_allclose(found.inverse, inverse, rtol=1e-3, atol=1e-5 * np.abs(inverse).max())


def test_outputs_are_what_each_gives_alone():
    given, response = design(), np.random.default_rng(1).normal(size=(ROWS, 4)) * [1.0, 1e6, 1e-6, 0.0]
    together = solve(given, response, ridge(1.0)).coefficients
    for column in range(4):
        alone = solve(given, response[:, column : column + 1], ridge(1.0)).coefficients[:, 0]
        np.testing.assert_allclose(together[:, column], alone, rtol=1e-9, atol=1e-11 * np.abs(alone).max())
    assert (together[:, 3] == 0).all()


def test_columns_that_nearly_agree_are_solved_in_double_precision():
    given = design(alike=5)
    response = np.random.default_rng(2).normal(size=(ROWS, 1))
    found = solve(given, response, ridge(1e-6))
    assert {held.dtype for held in found.rows} == {np.dtype("float64")}
    np.testing.assert_allclose(found.coefficients, in_double(given, response, 1e-6)[1], rtol=1e-7, atol=1e-9)


def test_a_small_design_is_solved_in_double_precision():
    given = design(masks=np.random.default_rng(4).random((50, FEATURES)) < 0.5)
    found = solve(given, np.ones((50, 1)), ridge(1.0))
    assert {held.dtype for held in found.rows} == {np.dtype("float64")}


def test_corrections_that_do_not_suffice_lead_to_double_precision(monkeypatch):
    monkeypatch.setattr(_centred_masks, "ENOUGH", 0.0)
    given, response = design(), np.random.default_rng(5).normal(size=(ROWS, 1))
    found = solve(given, response, ridge(1.0))
    assert {held.dtype for held in found.rows} == {np.dtype("float64")}
    np.testing.assert_allclose(found.coefficients, in_double(given, response, 1.0)[1], rtol=1e-9, atol=1e-12)


def test_without_its_corrections_single_precision_would_be_seen(monkeypatch):
    monkeypatch.setattr(_centred_masks, "ENOUGH", np.inf)
    given, response = design(), np.random.default_rng(6).normal(size=(ROWS, 1))
    wanted = in_double(given, response, 1.0)[1]
    corrected = np.abs(solve(given, response, ridge(1.0)).coefficients - wanted).max()
    monkeypatch.setattr(CentredMasks, "transposed", lambda self, values: np.zeros((FEATURES, values.shape[1])))
    plain = np.abs(
        solve(given, response, lambda gram: 0 * gram).coefficients - in_double(given, response, 0.0)[1]
    ).max()
    assert corrected < 1e-3 * plain
