"""A real audit with its long steps cut and in one piece: the same evidence, the same facts, and less lost when one part dies."""

import dataclasses
from pathlib import Path

import pytest
from tests_project import make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.evidence.store import Store
from pgx_compiler.execute import operations
from pgx_compiler.execute.run import RunResult, run_graph
from pgx_compiler.explain import explain
from pgx_compiler.passes.context import Sharding
from pgx_compiler.passes.shard import shards_of
from pgx_compiler.plan.forecast import forecast
from pgx_compiler.plan.plan import Plan, compile_plan
from pgx_compiler.plan.selection import select
from pgx_compiler.plan.shards import groups_of
from pgx_compiler.plan.states import History
from pgx_compiler.plan.table import table
from pgx_compiler.report.facts import Occasion, gather
from runtimes.engines.contract import Setting
from runtimes.engines.inline import open_engine

pytestmark = pytest.mark.frameworks

CUT = Sharding(least=1, most=3, again=9.0)
WHOLE = Sharding(least=10**18)

SPEC = {
    "precaution": [{"use": "class_balance"}],
    "explain.rows": {"from": "test", "sample": 7},
    "explain.fill": {"kind": "background", "size": 5},
    "explain.perturbation": [
        {"use": "kernel_shap", "with": {"samples": 60}},
        {"use": "occlusion"},
        {"use": "nearest_counterfactual"},
        {"use": "partial_dependence"},
    ],
    "faithfulness": [{"use": "deletion"}],
    "gates": None,
    "factsheet": {"formats": ["json"]},
}


class Watcher:
    """Remembers what happened; may end everything after so many nodes."""

    def __init__(self) -> None:
        self.computed: list[str] = []
        self.done: dict[str, tuple[int, int]] = {}

    def started(self, node):
        pass

    def progressed(self, node, done, total):
        self.done[node.id] = (done, total)

    def ended(self, outcome):
        if outcome.status == "computed":
            self.computed.append(outcome.node.id)


def plan_of(spec: Path, sharding: Sharding) -> Plan:
    checked = driver.check(spec)
    assert checked.audit is not None, [item.message for item in checked.diagnostics]
    return compile_plan(checked.audit, "test", sharding)


def run(plan: Plan, folder: Path, watcher: Watcher | None = None, only=None) -> tuple[RunResult, Store]:
    store = Store(folder)
    for file in (*plan.audit.models.values(), *plan.audit.data.values()):
        store.ingest(file.path, file.sha256)
    graph = plan.graph if only is None else plan.graph.only(only)
    setting = Setting(1, store.root, store.root / "boxes")
    return run_graph(graph, store, lambda _lanes: open_engine(setting), watcher or Watcher()), store


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return write_spec(make_project(tmp_path_factory.mktemp("project")), "german-credit-trees", SPEC)


@pytest.fixture(scope="module")
def both(spec, tmp_path_factory):
    """The audit in one piece and cut: plan, result, store."""
    found = []
    for name, sharding in (("whole", WHOLE), ("cut", CUT)):
        plan = plan_of(spec, sharding)
        found.append((plan, *run(plan, tmp_path_factory.mktemp(name))))
    return found


def test_every_step_leaves_the_same_bytes_whether_it_was_cut_or_not(both):
    (whole, of_whole, _), (cut, of_cut, _) = both
    assert of_whole.complete
    assert of_cut.complete
    groups = groups_of(cut.graph)
    assert {
        "explain.kernel_shap",
        "explain.kernel_shap~again",
        "explain.occlusion",
        "explain.nearest_counterfactual",
    } <= set(groups)
    assert {"faithfulness.deletion.kernel_shap", "faithfulness.deletion.occlusion"} <= set(groups)
    assert "explain.partial_dependence" not in groups
    assert groups_of(whole.graph) == {}
    contents = {name: one.record.content for name, one in of_whole.outcomes.items() if one.record}
    again = {name: of_cut.outcomes[name].record.content for name in contents}
    assert again == contents


def facts_of(plan, result, store):
    sheet = gather(plan, result.outcomes, store, Occasion("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00"))
    return sheet.model_dump(mode="json", by_alias=True)


def without_prices(said):
    if isinstance(said, dict):
        kept = {name: without_prices(item) for name, item in said.items()}
        return {name: item for name, item in kept.items() if name not in ("seconds", "cost_planned", "cost_spent")}
    return [without_prices(item) for item in said] if isinstance(said, list) else said


def test_the_factsheet_says_the_same_and_lists_steps_not_shards(both):
    sheets = [facts_of(*one) for one in both]
    for part in ("findings", "gates", "explanations", "statements", "examples", "agreement", "faithfulness"):
        assert without_prices(sheets[0][part]) == without_prices(sheets[1][part]), part
    groups = groups_of(both[1][0].graph)
    for one, other in zip(sheets[0]["facts"], sheets[1]["facts"], strict=True):
        # each shard asks once for the 5 references, for the base value that all rows have; or for the table's sample
        step = one["id"].removesuffix(".rows_forward")
        more = other["value"] - one["value"] if step == "explain.nearest_counterfactual" else 5 * (len(groups[step]) - 1) if step in groups else 0  # fmt: skip
        assert {**other, "value": one["value"]} == one
        assert other["value"] == (one["value"] + more if more else one["value"]), one["id"]
    nodes = [{node["id"]: node for node in sheet["provenance"]["nodes"]} for sheet in sheets]
    assert list(nodes[0]) == list(nodes[1])
    for name, node in nodes[1].items():
        one = nodes[0][name]
        for said in ("op", "runtime", "content", "status", "stage", "inputs"):
            assert node[said] == one[said], (name, said)
        more = 5 * (len(groups.get(name, [0])) - 1)
        if node["op"].startswith("attribute"):
            assert node["cost_planned"]["forward"] == one["cost_planned"]["forward"] + more, name


def test_what_was_planned_of_the_shards_was_spent(both):
    for plan, result, _ in both:
        for node in plan.graph:
            record = result.outcomes[node.id].record if node.id in result.outcomes else None
            if record is None or node.op in ("check", "state") or "counterfactual" in node.id:  # priced from above
                continue
            assert record.spent["forward"] == node.cost["forward"], node.id


def test_each_shard_tells_of_its_own_rows(spec, tmp_path):
    plan, watcher = plan_of(spec, CUT), Watcher()
    run(plan, tmp_path, watcher, plan.graph.upstream("explain.occlusion") | {"explain.occlusion"})
    rows = [node.params["part"][1] - node.params["part"][0] for node in shards_of(plan.graph["explain.occlusion"], plan.graph)]  # fmt: skip
    told = [watcher.done[f"explain.occlusion#{number:02d}"] for number in (1, 2, 3)]
    assert told == [(count, count) for count in rows]


def test_a_shard_whose_rows_were_not_chosen_is_empty_and_gathers_right(spec, tmp_path):
    # so many errors are not there: 300 test rows are planned, and a third of them at most is wrong
    few = write_spec(spec.parent, "german-credit-trees", {**SPEC, "explain.rows": {"from": "test", "errors": 300}, "explain.perturbation": [{"use": "occlusion"}, {"use": "nearest_counterfactual"}], "faithfulness": None, "agreement": None}, "errors.yaml")  # fmt: skip
    plans = [plan_of(few, sharding) for sharding in (WHOLE, Sharding(least=1, most=20, again=9.0))]
    assert plans[1].context.rows > 100
    name = "explain.occlusion"
    found = []
    for place, plan in zip(("a", "b"), plans, strict=True):
        result, store = run(plan, tmp_path / place, only=plan.graph.upstream(name) | {name})
        found.append(result.outcomes[name].record.content)
    held = [store.load(result.outcomes[one.id].record).document["rows"] for one in shards_of(plan.graph[name], plan.graph)]  # fmt: skip
    assert held[-1] == 0
    assert held[0] > 0
    assert found[0] == found[1]


def test_a_run_that_ended_in_the_middle_of_a_step_computes_only_the_shards_that_are_missing(
    spec, tmp_path, monkeypatch
):
    plan = plan_of(spec, CUT)
    name = "explain.kernel_shap"
    only = plan.graph.upstream(name) | {name}
    attribute, ended = operations.OPERATIONS["attribute"], []

    def stops_at_the_third(bench, node, inputs, progress):
        ended.append(node["id"])
        if len(ended) == 3:
            raise RuntimeError("the power failed")
        return attribute(bench, node, inputs, progress)

    with monkeypatch.context() as patched:
        patched.setitem(operations.OPERATIONS, "attribute", stops_at_the_third)
        broken, _ = run(plan, tmp_path, only=only)
    assert not broken.complete
    assert set(ended) == {f"{name}#01", f"{name}#02", f"{name}#03"}  # it really stopped in the middle of the step
    watcher = Watcher()
    mended, store = run(plan, tmp_path, watcher, only)
    assert mended.complete
    assert watcher.computed == [ended[-1], name]

    # and the factsheet of the broken run gives the shard's reason, under the step's name
    sheet = facts_of(plan, RunResult({**broken.outcomes}), store)
    node = next(one for one in sheet["provenance"]["nodes"] if one["id"] == name)
    assert (node["status"], node["reason"]) == ("failed", "RuntimeError: the power failed")


def test_the_table_shows_a_step_in_one_line_with_what_is_known_of_its_shards(spec, tmp_path):
    plan = plan_of(spec, CUT)
    store = Store(tmp_path)
    found = forecast(plan.graph, History(store))
    lines = table(plan, found).splitlines()
    assert sum("kernel_shap  3 shards" in line for line in lines) == 2  # the step and its check
    assert not any("#0" in line for line in lines)
    assert max(len(line) for line in lines) <= 100
    assert set(found.states) == {node.id for node in plan.folded if node.op not in ("model", "data")}
    assert set(found.left) == set(found.states)
    name = "explain.occlusion"
    shards = [one.id for one in shards_of(plan.graph[name], plan.graph)]
    run(plan, tmp_path, only=plan.graph.upstream(*shards[:2]) | set(shards[:2]))
    part = forecast(plan.graph, History(Store(tmp_path)))
    assert part.states[name] == "run"
    # two of three shards are known: what is left is one shard, by the rate of the others
    rates = [record.seconds / record.spent["forward"] for record in store.records() if (record.ingredients.get("method") or [""])[0] == "occlusion"]  # fmt: skip
    last = plan.graph[shards[2]].cost["forward"]
    assert part.seconds[name] == pytest.approx(sum(rates) / 2 * last)
    run(plan, tmp_path, only=plan.graph.upstream(name) | {name})
    whole = forecast(plan.graph, History(Store(tmp_path)))
    assert whole.states[name] == "hit"
    assert name not in whole.left


def test_explain_tells_a_step_in_one_answer_and_a_shard_by_its_name(spec, tmp_path, monkeypatch):
    plan = plan_of(spec, CUT)
    shards = [one.id for one in shards_of(plan.graph["explain.occlusion"], plan.graph)]
    run(plan, tmp_path, only=plan.graph.upstream(shards[0]) | {shards[0]})
    monkeypatch.setattr(driver, "compile", lambda *_: plan)
    monkeypatch.setattr(driver, "store_of", lambda _: Store(tmp_path))
    answer = explain("occlusion", str(spec))
    assert [node["id"] for node in answer.data["nodes"]] == ["explain.occlusion"]
    assert answer.data["nodes"][0]["shards"] == {shards[0]: True, shards[1]: False, shards[2]: False}
    # 7 rows in 3 shards: from 7 x 0 / 3 to 7 x 1 / 3, and so on
    assert "joined from 3 shards of 2 to 3 rows each, 1 of them known" in answer.text
    (one,) = explain(shards[0], str(spec)).data["nodes"]
    assert (one["known"], one["ingredients"]["params"]["part"]) == (True, [0, 2])


def test_a_step_is_selected_by_its_name_with_its_shards(spec):
    plan = plan_of(spec, CUT)
    found = select(plan.graph, ["occlusion"], dict)
    shards = {one.id for one in shards_of(plan.graph["explain.occlusion"], plan.graph)}
    assert {"explain.occlusion", *shards} <= found.nodes
    assert "explain.kernel_shap" not in found.nodes
    assert select(plan.graph, ["explain.occlusion"], dict).nodes == found.nodes
    by_stage = select(plan.graph, ["stage:explain"], dict).chosen
    assert {"explain.occlusion", "explain.kernel_shap"} <= by_stage


def test_no_number_of_workers_no_engine_and_no_host_is_part_of_a_plan(spec):
    # what a plan is made from is its context: no field of it knows of them
    names = {field.name for field in dataclasses.fields(plan_of(spec, CUT).context)}
    assert not names & {"jobs", "engine", "cores", "host", "workers"}
    assert plan_of(spec, CUT).to_json() == plan_of(spec, CUT).to_json()


def test_gradients_in_batches_are_the_same_to_the_bit_for_a_shard_ends_where_a_batch_does(tmp_path):
    changes = {
        **SPEC,
        "explain.rows": {"from": "test", "sample": 17},
        "explain.perturbation": [{"use": "occlusion"}],
        "explain.gradient": [
            {"use": "integrated_gradients", "with": {"steps": 8}},
            {"use": "smoothgrad", "with": {"samples": 4}},
        ],
        "faithfulness": None,
        "tuning": None,
    }
    spec = write_spec(make_project(tmp_path / "project"), "german-credit", changes)
    found = []
    for sharding in (WHOLE, CUT):
        plan = plan_of(spec, sharding)
        names = {"explain.integrated_gradients", "explain.smoothgrad", "explain.occlusion"}
        result, _ = run(plan, tmp_path / f"store-{len(found)}", only=plan.graph.upstream(*names) | names)
        found.append({name: result.outcomes[name].record.content for name in names})
    parts = [one.params["part"] for one in shards_of(plan.graph["explain.smoothgrad"], plan.graph)]
    assert parts == [[0, 8], [8, 16], [16, 17]]
    assert found[0] == found[1]
