"""A search in the graph: which trial rests on which, what is in its key, and what it costs."""

from pathlib import Path

import pytest
from tests_project import make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.evidence.store import Store
from pgx_compiler.ir.trials import STARTUP, SUMMARY_EVERY, hands_on, reads, seen
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.plan.forecast import forecast
from pgx_compiler.plan.plan import Plan
from pgx_compiler.plan.states import History
from pgx_compiler.plan.table import table

TPE, RANDOM = "hyperopt.tpe", "hyperopt.rand"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("search"))


def compiled(project: Path, **tuning: object) -> Plan:
    changes = {
        "strategy.budget": None,
        "tuning.trials": 14,
        **{f"tuning.{name}": held for name, held in tuning.items()},
    }
    return driver.compile(write_spec(project, "german-credit", changes, "search.yaml"))


def reckoned(project: Path, plan: Plan) -> bool:
    """Whether the checks have reckoned the search at the price that the plan has for it."""
    without = driver.compile(write_spec(project, "german-credit", {"tuning": None}, "without.yaml"))
    estimates = [one.audit.choices.estimate for one in (plan, without) if one.audit.choices is not None]
    return estimates[0] - estimates[1] == plan.totals["model_rows"] - without.totals["model_rows"]


def keys(plan: Plan) -> dict[int, str]:
    return {int(node.params["number"]): node.key for node in plan.graph if node.op == "trial"}


@pytest.mark.parametrize("search", [TPE, RANDOM, "hyperopt.anneal"])
@pytest.mark.parametrize("parallel", [1, 2, 4, 64])
def test_what_a_trial_reads_tells_it_of_all_that_it_may_see_and_of_nothing_else(search: str, parallel: int) -> None:
    told: dict[int, set[int]] = {}
    for number in range(3 * SUMMARY_EVERY + 9):
        ports = list(reads(number, search, parallel))
        assert len(ports) == len(set(ports)) <= SUMMARY_EVERY + parallel
        heard = {one for port in ports for one in (port, *(told[port] if hands_on(port) else ()))}
        assert heard == told.setdefault(number, set(seen(number, search, parallel)))


def test_a_trial_sees_all_that_ended_a_batch_ago_and_random_ones_wait_for_the_audited_settings_alone() -> None:
    assert list(seen(0, TPE, 4)) == []
    assert list(seen(STARTUP - 1, TPE, 4)) == [0]
    assert list(seen(20, TPE, 4)) == list(range(17))  # 17, 18 and 19 are under way with it
    assert list(seen(20, TPE, 1)) == list(range(20))
    assert list(seen(2, "hyperopt.anneal", 4)) == [0]
    assert list(seen(20, RANDOM, 4)) == [0]


def test_every_trial_is_a_node_and_the_conclusion_reads_them_all(project: Path) -> None:
    graph = compiled(project, trials=14).graph
    trials = [node for node in graph if node.op == "trial"]
    assert {node.id for node in trials} == {f"tuning.trial.{number}" for number in range(14)}
    assert {name for name in graph["tuning"].inputs.values() if ".trial." in name} == {node.id for node in trials}
    inputs = graph["tuning.trial.12"].inputs
    assert {port for port in inputs if port.startswith("trial.")} == {f"trial.{number}" for number in range(9)}
    assert graph["tuning.trial.9"].inputs["trial.0"] == "tuning.trial.0"
    assert "trial.1" not in graph["tuning.trial.9"].inputs
    assert {node.seed for node in trials} == {graph["tuning"].seed}  # all are trained and validated alike
    assert {node.runtime for node in trials} == {"tensorflow_native"}
    assert graph["tuning"].runtime is None  # nothing is asked of a model once all is tried


def test_further_trials_leave_the_keys_of_the_earlier_ones_as_they_were(project: Path) -> None:
    few, many = (keys(compiled(project, trials=trials)) for trials in (14, 40))
    assert {number: many[number] for number in few} == few
    assert len(set(many.values())) == 40


def test_what_is_made_of_results_is_in_the_keys_of_those_alone_that_see_any(project: Path) -> None:
    before = keys(compiled(project))
    for change in (
        {"explain.require": {"agreement.rank_correlation": {"min": 0.6}}},
        {"objective": {"maximize": "validation.accuracy"}},
        {"parallel": 2},
    ):
        after = keys(compiled(project, **change))
        assert [number for number in before if before[number] != after[number]] == list(range(STARTUP, 14)), change
    for change in ({"fit": {"epochs": 3}}, {"explain.rows": 8}):
        assert not set(before.values()) & set(keys(compiled(project, **change)).values()), change


def test_a_long_search_has_few_edges(project: Path) -> None:
    graph = compiled(project, trials=400).graph
    most = max(sum(port.startswith("trial.") for port in node.inputs) for node in graph if node.op == "trial")
    assert most <= SUMMARY_EVERY + 4


def test_each_trial_is_priced_by_itself(project: Path) -> None:
    plan = compiled(project, fit={"epochs": 6})
    # 700 training rows of which 140 are held out: 6 * 560 backward; 7 * 140 forward, the last pass for the accuracy.
    # Integrated gradients on 16 rows: 64 steps from each of 50 references; scores and base values: 16 + 50 rows.
    once = {"forward": 980 + 66, "backward": 3360 + 16 * 64 * 50, "bytes": 0}
    assert dict(plan.graph["tuning.trial.1"].cost) == once
    # the first one explains the audited model as well, which the others are compared with
    assert dict(plan.graph["tuning.trial.0"].cost) == {"forward": 1046 + 66, "backward": 54560 + 51200, "bytes": 0}
    assert reckoned(project, plan)


def test_a_searched_number_of_epochs_is_paid_for_in_full(project: Path) -> None:
    plan = compiled(project, fit={"epochs": 6}, space={"fit.epochs": {"choice": [4, 10]}})
    # the audited settings are trained for 6 epochs, every other candidate for 10 at most
    assert plan.graph["tuning.trial.0"].cost["forward"] == 7 * 140 + 2 * 66
    assert plan.graph["tuning.trial.1"].cost["forward"] == 11 * 140 + 66
    assert reckoned(project, plan)


def test_a_search_without_constraints_explains_nothing_and_pays_for_nothing(project: Path) -> None:
    plan = compiled(project, fit={"epochs": 6}, explain={"rows": 16})
    assert dict(plan.graph["tuning.trial.0"].cost) == {"forward": 980, "backward": 3360, "bytes": 0}
    assert reckoned(project, plan)


def test_a_requested_quantity_is_computed_by_an_algorithm_that_candidates_admit(project: Path) -> None:
    explain = {"rows": 4, "methods": ["shapley_values"], "require": {"agreement.rank_correlation": {"min": 0.1}}}
    plan = compiled(project, explain=explain)
    (method,) = plan.graph["tuning.trial.3"].params["explain"]["methods"]
    chosen = catalogue()[method["name"]]
    assert (chosen.estimates, chosen.exact) == ("shapley_values", False)  # 20 features are too many to enumerate
    assert method["with"] == chosen.params().model_dump(mode="json")
    assert reckoned(project, plan)


def test_a_reader_sees_one_step(project: Path, tmp_path: Path) -> None:
    plan = compiled(project)
    whole = plan.folded["tuning"]
    assert not any(node.op == "trial" for node in plan.folded)
    assert whole.runtime == "tensorflow_native"
    assert {"model.keras", "data.train", "rows"} <= set(whole.inputs.values())
    paid = [node.cost for node in plan.graph if node.op == "trial"]
    assert whole.cost["backward"] == sum(cost["backward"] for cost in paid) > 0
    drawn = table(plan, forecast(plan.graph, History(Store(tmp_path))))
    (line,) = [line for line in drawn.splitlines() if "trial" in line]
    assert line.split()[:4] == ["tuning", "14", "trials", "tensorflow"]
