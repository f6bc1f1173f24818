"""The last layer of a network as a model of its own: what it read, what it said, and what each training row did to it.

With the layers below held still, the last layer is a softmax (or logistic, or linear) regression on the activations below
it, and everything about it has a closed form: a row's gradient is (said - label) times its activations, the curvature is
that of the regression. Nothing but activations and probabilities is asked of the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from runtimes.capabilities import Floats, Integers

MOST_EXACT = 3000
"""Parameters of the last layer up to which its curvature is held and inverted as a whole."""
MOST_NUMBERS = 50_000_000
"""Numbers in the curvatures of the single outputs, which are held beyond that: 400 MB."""
MOST_STEPS = 100
"""Steps of conjugate gradients, where the curvature is too large to be inverted."""
LEAST_SHARE = 0.01
"""Of the mean curvature, that is added at least (Koh & Liang use 0.01, not as a share)."""
MOST_OWN = 0.9
"""Of the curvature, what may be a training row's own (own default)."""
CLOSE_ENOUGH = 1e-4
"""What conjugate gradients may leave of the right-hand side."""

_AT_ONCE = 4_000_000
"""Numbers held at once where each row has a matrix of its own."""


@dataclass(frozen=True)
class LastLayer:
    """The regression that a last layer is, on the training rows."""

    activations: Floats
    """``(rows, units + 1)``: what it reads, with a 1 for its bias."""
    errors: Floats
    """``(rows, outputs)``: what it says minus the label; one output for two classes and for a value."""
    shares: Floats | None
    """``(rows, outputs)``: the probabilities of these outputs; None of a value, whose loss is as curved everywhere."""
    damping: float
    """What is added to the curvature in every direction: the penalty of a ridge around the weights as they are."""

    @property
    def parameters(self) -> int:
        """Numbers that the layer has learned."""
        return int(self.activations.shape[1] * self.errors.shape[1])

    @property
    def is_exact(self) -> bool:
        """Whether its curvature is inverted as a whole; else a row's own is that of the single outputs."""
        return self.parameters <= MOST_EXACT

    @property
    def is_too_large(self) -> bool:
        """Whether not even the curvatures of the single outputs can be held."""
        return not self.is_exact and self.parameters * self.activations.shape[1] > MOST_NUMBERS

    def solved(self, slopes: Floats, activations: Floats) -> tuple[Floats, float]:
        """The inverse curvature times d score / d parameters, ``(rows, outputs, units + 1)``, and what is left of it unsolved.

        Args:
            slopes: ``(rows, outputs)``: d score / d what the layer sums up.
            activations: ``(rows, units + 1)`` of the same rows.
        """
        wanted = slopes[:, :, None] * activations[:, None, :]
        if self.is_exact:
            flat = wanted.reshape(len(slopes), -1) @ self._inverse.reshape(self.parameters, self.parameters)
            return np.asarray(flat.reshape(wanted.shape), np.float64), 0.0
        found, left = np.empty_like(wanted), 0.0
        step = max(1, _AT_ONCE // (self.errors.size or 1))
        for start in range(0, len(wanted), step):
            part = slice(start, start + step)
            found[part], one = self._descended(wanted[part])
            left = max(left, one)
        return found, left

    def influence(self, slopes: Floats, activations: Floats) -> tuple[Floats, float]:
        """How much higher the score of each row is because each training row was there, ``(rows, training rows)``.

        A row's weight of 1/n in the loss moves the parameters by -H⁻¹ gradient / n (Koh & Liang, 2017). Beside it what is left
        unsolved.
        """
        solved, left = self.solved(slopes, activations)
        found = np.zeros((len(slopes), len(self.errors)))
        for output in range(self.errors.shape[1]):
            found -= (solved[:, output] @ self.activations.T) * self.errors_without[:, output]
        return np.asarray(found / len(self.errors), np.float64), left

    def alignment(self, slopes: Floats, activations: Floats) -> Floats:
        """What a step down each training row's loss does to each row's score, ``(rows, training rows)``, at learning rate 1.

        One checkpoint of TracIn (Pruthi et al., 2020) in the last layer.
        """
        return np.asarray(-(activations @ self.activations.T) * (slopes @ self.errors.T), np.float64)

    def on_themselves(self, slopes: Floats, by_curvature: bool) -> Floats:
        """Influence of each training row on its own score, ``(training rows,)``; ``slopes`` as above, of the training rows."""
        if not by_curvature:
            return np.asarray(-(self.activations**2).sum(axis=1) * (slopes * self.errors).sum(axis=1), np.float64)
        found = np.empty(len(slopes))
        for part, reach in self._reaches():
            found[part] = -np.einsum("nk,nkl,nl->n", slopes[part], reach, self.errors_without[part])
        return found

    @cached_property
    def errors_without(self) -> Floats:
        """Each row's error if the layer were fitted without it, by one step of Newton's method, ``(rows, outputs)``.

        The curvature that the row itself gives is taken off (approximate leave-one-out; Rad & Maleki, 2020). Of a value it is
        exact: the error by 1 - leverage. No more than `MOST_OWN` is taken off: where a row is nearly all that bends the loss,
        one step of Newton's method would go anywhere.
        """
        found = np.empty_like(self.errors)
        for part, reach in self._reaches():
            taken = reach
            if self.shares is not None:
                p = self.shares[part]
                taken = p[:, :, None] * (reach - np.einsum("nk,nkl->nl", p, reach)[:, None, :])
            # The trace is not below the largest eigenvalue, as none of them is negative.
            own = np.trace(taken, axis1=1, axis2=2)[:, None, None]
            taken = taken * np.minimum(1.0, MOST_OWN / np.maximum(own, 1e-300))
            found[part] = np.linalg.solve(np.eye(self.errors.shape[1]) - taken, self.errors[part][:, :, None])[:, :, 0]
        return found

    @property
    def gradient(self) -> float:
        """Size of the mean gradient of the loss."""
        return float(np.linalg.norm(self.errors.T @ self.activations) / len(self.errors))

    @property
    def gradient_left(self) -> float:
        """The same by the mean size of the rows' gradients: 0 where training has ended, 1 far from it."""
        sizes = np.sqrt((self.errors**2).sum(axis=1) * (self.activations**2).sum(axis=1))
        return self.gradient / float(sizes.mean()) if sizes.any() else 0.0

    @property
    def mean_curvature(self) -> float:
        """Of the loss, over all directions, without damping."""
        squares = (self.activations**2).sum(axis=1)
        trace = sum(float(squares @ self._curved(k, k)) for k in range(self.errors.shape[1])) / len(squares)
        return max(trace / self.parameters, 1e-300)

    def damped(self, share: float | None, weights: float) -> "LastLayer":
        """With a damping that is a share of the mean curvature; None: the penalty that would hold the layer where it is.

        A ridge of that strength has the gradient that is left, where weights are of that size. It is no less than `LEAST_SHARE`
        of the mean curvature.
        """
        if share is not None:
            return replace(self, damping=share * self.mean_curvature)
        held = self.gradient / weights if weights > 0 else 0.0
        return replace(self, damping=max(held, LEAST_SHARE * self.mean_curvature))

    def _curved(self, one: int, other: int) -> Floats:
        """Second derivative of each row's loss by two of the sums, ``(rows,)``: p (1 - p), or -p q of two outputs."""
        if self.shares is None:
            return np.full(len(self.errors), float(one == other))
        return np.asarray(self.shares[:, one] * (float(one == other) - self.shares[:, other]), np.float64)

    def _block(self, one: int, other: int) -> Floats:
        """Mean curvature by the parameters of two outputs, without damping."""
        weighted = self.activations * self._curved(one, other)[:, None]
        return np.asarray(self.activations.T @ weighted / len(self.activations), np.float64)

    @cached_property
    def _inverse(self) -> Floats:
        """Of the damped curvature, ``(outputs, units, outputs, units)``; of each output's alone, ``(outputs, units, units)``."""
        outputs, units = self.errors.shape[1], self.activations.shape[1]
        if not self.is_exact:
            return np.stack([np.linalg.inv(self._block(k, k) + self.damping * np.eye(units)) for k in range(outputs)])
        blocks = np.empty((outputs, units, outputs, units))
        for one in range(outputs):
            for other in range(one + 1):
                blocks[one, :, other, :] = self._block(one, other)
                blocks[other, :, one, :] = blocks[one, :, other, :].T
        whole = blocks.reshape(self.parameters, -1) + self.damping * np.eye(self.parameters)
        return np.asarray(np.linalg.inv(whole).reshape(blocks.shape), np.float64)

    def _reaches(self) -> Iterator[tuple[slice, Floats]]:
        """How far each training row's own weight moves its own sums, ``(rows, outputs, outputs)``, a part of the rows at a time."""
        rows, outputs = self.errors.shape
        units = self.activations.shape[1]
        step = max(1, _AT_ONCE // (outputs * max(outputs, units)))
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            h = self.activations[part]
            reach = np.zeros((len(h), outputs, outputs))
            for k in range(outputs):
                if self.is_exact:
                    across = (h @ self._inverse[k].reshape(units, -1)).reshape(len(h), outputs, units)
                    reach[:, k] = (across * h[:, None]).sum(axis=2)
                else:
                    reach[:, k, k] = ((h @ self._inverse[k]) * h).sum(axis=1)
            yield part, reach / rows

    def _bent(self, directions: Floats) -> Floats:
        """The damped curvature times directions ``(rows, outputs, units)``."""
        moved = directions @ self.activations.T
        if self.shares is not None:
            p = self.shares.T
            moved = p * (moved - (p * moved).sum(axis=1, keepdims=True))
        return np.asarray(moved @ self.activations / len(self.activations) + self.damping * directions, np.float64)

    def _descended(self, wanted: Floats) -> tuple[Floats, float]:
        """Conjugate gradients, with the curvatures of the single outputs as preconditioner; and the residual that is left."""

        def dot(one: Floats, other: Floats) -> Floats:
            return np.asarray((one * other).sum(axis=(1, 2), keepdims=True), np.float64)

        def eased(one: Floats) -> Floats:
            return np.asarray(np.einsum("rku,kuv->rkv", one, self._inverse, optimize=True), np.float64)

        size = np.sqrt(dot(wanted, wanted))
        size = np.where(size > 0, size, 1.0)
        found, rest = np.zeros_like(wanted), wanted.copy()
        direction = easy = eased(rest)
        for _ in range(MOST_STEPS):
            if float((np.sqrt(dot(rest, rest)) / size).max()) < CLOSE_ENOUGH:
                break
            bent = self._bent(direction)
            before = dot(rest, easy)
            along = before / np.maximum(dot(direction, bent), 1e-300)
            found, rest = found + along * direction, rest - along * bent
            easy = eased(rest)
            direction = easy + dot(rest, easy) / np.maximum(before, 1e-300) * direction
        return found, float((np.sqrt(dot(rest, rest)) / size).max())


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
        rows = np.arange(len(labels))
        # That of the label is minus all others: 1 less than nearly 1 would be nothing but rounding.
        found[rows, labels] = 0.0
        found[rows, labels] = -found.sum(axis=1)
        return np.asarray(found[:, 1:] if found.shape[1] == 2 else found, np.float64)

    def shares(self) -> Floats:
        """The probabilities of the outputs that the errors are of."""
        return self.probabilities[:, 1:] if self.probabilities.shape[1] == 2 else self.probabilities

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
