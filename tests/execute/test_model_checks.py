"""Parity and performance, by hand."""

import numpy as np
import pytest

from pgx_compiler.execute.model_checks import parity, performance


def values(report):
    return {measure.name: measure.value for measure in report.measures}


def test_two_files_that_agree_are_one_model():
    output = np.array([[0.2, 0.8], [0.6, 0.4]])
    keras = {"output": output, "score": output * 3}
    report, holds = parity(keras, {"output": output + 5e-7, "score": output * 3 + 1e-3}, "logit")
    assert holds
    assert abs(values(report)["max_difference"] - 5e-7) < 1e-12
    assert abs(values(report)["max_score_difference"] - 1e-3) < 1e-12
    assert values(report)["same_class"] == 1.0
    assert report.findings == ()


def test_two_models_under_one_name_are_an_error():
    first = {"output": np.array([[0.2, 0.8], [0.6, 0.4]]), "score": np.zeros((2, 2))}
    second = {"output": np.array([[0.9, 0.1], [0.6, 0.4]]), "score": np.zeros((2, 2))}
    report, holds = parity(first, second, "logit")
    assert not holds
    assert values(report)["same_class"] == 0.5
    (finding,) = report.findings
    assert (finding.code, finding.severity) == ("model_parity_broken", "error")
    assert "0.7" in finding.summary


@pytest.mark.parametrize(
    ("rebuilt", "coarse", "holds"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_step_of_rounding_is_no_other_model_where_a_file_is_held_against_its_own_rebuild(rebuilt, coarse, holds):
    # one step of eight bits, 1/255 = 0.0039, in an output of probabilities: 1e-2 is allowed, in all other cases 1e-4
    output = np.array([[0.2, 0.8], [0.6, 0.4]])
    first, second = ({"output": one, "score": one} for one in (output, output + np.array([[1 / 255, 0], [0, 0]])))
    report, found = parity(first, second, "probability", rebuilt, coarse)
    assert found is holds
    assert len(report.findings) == (0 if holds else 1)


def test_performance_by_hand():
    output = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
    report = performance({"output": output, "labels": np.array([0, 1, 1, 1])}, None, "classification")
    found = values(report)
    assert found["accuracy"] == 0.75
    assert found["majority_share"] == 0.75
    # -(ln .9 + ln .6 + ln .3 + ln .8) / 4 = 2.0433 / 4
    assert abs(found["log_loss"] - 0.5108) < 1e-4
    # scores of class 1: .1 | .6 .3 .8: every positive is above the one negative
    assert found["auc"] == 1.0
    # four rows settle nothing, whatever they say
    assert [(finding.code, finding.verdict) for finding in report.findings] == [("underfitting", "unknown")]


def test_no_better_than_the_commonest_class_is_found_with_enough_rows():
    labels = np.array([0, 0, 0, 1] * 15)
    guess = {"output": np.tile([0.8, 0.2], (60, 1)), "labels": labels}
    (finding,) = performance(guess, None, "classification").findings
    assert (finding.code, finding.verdict, finding.severity) == ("underfitting", "holds", "warning")
    assert performance({"output": np.eye(2)[labels], "labels": labels}, None, "classification").findings == ()


def test_a_loss_from_training_to_test_beyond_its_noise_is_found_and_a_small_one_is_not():
    def predictions(right, n):
        labels = np.zeros(n, np.int64)
        labels[: n // 2] = 1
        shown = labels.copy()
        shown[: n - right] = 1 - shown[: n - right]
        return {"output": np.eye(2)[shown], "labels": labels}

    codes = [f.code for f in performance(predictions(160, 200), predictions(980, 1000), "classification").findings]
    assert codes == ["overfitting"]
    assert performance(predictions(195, 200), predictions(980, 1000), "classification").findings == ()


def test_regression_has_errors_in_its_own_unit():
    report = performance({"output": np.array([[1.0], [3.0]]), "labels": np.array([0.0, 0.0])}, None, "regression")
    assert abs(values(report)["rmse"] - np.sqrt(5)) < 1e-12
    assert values(report)["mean_absolute_error"] == 2.0


def test_without_labels_accuracy_is_not_measured_and_says_why():
    (measure,) = performance({"output": np.eye(2)}, None, "classification").measures
    assert measure.value is None
    assert measure.reason == "the data names no target"
