"""The last layer of a network as a model of its own: what it read, what it said, and what each training row did to it.

With the layers below held still, the last layer is a softmax (or logistic, or linear) regression on the activations below
it, and everything about it has a closed form: a row's gradient is (said - label) times its activations, the curvature is
that of the regression. Nothing but activations and probabilities is asked of the network.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from runtimes.capabilities import Floats, Integers

MOST_PARAMETERS = 3000
"""Of the last layer: its curvature is a matrix of as many rows and columns."""


@dataclass(frozen=True)
class LastLayer:
    """The regression that a last layer is, on the training rows."""

    activations: Floats
    """``(rows, units + 1)``: what it reads, with a 1 for its bias."""
    errors: Floats
    """``(rows, outputs)``: what it says minus the label; one output for two classes and for a value."""
    curvature: Floats
    """``(rows, outputs, outputs)``: second derivative of each row's loss by what the layer sums up."""
    damping: float
    """What is added to the curvature in every direction, as a share of its mean."""

    @property
    def parameters(self) -> int:
        """Numbers that the layer has learned."""
        return int(self.activations.shape[1] * self.errors.shape[1])

    @cached_property
    def hessian(self) -> Floats:
        """Mean curvature of the loss by the layer's parameters, output by output, with the damping."""
        outputs, units = self.errors.shape[1], self.activations.shape[1]
        blocks = np.empty((outputs, units, outputs, units))
        for one in range(outputs):
            for other in range(one + 1):
                weighted = self.activations * self.curvature[:, one, other, None]
                block = self.activations.T @ weighted / len(self.activations)
                blocks[one, :, other, :], blocks[other, :, one, :] = block, block.T
        whole = blocks.reshape(self.parameters, self.parameters)
        mean = float(np.trace(whole)) / self.parameters
        return np.asarray(whole + self.damping * max(mean, 1e-300) * np.eye(self.parameters), np.float64)

    def solved(self, slopes: Floats, activations: Floats) -> Floats:
        """The inverse curvature times d score / d parameters, ``(rows, outputs, units + 1)``.

        Args:
            slopes: ``(rows, outputs)``: d score / d what the layer sums up.
            activations: ``(rows, units + 1)`` of the same rows.
        """
        flat = (slopes[:, :, None] * activations[:, None, :]).reshape(len(slopes), -1)
        return np.asarray(np.linalg.solve(self.hessian, flat.T).T.reshape(*slopes.shape, -1), np.float64)

    def influence(self, slopes: Floats, activations: Floats) -> Floats:
        """How much higher the score of each row is because each training row was there, ``(rows, training rows)``.

        To first order (Koh & Liang, 2017): a row's weight of 1/n in the loss moves the parameters by -H⁻¹ gradient / n.
        """
        solved = self.solved(slopes, activations)
        per_output = np.einsum("rou,iu->rio", solved, self.activations, optimize=True)
        return np.asarray(-np.einsum("rio,io->ri", per_output, self.errors) / len(self.errors), np.float64)

    def alignment(self, slopes: Floats, activations: Floats) -> Floats:
        """What a step down each training row's loss does to each row's score, ``(rows, training rows)``, at learning rate 1.

        One checkpoint of TracIn (Pruthi et al., 2020) in the last layer.
        """
        return np.asarray(-(activations @ self.activations.T) * (slopes @ self.errors.T), np.float64)

    def on_themselves(self, slopes: Floats, by_curvature: bool) -> Floats:
        """Influence of each training row on its own score, ``(training rows,)``; ``slopes`` as above, of the training rows."""
        if not by_curvature:
            return np.asarray(-(self.activations**2).sum(axis=1) * (slopes * self.errors).sum(axis=1), np.float64)
        solved = self.solved(slopes, self.activations)
        moved = np.einsum("iou,iu->io", solved, self.activations)
        return np.asarray(-(moved * self.errors).sum(axis=1) / len(self.errors), np.float64)

    @property
    def gradient_left(self) -> float:
        """Size of the mean gradient by the mean size of the rows' gradients: 0 where training has ended, 1 far from it."""
        mean = self.errors.T @ self.activations / len(self.errors)
        sizes = np.sqrt((self.errors**2).sum(axis=1) * (self.activations**2).sum(axis=1))
        return float(np.linalg.norm(mean) / sizes.mean()) if sizes.any() else 0.0


@dataclass(frozen=True)
class Said:
    """What a classifier says of rows, whatever the score that it was asked for."""

    probabilities: Floats
    """``(rows, classes)``."""
    kind: str
    """The score that was read: ``probability``, ``log_odds`` or ``logit``."""

    def slopes(self, target: Integers) -> Floats:
        """D log-odds of each row's target / d what the last layer sums up; ``(rows, outputs)``, one output of two classes."""
        rows = np.arange(len(target))
        if self.probabilities.shape[1] == 2:
            return np.where(target == 1, 1.0, -1.0)[:, None]
        rest = self.probabilities.copy()
        rest[rows, target] = 0.0
        found = -rest / np.maximum(rest.sum(axis=1, keepdims=True), 1e-300)
        found[rows, target] = 1.0
        return np.asarray(found, np.float64)

    def errors(self, labels: Integers) -> Floats:
        """The probability of each class minus 1 for that of the label; of two classes, of the second alone."""
        found = self.probabilities.copy()
        found[np.arange(len(labels)), labels] -= 1.0
        return np.asarray(found[:, 1:] if found.shape[1] == 2 else found, np.float64)

    def curvature(self) -> Floats:
        """``(rows, outputs, outputs)``: p (1 - p), or diag(p) - p pᵀ."""
        p = self.probabilities
        if p.shape[1] == 2:
            return np.asarray((p[:, 0] * p[:, 1])[:, None, None], np.float64)
        return np.asarray(p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None, :], np.float64)

    def log_odds(self, target: Integers) -> Floats:
        """Of each row's target."""
        own = self.probabilities[np.arange(len(target)), target]
        rest = np.maximum(self.probabilities.sum(axis=1) - own, 1e-300)
        return np.asarray(np.log(np.maximum(own, 1e-300) / rest), np.float64)


def said_of(scores: Floats) -> Said:
    """Probabilities from scores ``(rows, classes)`` of any kind that a classifier gives.

    Probabilities add up to 1 in every row, and so do those that log-odds stand for (and the two columns of a sigmoid's logit);
    what is neither is the logit of a softmax.
    """
    # In one column more than half of the log-odds may be beyond what exp can hold; 700 stands for certainty.
    odds = 1.0 / (1.0 + np.exp(-np.clip(scores, -700, 700)))
    if _adds_up(scores) and scores.min() >= 0:
        return Said(scores / scores.sum(axis=1, keepdims=True), "probability")
    if _adds_up(odds):
        return Said(odds / odds.sum(axis=1, keepdims=True), "log_odds")
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return Said(shares / shares.sum(axis=1, keepdims=True), "logit")


def _adds_up(values: Floats) -> bool:
    return bool(np.abs(values.sum(axis=1) - 1.0).max() < 1e-3)


def contrast(said: Said, first: Floats, second: Floats) -> Floats:
    """How the log of the second class's probability by the first's changes with the activations, ``(rows, units)``.

    Args:
        said: of the rows.
        first: d score of class 0 / d activations.
        second: d score of class 1 / d activations.
    """
    if said.kind == "logit":
        return second - first
    p = said.probabilities[:, :2]
    scale = 1.0 / np.maximum(p, 1e-300) if said.kind == "probability" else 1.0 - p
    return np.asarray(second * scale[:, 1:2] - first * scale[:, 0:1], np.float64)
