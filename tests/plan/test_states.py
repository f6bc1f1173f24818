"""`hit`, `run`, `run?`: what a run would do, proved by what the store holds."""

import pytest

from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.store import Artifact, Store
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.plan.forecast import forecast, spoken
from pgx_compiler.plan.states import History


def keyed(*nodes: Node) -> Graph:
    """A graph whose keys are made as the compiler makes them, from less."""
    done: dict[str, Node] = {}
    for node in nodes:
        ingredients = {
            "operation": [node.op, 1],
            "params": dict(node.params),
            "inputs": {port: done[needed].key for port, needed in node.inputs.items()},
            **({"method": [node.method, 1]} if node.method else {}),
        }
        done[node.id] = node.but(key=digest(ingredients), ingredients=ingredients)
    return Graph(done.values())


def audit(samples: int = 100, compared: str = "rank", data: str = "d") -> Graph:
    #   data ─ predict ─ a ─┐
    #        └───────── b ──┴─ compare
    return keyed(
        Node("data", "data", {}, {"sha256": data}),
        Node("model", "model", {}, {"sha256": "m"}),
        Node("predict", "predict", {"model": "model", "data": "data"}, cost={"forward": 50}),
        Node(
            "a", "attribute", {"model": "model", "rows": "predict"}, {"samples": samples}, "kernel",
            cost={"forward": 10 * samples},
        ),
        Node("b", "attribute", {"model": "model", "rows": "predict"}, {}, "occlusion", cost={"forward": 20}),
        Node("compare", "compare", {"first": "a", "second": "b"}, {"how": compared}, "rank"),
    )  # fmt: skip


def finish(store: Store, graph: Graph, *names: str, seconds: float = 1.0) -> None:
    for name in names:
        node = graph[name]
        spent = {"forward": node.cost.get("forward", 0), "backward": 0}
        store.keep(node.key, Artifact({"of": name, "key": node.key}), node.ingredients, spent, seconds)


COMPUTED = ("predict", "a", "b", "compare")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def states(store, graph):
    return History(store).states(graph)


def test_everything_runs_on_an_empty_store_and_nothing_after_a_whole_run(store):
    assert states(store, audit()) == dict.fromkeys(COMPUTED, "run")
    finish(store, audit(), *COMPUTED)
    assert states(store, audit()) == dict.fromkeys(COMPUTED, "hit")


def test_what_is_unchanged_itself_but_rests_on_a_change_may_come_out_the_same(store):
    finish(store, audit(), *COMPUTED)
    assert states(store, audit(samples=200)) == {"predict": "hit", "a": "run", "b": "hit", "compare": "run?"}


def test_a_change_of_its_own_is_never_run_with_a_question(store):
    finish(store, audit(), *COMPUTED)
    changed = states(store, audit(samples=200, compared="overlap"))
    assert changed == {"predict": "hit", "a": "run", "b": "hit", "compare": "run"}


def test_a_changed_input_that_is_known_already_leaves_no_question(store):
    # `a` with 200 samples is in the store: what `compare` rests on is known, and it was never computed on that
    finish(store, audit(), *COMPUTED)
    finish(store, audit(samples=200), "a")
    assert states(store, audit(samples=200))["compare"] == "run"


def test_new_data_makes_the_first_node_run_and_the_rest_a_question(store):
    finish(store, audit(), *COMPUTED)
    assert states(store, audit(data="other")) == {"predict": "run", "a": "run?", "b": "run?", "compare": "run?"}


def test_a_comparison_of_another_pair_is_no_earlier_result_of_this_one(store):
    # the store knows kernel against occlusion; gradient against occlusion has the same parameters, and is new
    finish(store, audit(), *COMPUTED)
    other = keyed(
        *(node for node in audit() if node.id not in ("a", "compare")),
        Node("g", "attribute", {"model": "model", "rows": "predict"}, {}, "gradient"),
        Node("compare", "compare", {"first": "g", "second": "b"}, {"how": "rank"}, "rank"),
    )
    assert states(store, other)["compare"] == "run"


def test_a_record_whose_object_was_damaged_is_no_hit(store):
    finish(store, audit(), *COMPUTED)
    record = store.find(audit()["b"].key)
    store.path(record.document, ".json").write_text("{}")
    found = states(store, audit())
    # the damaged result has the key that is wanted: nothing has changed, it just has to be computed
    assert found == {"predict": "hit", "a": "hit", "b": "run", "compare": "hit"}


def test_seconds_are_the_median_rate_times_the_planned_rows(store):
    # three finished runs of kernel, of 1000, 2000 and 4000 rows, at 1, 3 and 2 ms a row: the median is 2 ms
    for samples, seconds in ((100, 1.0), (200, 6.0), (400, 8.0)):
        finish(store, audit(samples), "a", seconds=seconds)
    finish(store, audit(), "predict", seconds=0.5)
    found = forecast(audit(samples=300), History(store))
    assert found.seconds["a"] == pytest.approx(0.002 * 3000)
    assert found.seconds["predict"] == 0.5  # known: what it took
    assert "b" not in found.seconds
    assert "compare" not in found.seconds
    assert found.left == ("a", "b", "compare")
    assert found.predicted == ("a",)
    assert not found.complete
    assert found.total == pytest.approx(6.0)


def test_a_rate_measured_on_another_model_says_nothing(store):
    finish(store, audit(), "a", seconds=1.0)
    other = keyed(*(node.but(params={"sha256": "other"}) if node.id == "model" else node for node in audit(200)))
    assert "a" not in forecast(other, History(store)).seconds


def test_work_without_rows_takes_what_it_took_over_the_same_data(store):
    for how, seconds in (("x", 1.0), ("y", 2.0), ("z", 9.0)):
        finish(store, audit(compared=how), "compare", seconds=seconds)
    assert forecast(audit(compared="new"), History(store)).seconds["compare"] == 2.0


def test_equal_work_is_predicted_once(store):
    finish(store, audit(), *COMPUTED, seconds=2.0)
    twice = keyed(
        *(node for node in audit(200)),
        Node(
            "again", "attribute", {"model": "model", "rows": "predict"}, {"samples": 200}, "kernel",
            cost={"forward": 2000},
        ),
    )  # fmt: skip
    found = forecast(twice, History(store))
    assert twice["again"].key == twice["a"].key
    assert found.left == ("a", "compare")
    assert found.total == pytest.approx(2 * 2.0 + 2.0)  # twice the rows of the measured `a`, and the comparison


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.01, "<0.1 s"), (0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min 20 s"),
     (3599.7, "1 h"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations_are_said_in_few_letters(seconds, words):
    assert spoken(seconds) == words
