"""Join what people expect and what the data said with what the explanations show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.results import Finding, Measure, Severity
from pgx_compiler.evidence.store import Artifact
from pgx_compiler.evidence.summary import bootstrap_interval
from pgx_compiler.execute.bench import Bench, feature_map
from pgx_compiler.methods.agreement._rounding import levelled, rounding, without_noise
from pgx_compiler.modalities import modalities
from pgx_compiler.modalities.features import FIXED, FeatureMap
from runtimes.capabilities import Floats

IRRELEVANT_BELOW = 0.5
"""A feature is irrelevant if its share of all attribution stays below this part of an even share (own default)."""

MATTERS_ABOVE = 1.0
"""A feature matters if its share of all attribution is above an even share (own default)."""

SENSITIVE_ABOVE = 0.10
"""Share of all attribution on sensitive features that is worth a finding (rule J1: 10 % of the total)."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class _Explained:
    step: str
    values: Floats
    """Those that are nothing but rounding are 0."""
    within: Floats
    """How far rounding goes in each row, ``(rows, 1)``."""
    signed: bool
    features: FeatureMap
    """The step's own, where it has some."""
    regions: Mapping[str, Floats]
    """How much of each feature lies in a region: ``(features,)``, or ``(rows, features)`` where rows differ."""
    rows: Mapping[str, Any]
    """The rows that it explains, by input name."""
    targets: Any


def rely(
    bench: Bench, node: Mapping[str, Any], inputs: Mapping[str, Any], progress: Callable[[int, int], None]
) -> Artifact:
    """Test the expectations, and measure the reliance on sensitive and on drifted features."""
    params = node["params"]
    shapes = bench.split(inputs["data"]["params"]).inputs
    artifacts = {
        inputs[port]["step"]: bench.artifact(inputs[port]["record"])
        for port in inputs
        if port.startswith("attribution.")
    }
    explained = [_explained(bench, step, made, params, shapes) for step, made in sorted(artifacts.items())]
    measures: list[Measure] = []
    findings: list[Finding] = []
    outcomes: list[dict[str, Any]] = []
    for number, expectation in enumerate(params["expectations"]):
        outcome = _expectation(expectation, explained, params)
        measures += outcome.pop("measures")
        outcomes.append({**outcome, "number": number})
        if outcome["status"] == "violated":
            findings.append(_violated(expectation, outcome))
        progress(number + 1, len(params["expectations"]))
    _sensitive(params["sensitive"], explained, measures, findings)
    _drifted(bench, inputs, explained, measures, findings)
    document = {"measures": plain(measures), "findings": plain(findings), "tables": [], "expectations": outcomes}
    return Artifact(document)


def _explained(
    bench: Bench, step: str, made: Artifact, params: Mapping[str, Any], shapes: Mapping[str, Any]
) -> _Explained:
    """An attribution with the rows and features that it is about."""
    described = params.get("own_features", {}).get(step, params["features"])
    features = feature_map(described, shapes)
    if "present" in made.arrays:
        owners = {key.removeprefix("owner_"): held for key, held in made.arrays.items() if key.startswith("owner_")}
        features = FeatureMap(features.names, owners, features.layout, made.arrays["present"].sum(axis=1))
    spread = modalities()[described["modality"]].over_channels if params["regions"] else None
    regions = {
        name: _region(_mask(bench, sha, suffix), features, spread) for name, (sha, suffix) in params["regions"].items()
    }
    rows = {key.removeprefix("input_"): held for key, held in made.arrays.items() if key.startswith("input_")}
    within = _rounding(made)
    values = without_noise(made.arrays["values"], within)
    return _Explained(step, values, within, made.document["signed"], features, regions, rows, made.arrays["targets"])


def _rounding(made: Artifact) -> Floats:
    """How far rounding goes in each row, ``(rows, 1)``; what is shared out of scores has theirs."""
    values = made.arrays["values"]
    if made.document["unit"] == "score":
        values = np.column_stack([values, made.arrays["scores"], made.arrays["base_values"]])
    return rounding(values)


def shares(values: Floats, owned: Floats) -> Floats:
    """Share of each row's total magnitude that lies on some features.

    ``owned`` weights them by 0..1: ``(features,)``, or ``(rows, features)`` where rows differ.
    """
    magnitude = np.abs(values)
    total = magnitude.sum(axis=1)
    weighed = magnitude @ owned if owned.ndim == 1 else (magnitude * owned).sum(axis=1)
    found: Floats = np.divide(weighed, total, out=np.full(len(values), np.nan), where=total > 0)
    return found


def _mean(per_row: Floats) -> float:
    known = per_row[~np.isnan(per_row)]
    return float(known.mean()) if len(known) else float("nan")


def _mask(bench: Bench, sha256: str, suffix: str) -> NDArray[np.bool_]:
    from PIL import Image

    with Image.open(bench.store.path(sha256, suffix)) as image:
        return np.asarray(image.convert("L")) > 127


def _region(mask: NDArray[np.bool_], features: FeatureMap, spread: Any) -> Floats:
    """How much of each feature lies in a masked region, from 0 to 1: ``(features,)``, or one such row for each row.

    ``spread`` is `over_channels` of the modality.
    """
    (owner,) = features.owners.values()
    if not features.varies:
        return _inside(spread(mask, owner.shape, features.layout), owner, features)
    return np.stack([_inside(spread(mask, one.shape, features.layout), one, features) for one in owner])


def _inside(flat: NDArray[np.bool_], owner: NDArray[Any], features: FeatureMap) -> Floats:
    """Share of each feature's elements in a region, ``(features,)``; 0 where a feature owns nothing."""
    sizes = np.bincount(owner[owner != FIXED], minlength=len(features))
    inside = np.bincount(owner[flat & (owner != FIXED)], minlength=len(features))
    return np.asarray(inside / np.maximum(sizes, 1), np.float64)


def _owned(name: str, features: FeatureMap, regions: Mapping[str, Floats]) -> Floats:
    """Weights of the features that a name means: a feature, a region of an image, a channel of a series."""
    if name in regions:
        return regions[name]
    return np.isin(np.arange(len(features)), features.called(name)).astype(np.float64)


def _even_share(owned: Floats, features: FeatureMap) -> float:
    """What these features would have of all attribution if each feature had the same."""
    if features.counts is None:
        return float(owned.sum() / len(features))
    return float((np.broadcast_to(owned, (len(features.counts), len(features))).sum(axis=1) / features.counts).mean())


def _expectation(
    expectation: Mapping[str, Any],
    explained: list[_Explained],
    params: Mapping[str, Any],
) -> dict[str, Any]:
    feature, effect = expectation["feature"], expectation["effect"]
    verdicts: list[str] = []
    measures: list[Measure] = []
    for step in explained:
        owned = _owned(feature, step.features, step.regions)
        fair = _even_share(owned, step.features)
        if effect in ("irrelevant", "matters"):
            per_row = shares(step.values, owned)
            threshold = fair * (IRRELEVANT_BELOW if effect == "irrelevant" else MATTERS_ABOVE)
            name, title = "share", f"Share of {step.step}'s attribution on {feature} (an even share is {fair:.3g})"
            value, interval = _mean(per_row), bootstrap_interval(per_row, "mean")
            verdicts.append(_settle(interval, threshold, below=effect == "irrelevant"))
        elif step.signed:
            value, interval = _direction(step, feature, expectation, params)
            name, title = "direction", f"Rank correlation of {feature} with its attribution by {step.step}"
            verdicts.append(_settle(interval, 0.0, below=effect == "decreases"))
        else:
            continue
        measures.append(
            Measure(f"{feature}.{effect}.{name}.{step.step}", value, title, len(step.values), "share" if name == "share" else "",
                    interval, subject=feature)
        )  # fmt: skip
    distinct = set(verdicts)
    status = distinct.pop() if len(distinct) == 1 else "unknown"
    agree = {"confirmed": "confirm it", "violated": "contradict it"}
    summary = (
        f"All {len(verdicts)} explanations {agree[status]}."
        if status in agree
        else f"Not settled: {', '.join(f'{v} {verdicts.count(v)}' for v in sorted(set(verdicts))) or 'nothing measured'}."
    )
    return {
        "feature": feature,
        "effect": effect,
        "on": expectation.get("on"),
        "status": status,
        "summary": summary,
        "measures": measures,
        "names": [measure.name for measure in measures],
    }


def _settle(interval: Interval | None, threshold: float, *, below: bool) -> str:
    if interval is None or not np.isfinite(interval).all():
        return "unknown"
    low, high = interval
    if high < threshold:
        return "confirmed" if below else "violated"
    if low > threshold:
        return "violated" if below else "confirmed"
    return "unknown"


def _direction(
    step: _Explained, feature: str, expectation: Mapping[str, Any], params: Mapping[str, Any]
) -> tuple[float, Interval | None]:
    """Spearman correlation of a feature's value with its attribution, with its bootstrap interval over rows.

    Rows whose attributions only rounding may keep apart have one rank.
    """
    from scipy.stats import rankdata

    features, values = step.features, step.values

    if features.varies or feature not in features.names:
        return float("nan"), None  # a region, a channel or a segment has no single value to go up and down with
    at = features.names.index(feature)
    held = features.elements(step.rows, at)
    if held.shape[1] != 1 or held.dtype.kind not in "biuf":
        return float("nan"), None
    sign = np.ones(len(values))
    if expectation.get("on") is not None and params["classes"]:
        wanted = list(params["classes"]).index(expectation["on"])
        # of two classes the other one's score is the mirror image; of more it says nothing about this one
        sign = np.where(step.targets == wanted, 1.0, -1.0 if len(params["classes"]) == 2 else np.nan)
    x, y = held[:, 0].astype(np.float64), values[:, at] * sign
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], levelled(y[None, known], step.within[None, known, 0])[0]
    if len(x) < 5 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan"), None
    drawn = np.random.default_rng(20260401).integers(0, len(x), (1000, len(x)))
    ranks = [np.apply_along_axis(rankdata, 1, part[drawn]) for part in (x, y)]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    correlations = np.divide((centred[0] * centred[1]).sum(axis=1), scale, out=np.zeros(len(drawn)), where=scale > 0)
    low, high = np.quantile(correlations, [0.025, 0.975])
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1]), (float(low), float(high))


def _violated(expectation: Mapping[str, Any], outcome: Mapping[str, Any]) -> Finding:
    return Finding(
        "expectation_violated",
        "warning",
        f"`{expectation['feature']}` was expected to be {_EFFECT[expectation['effect']]}, and is not",
        outcome["summary"],
        expectation["feature"],
        tuple(outcome["names"]),
        ("Ask those who know the domain before the model is used; look at the rows where the feature weighs most.",),
    )


_EFFECT = {
    "irrelevant": "irrelevant",
    "matters": "important",
    "increases": "increasing the score",
    "decreases": "decreasing the score",
}


def _sensitive(
    sensitive: list[str],
    explained: list[_Explained],
    measures: list[Measure],
    findings: list[Finding],
) -> None:
    known = [name for name in sensitive if explained[0].features.called(name)]
    if not known:
        return
    above = []
    for step in explained:
        owned = np.sum([_owned(name, step.features, {}) for name in known], axis=0)
        per_row = shares(step.values, owned)
        name = f"sensitive_share.{step.step}"
        interval = bootstrap_interval(per_row, "mean")
        measures.append(
            Measure(name, _mean(per_row), f"Share of {step.step}'s attribution on sensitive features", len(per_row),
                    "share", interval, better="lower", subject=", ".join(known))
        )  # fmt: skip
        if interval and interval[0] > SENSITIVE_ABOVE:
            above.append(name)
    if above:
        severity: Severity = "error" if len(above) == len(explained) else "warning"
        findings.append(
            Finding(
                "reliance_on_sensitive",
                severity,
                f"The model leans on {', '.join(known)}",
                f"{len(above)} of {len(explained)} explanations put more than {SENSITIVE_ABOVE:.0%} of their attribution on "
                "sensitive features. A small share would not clear the model: other features may stand for them.",
                ", ".join(known),
                tuple(above),
                (
                    "Ask whether these features may be used for this decision at all.",
                    "Compare groups by their outcomes.",
                ),
            )
        )


def _drifted(
    bench: Bench,
    inputs: Mapping[str, Any],
    explained: list[_Explained],
    measures: list[Measure],
    findings: list[Finding],
) -> None:
    drifted = {
        finding["subject"]
        for port in inputs
        if port.startswith("check.")
        for finding in bench.artifact(inputs[port]["record"]).document["findings"]
        if finding["code"] == "feature_drift" and finding["verdict"] == "holds"
    }
    for step in explained:
        features = step.features
        at = [index for index, name in enumerate(features.names) if name in drifted]
        if not at:
            continue
        owned = np.isin(np.arange(len(features)), at).astype(np.float64)
        per_row = shares(step.values, owned)
        name = f"drifted_share.{step.step}"
        interval = bootstrap_interval(per_row, "mean")
        measures.append(
            Measure(name, _mean(per_row), f"Share of {step.step}'s attribution on drifted features", len(per_row),
                    "share", interval, better="lower")
        )  # fmt: skip
        if interval and interval[0] > len(at) / len(features):
            names = ", ".join(features.names[i] for i in at)
            findings.append(
                Finding("reliance_on_drifted", "warning", f"{step.step} leans on features that have drifted",
                        f"{names} carry more than an even share of the attribution, and their distribution has changed.",
                        names, (name,), ("Measure the accuracy on recent rows before relying on the model.",))
            )  # fmt: skip
