"""Each pass by pairs of text: the graph before, and what must come out. See the ``*.txt`` files beside this one."""

import sys
from pathlib import Path

import pytest

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.text import parse, render
from pgx_compiler.passes.context import Context, Sharding
from pgx_compiler.passes.runner import PIPELINE, BrokenPass, Pass, run_passes
from runtimes.target import ModelFacts, TensorFacts
from tests.passes import synthetic

NETWORK = ModelFacts(
    format="onnx",
    structure="network",
    inputs=(TensorFacts("x", (None, 20), "float32"),),
    outputs=(TensorFacts("y", (None, 2), "float32"),),
    capabilities=frozenset({"Predictor"}),
    scores=frozenset({"logit", "probability", "log_odds"}),
    n_outputs=2,
    parameters=100,
    operators={"MatMul": 2},
)
KERAS = ModelFacts(
    **{**vars(NETWORK), "format": "keras", "capabilities": frozenset({"Predictor", "Differentiable", "Trainable"})}
)
TREES = ModelFacts(
    **{
        **vars(NETWORK),
        "structure": "tree_ensemble",
        "capabilities": frozenset({"Predictor", "TreeEnsemble"}),
        "activation": "logistic",
        "scores": frozenset({"log_odds", "probability"}),
    }
)
DIFFERENTIABLE = ModelFacts(**{**vars(NETWORK), "capabilities": frozenset({"Predictor", "Differentiable"})})
MODELS = {"both": {"keras": KERAS, "onnx": NETWORK}, "trees": {"onnx": TREES}, "network": {"onnx": NETWORK}}
MODELS |= {"rebuilt": {"onnx": DIFFERENTIABLE}, "twins": {"keras": KERAS, "onnx": DIFFERENTIABLE}}


def context(models: str, score: str, features: int, least: int = Sharding.least) -> Context:
    return Context(
        models=MODELS[models],
        score=score,
        seed=7,
        rows=10,
        features=features,
        references=5,
        data_rows={"train": 100, "test": 50},
        versions={"numpy": "2.4.6"},
        sharding=Sharding(least=least, row=1),
    )


def cases() -> list[tuple[str, str, dict[str, str], str, str]]:
    found = []
    for page in sorted(Path(__file__).parent.glob("*.txt")):
        for text in page.read_text().split("\n### ")[1:]:
            title, _, rest = text.partition("\n")
            settings_line, _, rest = rest.partition("\n")
            before, _, after = rest.partition("---\n")
            settings = dict(pair.split("=") for pair in settings_line.split())
            found.append((page.stem, title, settings, before, after))
    return found


@pytest.mark.parametrize(
    ("name", "title", "settings", "before", "after"),
    cases(),
    ids=lambda v: v if isinstance(v, str) and len(v) < 60 else "",
)
def test_pass_turns_before_into_after(name, title, settings, before, after):
    one = next(p for p in PIPELINE if p.name == name)
    told = context(
        settings.get("models", "network"),
        settings.get("score", "log_odds"),
        int(settings.get("features", 20)),
        int(settings.get("least", Sharding.least)),
    )
    shown = tuple(settings.get("show", "params,note").split(","))
    made = one.run(parse(before), told)
    assert render(made, fields=shown).strip() == after.strip()
    assert [one.ensures(node, told) for node in made if one.ensures and one.ensures(node, told)] == []
    assert one.holds is None or one.holds(made, told) is None


def test_every_pass_has_its_pairs():
    described = {page.stem for page in Path(__file__).parent.glob("*.txt")}
    assert {one.name for one in PIPELINE} == described


def data_and_model(**changes):
    data = Node("data.test", "data", {}, {"split": "test", "sha256": "d"})
    model = Node("model.onnx", "model", {}, {"format": "onnx", "sha256": "m"})
    predict = Node("predict", "predict", {"model": "model.onnx", "data": "data.test"}, {"score": "log_odds"})
    rows = Node("rows", "rows", {"data": "data.test", "predictions": "predict"}, {"select": {"sample": 4}})
    nodes = {node.id: node for node in (data, model, predict, rows)}
    for name, change in changes.items():
        nodes[name] = nodes[name].but(**change)
    return Graph(nodes.values())


def keys(graph: Graph, told: Context) -> dict[str, str]:
    return {node.id: node.key for node in run_passes(graph, told)}


def test_a_key_changes_with_what_the_node_rests_on_and_with_nothing_else():
    told = context("network", "log_odds", 20)
    before = keys(data_and_model(), told)
    changed_model = keys(data_and_model(**{"model.onnx": {"params": {"format": "onnx", "sha256": "other"}}}), told)
    assert {name for name in before if before[name] != changed_model[name]} == {"model.onnx", "predict", "rows"}
    changed_rows = keys(data_and_model(rows={"params": {"select": {"sample": 5}}}), told)
    assert {name for name in before if before[name] != changed_rows[name]} == {"rows"}
    # where it stands in the author's file changes nothing
    assert keys(data_and_model(rows={"source": "explain.rows", "line": 99, "note": "moved"}), told) == before


def test_keys_know_which_input_came_in_by_which_port():
    told = context("network", "log_odds", 20)
    swapped = Node("x", "compare", {"first": "a", "second": "b"}, {"with": {}}, method="rank_correlation")
    fingerprint = next(p for p in PIPELINE if p.name == "fingerprint")
    a = Node("a", "attribute", {}, {"n": 1}, method="occlusion")
    b = Node("b", "attribute", {}, {"n": 2}, method="occlusion")
    one = fingerprint.run(Graph([a, b, swapped]), told)["x"].key
    other = fingerprint.run(Graph([a, b, swapped.but(inputs={"first": "b", "second": "a"})]), told)["x"].key
    assert one != other


def test_a_seed_belongs_to_the_node_and_the_audit():
    told = context("network", "log_odds", 20)
    seed = next(p for p in PIPELINE if p.name == "seed")
    rows = seed.run(data_and_model(), told)["rows"]
    again = seed.run(data_and_model(predict={"params": {"score": "probability"}}), told)["rows"]
    assert rows.seed == again.seed
    salted = seed.run(data_and_model(rows={"salt": 1}), told)["rows"]
    other_audit = seed.run(data_and_model(), Context(**{**vars(told), "seed": 8}))["rows"]
    assert len({rows.seed, salted.seed, other_audit.seed}) == 3
    assert seed.run(data_and_model(), told)["predict"].seed is None


def test_a_pass_that_breaks_its_promise_is_named():
    lazy = Pass(lambda graph, _: graph, lambda node, _: "is not blue" if node.id == "rows" else None)
    with pytest.raises(BrokenPass, match="after test_passes: rows: is not blue"):
        run_passes(data_and_model(), context("network", "log_odds", 20), (lazy,))


def pass_called(name: str) -> Pass:
    return next(p for p in PIPELINE if p.name == name)


@pytest.mark.parametrize(
    ("early", "skipped", "said"),
    [
        ("repeat_stochastic", "specialise", "before repeat_stochastic: explain.s0: `shapley_values` is a request"),
        ("place", "specialise", "before place: explain.s0: `shapley_values` is a request"),
        ("share_work", "place", "before share_work: predict.onnx.test: asks a model, but has no runtime"),
        ("share_work", "seed", "before share_work: rows: draws at random without a seed"),
        ("fingerprint", "place", "before fingerprint: predict.onnx.test: asks a model, but has no runtime"),
        ("fingerprint", "seed", "before fingerprint: rows: draws at random without a seed"),
    ],
)
def test_a_pass_that_is_run_too_early_is_named(early, skipped, said):
    graph = synthetic.graph_of(7)
    graph = graph.map(lambda node: node.but(method="shapley_values") if node.id == "explain.s0" else node)
    earlier = [one for one in PIPELINE[: PIPELINE.index(pass_called(early))] if one.name not in (skipped, early)]
    if skipped == "seed":  # what draws by its method alone would be named first
        graph = graph.only(set(graph.ids) - {"explain.s0"})
    passes = (*(Pass(one.run) for one in earlier), pass_called(early))
    with pytest.raises(BrokenPass, match=f"^{said}"):
        run_passes(graph, synthetic.context(), passes)


def test_every_pass_promises_something():
    assert [one.name for one in PIPELINE if one.ensures is None and one.holds is None] == []


def test_work_left_twice_and_an_attribution_without_its_repetition_are_named():
    told = synthetic.context()
    forgetful = Pass(lambda graph, _: graph, holds=pass_called("share_work").holds)
    twice = Graph([*data_and_model(), data_and_model()["rows"].but(id="same")])
    with pytest.raises(BrokenPass, match="after test_passes: same: does the same as rows"):
        run_passes(twice, told, (forgetful,))
    once = Pass(lambda graph, _: graph, holds=pass_called("repeat_stochastic").holds)
    with pytest.raises(BrokenPass, match=r"after test_passes: explain\.s0: draws at random and is compared, but never"):
        run_passes(synthetic.graph_of(11), told, (once,))


def steps_of_each_pass(nodes: int) -> dict[str, int]:
    """Lines that the interpreter walks through under pgx_compiler, each turn of a loop among them."""
    graph, told, made = synthetic.graph_of(nodes), synthetic.context(), {}

    def count(frame, event, _):
        if "pgx_compiler" not in frame.f_code.co_filename:
            return None
        made[name] += event == "line"
        return count

    before = sys.gettrace()
    for one in PIPELINE:
        name = one.name
        made[name] = 0
        sys.settrace(count)
        try:
            graph = run_passes(graph, told, (one,))
        finally:
            sys.settrace(before)
    return made


def test_every_pass_takes_steps_in_proportion_to_the_nodes():
    steps_of_each_pass(30)  # what is read once and kept
    small, large = steps_of_each_pass(150), steps_of_each_pass(600)
    assert {name: large[name] / small[name] for name in small if large[name] > 4.4 * small[name]} == {}
