"""What findings do to a search."""

import math

import pytest

from pgx_compiler.evidence.results import Finding
from pgx_compiler.tuning.narrowing import intersect, kept_share, narrow
from pgx_compiler.tuning.question import Cut, Question
from pgx_compiler.tuning.space import Dimension, SpaceError

SPACE = {
    "layers.dense.units": Dimension.of({"quniform": [8, 64, 8]}),
    "optimizer.learning_rate": Dimension.of({"loguniform": [1e-4, 1e-1]}),
    "fit.batch_size": Dimension.of({"choice": [16, 32, 64]}),
}
BASELINE = {"layers.dense.units": 32, "optimizer.learning_rate": 1e-3, "layers.dropout.rate": 0.5}


def finding(code: str, *effects: dict, verdict: str = "holds") -> Finding:
    return Finding(code, "warning", code, code, verdict=verdict, effects=effects)


def question(*cuts: Cut) -> Question:
    return Question(SPACE, BASELINE, seed=1, cuts=cuts)


def cut(code: str, address: str, written: dict) -> Cut:
    return Cut(code, {address: Dimension.of(written)}, "few rows")


def test_a_cut_is_made_where_its_finding_holds_and_written_down_with_the_volume_kept() -> None:
    orders = cut("small_sample", "optimizer.learning_rate", {"loguniform": [1e-4, 1e-2]})
    found = narrow(question(orders), [finding("small_sample")], "classification")
    assert found.space["optimizer.learning_rate"] == Dimension("loguniform", 1e-4, 1e-2)
    (row,) = found.ledger
    assert (row.finding, row.dimension, row.reason, row.applied) == (
        "small_sample",
        "optimizer.learning_rate",
        "few rows",
        True,
    )
    assert (row.before, row.after) == ({"loguniform": [1e-4, 1e-1]}, {"loguniform": [1e-4, 1e-2]})
    assert row.kept == pytest.approx(2 / 3)  # two of three decades
    assert found.kept == pytest.approx(2 / 3)


@pytest.mark.parametrize("findings", [[], [finding("small_sample", verdict="unknown")], [finding("outliers")]])
def test_a_cut_is_not_made_where_its_finding_does_not_hold(findings: list[Finding]) -> None:
    orders = cut("small_sample", "layers.dense.units", {"quniform": [8, 16, 8]})
    found = narrow(question(orders), findings, "classification")
    assert dict(found.space) == SPACE
    (row,) = found.ledger
    assert not row.applied
    assert row.before == row.after
    assert found.kept == 1


def test_two_cuts_of_one_dimension_meet_and_an_empty_meeting_names_both() -> None:
    small = cut("small_sample", "layers.dense.units", {"quniform": [8, 24, 8]})
    large = cut("underfitting", "layers.dense.units", {"quniform": [48, 64, 8]})
    with pytest.raises(SpaceError, match=r"underfitting.*leaves nothing.*small_sample"):
        narrow(question(small, large), [finding("small_sample"), finding("underfitting")], "classification")
    found = narrow(question(small, large), [finding("underfitting")], "classification")
    assert found.space["layers.dense.units"].points == (48, 56, 64)
    assert found.kept == pytest.approx(3 / 8)


def test_addresses_that_nothing_declares_are_errors() -> None:
    with pytest.raises(SpaceError, match="not searched"):
        narrow(question(cut("outliers", "layers.conv.filters", {"choice": [8]})), [], "classification")
    unknown = Question({"layers.conv.filters": Dimension.of({"choice": [8]})}, BASELINE, seed=1)
    with pytest.raises(SpaceError, match=r"declares no `layers\.conv\.filters`"):
        narrow(unknown, [], "classification")


@pytest.mark.parametrize(
    ("before", "wanted", "left", "share"),
    [
        ({"uniform": [0, 0.6]}, {"uniform": [0.3, 0.9]}, {"uniform": [0.3, 0.6]}, 0.5),
        ({"quniform": [8, 64, 8]}, {"uniform": [10, 33]}, {"quniform": [16, 32, 8]}, 3 / 8),
        ({"uniform": [0, 100]}, {"quniform": [10, 50, 20]}, {"quniform": [10, 50, 20]}, None),
        ({"choice": [16, 32, 64]}, {"choice": [32, 64, 128]}, {"choice": [32, 64]}, 2 / 3),
        ({"choice": [16, 32, 64]}, {"uniform": [20, 40]}, {"choice": [32]}, 1 / 3),
        ({"loguniform": [1e-4, 1e-1]}, {"choice": [1e-3, 1.0]}, {"choice": [1e-3]}, None),
        ({"uniform": [0, 1]}, {"uniform": [2, 3]}, None, None),
        ({"choice": ["relu"]}, {"choice": ["tanh"]}, None, None),
        ({"quniform": [8, 64, 8]}, {"uniform": [9, 15]}, None, None),
    ],
)
def test_dimensions_meet(before: dict, wanted: dict, left: dict | None, share: float | None) -> None:
    found = intersect(Dimension.of(before), Dimension.of(wanted))
    assert (None if found is None else found.written()) == left
    if share is not None and found is not None:
        assert kept_share(Dimension.of(before), found) == pytest.approx(share)


def test_a_list_cut_out_of_a_range_has_no_comparable_volume() -> None:
    assert kept_share(Dimension.of({"uniform": [0, 1]}), Dimension.of({"choice": [0.5]})) is None
    assert kept_share(Dimension.of({"loguniform": [1, math.e**4]}), Dimension("loguniform", 1, math.e)) == (
        pytest.approx(0.25)
    )


def test_classification_is_always_stratified_and_regression_on_the_word_of_a_finding() -> None:
    assert narrow(question(), [], "classification").stratify
    assert not narrow(question(), [], "regression").stratify
    stratify = finding("class_imbalance", {"kind": "protocol", "what": "stratify"})
    found = narrow(question(), [stratify], "regression")
    assert found.stratify
    assert found.ledger[0].to_dict()["before"] == "at random"


def test_duplicates_found_keep_equal_rows_together() -> None:
    effect = {"kind": "protocol", "what": "group_duplicates"}
    assert narrow(question(), [finding("duplicate_rows", effect)], "classification").group_duplicates
    assert not narrow(question(), [finding("duplicate_rows", effect, verdict="unknown")], "x").group_duplicates


def test_a_finding_puts_a_small_model_in_front_with_all_else_as_audited() -> None:
    found = narrow(question(), [finding("small_sample", {"kind": "seed", "what": "small_model"})], "classification")
    ((settings, origin),) = found.first
    assert dict(settings) == {"layers.dense.units": 8, "optimizer.learning_rate": 1e-3, "fit.batch_size": 32}
    assert origin == "finding small_sample"


def test_settings_named_by_a_finding_are_tried_only_where_they_are_searched() -> None:
    inside = finding("outliers", {"kind": "seed", "what": "robust", "settings": {"fit.batch_size": 64}})
    outside = finding("outliers", {"kind": "seed", "what": "robust", "settings": {"fit.batch_size": 128}})
    assert narrow(question(), [inside], "classification").first[0][0]["fit.batch_size"] == 64
    refused = narrow(question(), [outside], "classification")
    assert refused.first == ()
    assert refused.ledger[0].reason.startswith("not applicable here")


def test_a_dimension_is_added_where_the_file_declares_it_and_noted_where_it_does_not() -> None:
    declared = finding("small_sample", {"kind": "add", "what": "layers.dropout.rate", "values": [0.2, 0.6]})
    foreign = finding("class_imbalance", {"kind": "add", "what": "class_weight", "values": ["none", "balanced"]})
    found = narrow(question(), [declared, foreign], "classification")
    assert found.space["layers.dropout.rate"].values == (0.5, 0.2, 0.6)  # the present value is among them
    assert set(found.space) == {*SPACE, "layers.dropout.rate"}
    assert [(row.kind, row.applied) for row in found.ledger] == [("add", True), ("add", False)]
    assert found.ledger[1].reason.startswith("not applicable here")


def test_the_same_finding_about_many_features_acts_once() -> None:
    one = finding("missing_values", {"kind": "add", "what": "missing_indicator", "values": [False, True]})
    assert len(narrow(question(), [one, one, one], "classification").ledger) == 1
