"""A document as an immutable tree in which every key and value carries its place: what composing works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Diagnostic, Span
from pgx_compiler.spec.refusals import DEEPEST, MOST_NODES, TOO_LARGE
from pgx_compiler.spec.source import Document, Path_


class Refused:
    """Stands for a value that has been complained about."""


REFUSED = Refused()


@dataclass(frozen=True, slots=True)
class Tree:
    """One value, where it stands, and where its key stands. Never changed, so parts may be shared."""

    value: Any
    """A mapping of key to `Tree`, a tuple of `Tree`, or a plain value."""
    span: Span | None
    key: Span | None = None
    """Of the key or, in a list, None."""
    size: int = 1
    """Values in it, itself included."""
    height: int = 1

    def get(self, *path: str | int) -> "Tree | None":
        """What stands at a path below, or None."""
        found: Tree | None = self
        for part in path:
            held = None if found is None else found.value
            if isinstance(held, dict) and isinstance(part, str):
                found = held.get(part)
            elif isinstance(held, tuple) and isinstance(part, int) and 0 <= part < len(held):
                found = held[part]
            else:
                return None
        return found

    def but(self, value: Any) -> "Tree":
        """The same place with another value."""
        return tree(value, self.span, self.key)

    def moved(self, span: Span | None, key: Span | None) -> "Tree":
        """The same value at another place; what is below it stays where it was written."""
        return replace(self, span=span, key=key)


def tree(value: Any, span: Span | None, key: Span | None = None) -> Tree:
    """A value as a tree, counted; `value` is a mapping or a sequence of trees, or plain."""
    if isinstance(value, Mapping):
        children: list[Tree] = list(value.values())
    elif isinstance(value, tuple):
        children = list(value)
    else:
        return Tree(value, span, key)
    size = 1 + sum(child.size for child in children)
    return Tree(value, span, key, size, 1 + max((child.height for child in children), default=0))


def grow(document: Document, path: Path_ = (), data: Any = ...) -> Tree:
    """The tree of a document."""
    data = document.data if data is ... else data
    span, key = document.values.get(path), document.keys.get(path)
    if isinstance(data, dict):
        return tree({name: grow(document, (*path, name), item) for name, item in data.items()}, span, key)
    if isinstance(data, list):
        return tree(tuple(grow(document, (*path, at), item) for at, item in enumerate(data)), span, key)
    return Tree(data, span, key)


def merged(under: Tree, over: Tree) -> Tree:
    """One tree over another: mappings merge, lists and single values replace; every part keeps its place."""
    if not (isinstance(under.value, dict) and isinstance(over.value, dict)):
        return over
    keys = [*over.value, *(name for name in under.value if name not in over.value)]
    both = {
        name: merged(under.value[name], over.value[name])
        if name in under.value and name in over.value
        else over.value.get(name, under.value.get(name))
        for name in keys
    }
    return tree(both, over.span, over.key or under.key)


def replaced(root: Tree, path: Sequence[str | int], value: Tree) -> Tree:
    """A tree with one value put at a path; mappings that are missing on the way are made at the value's place."""
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(root.value, tuple) and isinstance(part, int):
        items = [replaced(child, rest, value) if at == part else child for at, child in enumerate(root.value)]
        return root.but(tuple(items))
    held = root.value if isinstance(root.value, dict) else {}
    below = held.get(str(part)) or Tree({}, value.span, value.key)
    return root.but({**held, str(part): replaced(below, rest, value)})


def without(root: Tree, *keys: str) -> Tree:
    """A mapping without some of its keys."""
    return root.but({name: item for name, item in root.value.items() if name not in keys})


def too_large(root: Tree) -> Diagnostic | None:
    """What to say of a tree that has grown beyond the limits of a spec."""
    if root.size <= MOST_NODES and root.height <= DEEPEST:
        return None
    much = f"{root.size:,} values" if root.size > MOST_NODES else f"{root.height} levels of nesting"
    help_ = "extend fewer files, give steps a smaller `matrix`, or split it into several audits"
    return Diagnostic(TOO_LARGE, f"put together, the spec holds {much}", root.span and _start(root.span), help_)


def _start(span: Span) -> Span:
    return replace(span, end_line=span.line, end_column=span.column)


def flatten(root: Tree) -> tuple[Any, dict[Path_, Span], dict[Path_, Span], tuple[Path_, ...]]:
    """Plain data, the spans of keys and of values by path, and the paths of what was refused, which is None."""
    keys: dict[Path_, Span] = {}
    values: dict[Path_, Span] = {}
    refused: list[Path_] = []

    def walk(part: Tree, path: Path_) -> Any:
        if part.span is not None:
            values[path] = part.span
        if part.key is not None:
            keys[path] = part.key
        if isinstance(part.value, dict):
            return {name: walk(child, (*path, name)) for name, child in part.value.items()}
        if isinstance(part.value, tuple):
            return [walk(child, (*path, at)) for at, child in enumerate(part.value)]
        if part.value is REFUSED:
            refused.append(path)
            return None
        return part.value

    return walk(root, ()), keys, values, tuple(refused)


def plain(part: Tree) -> Any:
    """The value alone."""
    return flatten(part)[0]
