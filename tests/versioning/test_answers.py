"""What is said of two answers: changed only where intervals lie apart, and nothing where the work was another."""

from typing import Any

import pytest

from pgx_compiler.versioning.answers import AnswerChanges, compare_answers, judge
from pgx_compiler.versioning.measured import Answer, Found, Held, Measured, Ranked, Work, node_of, work_of
from pgx_compiler.versioning.questions import Question


def answer(**parts: Any) -> Answer:
    return Answer(**{"verdict": "passed", "gates": {}, "findings": {}, "facts": {}, "importance": {}, **parts})


WORK = {
    "data.train": Work(made_of={"sha256": "1"}),
    "rows": Work(made_of={"rows": "1"}),
    "explain.a": Work(inputs=("data.train", "rows"), made_of={"with": "1", "method": "a 1"}),
    "model.performance": Work(inputs=("data.train",), made_of={}),
}
"""One method on some rows, and the model's performance, which no row chosen has a part in."""


def compared(old: Answer, new: Answer, work: dict[str, Work] | None = None, **more: Any) -> AnswerChanges:
    return compare_answers(old, new, WORK, work or WORK, more.get("question"))


def fact(value: float, low: float, high: float) -> Measured:
    return Measured(value=value, n=30, interval=(low, high))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (fact(0.5, 0.4, 0.6), fact(0.5, 0.3, 0.7), "same"),
        (fact(0.5, 0.4, 0.6), fact(0.65, 0.55, 0.75), "noise"),
        (fact(0.5, 0.4, 0.6), fact(0.7, 0.6, 0.8), "noise"),  # they touch
        (fact(0.5, 0.4, 0.6), fact(0.71, 0.61, 0.81), "changed"),
        (fact(0.71, 0.61, 0.81), fact(0.5, 0.4, 0.6), "changed"),
        (Measured(value=0.5), Measured(value=0.9), "undecided"),
        (Measured(value=700, unit="rows"), Measured(value=690, unit="rows"), "changed"),
        (Measured(value=None), Measured(value=0.5), "changed"),
        (Measured(value="yes"), Measured(value="no"), "changed"),
    ],
)
def test_a_fact_has_changed_only_where_the_intervals_lie_apart(old: Measured, new: Measured, said: str) -> None:
    assert judge(old, new) == said


def test_facts_go_where_they_belong() -> None:
    old = answer(facts={"explain.a.x": fact(1, 0, 2), "explain.a.y": fact(1, 0, 2), "explain.a.z": Measured(value=1)})
    new = answer(facts={"explain.a.x": fact(9, 8, 10), "explain.a.y": fact(2, 1, 3), "explain.a.w": Measured(value=1)})
    found = compared(old, new)
    assert [moved.fact for moved in found.changed] == ["explain.a.x"]
    assert [moved.fact for moved in found.noise] == ["explain.a.y"]
    assert (found.appeared, found.gone) == (["explain.a.w"], ["explain.a.z"])


def test_what_nobody_can_tell_from_noise_is_no_change_for_sure_and_none_that_is_passed_over() -> None:
    old, new = (answer(facts={"explain.a.y": Measured(value=value)}) for value in (1, 2))
    found = compared(old, new)
    assert (found.any, found.open) == (False, True)


def test_noise_alone_is_no_change() -> None:
    old, new = (answer(facts={"explain.a.y": fact(value, 0, 3)}) for value in (1, 2))
    found = compared(old, new)
    assert (found.any, found.open) == (False, False)


@pytest.mark.parametrize(
    ("node", "work", "reason"),
    [
        ("explain.a", Work(inputs=("data.train", "rows"), made_of={"with": "2", "method": "a 1"}), "parameters of explain.a differ"),
        ("explain.a", Work(inputs=("data.train", "rows"), made_of={"with": "1", "method": "a 2"}), "the method or its version of explain.a differ"),
        ("rows", Work(made_of={"rows": "2"}), "other rows are explained"),
        ("data.train", Work(made_of={"sha256": "2"}), "the train data differ"),
    ],
)  # fmt: skip
def test_other_work_is_not_compared_but_explained(node: str, work: Work, reason: str) -> None:
    old, new = (answer(facts={"explain.a.y": fact(value, value, value)}) for value in (1, 2))
    found = compared(old, new, {**WORK, node: work})
    assert found.incomparable == {"explain.a.y": [reason]}
    assert (found.changed, found.noise) == ([], [])


def test_what_does_not_rest_on_the_rows_is_compared_all_the_same() -> None:
    old, new = (answer(facts={"model.performance.accuracy": fact(v, v, v)}) for v in (0.7, 0.9))
    found = compared(old, new, {**WORK, "rows": Work(made_of={"rows": "2"})})
    assert [moved.fact for moved in found.changed] == ["model.performance.accuracy"]


def test_another_model_file_is_the_same_work() -> None:
    """The question about a new model is the old question: that is what a comparison is for."""
    nodes = [
        {
            "model.onnx": {"op": "model", "params": {"format": "onnx", "sha256": sha, "task": task}},
            "explain.a": {"op": "attribute", "inputs": {"model": "model.onnx"}, "params": {"with": {"n": 1}}},
        }
        for sha, task in (("1", "classification"), ("2", "classification"), ("2", "regression"))
    ]
    first, second, third = (work_of(one, {"operations": {"model": 1}}) for one in nodes)
    assert first == second
    assert second != third


def test_a_fact_belongs_to_the_longest_node_of_its_name() -> None:
    work = {name: Work(made_of={}) for name in ("explain.a", "explain.a.b")}
    assert node_of("explain.a.b.gap", work) == "explain.a.b"
    assert node_of("explain.a.gap", work) == "explain.a"
    assert node_of("explain.c.gap", work) is None


def test_flips_of_verdict_gates_and_findings_are_told() -> None:
    def of(status: str, value: float, findings: dict[str, Found]) -> Answer:
        gates = {"g": Held(fact="g", value=value, threshold=">= 0.5", status=status)}
        return answer(verdict=status, gates=gates, findings=findings)

    drift = Found(code="drift", severity="warning", verdict="holds", title="The data have drifted")
    found = compared(of("passed", 0.6, {}), of("failed", 0.4, {"precaution.drift": drift}))
    assert found.verdict is not None
    assert (found.verdict.old, found.verdict.new) == ("passed", "failed")
    assert [(flip.what, flip.why) for flip in found.gates] == [("gate g", "0.6 -> 0.4, needs >= 0.5")]
    assert [(flip.what, flip.old, flip.new) for flip in found.findings] == [
        ("finding precaution.drift", None, "warning, holds")
    ]


def test_a_gate_that_passes_only_by_its_new_threshold_is_named() -> None:
    facts = {"explain.a.y": fact(0.45, 0.4, 0.5)}
    new = answer(
        facts=facts, gates={"explain.a.y": Held(fact="explain.a.y", value=0.45, threshold=">= 0.4", status="passed")}
    )
    gate = {"fact": "explain.a.y", "min": 0.5}
    found = compared(answer(facts=facts), new, question=Question({}, {"gates": [gate]}))
    assert found.loosened == ["explain.a.y: 0.45 does not meet >= 0.5"]
    held = compared(answer(facts=facts), new, question=Question({}, {"gates": [{**gate, "min": 0.4}]}))
    assert held.loosened == []


def importance(**features: tuple[float, float]) -> dict[str, dict[str, Ranked]]:
    """Feature to its mean magnitude and the half width of its interval."""
    return {"a": {name: Ranked(value=v, interval=(v - half, v + half)) for name, (v, half) in features.items()}}


def test_a_place_has_changed_only_beyond_what_the_intervals_allow() -> None:
    # a falls from the first place (sure: 10 ± 1 against 5 ± 1 and 1 ± 1) to the last; b and c follow.
    old = answer(importance=importance(a=(10, 1), b=(5, 1), c=(1, 0.5)))
    new = answer(importance=importance(a=(0.1, 0.05), b=(5, 1), c=(1, 0.5)))
    found = compared(old, new)
    assert [(move.feature, move.old, move.new) for move in found.ranks] == [("a", 1, 3), ("b", 2, 1), ("c", 3, 2)]
    assert found.rank_noise == []


def test_features_that_swap_within_their_intervals_are_noise() -> None:
    old = answer(importance=importance(a=(5.0, 1), b=(4.9, 1)))
    new = answer(importance=importance(a=(4.9, 1), b=(5.0, 1)))
    found = compared(old, new)
    assert found.ranks == []
    assert [move.feature for move in found.rank_noise] == ["a", "b"]
    assert not found.any


def test_entering_and_leaving_the_first_five_is_said() -> None:
    names = "abcdef"
    sizes = dict(zip(names, (9, 8, 7, 6, 5, 1), strict=True))
    old = answer(importance=importance(**{name: (sizes[name], 0.1) for name in names}))
    new = answer(importance=importance(**{name: ({**sizes, "e": 1, "f": 5}[name], 0.1) for name in names}))
    assert {move.feature: move.top for move in compared(old, new).ranks} == {"e": "left", "f": "entered"}


def test_without_intervals_no_place_is_sure() -> None:
    old, new = (
        answer(importance={"a": {"x": Ranked(value=first), "y": Ranked(value=1 - first)}}) for first in (0.9, 0.1)
    )
    found = compared(old, new)
    assert found.ranks == []
    assert len(found.rank_noise) == 2
