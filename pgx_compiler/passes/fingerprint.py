"""Give every node its action key: the digest of everything that can change its answer."""

from functools import cache
from pathlib import Path
from typing import Any

import pgx_compiler
import runtimes
from pgx_compiler.evidence.canonical import digest, digest_of_file
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.verify import OPERATIONS
from pgx_compiler.methods.catalogue import catalogue, source_of
from pgx_compiler.passes.context import Context
from runtimes.target import frameworks

KEY_VERSION = 1
"""Raised when the way keys are made changes."""

_HOST = ("numpy", "scipy", "scikit-learn")
"""What computes where no model is asked."""


_SCHEDULING = frozenset({"schedule", "run", "journal"})
"""Files under ``execute`` that decide when work is done, and never what it gives."""


def fingerprint(graph: Graph, context: Context) -> Graph:
    """Write ``key`` and ``ingredients`` of every node, sources first."""
    done: dict[str, Node] = {}
    for node in graph:
        ingredients: dict[str, Any] = {
            "pgx-key": KEY_VERSION,
            "operation": [node.op, OPERATIONS[node.op].version],
            "params": dict(node.params),
            "inputs": {port: done[needed].key for port, needed in sorted(node.inputs.items())},
            "seed": node.seed,
        }
        if node.method:
            declaration = catalogue()[node.method]
            ingredients["method"] = [node.method, declaration.version]
        if node.op not in ("model", "data"):
            ingredients["source"] = source_digest(node.op, node.method, node.runtime)
            names = frameworks()[node.runtime].TARGET.distributions if node.runtime else ()
            ingredients["computed_by"] = {
                name: context.versions[name]
                for name in sorted({*names, *_HOST, *(("hyperopt",) if node.op == "trial" else ())})
                if name in context.versions
            }
        done[node.id] = node.but(key=digest(ingredients), ingredients=ingredients)
    return Graph(done.values())


@cache
def source_digest(op: str, method: str | None, runtime: str | None) -> str:
    """Digest of the code that a node's numbers come from.

    Versions of operations and methods say what was meant to change; whoever edits the code must not be shown
    yesterday's numbers whatever the version says.
    """
    package = Path(pgx_compiler.__file__).parent
    computing = {file for file in (package / "execute").glob("*.py") if file.stem not in _SCHEDULING}
    files = {*(package / "modalities").glob("*.py"), *(package / "evidence").glob("*.py"), *computing}
    calling = ("apply", "attributing", "declaration", "declared", "embedding")
    files |= {package / "methods" / f"{name}.py" for name in calling}
    files |= {*(Path(runtimes.__file__).parent / "datasets").glob("*.py")}
    if op in ("trial", "tune"):
        files |= {
            *(package / "tuning").glob("*.py"),
            package / "ir" / "trials.py",
            *(package / "methods").rglob("*.py"),
        }
    if method is not None:
        file = source_of(catalogue()[method])
        files |= {file, *file.parent.glob("_*.py"), *file.parent.parent.glob("_*.py")}
    if runtime is not None:
        home = Path(runtimes.__file__).parent
        read = (runtime, *frameworks()[runtime].TARGET.rests_on)
        files |= {*(home / "frameworks" / f"{name}.py" for name in read), *(home / "formats").rglob("*.py")}
    named = sorted((file.relative_to(package.parent).as_posix(), file) for file in files)
    return digest([[name, digest_of_file(file)] for name, file in named])[:16]


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """Every node has a key that its ingredients give."""
    return None if node.key == digest(node.ingredients) else "its key is not the digest of its ingredients"
