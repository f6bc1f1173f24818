"""The plan as a graph for Graphviz (https://graphviz.org/doc/info/lang.html)."""

from collections.abc import Collection

from pgx_compiler.ir.graph import Graph
from pgx_compiler.plan.clusters import clusters, edges


def render(graph: Graph, name: str, only: Collection[str] | None = None) -> str:
    """Print a graph as DOT, a cluster for each part of the audit; nodes go by numbers, so that no id needs to be a name."""
    lines = [
        f"digraph {_quoted(name)} {{",
        "  rankdir=LR;",
        '  graph [fontname="sans-serif", fontsize=11, color="#d4d9df", style=rounded];',
        '  node [shape=box, style="rounded,filled", fillcolor=white, color="#5b6470", fontname="sans-serif", fontsize=10];',
        '  edge [color="#5b6470", arrowsize=0.6];',
    ]
    for place, cluster in enumerate(clusters(graph, only)):
        lines += [f"  subgraph cluster_{place} {{", f"    label={_quoted(cluster.part)};"]
        lines += [f"    n{one.number} [label={_quoted(*one.lines)}];" for one in cluster.nodes]
        lines.append("  }")
    lines += [f"  n{first} -> n{second};" for first, second in edges(graph, only)]
    return "\n".join([*lines, "}"])


def _quoted(*lines: str) -> str:
    r"""A DOT string of one or more lines.

    Only ``"`` ends one. A backslash is doubled, for Graphviz would read ``\N`` or ``\G`` in a label as something else;
    what cannot be printed becomes a space.
    """
    escaped = (
        "".join(c if c.isprintable() else " " for c in line).replace("\\", "\\\\").replace('"', '\\"') for line in lines
    )
    return '"' + "\\n".join(escaped) + '"'
