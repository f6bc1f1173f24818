"""What `pgx diff` says of two specs: thresholds first and loudest, what changes no answer last."""

import json
from typing import Any

import pytest

from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.versioning.comparison import Comparison, compare
from pgx_compiler.versioning.questions import Change, changes, question_of
from pgx_compiler.versioning.sides import Side
from pgx_compiler.versioning.telling import tell

AGREEMENT = {"fact": "agreement.rank_correlation", "between": ["a", "b"], "aggregate": "median", "min": 0.5}
DELETION = {"fact": "faithfulness.deletion", "of": "a", "aggregate": "median", "min": 0, "bound": "lower"}
ACCURACY = {"fact": "model.performance.log_loss", "max": 0.6}


def spec(**parts: Any) -> AuditSpec:
    whole = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "a"},
        "model": {"onnx": "m.onnx"},
        "data": {"modality": "tabular", "train": {"path": "a.csv"}},
        **parts,
    }
    return AuditSpec.model_validate_json(json.dumps(whole), strict=True)


def told(old: AuditSpec, new: AuditSpec) -> list[Change]:
    return changes(question_of(old), question_of(new))


def gates(*items: dict[str, Any]) -> AuditSpec:
    return spec(gates=list(items))


def test_a_spec_is_the_same_question_as_itself() -> None:
    assert told(gates(AGREEMENT), gates(AGREEMENT)) == []


def test_a_default_that_is_written_out_is_no_change() -> None:
    assert told(spec(), spec(seed=0, explain={"target": "predicted"})) == []


def test_a_change_is_told_by_its_path_with_both_values() -> None:
    (change,) = told(spec(explain={"rows": {"sample": 32}}), spec(explain={"rows": {"sample": 48}}))
    assert (change.path, change.role, change.old, change.new) == ("explain.rows.sample", "semantic", 32, 48)


@pytest.mark.parametrize(
    ("gate", "other", "effect"),
    [
        (AGREEMENT, {"min": 0.4}, "weaker"),
        (AGREEMENT, {"min": 0.6}, "stronger"),
        (ACCURACY, {"max": 0.7}, "weaker"),
        (ACCURACY, {"max": 0.5}, "stronger"),
        (AGREEMENT, {"tolerance": 0.1}, "weaker"),
        (AGREEMENT, {"max": 0.9}, "stronger"),
        (DELETION, {"bound": "value"}, "moved"),
        (AGREEMENT, {"aggregate": "max"}, "moved"),
        (AGREEMENT, {"between": ["a", "c"]}, "moved"),
    ],
)
def test_a_moved_threshold_is_loud_and_says_which_way(gate: dict[str, Any], other: dict[str, Any], effect: str) -> None:
    (change,) = told(gates(gate), gates({**gate, **other}))
    assert change.effect == effect
    assert change.loud


def test_a_bound_that_is_gone_is_weaker() -> None:
    both = {**AGREEMENT, "max": 0.9}
    (change,) = told(gates(both), gates(AGREEMENT))
    assert (change.path, change.old, change.new, change.effect) == ("gates[0].max", 0.9, None, "weaker")


def test_a_removed_gate_is_the_loudest_though_the_others_moved_up() -> None:
    changed = told(gates(AGREEMENT, DELETION, ACCURACY), gates(DELETION, {**ACCURACY, "max": 0.7}))
    assert [(change.path, change.effect) for change in changed] == [("gates[0]", "removed"), ("gates[1].max", "weaker")]
    assert changed[0].about == "agreement.rank_correlation a ~ b"


def test_a_new_gate_is_a_new_question_and_not_loud() -> None:
    (change,) = told(gates(AGREEMENT), gates(AGREEMENT, DELETION))
    assert (change.path, change.effect, change.loud) == ("gates[1]", "added", False)


def test_a_gate_on_another_fact_is_another_gate() -> None:
    changed = told(gates(AGREEMENT), gates({**AGREEMENT, "fact": "agreement.top_k_overlap"}))
    assert [change.effect for change in changed] == ["removed", "added"]


def test_a_renamed_gate_is_not_loud() -> None:
    (change,) = told(gates(AGREEMENT), gates({**AGREEMENT, "id": "agree"}))
    assert not change.loud


def test_an_accepted_finding_weakens_what_must_hold() -> None:
    accepted = [{"code": "outliers", "reason": "known"}]
    (change,) = told(spec(), spec(accept=accepted))
    assert (change.path, change.effect, change.loud) == ("accept[0]", "weaker", True)


def test_steps_are_known_by_their_names_wherever_they_stand() -> None:
    one, two = {"use": "kernel_shap", "with": {"samples": 8}}, {"use": "occlusion"}
    old, new = ({"perturbation": steps} for steps in ([one, two], [two, {**one, "with": {"samples": 9}}]))
    changed = {change.path: (change.old, change.new) for change in told(spec(explain=old), spec(explain=new))}
    assert changed == {
        "explain.perturbation[1].with.samples": (8, 9),
        "explain.perturbation.order": (["kernel_shap", "occlusion"], ["occlusion", "kernel_shap"]),
    }


def test_what_changes_no_answer_comes_last() -> None:
    old = spec(metadata={"name": "a", "owner": "one"}, factsheet={"formats": ["json"]})
    new = spec(
        metadata={"name": "a", "owner": "two"}, factsheet={"formats": ["json", "pdf"]}, seed=1, gates=[AGREEMENT]
    )
    assert [change.role for change in told(old, new)] == ["semantic", "semantic", "operational", "descriptive"]


def test_who_reads_it_is_a_part_of_the_question_where_the_strategy_chooses() -> None:
    strategies = [{"questions": ["is_it_robust"]}, {"questions": ["is_it_fair"]}]
    chosen = [spec(strategy=strategy, precaution=[{"use": "auto"}]) for strategy in strategies]
    named = [spec(strategy=strategy, precaution=[{"use": "outliers"}]) for strategy in strategies]
    assert [change.role for change in told(*chosen)] == ["semantic"]
    assert [change.role for change in told(*named)] == ["descriptive"]


def side(audit: AuditSpec) -> Side:
    return Side("x", "spec", question_of(audit), None, {}, None, None, None)


def comparison(old: AuditSpec, new: AuditSpec) -> Comparison:
    return compare(side(old), side(new))


def test_only_what_changes_the_answer_counts_as_changed() -> None:
    owned = spec(metadata={"name": "a", "owner": "two"})
    assert not comparison(spec(), owned).changed
    assert comparison(spec(), spec(seed=1)).changed


def test_the_terminal_shows_thresholds_first_and_loudest() -> None:
    text = tell(comparison(gates(AGREEMENT), spec(seed=3, gates=[{**AGREEMENT, "min": 0.25}])))
    assert text.splitlines()[:2] == [
        "!! WHAT MUST HOLD HAS CHANGED:",
        "  gates[0].min (agreement.rank_correlation a ~ b): 0.5 -> 0.25  WEAKER",
    ]
    assert text.index("WEAKER") < text.index("seed: 0 -> 3")


def test_what_an_author_wrote_cannot_move_the_cursor() -> None:
    text = tell(comparison(spec(), spec(metadata={"name": "a", "owner": "x\x1b[2J"})))
    assert "\x1b" not in text
    assert "<U+001B>" in text
