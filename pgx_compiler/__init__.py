"""pgx: a compiler for audits of machine-learning models.

>>> import pgx_compiler as pgx
>>> audit = pgx.run("specs/digits.yaml")        # doctest: +SKIP
>>> audit.facts["model.performance.accuracy"].value  # doctest: +SKIP
0.96

Everything is loaded when it is first asked for, so that a worker that needs one method loads no compiler.
"""

import importlib

# as in `typing`, which takes longer to import than all else that comes before a command listens to signals
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pgx_compiler.audit import Audit, check, compile, load, run
    from pgx_compiler.diagnostics.diagnostic import AuthorError

__all__ = ["Audit", "AuthorError", "check", "compile", "load", "run"]

_HOMES = {"AuthorError": "pgx_compiler.diagnostics.diagnostic"}


def __getattr__(name: str) -> "Any":
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "pgx_compiler.audit")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
