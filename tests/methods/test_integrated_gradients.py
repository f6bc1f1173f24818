"""Integrated gradients with a bound on the gap: it is kept, or what stayed above it is told."""

import numpy as np
import pytest
from pydantic import ValidationError

from pgx_compiler.execute.self_checks import _converged
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.gradient.integrated_gradients import IntegratedGradientsParams, integrated_gradients
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from tests.methods.models import Smooth


class Steep(Smooth):
    """score = tanh(40 (sum of x - 1/2)): nearly a step, which few points miss."""

    def scores(self, flat):
        return np.tanh(40 * (flat.sum(axis=1, keepdims=True) - 0.5))

    def slopes(self, flat, target):
        return 40 / np.cosh(40 * (flat.sum(axis=1, keepdims=True) - 0.5)) ** 2 * np.ones_like(flat)


def rows():
    inputs = np.array([[0.01, 0.02], [0.6, 0.7], [0.5, 0.2]])
    features = FeatureMap(("a", "b"), {"x": np.array([0, 1])})
    return Rows({"x": inputs}, np.zeros(3, np.int64), References({"x": np.zeros((1, 1, 2))}), features)


def test_rows_that_stay_above_the_bound_are_told():
    found = integrated_gradients(Steep(), rows(), IntegratedGradientsParams(steps=4, tolerance=1e-6, max_steps=8))
    wanted = np.tanh(40 * (rows().inputs["x"].sum(axis=1) - 0.5)) - np.tanh(-20.0)
    np.testing.assert_allclose(found.notes["gap"], np.abs(found.values.sum(axis=1) - wanted))
    assert found.notes["converged"].tolist() == [1.0, 0.0, 0.0]
    findings = []
    _converged(catalogue()["integrated_gradients"], {"note_converged": found.notes["converged"]}, findings)
    (told,) = findings
    assert told.code == "not_converged"
    assert "2 of 3 rows the gap" in told.summary


def test_with_steps_enough_all_keep_the_bound():
    found = integrated_gradients(Steep(), rows(), IntegratedGradientsParams(steps=4, tolerance=1e-6, max_steps=1024))
    assert (found.notes["converged"] == 1).all()
    assert (found.notes["gap"] <= 1e-6).all()


def test_a_bound_without_room_for_more_steps_is_refused():
    with pytest.raises(ValidationError, match="below `steps` 64"):
        IntegratedGradientsParams(steps=64, tolerance=0.1, max_steps=16)
    assert IntegratedGradientsParams(steps=64, max_steps=16).tolerance is None
