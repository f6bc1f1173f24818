"""The part of the audit language that declares a search over the model's own settings: ``tuning``."""

from typing import Literal

from pgx_compiler.spec.fields import Number, Scalar, SpecModel, semantic


class Dimension(SpecModel):
    """One searched setting: exactly one of the distributions, in natural units."""

    uniform: list[Number] | None = semantic(None, min_length=2, max_length=2)
    """Evenly between two values: ``[low, high]``."""
    loguniform: list[Number] | None = semantic(None, min_length=2, max_length=2)
    """Evenly in the logarithm: ``[low, high]``, both above 0, in natural units."""
    quniform: list[Number] | None = semantic(None, min_length=3, max_length=3)
    """Evenly on a grid: ``[low, high, step]``."""
    choice: list[Scalar] | None = semantic(None, min_length=1)
    """One of these."""


class TuningBound(SpecModel):
    """A bound on a metric of a candidate's explanation."""

    min: Number | None = semantic(None)
    """Must be at least."""
    max: Number | None = semantic(None)
    """Must be at most."""


class TuningExplain(SpecModel):
    """How each candidate is explained, and what its explanation must show."""

    rows: int = semantic(16, ge=2)
    """How many of the explained rows each candidate is explained on."""
    methods: list[str] = semantic(["integrated_gradients"], min_length=1)
    """Attribution methods run on every candidate. With one method the candidate is compared with the audited model
    by that method; with several, the methods are compared with one another on the candidate."""
    require: dict[str, TuningBound] = semantic({})
    """Constraints, by metric: ``agreement.rank_correlation: {min: 0.4}``."""


class Narrowing(SpecModel):
    """A cut of the search space that happens only if a finding was made."""

    finding: str = semantic()
    """Finding code: ``small_sample``."""
    space: dict[str, Dimension] = semantic()
    """The dimensions as they should be then."""
    reason: str = semantic()
    """Why; printed in the factsheet."""


class Objective(SpecModel):
    """What the search improves."""

    minimize: Literal["validation.loss"] | None = semantic(None)
    """A metric to make small."""
    maximize: Literal["validation.accuracy"] | None = semantic(None)
    """A metric to make large."""


class Fit(SpecModel):
    """How every candidate is trained, where the space does not say."""

    epochs: int = semantic(5, ge=1, le=1000)
    """Passes over the training rows."""
    batch_size: int = semantic(32, ge=1)
    """Rows a step."""
    validation: float = semantic(0.2, gt=0, lt=0.9)
    """Share of the training rows held out to judge candidates."""


class Tuning(SpecModel):
    """A search over what the Keras file itself declares."""

    search: Literal["hyperopt.tpe", "hyperopt.rand", "hyperopt.anneal"] = semantic("hyperopt.tpe")
    """The search algorithm."""
    trials: int = semantic(20, ge=1, le=2000)
    """Candidates tried, the audited settings included as the first. Raised later, it keeps those that were tried."""
    parallel: int = semantic(4, ge=1, le=64)
    """Candidates that may be trained at once. What is tried next is drawn from the results of all trials but the last so
    many less one, whether they are in or not: so the same spec tries the same candidates on every machine."""
    space: dict[str, Dimension] = semantic(min_length=1)
    """Searched settings by address: ``layers.dense.units``, ``optimizer.learning_rate``, ``fit.batch_size``."""
    fit: Fit = semantic(Fit())
    """How candidates are trained."""
    objective: Objective = semantic(Objective(minimize="validation.loss"))
    """What the search improves."""
    explain: TuningExplain = semantic(TuningExplain())
    """How candidates are explained."""
    narrow: list[Narrowing] = semantic([])
    """Cuts of the space that a finding triggers."""
