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
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict

from pgx_compiler.documented import Documented
from pgx_compiler.evidence.results import Attribution, RowReport
from pgx_compiler.methods.docstrings import sections_of
from pgx_compiler.methods.price import Cost, Shape
from pgx_compiler.methods.titles import title_of
from pgx_compiler.modalities.game import Game
from pgx_compiler.modalities.table import Table, TableRow
from runtimes.capabilities import CAPABILITIES, Inputs
from runtimes.target import ModelFacts

MODALITIES = frozenset({"tabular", "image", "text", "series"})

Gives = Literal["report", "attribution", "local", "global", "scores"]
"""What a method makes: `Report` of data, an attribution, statements about rows, statements about the whole model, or one
number for each row."""

Stage = Literal["precaution", "perturbation", "gradient", "agreement", "faithfulness"]


ROWS_OF_A_BATCH = 8
"""Rows that one call of a method that takes several explains: part of its answer, since the last bits of a framework's
numbers depend on the batch, and a method that draws does so for the batch."""


TARGETS_OF_A_BATCH = 10
"""Targets, at most, that a method explains that has to be called again for each of them (its gradient is of one output). Of more,
such as all classes of a large classifier, it explains the first alone: each would cost as much again."""


class Params(Documented):
    """Base of every method's parameters: frozen, strict about unknown keys, documented where declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class NamesLayer:
    """Marks a parameter that names a layer of the model: ``layer: Annotated[str | None, NamesLayer(...)] = None``.

    A name that is not there is refused at compile time; None is filled in there, so that the plan says which it is.
    """

    otherwise: Callable[[ModelFacts], str | None] | None = None
    """The layer where the author names none, if the file says enough of itself."""


class UnfitParams(ValueError):  # noqa: N818
    """The author's parameters do not fit the data, which only the method could see; a sentence for the author."""


class NoParams(Params):
    """A method without parameters."""


@dataclass(frozen=True)
class Quantity:
    """A number that a method gives for each row beside its result; over the rows it becomes a fact."""

    title: str
    """What a reader sees: ``Counterfactual found``."""
    unit: str = ""
    """``share``, ``rows``, ``score``; empty for a pure number."""
    aggregate: Literal["median", "mean"] = "median"
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True)
class Declaration:
    """All that is known of a method; everything else about it is derived from this."""

    name: str
    stage: Stage
    function: Callable[..., Any]
    params: type[Params]
    capability: str
    """Name in `runtimes.capabilities.CAPABILITIES`, or empty where no model is needed."""
    per_row: bool
    """Called once for each row with its `Game`; else once for a batch of rows."""
    stochastic: bool
    modalities: frozenset[str]
    tasks: frozenset[str]
    paper: str
    version: int
    """Raised when the numbers change: part of every key."""
    summary: str
    reading: str
    limits: str
    cost: Callable[[Any, Shape], Cost]
    gives: Gives = "report"
    laws: tuple[str, ...] = ()
    signed: bool = True
    unit: str = "score"
    """Of an attribution's values: ``score`` (adds up in the score's unit), ``score per input unit``, or empty."""
    estimates: str | None = None
    """The requested quantity that this method computes (``shapley_values``)."""
    exact: bool = False
    """It computes `estimates` without sampling error."""
    relative_error: float | None = None
    """Where it samples: error over that of the ``shap`` package's Kernel explainer at equal model rows, the geometric mean of
    what ``benchmarks/perturbation/rivals.py`` measures. Of two methods the compiler takes the more accurate."""
    admits: Callable[[ModelFacts, Shape, str], str | None] | None = None
    """``(model facts, shape, score)`` to None, or the reason why this method cannot be used."""
    needs: frozenset[str] = frozenset()
    """Of the data, for precaution: members of ``labels``, ``test``, ``sensitive``."""
    codes: tuple[str, ...] = ()
    """Finding codes that it may raise."""
    measures: tuple[str, ...] = ()
    """Of precaution and global explanations, the names of the measures it makes, so that a gate on another is refused: ``drift_max``,
    ``{statistic}_{variable}`` (a parameter stands for its value, any other word for what only the data can say).
    Empty: not declared, and any name may be meant."""
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    """By name, the numbers that `RowReport.numbers` or `FeatureValues.notes` hold for each row."""
    better: Literal["higher", "lower"] = "higher"
    is_request: bool = False
    title: str = ""
    doc: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def direction(self) -> str | None:
        """``perturbation`` or ``gradient`` for an attribution method, else None."""
        return self.stage if self.gives == "attribution" else None

    def times_for_targets(self, params: Params, shape: Shape, targets: int) -> int | None:
        """How often it asks what one target costs, to explain several; None: it explains the first of them alone.

        Once where it plays games, which answer for all outputs, or asks no model rows at all; else once for each target, as
        long as they are not more than `TARGETS_OF_A_BATCH`.
        """
        cost = self.cost(params, shape)
        if self.per_row or cost.forward + cost.backward == 0:
            return 1
        return targets if targets <= TARGETS_OF_A_BATCH else None

    @property
    def rows_together(self) -> int | None:
        """How many rows, from the first on, are worked on together and apart from all others; None: all of them.

        Rows may be computed in several places where the border between two of them is a multiple of this.
        """
        if self.gives not in ("attribution", "local") and self.stage != "faithfulness":
            return None
        return 1 if self.per_row or self.gives != "attribution" else ROWS_OF_A_BATCH

    @property
    def explains(self) -> bool:
        """Whether it stands under ``explain``: attributions, and statements about rows or the whole model."""
        return self.stage in ("perturbation", "gradient")


_REGISTER_ATTRIBUTE = "__pgx_declaration__"


def _declare(
    function: Callable[..., Any],
    *,
    first: Collection[str],
    modalities: Collection[str],
    tasks: Collection[str] = ("classification", "regression"),
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
    tasks: Collection[str] = ("classification", "regression"),
    needs: Collection[str] = (),
    codes: Collection[str] = (),
    measures: Collection[str] = (),
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
        quantities=quantities or {},
        gives="attribution",
    )


def local_explanation(
    *,
    cost: Callable[[Any, Shape], Cost],
    quantities: Mapping[str, Quantity],
    modalities: Collection[str] = MODALITIES,
    tasks: Collection[str] = ("classification", "regression"),
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
    modalities: Collection[str] = ("tabular",),
    tasks: Collection[str] = ("classification", "regression"),
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


@dataclass(frozen=True)
class RowScore:
    """What a faithfulness check says of one row's explanation."""

    score: float
    """NaN where it is undefined for this row."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers (float) or curves (1-d arrays of the same length for every row)."""


Maps = Inputs
"""Attribution maps shaped like the model's inputs; summed onto the features by the caller."""

__all__ = [
    "Attribution",
    "Cost",
    "Declaration",
    "Maps",
    "NamesLayer",
    "NoParams",
    "Params",
    "Quantity",
    "RowReport",
    "RowScore",
    "Shape",
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
