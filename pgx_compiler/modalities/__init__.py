"""One file a modality: what a feature is, how a removed one is filled, and how it is drawn.

`data`, `features` and `game` hold what all modalities share: a partition of the model's input elements into
interpretable features, the data as precaution sees it, and the cooperative game that perturbation methods play on it.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

_SHARED = {"data", "features", "game", "labels"}


@cache
def modalities() -> Mapping[str, Any]:
    """Every modality by file name."""
    return {
        entry.name: importlib.import_module(f"{__name__}.{entry.name}")
        for entry in sorted(pkgutil.iter_modules(__path__), key=lambda entry: entry.name)
        if entry.name not in _SHARED
    }
