"""A handle whose file gives its inputs other names than the audit does."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.capabilities import (
    Coalitions,
    Composer,
    Differentiable,
    Floats,
    Inputs,
    Integers,
    LinearModel,
    Predictor,
    Rules,
    Spent,
    Tree,
    TreeEnsemble,
)


class RenamedPredictor:
    """A black box asked under the audit's names."""

    def __init__(self, handle: Predictor, names: Mapping[str, str]) -> None:
        self._handle: Any = handle
        self._names = names

    @property
    def rows_per_call(self) -> int:
        """As the handle says."""
        return int(self._handle.rows_per_call)

    @property
    def spent(self) -> Spent:
        """As the handle counts."""
        spent: Spent = self._handle.spent
        return spent

    def predict(self, inputs: Inputs) -> Floats:
        """Scores, ``(rows, outputs)``."""
        scores: Floats = self._handle.predict(self._theirs(inputs))
        return scores

    def coalitions(self, row: Inputs, references: Inputs, owners: Mapping[str, Any]) -> Coalitions | None:
        """As the handle does, where it is a `Composer`."""
        if not isinstance(self._handle, Composer):
            return None
        return self._handle.coalitions(self._theirs(row), self._theirs(references), self._theirs(owners))

    def _theirs(self, inputs: Inputs) -> dict[str, Any]:
        return {self._names.get(name, name): array for name, array in inputs.items()}


class RenamedDifferentiable(RenamedPredictor):
    """A white box asked under the audit's names."""

    def gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        """Gradients under the audit's names."""
        ours = {theirs: ours for ours, theirs in self._names.items()}
        found = self._handle.gradient(self._theirs(inputs), target)
        return {ours.get(name, name): array for name, array in found.items()}

    def relevance(
        self, inputs: Inputs, target: Integers, rules: Rules, low: Inputs | None = None, high: Inputs | None = None
    ) -> Inputs:
        """Relevance under the audit's names, where the handle is `RulePropagating`."""
        box = [None if side is None else self._theirs(side) for side in (low, high)]
        return self._ours(self._handle.relevance(self._theirs(inputs), target, rules, *box))

    def rescaled_contributions(self, inputs: Inputs, references: Inputs, target: Integers) -> Inputs:
        """Contributions under the audit's names, where the handle is `RulePropagating`."""
        return self._ours(self._handle.rescaled_contributions(self._theirs(inputs), self._theirs(references), target))

    def _ours(self, found: Inputs) -> Inputs:
        ours = {theirs: ours for ours, theirs in self._names.items()}
        return {ours.get(name, name): array for name, array in found.items()}


class RenamedTransparent(RenamedPredictor):
    """A black box whose one input has the audit's name."""

    @property
    def input_name(self) -> str:
        """The audit's name of the single input."""
        name: str = self._handle.input_name
        return next((ours for ours, theirs in self._names.items() if theirs == name), name)


class RenamedLinear(RenamedTransparent):
    """A linear model asked under the audit's names; see `runtimes.capabilities.LinearModel`."""

    @property
    def coefficients(self) -> Floats:
        """As the handle has them."""
        found: Floats = self._handle.coefficients
        return found

    @property
    def intercept(self) -> Floats:
        """As the handle has it."""
        found: Floats = self._handle.intercept
        return found


class RenamedTrees(RenamedTransparent):
    """A tree ensemble asked under the audit's names; see `runtimes.capabilities.TreeEnsemble`."""

    @property
    def trees(self) -> Sequence[Tree]:
        """As the handle has them."""
        found: Sequence[Tree] = self._handle.trees
        return found

    @property
    def base(self) -> Floats:
        """As the handle has it."""
        found: Floats = self._handle.base
        return found


def renamed(handle: Any, names: Mapping[str, str]) -> Any:
    """The handle under the audit's input names, with what it offers beside predictions."""
    kinds = ((Differentiable, RenamedDifferentiable), (TreeEnsemble, RenamedTrees), (LinearModel, RenamedLinear))
    kind = next((wrapper for offered, wrapper in kinds if isinstance(handle, offered)), RenamedPredictor)
    return kind(handle, names)
