"""The graph: one deterministic order, no dangling inputs, no cycles, and a text that reads back."""

import random

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler.ir.graph import CyclicGraph, Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.text import parse, render
from pgx_compiler.ir.verify import OPERATIONS, IllegalGraph, verify

#   model   data
#      \    /  \
#      predict  |
#         \     |
#          rows-+
MODEL = Node("model.onnx", "model", {}, {"format": "onnx"})
DATA = Node("data.test", "data", {}, {"split": "test"})
PREDICT = Node("predict", "predict", {"model": "model.onnx", "data": "data.test"}, {"score": "logit"})
ROWS = Node("rows", "rows", {"data": "data.test", "predictions": "predict"}, {"select": {"sample": 4}}, seed=3)
NODES = [MODEL, DATA, PREDICT, ROWS]


def test_order_depends_on_the_nodes_and_not_on_how_they_were_given():
    for seed in range(10):
        shuffled = random.Random(seed).sample(NODES, len(NODES))
        assert Graph(shuffled).ids == ("data.test", "model.onnx", "predict", "rows")


def test_knows_what_rests_on_what():
    graph = Graph(NODES)
    assert graph.users("data.test") == ("predict", "rows")
    assert graph.upstream("rows") == {"data.test", "model.onnx", "predict"}
    assert graph.downstream("model.onnx") == {"predict", "rows"}


def test_refuses_an_input_that_is_not_there_and_two_nodes_of_one_name():
    with pytest.raises(ValueError, match=r"`rows` needs `predict` on port `predictions`"):
        Graph([DATA, ROWS])
    with pytest.raises(ValueError, match="two nodes are called `data.test`"):
        Graph([DATA, DATA])


def test_names_the_cycle():
    a, b = Node("a", "x", {"p": "b"}), Node("b", "x", {"p": "a"})
    with pytest.raises(CyclicGraph, match="a -> b|b -> a"):
        Graph([a, b])


def test_verify_accepts_what_is_legal():
    verify(Graph(NODES))


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (Node("n", "dance", {}), "there is no operation `dance`"),
        (Node("n", "predict", {"model": "model.onnx"}), "port `data` is not connected"),
        (Node("n", "predict", {"model": "data.test", "data": "data.test"}), "port `model` takes model"),
        (Node("n", "predict", {"model": "model.onnx", "data": "data.test", "hat": "rows"}), "has no port `hat`"),
        (Node("n", "check", {"train": "data.test"}), "must name a method"),
        (
            Node("n", "predict", {"model": "model.onnx", "data": "data.test"}, method="occlusion"),
            "must not name a method",
        ),
    ],
)
def test_verify_names_the_node_and_the_rule_it_breaks(node, rule):
    with pytest.raises(IllegalGraph, match=f"^n: .*{rule}"):
        verify(Graph([*NODES, node]))


def test_every_operation_can_be_computed():
    from pgx_compiler.execute import operations

    assert set(OPERATIONS) - {"model", "data"} == set(operations.OPERATIONS)


words = st.text("abcdefghij._~-", min_size=1, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def graphs(draw):
    names = draw(st.lists(words, min_size=1, max_size=6, unique=True))
    nodes = []
    for number, name in enumerate(names):
        ports = draw(st.dictionaries(words, st.sampled_from(names[:number]), max_size=3)) if number else {}
        nodes.append(
            Node(
                name,
                draw(words),
                ports,
                draw(st.dictionaries(st.text(max_size=8), values, max_size=3)),
                method=draw(st.none() | words),
                step=draw(st.none() | st.text(min_size=1, max_size=8)),
                line=draw(st.none() | st.integers(1, 99)),
                seed=draw(st.none() | st.integers(0, 2**62)),
                salt=draw(st.integers(0, 2)),
                cost=draw(st.dictionaries(words, st.integers(0, 10**12), max_size=2)),
                note=draw(st.text(max_size=30)),
            )
        )
    return Graph(nodes)


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_what_is_printed_parses_back(graph):
    assert parse(render(graph)) == graph


def test_parse_names_the_line_it_cannot_read():
    with pytest.raises(ValueError, match="line 2: there is no field `colour`"):
        parse('a = model ()\n    colour: "red"\n')
    with pytest.raises(ValueError, match="line 1: not a node"):
        parse("what is this\n")


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_the_order_is_that_of_networkx(graph):
    assert list(graph.ids) == list(networkx.lexicographical_topological_sort(graph.digraph))


@settings(max_examples=40, deadline=None)
@given(graphs(), st.data())
def test_walks_agree_with_networkx(graph, data):
    names = data.draw(st.lists(st.sampled_from(graph.ids), min_size=1, max_size=3))
    above = frozenset().union(*(networkx.ancestors(graph.digraph, name) for name in names))
    below = frozenset().union(*(networkx.descendants(graph.digraph, name) for name in names))
    assert graph.upstream(*names) == above
    assert graph.downstream(*names) == below
    assert [graph.place(name) for name in graph.ids] == list(range(len(graph)))


def test_a_map_that_changes_no_input_keeps_the_order_and_one_that_does_finds_it_anew():
    graph = Graph(NODES)
    salted = graph.map(lambda node: node.but(salt=1))
    assert salted == Graph(node.but(salt=1) for node in NODES)
    assert salted.users("data.test") == ("predict", "rows")
    a, b = Node("a", "x"), Node("b", "x", {"p": "a"})
    turned = Graph([a, b]).map(lambda node: node.but(inputs={"p": "b"} if node.id == "a" else {}))
    assert turned.ids == ("b", "a")


def test_a_part_must_hold_what_it_needs():
    graph = Graph(NODES)
    assert graph.only({"data.test", "model.onnx", "predict"}).ids == ("data.test", "model.onnx", "predict")
    with pytest.raises(ValueError, match="`predict` needs `model.onnx`"):
        graph.only({"data.test", "predict"})
