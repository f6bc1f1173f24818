"""What is arranged for the templates."""

import pytest

from pgx_compiler.report import search_figures, view
from pgx_compiler.report.table_entry import TableEntry
from tests.report.sample import FORM, factsheet


def test_anchors_are_unique_and_safe_in_an_address() -> None:
    facts = [factsheet(rows=0).facts[0].model_copy(update={"id": named}) for named in ("a b", "a~b", "a.b")]
    assert view.anchors(facts) == {"a b": "fact-a-b", "a~b": "fact-a-b-1", "a.b": "fact-a.b"}


def test_a_tile_joins_a_fact_with_the_gate_on_it() -> None:
    sheet = factsheet(rows=0)
    anchors = view.anchors(sheet.facts)
    attacked = view.tile(sheet, "precaution.adversarial_robustness.accuracy_attacked", anchors)
    assert (attacked.value, attacked.threshold, attacked.status, attacked.n) == (0.318, ">= 0.5", "failed", 500)
    free = view.tile(sheet, "precaution.drift.psi_max", anchors)
    assert (free.threshold, free.status) == (None, None)
    absent = view.tile(sheet, "precaution.outliers.share", anchors)
    assert (absent.value, absent.status, absent.reason) == (None, "not_measured", "too few rows")
    assert view.tile(sheet, "no.such.fact", anchors).status == "not_measured"


def test_columns_of_numbers_are_told_from_columns_of_words() -> None:
    table = TableEntry(step="s", title="t", columns=["name", "value", "mixed"], rows=[["a", 1, 1], ["b", None, "x"]])
    grid = view.grid(table, "html")
    assert grid.numeric == (False, True, False)
    assert [cell.text for cell in grid.rows[1]] == ["b", "\u2014", "x"]


def test_a_wide_and_long_table_is_cut_and_counted() -> None:
    rows = [list(range(12)) for _ in range(230)]
    grid = view.grid(TableEntry(step="s", title="t", columns=[f"c{i}" for i in range(12)], rows=rows), "pdf")
    assert (len(grid.rows), grid.rows_left_out) == (200, 30)
    assert (len(grid.columns), grid.columns_left_out) == (9, 3)


def test_features_are_ordered_by_all_methods_together() -> None:
    sheet = factsheet(image=False, rows=0)
    names = list(FORM[:3])
    first, second = (
        one.model_copy(update={"feature_names": names, "mean_absolute": values})
        for one, values in zip(sheet.explanations, ([1.0, 4.0, 0.0], [30.0, 10.0, 20.0]), strict=False)
    )
    # Shares of the largest: 0.25 + 1, 1 + 1/3, 0 + 2/3.
    assert view.feature_order([first, second]) == [1, 0, 2]


def test_runs_are_as_even_as_can_be() -> None:
    assert view.batches(list(range(6)), 5) == [[0, 1, 2], [3, 4, 5]]
    assert view.batches([], 5) == []


def test_a_matrix_finds_a_pair_either_way_round_and_the_noise_floor_on_its_diagonal() -> None:
    sheet = factsheet(rows=0)
    (matrix,) = view.matrices(sheet, [one.step for one in sheet.explanations])
    assert matrix.at("saliency", "kernel_shap") is matrix.at("kernel_shap", "saliency")
    own = matrix.at("kernel_shap", "kernel_shap")
    assert own is not None
    assert own.kind == "self"
    assert matrix.at("occlusion", "occlusion") is None
    # Chance 0, best 1: a median of 0.5 is half-way, so shade 2 of 4.
    half = own.model_copy(update={"median": 0.5})
    assert matrix.level(half) == 2


@pytest.mark.parametrize(
    ("said", "less"), [("minimize validation.loss", True), ("maximize agreement.rank_correlation", False)]
)
def test_the_objective_is_read_from_its_sentence(said: str, less: bool) -> None:
    tuning = factsheet(rows=0).tuning
    assert tuning is not None
    tuning = tuning.model_copy(update={"objective": said})
    assert search_figures.objective_of(tuning) == (said.split()[1], less)
    assert search_figures.second_metric(tuning) == "agreement.rank_correlation"


def test_a_diverged_trial_does_not_flatten_the_picture_and_is_still_told() -> None:
    tuning = factsheet(rows=0).tuning
    assert tuning is not None
    diverged = tuning.trials[3].model_copy(update={"metrics": {"validation.loss": 250.0}})
    trials = [*tuning.trials[:3], diverged, *tuning.trials[4:]]
    words = {"trial": "trial"}
    drawn = search_figures.convergence(tuning.model_copy(update={"trials": trials}), "title", words)
    assert "\u2191 250" in drawn
    assert ">100<" not in drawn  # no tick of a scale that reaches to 250


def test_a_constraint_far_from_every_trial_is_told_beside_the_picture() -> None:
    tuning = factsheet(rows=0).tuning
    assert tuning is not None
    words = {"baseline": "b", "chosen": "c", "constraint": "Constraint"}
    near = search_figures.trade_off(tuning, "title", words)
    assert "stroke-dasharray" in near
    assert "Constraint" not in near
    far = tuning.model_copy(update={"require": {"agreement.rank_correlation": {"min": -40.0}}})
    drawn = search_figures.trade_off(far, "title", words)
    assert "\u2193 Constraint \u221240.0" in drawn
    assert "stroke-dasharray" not in drawn
