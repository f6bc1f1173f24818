"""Gradient methods on ids: what they give to each token, on a model that is a straight line above its table.

score = sum over positions and axes of ``SLOPES[position] * TABLE[id]``: by hand, the integrated gradient of a token is
``SLOPES[position] * (TABLE[id] - TABLE[reference])``, its gradient × input ``SLOPES[position] * TABLE[id]``, summed over axes.
"""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.embedding import above_embedding
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from runtimes.capabilities import EmbeddingDifferentiable, Floats, Inputs, Integers, Spent

TABLE = np.array([[0.0, 0.0], [1.0, -1.0], [2.0, 3.0], [-1.0, 0.5]])
SLOPES = np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, 1.0], [0.0, -2.0]])
IDS = np.array([[2, 3, 2, 0], [1, 2, 0, 0]])
OWNERS = np.array([[0, 0, 1, FIXED], [0, 1, FIXED, FIXED]])
"""The first text's first two tokens are one word."""


class Above:
    rows_per_call = 7

    def __init__(self) -> None:
        self.spent = Spent()

    def predict(self, inputs: Inputs) -> Floats:
        self.spent.forward += len(inputs["ids"])
        total = (np.asarray(inputs["ids"]) * SLOPES).sum(axis=(1, 2))
        return np.stack([-total, total], axis=1)

    def gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        self.spent.backward += len(target)
        sign = 2.0 * np.asarray(target) - 1.0
        return {"ids": sign[:, None, None] * SLOPES, "ids.ids": np.zeros(np.shape(inputs["ids.ids"]))}


class Embedding:
    rows_per_call = 7

    def __init__(self) -> None:
        self.above = Above()
        self.spent = self.above.spent

    def embed(self, inputs: Inputs) -> Inputs:
        return {"ids": TABLE[inputs["ids"]], "ids.ids": np.asarray(inputs["ids"])}

    def predict(self, inputs: Inputs) -> Floats:
        return self.above.predict(self.embed(inputs))

    def gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        return {"ids": self.above.gradient(self.embed(inputs), target)["ids"].sum(axis=-1)}


def rows(references: Any) -> Rows:
    features = FeatureMap(("w1", "w2"), {"ids": OWNERS}, counts=np.array([2, 2]))
    return Rows({"ids": IDS}, np.array([1, 1]), References({"ids": np.asarray(references)}), features)


def by_token(table: Floats) -> Floats:
    """``(rows, positions)``: slope times what a position holds, summed over the axes."""
    found: Floats = (SLOPES * table).sum(axis=-1)
    return found


def onto_words(tokens: Floats) -> list[list[float]]:
    return [[tokens[0, 0] + tokens[0, 1], tokens[0, 2]], [tokens[1, 0], tokens[1, 1]]]


def test_a_handle_of_ids_is_known_as_such() -> None:
    assert isinstance(Embedding(), EmbeddingDifferentiable)
    assert not isinstance(Above(), EmbeddingDifferentiable)
    plain = rows(np.ones((1, 1, 4), np.int64))
    model = Above()
    assert above_embedding(model, plain) == (model, plain)


@pytest.mark.parametrize("shared", [True, False])
def test_integrated_gradients_add_up_between_what_ids_stand_for(shared: bool) -> None:
    given = np.ones((1 if shared else 2, 1, 4), np.int64)
    declaration = catalogue()["integrated_gradients"]
    found = attribute(declaration, Embedding(), rows(given), declaration.params(steps=3))
    np.testing.assert_allclose(found.values, onto_words(by_token(TABLE[IDS] - TABLE[1])), atol=1e-12)
    # on the model's own input: one number a token, none where it is never removed
    np.testing.assert_allclose(
        found.maps["ids"], np.where(OWNERS == FIXED, 0, by_token(TABLE[IDS] - TABLE[1])), atol=1e-12
    )
    assert list(found.maps) == ["ids"]
    np.testing.assert_allclose(found.values.sum(axis=1), found.scores - found.base_values, atol=1e-12)


def test_gradient_times_input_multiplies_with_what_ids_stand_for_and_not_with_the_ids() -> None:
    declaration = catalogue()["gradient_x_input"]
    found = attribute(declaration, Embedding(), rows(np.ones((1, 1, 4), np.int64)), declaration.params())
    np.testing.assert_allclose(found.values, onto_words(by_token(TABLE[IDS])), atol=1e-12)


def test_several_references_are_averaged() -> None:
    given = np.array([[[1, 1, 1, 1], [3, 3, 3, 3]]])
    declaration = catalogue()["integrated_gradients"]
    found = attribute(declaration, Embedding(), rows(given), declaration.params(steps=2))
    middle = (TABLE[1] + TABLE[3]) / 2
    np.testing.assert_allclose(found.values, onto_words(by_token(TABLE[IDS] - middle)), atol=1e-12)
