"""What a search leaves behind, as plain JSON values: one candidate, one judged trial, the whole."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["accept", "re-think", "reject"]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


@dataclass(frozen=True)
class TrialResult:
    """What training and explaining one candidate gave. Numbers that are not finite are None."""

    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """``validation.loss``, ``validation.accuracy``, ``agreement.rank_correlation``, …"""
    standard_errors: Mapping[str, float | None] = field(default_factory=dict)
    """Metric to the standard error of its sample of rows, in the metric's unit; None: not known."""
    parameters: int | None = None
    """Trained numbers of the candidate."""
    history: tuple[Mapping[str, float | None], ...] = ()
    """For each epoch: losses and the file's own metrics."""
    seconds: float = 0.0
    """Wall-clock time of training and explaining."""
    failure: str | None = None
    """Why there are no metrics, where there are none."""

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values (NaN and infinities are None)."""
        return {
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "standard_errors": {name: _finite(value) for name, value in self.standard_errors.items()},
            "parameters": self.parameters,
            "history": [{name: _finite(value) for name, value in epoch.items()} for epoch in self.history],
            "seconds": self.seconds,
            "failure": self.failure,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TrialResult":
        """Read what `to_dict` has written."""
        return cls(**{**data, "history": tuple(data["history"])})


@dataclass(frozen=True)
class Trial:
    """One trial as it was run: what was suggested, and what came of it."""

    number: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    """``audited settings``, ``finding <code>`` or ``search``."""
    duplicate_of: int | None = None
    """Number of the earlier trial with the same settings, whose result this is."""
    result: TrialResult | None = None
    """None where it repeats another trial, or was not needed."""
    skipped: bool = False
    """Not needed: the space holds no settings that were not tried before."""

    def to_dict(self) -> dict[str, Any]:
        """The trial as plain JSON values."""
        return {
            "number": self.number,
            "settings": dict(self.settings),
            "origin": self.origin,
            "duplicate_of": self.duplicate_of,
            "result": None if self.result is None else self.result.to_dict(),
            "skipped": self.skipped,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Trial":
        """Read what `to_dict` has written."""
        result = data["result"]
        return cls(**{**data, "result": None if result is None else TrialResult.from_dict(result)})


@dataclass(frozen=True)
class TrialRecord:
    """One candidate of the search, judged."""

    number: int
    settings: Mapping[str, Any]
    origin: str
    """``audited settings``, ``finding <code>`` or ``search``."""
    duplicate_of: int | None
    """Number of the earlier trial with the same settings, whose result this is."""
    metrics: Mapping[str, float | None]
    standard_errors: Mapping[str, float | None]
    feasible: bool
    verdict: Verdict
    reasons: tuple[str, ...]
    parameters: int | None = None
    history: tuple[Mapping[str, float | None], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class TuningResult:
    """The whole search."""

    search: str
    objective: str
    space_declared: Mapping[str, Any]
    space_used: Mapping[str, Any]
    narrowing: tuple[Mapping[str, Any], ...]
    kept: float
    """Share of the declared space's volume that the cuts left."""
    require: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]
    baseline: int
    best: int | None
    pareto: tuple[int, ...]
    importance: Mapping[str, Mapping[str, float | None]]
    importance_reasons: Mapping[str, str]
    """Metric to why its importances are None, where they are."""
    decision: str
    limits: str

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        plain = asdict(self)
        plain["narrowing"] = [dict(row) for row in self.narrowing]
        plain["pareto"] = list(self.pareto)
        plain["trials"] = [_plain_trial(trial) for trial in self.trials]
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TuningResult":
        """Read what `to_dict` has written."""
        trials = tuple(
            TrialRecord(**{**trial, "reasons": tuple(trial["reasons"]), "history": tuple(trial["history"])})
            for trial in data["trials"]
        )
        more = {"trials": trials, "narrowing": tuple(data["narrowing"]), "pareto": tuple(data["pareto"])}
        return cls(**{**data, **more})

    def entry(self) -> dict[str, Any]:
        """The fields of the factsheet's entry for tuning, one to one; `limits` says why importances are missing."""
        plain = self.to_dict()
        shown = ("number", "settings", "metrics", "feasible", "verdict", "reasons", "history")
        plain["trials"] = [{name: trial[name] for name in shown} for trial in plain["trials"]]
        for shown_trial, trial in zip(plain["trials"], self.trials, strict=True):
            if trial.duplicate_of is not None:
                shown_trial["reasons"].append(f"same settings as trial {trial.duplicate_of}, whose result this is")
        why = [f"No importances for {metric}: {reason}." for metric, reason in self.importance_reasons.items()]
        plain["limits"] = " ".join([self.limits, *why])
        for name in ("kept", "importance_reasons"):
            del plain[name]
        return plain


def _plain_trial(trial: TrialRecord) -> dict[str, Any]:
    plain = asdict(trial)
    plain["reasons"] = list(trial.reasons)
    plain["history"] = [{name: _finite(value) for name, value in epoch.items()} for epoch in trial.history]
    plain["metrics"] = {name: _finite(value) for name, value in trial.metrics.items()}
    plain["standard_errors"] = {name: _finite(value) for name, value in trial.standard_errors.items()}
    return plain
