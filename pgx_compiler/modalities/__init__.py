"""One file a modality: what a feature is, how a removed one is filled, and how it is drawn.

`data`, `features`, `game` and `table` hold what all modalities share: a partition of the model's input elements into
interpretable features, the data as precaution sees it, and the two things that perturbation methods ask: the cooperative
game of kept and removed features, and the table of their values.

A modality exports (`Modality` spells it out): which keys of ``explain.features`` and which fills it knows, what they mean
for inputs of a shape, the feature map, the references, and the variables of its data. To add one is to add a file.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np

from pgx_compiler.modalities.data import Variable
from pgx_compiler.modalities.features import FeatureMap, References
from runtimes.capabilities import Inputs

_SHARED = {"data", "features", "game", "labels", "table"}
# What begins with an underscore is a part of one modality.


class Modality(Protocol):
    """What a file of this folder exports, as module attributes and functions."""

    DRAWING: str
    KEYS: frozenset[str]
    """The keys of ``explain.features`` that mean something here."""
    FILLS: Mapping[str, Mapping[str, Any]]
    """Kind of fill to the keys that it takes, with their defaults. ``size`` is how many references it makes."""
    OWN_FILLS: frozenset[str]
    """Fills of which each row has its own: from itself, or from its neighbours. Left out: none."""
    DEFAULT_FILL: str

    def settle(self, choice: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """Say fully what a feature is, from what the author says of it; plain values.

        Args:
            choice: the keys of ``explain.features`` that were given.
            shapes: each input's shape without the row axis.

        Raises:
            UnfitFeatures: it does not fit these shapes.
        """
        ...

    def feature_map(self, shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
        """The features as far as shapes tell; where rows differ (`varies`), as many as a row may have at most.

        ``described`` is what `settle` gave, with ``modality``, ``columns`` (names of a table's columns) and ``groups``
        (feature name to the patterns of its columns).
        """
        ...

    def varies(self, described: Mapping[str, Any]) -> bool:
        """Whether each row has features of its own, which only its values tell."""
        ...

    def features_of_rows(self, inputs: Inputs, described: Mapping[str, Any]) -> FeatureMap:
        """The features of each row, with ``counts``. Only called where they vary."""
        ...

    def references(
        self, rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
    ) -> References:
        """What a removed feature is replaced by; ``fill`` has a ``kind`` of `FILLS` and its keys."""
        ...

    def variables(
        self,
        train: Inputs,
        test: Inputs | None,
        features: FeatureMap,
        columns: Sequence[str],
        roles: Mapping[str, str],
    ) -> tuple[Variable, ...]:
        """The quantities in which precaution looks for outliers, drift and bias."""
        ...


@cache
def modalities() -> Mapping[str, Any]:
    """Every modality by file name."""
    return {
        entry.name: importlib.import_module(f"{__name__}.{entry.name}")
        for entry in sorted(pkgutil.iter_modules(__path__), key=lambda entry: entry.name)
        if entry.name not in _SHARED and not entry.name.startswith("_")
    }
