"""The seven decorators that turn a function into a method, and what they read from it.

====================  =====================================================================  ========================
decorator             signature                                                              returns
====================  =====================================================================  ========================
`precaution`          ``(data: AuditData[, model: <capability>], params[, rng])``            `Report`
`attribution`         ``(game: Game, params[, rng])``, once for each row                     `FeatureValues`
                      ``(model: <capability>, rows: Rows, params[, rng])``, a batch of rows  `FeatureValues` or maps
`local_explanation`   ``(game: Game, params[, rng])``, once for each row                     `RowReport`
                      ``(row: TableRow, params[, rng])``, once for each row                  `RowReport`
`global_explanation`  ``(table: Table, params[, rng])``                                      `Report`
                      ``(model: <capability>, rows: Rows, params[, rng])``, all rows         `Report`
                      ``(model: <capability>, data: AuditData, params[, rng])``              `Report`
`agreement`           ``(first: Attribution, second: Attribution, params)``                  `Scores`
`faithfulness`        ``(game: Game, values: Floats, params[, rng])``, once for each row     `RowScore`
`request`             ``(params)``: a quantity asked for; the compiler picks the algorithm   never called
====================  =====================================================================  ========================

`Game` asks what happens when features are kept or removed, `Table` what happens when they take another value.

The module's name is the method's name and must be the function's. The folder is its stage. The type of the
first argument is the capability that a runtime must have; `Game`, `Table` and `TableRow` need a ``Predictor``. The type of ``params`` is
its schema. An ``rng`` argument makes it stochastic. The docstring's ``Reading:`` and ``Limits:`` sections become
the factsheet's words.
"""

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import numpy as np

from pgx_compiler.evidence.results import Attribution, RowReport
from pgx_compiler.methods.declared import (
    MODALITIES,
    NUMERIC,
    PICTURED,
    PLACED,
    ROWS_OF_A_BATCH,
    TARGETS_OF_A_BATCH,
    TASKS,
    Declaration,
    Gives,
    Maps,
    NamesLayer,
    NamesTogether,
    Need,
    NoParams,
    Pair,
    Params,
    Quantity,
    RowScore,
    Stage,
    UnfitParams,
)
from pgx_compiler.methods.docstrings import sections_of
from pgx_compiler.methods.price import Cost, Shape
from pgx_compiler.methods.titles import title_of
from pgx_compiler.modalities.game import Game
from pgx_compiler.modalities.table import Table, TableRow
from runtimes.capabilities import CAPABILITIES
from runtimes.target import ModelFacts

_REGISTER_ATTRIBUTE = "__pgx_declaration__"


def _declare(
    function: Callable[..., Any],
    *,
    first: Collection[str],
    modalities: Collection[str],
    tasks: Collection[str] = TASKS,
    paper: str = "",
    version: int = 1,
    cost: Callable[[Any, Shape], Cost] | None = None,
    **more: Any,
) -> Callable[..., Any]:
    module = function.__module__.split(".")
    name = function.__name__
    if module[-1] != name:
        raise TypeError(f"{function.__module__}: the method must be called `{module[-1]}`, not `{name}`")
    unknown = set(modalities) - MODALITIES
    if unknown:
        raise TypeError(f"{name}: unknown modalities {sorted(unknown)}")
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function)
    arguments = list(signature.parameters)
    params = hints.get("params", NoParams)
    if not (isinstance(params, type) and issubclass(params, Params)):
        raise TypeError(f"{name}: `params` must be typed with a subclass of Params")
    by_type = {kind: label for label, kind in CAPABILITIES.items()}
    capability = next((by_type[hints[a]] for a in arguments if hints.get(a) in by_type), "")
    per_row = hints.get(arguments[0]) in (Game, TableRow)
    if per_row or hints.get(arguments[0]) is Table:
        capability = "Predictor"
    if arguments[0] not in first:
        raise TypeError(f"{name}: the first argument must be one of {sorted(first)}, not `{arguments[0]}`")
    sections = sections_of(function)
    for needed in ("summary", "reading", "limits"):
        if not sections.get(needed):
            raise TypeError(f"{name}: the docstring has no {needed}")
    declaration = Declaration(
        name=name,
        stage=typing.cast(Stage, module[-2]),
        function=function,
        params=params,
        capability=capability,
        per_row=per_row,
        stochastic=hints.get("rng") is np.random.Generator,
        modalities=frozenset(modalities),
        tasks=frozenset(tasks),
        paper=paper,
        version=version,
        summary=sections["summary"].split("\n\n")[0].replace("\n", " "),
        reading=sections["reading"],
        limits=sections["limits"],
        cost=cost or (lambda _params, _shape: Cost()),
        title=function.__globals__.get("TITLE") or title_of(name),
        doc=sections["summary"],
        **more,
    )
    setattr(function, _REGISTER_ATTRIBUTE, declaration)
    return function


def precaution(
    *,
    modalities: Collection[str] = MODALITIES,
    tasks: Collection[str] = TASKS,
    needs: Collection[str] = (),
    codes: Collection[str] = (),
    measures: Collection[str] = (),
    measures_need: Mapping[str, Collection[Need]] | None = None,
    paper: str = "",
    version: int = 1,
    cost: Callable[[Any, Shape], Cost] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a check of the data (or of the model on the data): ``(data[, model], params[, rng]) -> Report``."""
    return lambda function: _declare(
        function,
        first={"data"},
        modalities=modalities,
        tasks=tasks,
        paper=paper,
        version=version,
        cost=cost,
        needs=frozenset(needs),
        codes=tuple(codes),
        measures=tuple(measures),
        measures_need=measures_need or {},
    )


def attribution(
    *,
    cost: Callable[[Any, Shape], Cost],
    modalities: Collection[str] = MODALITIES,
    paper: str = "",
    laws: Collection[str] = (),
    signed: bool = True,
    unit: str = "score",
    estimates: str | None = None,
    exact: bool = False,
    relative_error: float | None = None,
    admits: Callable[[ModelFacts, Shape, str], str | None] | None = None,
    shares_targets: Callable[[Any, Shape], bool] | None = None,
    quantities: Mapping[str, Quantity] | None = None,
    version: int = 1,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an attribution method, black box (first argument ``game``) or white box (``model, rows``)."""
    return lambda function: _declare(
        function,
        first={"game", "model"},
        modalities=modalities,
        paper=paper,
        version=version,
        cost=cost,
        laws=tuple(laws),
        signed=signed,
        unit=unit,
        estimates=estimates,
        exact=exact,
        relative_error=relative_error,
        admits=admits,
        shares_targets=shares_targets,
        quantities=quantities or {},
        gives="attribution",
    )


def local_explanation(
    *,
    cost: Callable[[Any, Shape], Cost],
    quantities: Mapping[str, Quantity],
    modalities: Collection[str] = MODALITIES,
    tasks: Collection[str] = TASKS,
    paper: str = "",
    laws: Collection[str] = (),
    codes: Collection[str] = (),
    admits: Callable[[ModelFacts, Shape, str], str | None] | None = None,
    version: int = 1,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a method that states something of each row: ``(game | row, params[, rng]) -> RowReport``."""
    return lambda function: _declare(
        function,
        first={"game", "row"},
        modalities=modalities,
        tasks=tasks,
        paper=paper,
        version=version,
        cost=cost,
        laws=tuple(laws),
        codes=tuple(codes),
        admits=admits,
        quantities=quantities,
        gives="local",
    )


def global_explanation(
    *,
    cost: Callable[[Any, Shape], Cost],
    measures: Collection[str] = (),
    measures_from: Mapping[str, Mapping[str, int | str]] | None = None,
    measures_need: Mapping[str, Collection[Need]] | None = None,
    modalities: Collection[str] = ("tabular",),
    tasks: Collection[str] = TASKS,
    needs: Collection[str] = (),
    paper: str = "",
    laws: Collection[str] = (),
    codes: Collection[str] = (),
    admits: Callable[[ModelFacts, Shape, str], str | None] | None = None,
    version: int = 1,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a method that states something of the whole model.

    ``(table, params[, rng]) -> Report``; or ``(model, rows, params[, rng])`` over all explained rows, or
    ``(model, data, params[, rng])`` over the data of the audit, in any modality.
    """
    return lambda function: _declare(
        function,
        first={"table", "model"},
        modalities=modalities,
        tasks=tasks,
        paper=paper,
        version=version,
        cost=cost,
        laws=tuple(laws),
        codes=tuple(codes),
        needs=frozenset(needs),
        measures=tuple(measures),
        measures_from=measures_from or {},
        measures_need=measures_need or {},
        admits=admits,
        gives="global",
    )


def agreement(
    *,
    paper: str = "",
    better: Literal["higher", "lower"] = "higher",
    laws: Collection[str] = (),
    version: int = 1,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a comparison of two attributions of the same rows and features."""
    return lambda function: _declare(
        function,
        first={"first"},
        modalities=MODALITIES,
        paper=paper,
        better=better,
        version=version,
        laws=tuple(laws),
        gives="scores",
    )


def faithfulness(
    *,
    cost: Callable[[Any, Shape], Cost],
    paper: str = "",
    better: Literal["higher", "lower"] = "higher",
    modalities: Collection[str] = MODALITIES,
    laws: Collection[str] = (),
    version: int = 1,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a check of one attribution against the model that it explains."""
    return lambda function: _declare(
        function,
        first={"game"},
        modalities=modalities,
        paper=paper,
        better=better,
        version=version,
        cost=cost,
        laws=tuple(laws),
        gives="scores",
    )


def request(
    *, modalities: Collection[str] = MODALITIES, paper: str = "", version: int = 1
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a quantity that may be asked for; methods that say ``estimates=<name>`` compute it."""
    return lambda function: _declare(
        function,
        first={"params"},
        modalities=modalities,
        paper=paper,
        version=version,
        is_request=True,
        gives="attribution",
    )


def declaration_of(function: Callable[..., Any]) -> Declaration | None:
    """The declaration that a decorator left on a function."""
    found = getattr(function, _REGISTER_ATTRIBUTE, None)
    return found if isinstance(found, Declaration) else None


__all__ = [
    "MODALITIES",
    "NUMERIC",
    "PICTURED",
    "PLACED",
    "ROWS_OF_A_BATCH",
    "TARGETS_OF_A_BATCH",
    "Attribution",
    "Cost",
    "Declaration",
    "Gives",
    "Maps",
    "NamesLayer",
    "NamesTogether",
    "Need",
    "NoParams",
    "Pair",
    "Params",
    "Quantity",
    "RowReport",
    "RowScore",
    "Shape",
    "Stage",
    "UnfitParams",
    "agreement",
    "attribution",
    "declaration_of",
    "faithfulness",
    "global_explanation",
    "local_explanation",
    "precaution",
    "request",
]
