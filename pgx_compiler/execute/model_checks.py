"""Is it one model, and is it any good: parity of the two files, and performance on labelled rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgx_compiler.evidence.results import Finding, Measure, Report
from pgx_compiler.evidence.summary import wilson_interval
from runtimes.capabilities import Floats

PARITY_TOLERANCE = 1e-4
"""Largest difference of an output between the two files below which they count as the same model: in the output's unit,
or as a part of its largest value where that is above 1 (a price of 300,000 has a float32 rounding of 0.03). Own default:
conversions of float32 networks measured here differ by 4e-7, a wrong preprocessing by 1e-2 and more."""

COARSE_TOLERANCE = 1e-2
"""The same for an ONNX file and its own rebuild where the file computes in half precision or rounds to 8 bits on its way: a
last bit decides about a step. Own default: by 1.3e-3 (probabilities of a network for movements, `quantize_dynamic`)."""

_EXPORT_ADVICE = "Export the ONNX file again from this Keras file, and check the preprocessing."
_REBUILD_ADVICE = "Believe no gradient of this file: give `model.keras` for them, or leave the gradient steps out."

FEWEST_ROWS = 30
"""Labelled test rows below which nothing is said of skill or fit (own default, as for groups in precaution)."""

OVERFIT_GAP = 0.05
"""Accuracy lost from training to test rows that is worth a finding, if it is also beyond two standard errors (own default)."""


def parity(
    keras: Mapping[str, Any],
    onnx: Mapping[str, Any],
    score: str,
    rebuilt: bool = False,
    coarse: bool = False,
    *,
    classes: bool = True,
) -> tuple[Report, bool]:
    """Compare the outputs of both boxes on the same rows; returns the report and whether they are the same model.

    Args:
        keras: what the white box says: the Keras file, or the ONNX file rebuilt with gradients.
        onnx: what the black box says.
        score: what is explained.
        rebuilt: whether the white box is the ONNX file itself, rebuilt.
        coarse: whether the ONNX file rounds on its way.
        classes: whether the outputs are classes.
    """
    between = "ONNX Runtime and the file's rebuild with gradients" if rebuilt else "white box and black box"
    output = np.abs(keras["output"] - onnx["output"]).max(axis=1)
    difference = np.abs(keras["score"] - onnx["score"]).max(axis=1)
    same = keras["output"].argmax(axis=1) == onnx["output"].argmax(axis=1)
    n = len(output)
    tolerance = COARSE_TOLERANCE if rebuilt and coarse else PARITY_TOLERANCE
    allowed = tolerance * max(1.0, float(np.abs(keras["output"]).max()))
    holds = bool(output.max() <= allowed)
    measures = [
        Measure("max_difference", float(output.max()), f"Largest difference of an output between {between}",
                n, "output", better="lower"),
        Measure("max_score_difference", float(difference.max()), "Largest difference of the explained score",
                n, score, better="lower"),
    ]  # fmt: skip
    if classes and keras["output"].shape[1] > 1:
        share = float(same.mean())
        measures.append(
            Measure("same_class", share, "Rows that both files put in the same class", n, "share",
                    wilson_interval(int(same.sum()), n), better="higher")
        )  # fmt: skip
    findings = []
    if not holds:
        findings.append(
            Finding(
                "model_parity_broken",
                "error",
                "The white box and the black box are not the same model",
                f"Their outputs differ by up to {output.max():.3g} on {n} rows; {allowed:g} is allowed. "
                "What one direction explains is not what the other explains.",
                measures=("max_difference",),
                advice=(_REBUILD_ADVICE if rebuilt else _EXPORT_ADVICE,),
            )
        )
    return Report(tuple(measures), tuple(findings), arrays={"difference": output}), holds


def performance(
    test: Mapping[str, Any], train: Mapping[str, Any] | None, task: str, chosen: Sequence[tuple[int, str]] = ()
) -> Report:
    """Accuracy and log-loss (or errors of a regression) on test rows, against training rows where both are known.

    Of a regression with several outputs `chosen` are those that are explained, by column and name: the labels are those of
    a single one.
    """
    if "labels" not in test:
        missing = Measure("accuracy", None, "Share of rows put in the right class", reason="the data names no target")
        return Report((missing,))
    if task == "regression":
        if len(chosen) > 1:
            reason = "a label is one number, and several outputs are explained"
            return Report((Measure("rmse", None, "Root mean squared error", reason=reason),))
        error = test["output"][:, chosen[0][0] if chosen else 0] - test["labels"]
        of = f" of {chosen[0][1]}" if chosen else ""
        return Report(
            (
                Measure(
                    "rmse",
                    float(np.sqrt((error**2).mean())),
                    f"Root mean squared error{of}",
                    len(error),
                    better="lower",
                ),
                Measure(
                    "mean_absolute_error",
                    float(np.abs(error).mean()),
                    f"Mean absolute error{of}",
                    len(error),
                    better="lower",
                ),
            )
        )
    right = _right(test)
    n = len(right)
    majority = np.bincount(test["labels"], minlength=test["output"].shape[1]).max() / n
    measures = [
        Measure("accuracy", float(right.mean()), "Share of test rows put in the right class", n, "share",
                wilson_interval(int(right.sum()), n), better="higher"),
        Measure("majority_share", float(majority), "Accuracy of always saying the commonest class", n, "share"),
        Measure("log_loss", _log_loss(test), "Mean log-loss on test rows", n, "nats", better="lower"),
    ]  # fmt: skip
    if test["output"].shape[1] == 2 and 0 < test["labels"].mean() < 1:
        measures.append(
            Measure("auc", _auc(test["output"][:, 1], test["labels"]), "Area under the ROC curve on test rows", n,
                    better="higher")
        )  # fmt: skip
    findings: list[Finding] = []
    if train is not None and "labels" in train:
        learned = _right(train)
        measures.append(
            Measure("accuracy_train", float(learned.mean()), "Share of training rows put in the right class", len(learned),
                    "share", wilson_interval(int(learned.sum()), len(learned)))
        )  # fmt: skip
        if n >= FEWEST_ROWS:
            findings += _fit_findings(right, learned)
    if n < FEWEST_ROWS:
        findings.append(
            Finding(
                "underfitting",
                "info",
                "Too few test rows to judge the model's skill",
                f"There are {n} labelled test rows; below {FEWEST_ROWS} nothing is said of skill or overfitting.",
                measures=("accuracy",),
                verdict="unknown",
            )
        )
    elif float(right.mean()) <= majority + 1.96 * np.sqrt(majority * (1 - majority) / n):
        findings.append(
            Finding(
                "underfitting",
                "warning",
                "The model is not clearly better than always saying the commonest class",
                f"It is right on {right.mean():.1%} of {n} test rows; the commonest class alone makes {majority:.1%}. "
                "Explanations of a model without skill explain little.",
                measures=("accuracy", "majority_share"),
                advice=("Judge it by a measure that suits its use (AUC, log-loss) before reading its explanations.",),
            )
        )
    return Report(tuple(measures), tuple(findings))


def _fit_findings(right: Any, learned: Any) -> list[Finding]:
    gap = float(learned.mean() - right.mean())
    error = float(np.sqrt(right.var() / len(right) + learned.var() / len(learned)))
    if gap <= OVERFIT_GAP or gap <= 2 * error:
        return []
    return [
        Finding(
            "overfitting",
            "warning",
            "The model does worse on unseen rows than on those it learned from",
            f"Accuracy falls by {gap:.1%} (standard error {error:.1%}) from training to test rows.",
            measures=("accuracy", "accuracy_train"),
            advice=("Explain unseen rows only; consider more regularisation or more data.",),
        )
    ]


def _right(predictions: Mapping[str, Any]) -> Any:
    return (predictions["output"].argmax(axis=1) == predictions["labels"]).astype(np.float64)


def _log_loss(predictions: Mapping[str, Any]) -> float:
    output: Floats = predictions["output"]
    chosen = output[np.arange(len(output)), predictions["labels"]]
    return float(-np.log(np.clip(chosen, 1e-12, 1.0)).mean())


def _auc(score: Floats, labels: Any) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(score)
    positive = labels == 1
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))
