"""The plan as a flowchart for Mermaid (https://mermaid.js.org/syntax/flowchart.html): what code hosts draw in Markdown."""

import re
from collections.abc import Collection

from pgx_compiler.ir.graph import Graph
from pgx_compiler.plan.clusters import clusters, edges

_PLAIN = re.compile(r"[^A-Za-z0-9 _.,:+/=-]")


def render(graph: Graph, name: str, only: Collection[str] | None = None) -> str:
    """Print a graph as Mermaid, a subgraph for each part of the audit."""
    lines = [f'---\ntitle: "{_escaped(name)}"\n---', "flowchart LR"]
    for place, cluster in enumerate(clusters(graph, only)):
        lines.append(f'  subgraph s{place}["{_escaped(cluster.part)}"]')
        for one in cluster.nodes:
            label = "<br/>".join(_escaped(line) for line in one.lines)
            lines.append(f'    n{one.number}["{label}"]')
        lines.append("  end")
    lines += [f"  n{first} --> n{second}" for first, second in edges(graph, only)]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Text in which nothing can end a label or be read as markup: all but plain characters go as ``#number;``."""
    return _PLAIN.sub(lambda found: f"#{ord(found[0])};" if found[0].isprintable() else " ", text)
