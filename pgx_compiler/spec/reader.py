"""A bounded reader of YAML 1.2 core: text to plain data with a span for every key and value.

It reads the parser's *events*, which cost no recursion, and never lets PyYAML compose or construct: its constructors
follow YAML 1.1, keep the last of duplicate keys, and explode on merge keys. Limits: 1 MiB, depth 32, 50,000 nodes
after aliases, 100 aliases; anchors only below top-level ``x-`` keys; merge keys of aliased mappings alone; no tags
but the core ones.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.nearest import shortened
from pgx_compiler.spec.refusals import (
    AMBIGUOUS,
    BAD_ALIAS,
    BAD_KEY,
    BAD_NUMBER,
    BAD_TAG,
    DEEPEST,
    DUPLICATE_KEY,
    FORBIDDEN_CHARACTER,
    LARGEST_FILE,
    MOST_ALIASES,
    MOST_MISTAKES,
    MOST_NODES,
    ROOT,
    SYNTAX,
    TOO_LARGE,
    plain_problem,
)
from pgx_compiler.spec.scalars import CORE, SCALAR_TAGS, AmbiguousScalarError, UnusableNumberError, resolve

Path_ = tuple[str | int, ...]


_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
    "|\r(?!\n)"
)
_FORBIDDEN_VALUE = re.compile(_FORBIDDEN.pattern.removesuffix("|\r(?!\n)") + "|\r")


@dataclass
class _Node:
    """One value of the document: a scalar, or children by key or position."""

    start: Any
    end: Any
    value: Any = None
    keys: list[tuple[str, Any, Any]] | None = None
    """Of a mapping: each child's key with its marks."""
    children: list["_Node"] | None = None
    size: int = 1
    """Values in it, itself included, aliases expanded."""
    height: int = 1
    anchor: str | None = None
    kind: str = "single value"
    alias: bool = False
    merged: list["_Node"] = field(default_factory=list)
    """Of a mapping: those whose keys it takes over, the first winning."""


class _StopReadingError(Exception):
    """The text cannot be read further; the diagnostic is already noted."""


@dataclass
class Reader:
    """Reads one text; afterwards `keys`, `values` and `diagnostics` say what it found."""

    text: str
    file: str
    any_value: bool = False
    """The text may hold any value, not just a mapping."""
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    keys: dict[Path_, Span] = field(default_factory=dict)
    values: dict[Path_, Span] = field(default_factory=dict)
    anchors: dict[str, _Node] = field(default_factory=dict)
    aliases: int = 0
    nodes: int = 0
    stack: list[_Node] = field(default_factory=list)
    waiting: list[tuple[str, Any, Any] | None] = field(default_factory=list)
    """For each open mapping: the key whose value comes next."""

    def read(self) -> Any:
        """Plain data, or None where the text could not be read."""
        try:
            self._check_characters()
            root = self._compose()
            return self._plain(root)
        except _StopReadingError:
            return None

    def _plain(self, root: "_Node | None") -> Any:
        if self.any_value:
            return None if root is None else self._build(root, ())
        if root is None or root.kind != "mapping":
            what = "empty" if root is None or (root.kind == "single value" and root.value is None) else f"a {root.kind}"
            span = Span(self.file, 1, 1, 1, 1) if root is None else self._span(root.start, root.end)
            self._say(ROOT, f"the spec is {what}, not a mapping", span, "start with `apiVersion: pgx/v1`")
            return None
        return self._build(root, ())

    def _say(self, code: Code, message: str, span: Span, help: str, label: str = "", path: Path_ = ()) -> None:
        if len(self.diagnostics) >= MOST_MISTAKES:
            told = f"more than {MOST_MISTAKES} mistakes; the text from here on was not read"
            self.diagnostics.add(Diagnostic(TOO_LARGE, told, span, "mend those above first"))
            raise _StopReadingError
        self.diagnostics.add(Diagnostic(code, message, span, help, label=label, path=path))

    def _span(self, start: Any, end: Any) -> Span:
        return Span(self.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def _check_characters(self) -> None:
        if len(self.text) > LARGEST_FILE:
            span = Span(self.file, 1, 1, 1, 1)
            self._say(TOO_LARGE, "the spec holds more than 1 MiB", span, "split it into several audits")
            raise _StopReadingError
        found = _FORBIDDEN.search(self.text)
        if found:
            line = self.text.count("\n", 0, found.start()) + 1
            column = found.start() - (self.text.rfind("\n", 0, found.start()) + 1) + 1
            message = f"the character U+{ord(found[0]):04X} is not allowed in a spec"
            self._say(FORBIDDEN_CHARACTER, message, Span(self.file, line, column, line, column + 1), "delete it")
            raise _StopReadingError

    def _events(self) -> Iterator[Any]:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            yield from yaml.parse(self.text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            self._syntax_error(error)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # the pure Python scanner lets chr() complain about `"\U00110000"`
            self._say(SYNTAX, f"not YAML: {shortened(error)}", Span(self.file, 1, 1, 1, 1), "mend the text")
            raise _StopReadingError from None

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        conflict = re.search(r"^(<{7}|={7}|>{7})( |$)", self.text, re.MULTILINE)
        problem, advice = plain_problem(error.problem or "", error.context or "", self._character(line, column))
        if conflict:
            line, column = self.text.count("\n", 0, conflict.start()) + 1, 1
            problem, advice = "the text holds the markers of a merge conflict", "resolve the conflict first"
        self._say(SYNTAX, f"not YAML: {problem}", Span(self.file, line, column, line, column + 1), advice)
        raise _StopReadingError from None

    def _character(self, line: int, column: int) -> str:
        lines = self.text.split("\n", line)
        return lines[line - 1][column - 1 : column] if line <= len(lines) else ""

    # composing: events to nodes, with every limit

    def _compose(self) -> _Node | None:
        root: _Node | None = None
        documents = 0
        for event in self._events():
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                self._start_document(event, documents)
            elif isinstance(event, yaml.AliasEvent):
                self._place(self._alias(event))
            elif isinstance(event, yaml.ScalarEvent):
                done = self._scalar(event)
                root = root or done
            elif isinstance(event, yaml.CollectionStartEvent):
                self._open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                closed = self._close(event)
                root = closed if not self.stack else root
        return root

    def _start_document(self, event: Any, documents: int) -> None:
        span = self._span(event.start_mark, event.end_mark)
        if documents > 1:
            self._say(
                ROOT, "a second document starts here", span, "a spec is one document: delete `---` and what follows"
            )
            raise _StopReadingError
        if event.version not in (None, (1, 2)):
            self._say(SYNTAX, "the spec is read as YAML 1.2", span, "delete the %YAML directive")

    def _count(self, more: int, depth: int, event: Any) -> None:
        self.nodes += more
        if self.nodes <= MOST_NODES and depth <= DEEPEST:
            return
        span = self._span(event.start_mark, event.end_mark)
        if self.nodes > MOST_NODES:
            self._say(TOO_LARGE, f"more than {MOST_NODES:,} values", span, "split it into several audits")
        else:
            self._say(TOO_LARGE, f"nesting deeper than {DEEPEST} levels", span, "write it flatter")
        raise _StopReadingError

    def _alias(self, event: Any) -> _Node:
        span = self._span(event.start_mark, event.end_mark)
        self.aliases += 1
        if self.aliases > MOST_ALIASES:
            self._say(TOO_LARGE, f"more than {MOST_ALIASES} aliases", span, "write the values out")
            raise _StopReadingError
        named = self.anchors.get(event.anchor)
        if named is None:
            message = f"the alias `*{shortened(event.anchor)}` has no finished anchor before it"
            known = ", ".join(f"`{name}`" for name in sorted(self.anchors)[:10])
            advice = f"anchors so far: {known}" if known else "define it before, below an `x-` key"
            self._say(BAD_ALIAS, message, span, advice)
            return _Node(event.start_mark, event.end_mark, kind="nothing")
        self._count(named.size, len(self.stack) + named.height, event)
        marks = (event.start_mark, event.end_mark)
        return _Node(*marks, named.value, named.keys, named.children, named.size, named.height, None, named.kind, True)

    def _anchor(self, node: _Node) -> None:
        """Remember a finished node by its anchor, where an anchor may stand."""
        if node.anchor is None:
            return
        top = self.waiting[0] if self.waiting else None
        if top is None or not top[0].startswith("x-"):
            span = self._span(node.start, node.end)
            message = f"the anchor `&{shortened(node.anchor)}` stands outside an `x-` key"
            self._say(BAD_ALIAS, message, span, "move the anchored value below a top-level key such as `x-shared`")
        self.anchors[node.anchor] = node

    def _scalar(self, event: Any) -> _Node:
        if self._expects_key():
            self._key(event)
            return _Node(event.start_mark, event.end_mark)
        self._count(1, len(self.stack), event)
        node = _Node(event.start_mark, event.end_mark, self._scalar_value(event), anchor=event.anchor)
        self._anchor(node)
        self._place(node)
        return node

    def _expects_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].kind == "mapping" and self.waiting[-1] is None

    def _key(self, event: Any) -> None:
        """A key of the innermost mapping: always text, whatever the scalar looks like."""
        marks = (event.start_mark, event.end_mark)
        plain = not event.style  # None from the Python parser, empty from libyaml
        if event.anchor is not None or event.tag not in (None, "!", CORE + "str"):
            self._say(BAD_KEY, "a key cannot carry an anchor or a tag", self._span(*marks), "write the bare word")
        if plain and event.value == "<<":
            if self.stack[-1].merged:
                advice = "list the aliases in one: `<<: [*first, *second]`"
                self._say(BAD_ALIAS, "the merge key (`<<`) stands twice in this mapping", self._span(*marks), advice)
            self.waiting[-1] = (_MERGE, *marks)
            return
        if event.value == "":
            self._say(BAD_KEY, "a key is missing before the colon", self._span(*marks), "write the key")
        else:
            self._check_value_characters(event)
        self.waiting[-1] = (event.value, *marks)

    def _open(self, event: Any) -> None:
        self._count(1, len(self.stack) + 1, event)
        if self._expects_key():
            self._say(
                BAD_KEY, "a key must be a word", self._span(event.start_mark, event.end_mark), "write a plain word"
            )
            raise _StopReadingError
        mapping = isinstance(event, yaml.MappingStartEvent)
        kind = "mapping" if mapping else "list"
        if event.tag not in (None, "!", CORE + ("map" if mapping else "seq")):
            self._forbid_tag(event)
        keys: list[tuple[str, Any, Any]] | None = [] if mapping else None
        node = _Node(event.start_mark, event.end_mark, None, keys, [], anchor=event.anchor, kind=kind)
        self.stack.append(node)
        self.waiting.append(None)

    def _close(self, event: Any) -> _Node:
        node = self.stack.pop()
        self.waiting.pop()
        node.end = event.end_mark
        _take_over(node)
        self._anchor(node)
        self._place(node)
        return node

    def _place(self, node: _Node) -> None:
        """Hang a finished node into the collection that is open."""
        if not self.stack:
            return
        parent = self.stack[-1]
        if parent.kind == "mapping":
            key = self.waiting[-1]
            if key is None:  # an alias where a key should be
                self._say(BAD_KEY, "a key cannot be an alias", self._span(node.start, node.end), "write the word out")
                raise _StopReadingError
            self.waiting[-1] = None
            if key[0] == _MERGE:
                self._merge(parent, node)
                return
            assert parent.keys is not None
            parent.keys.append(key)
        assert parent.children is not None
        parent.children.append(node)
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)

    def _merge(self, parent: _Node, node: _Node) -> None:
        """Note the mappings that a merge key names; anything else is complained about."""
        many = node.kind == "list" and not node.alias
        for one in (node.children or []) if many else [node]:
            if one.alias and one.kind == "mapping":
                parent.merged.append(one)
                parent.size += one.size
                parent.height = max(parent.height, one.height)
            elif one.kind != "nothing":  # an alias of nothing has been complained about
                what = f"a {one.kind}" if one.kind != "mapping" else "a mapping written out"
                message = f"a merge key (`<<`) takes the alias of a mapping, not {what}"
                advice = "write `<<: *name`, where `&name` marks a mapping below an `x-` key"
                self._say(BAD_ALIAS, message, self._span(one.start, one.end), advice)

    def _check_value_characters(self, event: Any) -> None:
        found = _FORBIDDEN_VALUE.search(event.value)
        if found:
            span = self._span(event.start_mark, event.end_mark)
            message = f"the character U+{ord(found[0]):04X} is not allowed in a spec"
            self._say(FORBIDDEN_CHARACTER, message, span, "delete it")

    def _forbid_tag(self, event: Any) -> None:
        span = self._span(event.start_mark, event.end_mark)
        tag = str(event.tag).replace(CORE, "!!")
        self._say(BAD_TAG, f"the tag `{shortened(tag)}` is not allowed here", span, "delete the tag")

    def _scalar_value(self, event: Any) -> Any:
        self._check_value_characters(event)
        kind = None if event.tag is None else SCALAR_TAGS.get(event.tag)
        if event.tag is not None and kind is None:
            self._forbid_tag(event)
            return None
        if event.style or (kind is not None and str in kind):
            if kind is not None and str not in kind:
                self._forbid_tag(event)
            return event.value
        try:
            value = resolve(event.value)
        except AmbiguousScalarError as error:
            span, shown = self._span(event.start_mark, event.end_mark), shortened(event.value)
            self._say(AMBIGUOUS, f"readers of YAML differ about `{shown}`", span, str(error))
            return None
        except UnusableNumberError as error:
            span, shown = self._span(event.start_mark, event.end_mark), shortened(event.value)
            self._say(BAD_NUMBER, f"`{shown}` {error}", span, "write a finite number, or quotes around text")
            return None
        if kind is not None and type(value) not in kind:
            self._forbid_tag(event)
        return value

    # building: nodes to plain data and spans; the depth is bounded, so recursion is

    def _build(self, node: _Node, path: Path_) -> Any:
        self.values.setdefault(path, self._span(node.start, node.end))
        if node.children is None:
            return node.value
        if node.keys is None:
            return [self._build(child, (*path, i)) for i, child in enumerate(node.children)]
        data: dict[str, Any] = {}
        for (key, start, end), child in zip(node.keys, node.children, strict=True):
            place = (*path, key)
            span = self._span(start, end)
            if key in data:
                first = self.keys[place]
                message = (
                    f"the key `{shortened(key)}` stands twice: here and in line {first.line}, column {first.column}"
                )
                label = f"first in line {first.line}"
                self._say(DUPLICATE_KEY, message, span, "delete one of the two", label, place)
                continue
            self.keys[place] = span
            data[key] = self._build(child, place)
        return data


def _take_over(node: _Node) -> None:
    """Give a mapping the keys of those it merges, unless it has its own; each keeps its place in the anchor's text."""
    if node.keys is None or node.children is None:
        return
    known = {key for key, _, _ in node.keys}
    for other in node.merged:
        for entry, child in zip(other.keys or [], other.children or [], strict=True):
            if entry[0] not in known:
                known.add(entry[0])
                node.keys.append(entry)
                node.children.append(child)


_MERGE = "\0<<"
"""Stands for the merge key: no key of a document holds this character."""
