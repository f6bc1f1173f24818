"""Which objects of the store a node reads: all that it can see of it, wherever it runs."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from pgx_compiler.evidence.store import object_path


def reads_of(params: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Paths below the store of the files that a node's parameters and inputs name, and of its inputs' results.

    Args:
        params: the node's parameters.
        inputs: port to ``params`` and ``record`` of the node that fills it.
    """
    found = {object_path(*named) for named in _named(params)}
    for given in inputs.values():
        found |= {object_path(*named) for named in _named(given["params"])}
        if (record := given["record"]) is not None:
            found.add(object_path(record["document"], ".json"))
            if record["arrays"] is not None:
                found.add(object_path(record["arrays"], ".npz"))
    return tuple(sorted(found))


def _named(value: Any) -> Iterator[tuple[str, str]]:
    """Digest and suffix of every file that plain parameters name, in one of the three ways in which they do."""
    if isinstance(value, Mapping):
        if _is_digest(value.get("sha256")):
            yield value["sha256"], value.get("suffix", "")
        for name, item in value.items():
            if name != "sha256" and _is_digest(item):  # a file of weights beside a model, by its location
                yield item, PurePath(name).suffix
            else:
                yield from _named(item)
    elif isinstance(value, list | tuple):
        if len(value) == 2 and _is_digest(value[0]) and isinstance(value[1], str):
            yield value[0], value[1]
        else:
            for item in value:
                yield from _named(item)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX


_HEX = frozenset("0123456789abcdef")
