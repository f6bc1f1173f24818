"""What the command line changes of a spec: ``--profile NAME`` and ``--set PATH=VALUE``, each with a place of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.source import load_value
from pgx_compiler.spec.tree import Tree, grow, replaced
from pgx_compiler.spec.variables import UNKNOWN_VARIABLE

CANNOT_SET = Code(
    1014,
    "cannot-set",
    "`--set PATH=VALUE` puts a value at a place of the spec: `--set explain.rows.sample=8`. Keys are joined by dots; a key"
    ' that holds a dot stands in quotes: `tuning.space."layers.dense.units"`. A step is named by its place or by its id:'
    " `precaution[0].with.eps` or `precaution[drift].with.warn`. The value is YAML: a number, a word, `[a, b]` or"
    " `{key: value}`; it replaces what stood there.",
)

_PART = re.compile(r'(?:^|\.)(?:"([^"]+)"|([^.\[\]"=\s]+))|\[([^\[\]"=]+(?:\[[^\[\]]*\])?)\]')


@dataclass(frozen=True)
class Overrides:
    """What the command line changes: profiles first, then single values, each in the order given."""

    sets: tuple[str, ...] = ()
    """``PATH=VALUE``."""
    profiles: tuple[str, ...] = ()

    @property
    def recorded(self) -> tuple[str, ...]:
        """As plans and factsheets record them."""
        return (*(f"--profile {name}" for name in self.profiles), *(f"--set {text}" for text in self.sets))


@dataclass(frozen=True)
class Setting:
    """One ``--set``: a path whose parts carry their places, and a value."""

    file: str
    path: tuple[tuple[str | int, Span], ...]
    """A part in brackets is an ``int`` or, by name of a step, a text that starts with ``[``."""
    value: Tree

    @property
    def names_variable(self) -> bool:
        """Whether it sets a variable."""
        return self.path[0][0] == "vars"

    def put(self, root: Tree, found: Diagnostics) -> Tree:
        """The document with the value at its place; the same document where that cannot be done."""
        try:
            return self._put(root)
        except _RefusedError as error:
            found.add(error.diagnostic)
            return root

    def _put(self, root: Tree) -> Tree:
        path: list[str | int] = []
        for part, span in self.path:
            held = root.get(*path)
            found_at = _step_into(held, part, span)
            path.append(found_at)
            if isinstance(found_at, str):
                root = _keyed(root, path, span)
        key = self.path[-1][1] if isinstance(path[-1], str) else None
        return replaced(root, path, self.value.moved(self.value.span, key))


def _step_into(held: Tree | None, part: str | int, span: Span) -> str | int:
    """The key or position that a part of a path means where it stands."""
    items = held.value if held is not None else None
    brackets = isinstance(part, int) or part.startswith("[")
    if not brackets:
        if isinstance(items, tuple):
            help_ = "name one of them: `[0]`" if items else "the list is empty"
            raise _RefusedError(f"a list stands here, and `{shortened(part)}` is a key", span, help_)
        if items is not None and not isinstance(items, dict):
            message = f"`{shortened(items)}` stands here, and nothing can stand below it"
            raise _RefusedError(message, span, "give the path of the value itself")
        return part
    if not isinstance(items, tuple):
        raise _RefusedError("no list stands here", span, "write keys joined by dots: `explain.rows.sample`")
    if isinstance(part, int):
        if 0 <= part < len(items):
            return part
        there = f"the list has {len(items)}, counted from 0" if items else "the list is empty"
        raise _RefusedError(f"there is no `[{part}]`: {there}", span, "name one that is there")
    names = [_step_name(item) for item in items]
    if part[1:] in names:
        return names.index(part[1:])
    near = nearest(part[1:], filter(None, names))
    label = f"did you mean `[{near}]`?" if near else ""
    help_ = f"steps: {quoted(filter(None, names))}" if any(names) else "write its place: `[0]`"
    raise _RefusedError(f"no step here is called `{shortened(part[1:])}`", span, help_, label)


def _step_name(item: Tree) -> str:
    named = item.get("id") or item.get("use")
    return named.value if named is not None and isinstance(named.value, str) else ""


def _keyed(root: Tree, path: list[str | int], span: Span) -> Tree:
    """A document whose value at a path is there; one that is made for it has its key on the command line."""
    if root.get(*path) is not None:
        return root
    return replaced(root, path, Tree({}, span, span))


def _refusal(message: str, span: Span, help_: str, label: str = "") -> Diagnostic:
    return Diagnostic(CANNOT_SET, message, span, help_, label=label)


class _RefusedError(Exception):
    """A value cannot be set; carries what to say."""

    def __init__(self, message: str, span: Span, help_: str, label: str = "") -> None:
        super().__init__(message)
        self.diagnostic = _refusal(message, span, help_, label)


def settings(overrides: Overrides, sources: dict[str, str], found: Diagnostics) -> list[Setting]:
    """Every ``--set`` as a setting; those that cannot be read are complained about. Adds the texts to `sources`."""
    read = []
    for text in overrides.sets:
        try:
            setting = _setting(text, sources, found)
        except _RefusedError as error:
            found.add(error.diagnostic)
        else:
            read += [setting] if setting is not None else []
    return read


def _setting(text: str, sources: dict[str, str], found: Diagnostics) -> Setting | None:
    file = f"<--set {text}>"
    sources[file] = text
    path, at = _path(text, file)
    if not path or text[at : at + 1] != "=":
        what = f"`{shortened(text[at:])}` does not belong to a path" if text[at:] else "there is no value"
        help_ = "write PATH=VALUE, such as `--set explain.rows.sample=8`"
        raise _RefusedError(what, Span(file, 1, at + 1, 1, max(len(text), at + 1) + 1), help_)
    if path[0][0] in ("profiles", "extends") or str(path[0][0]).startswith("x-"):
        message = f"`{path[0][0]}` has done its part before values are set"
        raise _RefusedError(message, path[0][1], "set the value where it takes effect")
    # blanks in the place of the path, so that columns are those of the command line
    document = load_value(" " * (at + 1) + text[at + 1 :], file)
    if document.diagnostics.failed:
        end = Span(file, 1, len(text) + 1, 1, len(text) + 2)
        for item in document.diagnostics:
            # the parser may give up after the end of the line
            found.add(replace(item, span=item.span if item.span and item.span.line == 1 else end))
        return None
    return Setting(file, path, grow(document))


def _path(text: str, file: str) -> tuple[tuple[tuple[str | int, Span], ...], int]:
    """The parts of a path with their places, and where it ends."""
    parts: list[tuple[str | int, Span]] = []
    at = 0
    while match := _PART.match(text, at):
        if at == 0 and match[3] is not None:
            break
        group = next(number for number in (1, 2, 3) if match[number] is not None)
        span = Span(file, 1, match.start(group) + 1, 1, match.end(group) + 1)
        held = match[group]
        inside = int(held) if held.isascii() and held.isdigit() and len(held) < 10 else f"[{held}"
        parts.append((inside if group == 3 else held, span))
        at = match.end()
    return tuple(parts), at


def check_variable(setting: Setting, known: Mapping[str, Tree], found: Diagnostics) -> bool:
    """Whether a setting of a variable names one that there is; complained about where not."""
    if len(setting.path) < 2:
        found.add(
            _refusal("`vars` holds all variables", setting.path[0][1], "set one of them: `--set vars.NAME=VALUE`")
        )
        return False
    name, span = str(setting.path[1][0]), setting.path[1][1]
    if name in known:
        return True
    near = nearest(name, known)
    label = f"did you mean `{near}`?" if near else ""
    help_ = f"variables: {quoted(known)}" if known else "the spec has no `vars`"
    found.add(Diagnostic(UNKNOWN_VARIABLE, f"no variable is called `{shortened(name)}`", span, help_, label=label))
    return False


def profile_place(name: str, sources: dict[str, str]) -> Span:
    """The place of a profile's name on the command line."""
    file = f"<--profile {name}>"
    sources[file] = name
    return Span(file, 1, 1, 1, len(name) + 1)
