"""What each ONNX operator computes, in TensorFlow: small files by family, found by walking.

Importing the families imports no TensorFlow: which operators there are can be said of a file that is only read.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from runtimes.formats.tf_operators.declaring import REGISTERED, Operator


@cache
def operators() -> Mapping[tuple[str, str], Operator]:
    """Every operator that is known, by its domain (empty: ONNX's own) and name."""
    for entry in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{entry.name}")
    return dict(REGISTERED)
