"""What is known of a method once it is declared: its parameters, its numbers, its price."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pgx_compiler.documented import Documented
from pgx_compiler.methods.price import Cost, Shape
from pgx_compiler.modalities import having
from runtimes.capabilities import Inputs
from runtimes.target import ModelFacts

MODALITIES = having()
"""All kinds of data."""
NUMERIC = having(numeric=True)
"""Data whose elements are numbers that can be changed a little: noise, steps and derivatives make sense."""
PLACED = having(1)
"""Data whose elements have a place beside others: sequences, pictures, volumes."""
PICTURED = having(2)
"""Data with several axes of places: pictures, volumes."""
TASKS = ("classification", "regression")

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


@dataclass(frozen=True)
class NamesTogether:
    """Marks a parameter that names features to be looked at together, whether or not they are the strongest.

    ``always: Annotated[tuple[Pair, ...], NamesTogether({"interaction_{pair}": ("pair_features",)})] = ()``. Names that are not there are refused at compile time; those on which a gate stands are added there, so that the plan says it.
    """

    limits: Mapping[str, Collection[str]]
    """Measures with an open word for several features, to the parameters that say among how many features they are made."""


Pair = Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]
"""Names of two features."""


class UnfitParams(ValueError):  # noqa: N818
    """The author's parameters do not fit the data, which only the method could see; a sentence for the author."""


class NoParams(Params):
    """A method without parameters."""


Had = Literal["labels", "test", "test_labels", "unseen_labels", "sensitive", "classification", "one_output"]
"""What an audit may have or not: labels of the training rows; a test split, and its labels; labels of the unseen rows (the test
split, where there is one); a sensitive feature; classes to tell apart; a single output of a regression that is explained."""


@dataclass(frozen=True)
class Need:
    """What a measure needs that not all audits have."""

    had: Had
    where: tuple[str, str] | None = None
    """A parameter, and the value with which alone it is needed: ``("learns", "labels")``."""


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
    shares_targets: Callable[[Any, Shape], bool] | None = None
    """Of an attribution of a batch of rows, ``(params, shape)`` to whether one call answers for all of several targets
    (`Rows.targets`), at the price of one: its values are then ``(rows, features, outputs)``. None: it never does."""
    needs: frozenset[str] = frozenset()
    """Of the data, for precaution: members of ``labels``, ``test``, ``sensitive``."""
    codes: tuple[str, ...] = ()
    """Finding codes that it may raise."""
    measures: tuple[str, ...] = ()
    """Of precaution and global explanations, the names of the measures it makes, so that a gate on another is refused: ``drift_max``,
    ``{statistic}_{variable}`` (a parameter stands for its value, any other word for what only the data can say).
    Empty: not declared, and any name may be meant."""
    measures_from: Mapping[str, Mapping[str, int | str]] = field(default_factory=dict)
    """Of `measures`, those that are made (or have a value) only where parameters are at least so much, or are that word, so that a
    gate on one that never is can be refused: ``{"pair_{pair}": {"order": 2}}``."""
    measures_need: Mapping[str, Collection[Need]] = field(default_factory=dict)
    """Of `measures`, those that are made (or have a value) only where the audit has something that the method can do without, so
    that a gate on one that never is can be refused: ``{"contradicted": (Need("labels"),)}``."""
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

        Once where it plays games, which answer for all outputs, where it shares what it asks among targets, or asks no model
        rows at all; else once for each target, as long as they are not more than `TARGETS_OF_A_BATCH`.
        """
        cost = self.cost(params, shape)
        shares = self.shares_targets is not None and self.shares_targets(params, shape)
        if self.per_row or shares or cost.forward + cost.backward == 0:
            return 1
        return targets if targets <= TARGETS_OF_A_BATCH else None

    def short_of(self, measure: str, params: Params) -> dict[str, int | str]:
        """The parameters that keep one of `measures` from being made, with the least, or the word, that each has to be."""
        least = self.measures_from.get(measure, {})
        return {
            name: wanted
            for name, wanted in least.items()
            if (getattr(params, name) != wanted if isinstance(wanted, str) else getattr(params, name) < wanted)
        }

    def needed_for(self, measure: str, params: Params) -> list[Need]:
        """What one of `measures` needs of the audit with these parameters, beyond what the method does."""
        needed = self.measures_need.get(measure, ())
        return [one for one in needed if one.where is None or getattr(params, one.where[0]) == one.where[1]]

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


@dataclass(frozen=True)
class RowScore:
    """What a faithfulness check says of one row's explanation."""

    score: float
    """NaN where it is undefined for this row."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers (float) or curves (1-d arrays of the same length for every row)."""


Maps = Inputs
"""Attribution maps shaped like the model's inputs; summed onto the features by the caller."""
