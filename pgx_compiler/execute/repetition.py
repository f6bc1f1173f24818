"""Does a model answer the same row alike, whenever it is asked and whatever rows it is asked with?"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.results import Finding, Measure, Report
from pgx_compiler.evidence.store import Artifact
from pgx_compiler.execute.bench import Bench
from pgx_compiler.ir.repeats import ROWS_APART
from runtimes.capabilities import Floats, Inputs, Predictor

REPEAT_TOLERANCE = 1e-4
"""Largest difference between two answers to one row that counts as rounding, as a part of the largest score of the sample. In
float32 a batch of 64 and one of 1 differ by up to 6.6e-7 and two levels of optimisation by 8.9e-7 (one convolutional network, ONNX
Runtime 1.32 and TensorFlow 2.21, CPU); deeper networks round more often. Own default, as for parity of two files."""
COARSE_TOLERANCE = 1e-2
"""The same where the file answers in half precision, whose own rounding is 1e-3."""
_COARSE = frozenset({"float16", "bfloat16"})

_TITLE = "The model answers the same row differently from one time to the next"
_ADVICE = (
    "Look for random operators without a seed (RandomNormal, RandomUniform), and for dropout or noise that is on in use.",
    "Look for layers that read the other rows of a batch (normalisation by the batch), and export the model for inference.",
)


def repeat(
    bench: Bench, node: Mapping[str, Any], inputs: Mapping[str, Any], progress: Callable[[int, int], None]
) -> Artifact:
    """Ask a sample of the judged rows again, and hold the answers against those that the predictions have."""
    params = node["params"]
    split = bench.split(inputs["data"]["params"])
    model = bench.model(inputs["model"]["params"], params["score"], node["runtime"])
    first = bench.artifact(inputs["predictions"]["record"]).arrays["score"]
    rng = np.random.default_rng(node["seed"])
    chosen = rng.choice(len(split), min(params["rows"], len(split)), replace=False)
    rows = {name: array[chosen] for name, array in split.inputs.items()}
    answers = asked_again(model, rows)
    format = inputs["model"]["params"]["format"]
    report, holds = steadiness(first[chosen], *answers, params["dtypes"], score=params["score"], format=format)
    progress(len(chosen), len(chosen))
    document = {"measures": plain(report.measures), "findings": plain(report.findings), "tables": []}
    return Artifact({**document, "holds": holds}, {**report.arrays, "rows": chosen})


def asked_again(model: Predictor, rows: Inputs) -> tuple[Floats, Floats, Floats]:
    """The answers of three further times: all rows in one call, the same call once more, and backwards in small calls."""
    count = len(next(iter(rows.values())))
    together, again = model.predict(rows), model.predict(rows)
    backwards = np.arange(count)[::-1]
    parts = [backwards[start : start + ROWS_APART] for start in range(0, count, ROWS_APART)]
    apart = np.concatenate([model.predict({name: array[part] for name, array in rows.items()}) for part in parts])
    return together, again, apart[::-1]


def steadiness(
    first: Floats,
    together: Floats,
    again: Floats,
    apart: Floats,
    dtypes: list[str],
    *,
    score: str = "score",
    format: str = "model",
) -> tuple[Report, bool]:
    """Hold four answers to the same rows against each other; returns the report and whether they are the same.

    Args:
        first: the predictions that the audit rests on: other rows stood beside.
        together: of the same rows in another order and in one call.
        again: of exactly that call once more.
        apart: in calls of a few rows each.
        dtypes: of the file's outputs.
        score: what is explained.
        format: of the file.
    """
    by_chance = _difference(together, again)
    by_company = np.maximum(_difference(first, together), _difference(apart, together))
    difference = np.maximum(by_chance, by_company)
    largest, n = float(difference.max()), len(difference)
    tolerance = COARSE_TOLERANCE if _COARSE & set(dtypes) else REPEAT_TOLERANCE
    scores = np.concatenate([first, together])
    allowed = tolerance * float(np.abs(scores[np.isfinite(scores)]).max(initial=0.0))
    holds = largest <= allowed
    measure = Measure(
        "repeat_difference",
        largest if np.isfinite(largest) else None,
        f"Largest difference between two answers of the {format} file to the same row",
        n,
        score,
        reason=None if np.isfinite(largest) else "some answers were no finite numbers, and others to the same row were",
        better="lower",
    )
    if holds:
        return Report((measure,), arrays={"difference": difference}), True
    how = f"differ by up to {largest:.3g}" if np.isfinite(largest) else "are finite at one time and not at another"
    chance = bool(by_chance.max() > allowed)
    when = "asked exactly the same twice" if chance else "asked again with other rows beside them"
    why = "It draws at random." if chance else "What it says of a row depends on the rows that it is asked with."
    finding = Finding(
        "nondeterministic_model",
        "error",
        _TITLE,
        f"Scores of {n} rows, {when}, {how}; {allowed:.3g} is allowed as rounding. {why} Whatever is measured on it is measured "
        "on one of many models, so its explanations are not compared and nothing is concluded.",
        measures=("repeat_difference",),
        advice=_ADVICE,
    )
    return Report((measure,), (finding,), arrays={"difference": difference}), False


def _difference(one: Floats, other: Floats) -> Floats:
    """The largest difference of each row's scores, ``(rows,)``; infinite where only one of two is a number."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(one - other)
    unknown = np.where(one == other, 0.0, np.inf)
    found: Floats = np.where(np.isfinite(apart), apart, unknown).max(axis=1)
    return found
