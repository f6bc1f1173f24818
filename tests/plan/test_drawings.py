"""DOT and Mermaid are read back by small strict readers: whatever an id holds, the drawing says the graph and no more."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.plan import dot, mermaid

HOSTILE = [
    'quote"]; evil [label="x',
    "back\\",
    "\\N",
    "line\nbreak",
    "</script><script>alert(1)</script>",
    "}\ndigraph evil {",
    "end",
    "]-->n0",
    "#quot;",
    "`**bold**`",
    "click n0 callback",
    "한국어 {{}}",
    "a;b%%c",
]


def hostile_graph(names):
    source = Node("data", "data")
    nodes = [
        Node(name, "check", {"train": "data"}, method="drift", step=name, cost={"forward": 1200, "backward": number})
        for number, name in enumerate(names)
    ]
    return Graph([source, *nodes])


_STRING = r'"((?:[^"\\\n]|\\[\\"n])*)"'


def read_dot(text):
    """Nodes by number with the lines of their label, edges, and the clusters' labels. Raises on anything else."""
    lines = text.split("\n")
    assert re.fullmatch(rf"digraph {_STRING} \{{", lines[0]), lines[0]
    assert lines[-1] == "}"
    labels, edges, clusters, depth = {}, [], [], 0
    for line in lines[5:-1]:
        if re.fullmatch(r"  subgraph cluster_\d+ \{", line):
            depth += 1
        elif line == "  }":
            depth -= 1
        elif found := re.fullmatch(rf"    label={_STRING};", line):
            clusters.append(found[1])
        elif found := re.fullmatch(rf"    n(\d+) \[label={_STRING}\];", line):
            labels[int(found[1])] = _dot_lines(found[2])
        elif found := re.fullmatch(r"  n(\d+) -> n(\d+);", line):
            edges.append((int(found[1]), int(found[2])))
        else:
            raise AssertionError(f"not DOT as we write it: {line!r}")
        assert depth in (0, 1)
    assert depth == 0
    return labels, edges, clusters


def _dot_lines(text):
    lines = [""]
    for piece in re.findall(r'\\[\\"n]|[^\\]', text):
        if piece == "\\n":
            lines.append("")
        else:
            lines[-1] += piece[-1]
    return lines


def read_mermaid(text):
    """The same of a Mermaid flowchart."""
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert re.fullmatch(r'title: "[^"\n]*"', head), head
    lines = body.split("\n")
    assert lines[0] == "flowchart LR"
    labels, edges, groups, depth = {}, [], [], 0
    for line in lines[1:]:
        if found := re.fullmatch(r'  subgraph s\d+\["([A-Za-z0-9 _.,:+/=#;-]*)"\]', line):
            depth += 1
            groups.append(_unmermaid(found[1]))
        elif line == "  end":
            depth -= 1
        elif found := re.fullmatch(r'    n(\d+)\["((?:[A-Za-z0-9 _.,:+/=#;-]|<br/>)*)"\]', line):
            labels[int(found[1])] = [_unmermaid(part) for part in found[2].split("<br/>")]
        elif found := re.fullmatch(r"  n(\d+) --> n(\d+)", line):
            edges.append((int(found[1]), int(found[2])))
        else:
            raise AssertionError(f"not Mermaid as we write it: {line!r}")
        assert depth in (0, 1)
    assert depth == 0
    return labels, edges, groups


def _unmermaid(text):
    assert not re.sub(r"#\d+;", "", text).count("#"), text
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)


def expected(graph):
    numbers = {node.id: number for number, node in enumerate(graph)}
    ids = {numbers[node.id]: "".join(c if c.isprintable() else " " for c in node.id) for node in graph}
    edges = {(numbers[needed], numbers[node.id]) for node in graph for needed in node.inputs.values()}
    return ids, edges


def test_hostile_ids_stay_labels():
    graph = hostile_graph(HOSTILE)
    ids, edges = expected(graph)
    for labels, drawn, groups in (
        read_dot(dot.render(graph, 'an "audit" {')),
        read_mermaid(mermaid.render(graph, 'an "audit"\n---')),
    ):
        assert {number: lines[0] for number, lines in labels.items()} == ids
        assert set(drawn) == edges
        assert len(drawn) == len(edges)
        assert groups == ["source", "precaution"]


def test_a_label_says_method_and_price():
    graph = hostile_graph(["x"])
    labels, _, _ = read_dot(dot.render(graph, "a"))
    assert labels[1] == ["x", "drift", "1,200 rows forward"]
    labels, _, _ = read_mermaid(mermaid.render(graph, "a"))
    assert labels[1] == ["x", "drift", "1,200 rows forward"]


def test_a_part_of_the_graph_keeps_its_numbers_and_loses_the_other_lines():
    graph = hostile_graph(["a", "b"])
    labels, edges, _ = read_dot(dot.render(graph, "x", {"data", "b"}))
    assert graph.ids == ("data", "a", "b")
    assert (set(labels), edges) == ({0, 2}, [(0, 2)])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=12).filter(lambda name: name != "data"), min_size=1, max_size=5, unique=True)
)
def test_any_id_survives(names):
    graph = hostile_graph(names)
    ids, edges = expected(graph)
    for labels, drawn, _ in (read_dot(dot.render(graph, names[0])), read_mermaid(mermaid.render(graph, names[0]))):
        assert {number: lines[0] for number, lines in labels.items()} == ids
        assert set(drawn) == edges
