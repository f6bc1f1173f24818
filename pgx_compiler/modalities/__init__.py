"""One file a modality: what a feature is, how a removed one is filled, and how it is drawn.

`data`, `features`, `game` and `table` hold what all modalities share: a partition of the model's input elements into
interpretable features, the data as precaution sees it, and the two things that perturbation methods ask: the cooperative
game of kept and removed features, and the table of their values.

A modality exports (`Modality` spells it out): what kind of rows it has, which keys of ``explain.features`` and which fills
it knows, what they mean for inputs of a shape, the feature map, the references, and the variables of its data. To add one
is to add a file: the language, the command line and the methods take their names from here.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # whoever wants the names alone does not wait for NumPy
    import numpy as np
    from numpy.typing import NDArray

    from pgx_compiler.modalities.data import Variable
    from pgx_compiler.modalities.features import FeatureMap, References
    from runtimes.capabilities import Floats, Inputs

_SHARED = {"data", "features", "game", "labels", "neighbours", "table"}
# What begins with an underscore is a part of modalities.


class Modality(Protocol):
    """What a file of this folder exports, as module attributes and functions."""

    DRAWING: str
    PLACES: int
    """Axes of places that an input has: none in a table, 1 in a sequence, 2 in a picture, 3 in a volume."""
    NUMERIC: bool
    """Whether its elements are numbers that can be changed a little, as noise and gradients do."""
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

    def feature_map(self, shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> "FeatureMap":
        """The features as far as shapes tell; where rows differ (`varies`), as many as a row may have at most.

        ``described`` is what `settle` gave, with ``modality``, ``columns`` (names of a table's columns) and ``groups``
        (feature name to the patterns of its columns).
        """
        ...

    def varies(self, described: Mapping[str, Any]) -> bool:
        """Whether each row has features of its own, which only its values tell."""
        ...

    def features_of_rows(self, inputs: "Inputs", described: Mapping[str, Any]) -> "FeatureMap":
        """The features of each row, with ``counts``. Only called where they vary."""
        ...

    def references(
        self,
        rows: "Inputs",
        train: "Inputs",
        fill: Mapping[str, Any],
        features: "FeatureMap",
        rng: "np.random.Generator",
    ) -> "References":
        """What a removed feature is replaced by; ``fill`` has a ``kind`` of `FILLS` and its keys."""
        ...

    def variables(
        self,
        train: "Inputs",
        test: "Inputs | None",
        features: "FeatureMap",
        columns: Sequence[str],
        roles: Mapping[str, str],
    ) -> "tuple[Variable, ...]":
        """The quantities in which precaution looks for outliers, drift and bias."""
        ...


class Pictured(Modality, Protocol):
    """What a modality with several axes of places exports besides; its model has one input."""

    def over_channels(self, plane: "NDArray[Any]", shape: Sequence[int], layout: Mapping[str, Any]) -> "NDArray[Any]":
        """What is said of each place of a plane ``(height, width)``, such as a mask, said of all elements of a shape."""
        ...

    def grey(self, rows: "NDArray[Any]", layout: Mapping[str, Any]) -> "Floats":
        """Rows without their channels, ``(rows, *places)``."""
        ...


@cache
def names() -> tuple[str, ...]:
    """The names of all modalities, in order; none of them is loaded."""
    found = (entry.name for entry in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if name not in _SHARED and not name.startswith("_")))


@cache
def modalities() -> Mapping[str, Any]:
    """Every modality by file name."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names()}


def having(places: int = 0, *, numeric: bool = False) -> frozenset[str]:
    """The modalities whose inputs have at least so many axes of places and, where it is asked, numbers for elements."""
    known = modalities().items()
    return frozenset(name for name, one in known if places <= one.PLACES and (one.NUMERIC or not numeric))


def is_pictured(name: str) -> bool:
    """Whether rows of a modality have several axes of places: it is `Pictured`."""
    return name in modalities() and modalities()[name].PLACES > 1
