"""``${vars.NAME}`` in values: replaced by what ``vars`` says; nothing is computed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.refusals import DEEPEST, LARGEST_FILE, MOST_NODES, TOO_LARGE
from pgx_compiler.spec.tree import REFUSED, Tree, tree

UNKNOWN_VARIABLE = Code(
    3004,
    "unknown-variable",
    "The spec uses a variable that it does not define. Variables stand under the top-level key `vars`, in the file"
    " itself or in one that it extends. There are no variables of the environment.",
)
UNUSED_VARIABLE = Code(
    3005,
    "unused-variable",
    "A variable is defined and never used: no value says `${vars.NAME}`, and no step asks for it in `when`. It may be"
    " misspelt where it was meant. Use it or delete it. Variables of a file that the spec extends may serve other specs:"
    " nothing is said of them.",
)
BAD_REFERENCE = Code(
    1015,
    "bad-reference",
    "In a value, `${vars.NAME}` stands for a variable, and nothing else may stand between the braces: nothing is"
    " computed. A variable holds plain values, not other variables. A list or mapping can only be a whole value, not a"
    " part of a text. For a text that holds `${`, write `$${`.",
)

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)(\})?")
_NAME = re.compile(r"vars\.([A-Za-z0-9_][A-Za-z0-9_.\-]*)")


@dataclass
class Variables:
    """What ``vars`` defines, and which of it has been used."""

    known: Mapping[str, Tree]
    sources: Mapping[str, str]
    found: Diagnostics
    used: set[str] = field(default_factory=set)
    _values: int = 0
    _characters: int = 0
    _full: bool = False

    def fill(self, part: Tree, depth: int = 1) -> Tree:
        """A tree with every reference replaced; what cannot be is complained about and becomes `REFUSED`."""
        if isinstance(part.value, dict):
            filled = {name: self.fill(child, depth + 1) for name, child in part.value.items()}
            return part if all(filled[name] is part.value[name] for name in filled) else part.but(filled)
        if isinstance(part.value, tuple):
            items = tuple(self.fill(child, depth + 1) for child in part.value)
            return part if all(a is b for a, b in zip(items, part.value, strict=True)) else part.but(items)
        if isinstance(part.value, str) and "${" in part.value:
            return self._filled(part, depth)
        return part

    def look_up(self, name: str, span: Span | None) -> Tree | None:
        """The value of a variable, or None where it has been complained about."""
        held = self.known.get(name)
        if held is not None:
            self.used.add(name)
            return held
        near = nearest(name, self.known)
        if near:
            self.used.add(near)  # most likely meant: that it is unused need not be said as well
        label = f"did you mean `{near}`?" if near else ""
        help_ = f"variables: {quoted(self.known)}" if self.known else f"define it: `vars: {{{name}: VALUE}}`"
        self._say(UNKNOWN_VARIABLE, f"no variable is called `{shortened(name)}`", span, help_, label)
        return None

    def note_uses(self, part: Tree) -> None:
        """Count what a text says as used, though something else has been laid over it."""
        if isinstance(part.value, dict):
            for name, child in part.value.items():
                if name.startswith("vars."):
                    self.used.add(name.removeprefix("vars."))
                self.note_uses(child)
        elif isinstance(part.value, tuple):
            for child in part.value:
                self.note_uses(child)
        elif isinstance(part.value, str) and "${" in part.value:
            inside = (reference[1] or "" for reference in _REFERENCE.finditer(part.value))
            self.used |= {text.strip().removeprefix("vars.") for text in inside}

    def say_unused(self, file: str) -> None:
        """Warn of each variable of a file that nothing has used; those of files it extends may serve other specs."""
        for name, held in self.known.items():
            if name not in self.used and held.key is not None and held.key.file == file:
                message = f"the variable `{shortened(name)}` is never used"
                help_ = f"write `${{vars.{name}}}` where it is meant, or delete it"
                self.found.add(Diagnostic(UNUSED_VARIABLE, message, held.key, help_, "warning", path=("vars", name)))

    def _say(self, code: Code, message: str, span: Span | None, help_: str, label: str = "") -> None:
        self.found.add(Diagnostic(code, message, span, help_, label=label))

    def _filled(self, part: Tree, depth: int) -> Tree:
        text = str(part.value)
        whole = _REFERENCE.fullmatch(text)
        if whole and whole[0] != "$${":
            held = self._referred(whole, part)
            if held is None or not self._fits(held, part, depth):
                return part.but(REFUSED)
            return held.moved(part.span, part.key)
        pieces, at, good = [], 0, True
        for reference in _REFERENCE.finditer(text):
            pieces.append(text[at : reference.start()])
            at = reference.end()
            if reference[0] == "$${":
                pieces.append("${")
                continue
            held = self._referred(reference, part)
            good = held is not None and self._is_single(held, reference, part) and good
            pieces.append(written(held.value) if held is not None and good else "")
            self._characters += len(pieces[-1])
            if self._characters > LARGEST_FILE:
                break
        filled = "".join([*pieces, text[at:]])
        return part.but(filled if good and self._fits(None, part, depth) else REFUSED)

    def _referred(self, reference: re.Match[str], part: Tree) -> Tree | None:
        span = self._place(reference[0], part.span)
        named = _NAME.fullmatch((reference[1] or "").strip())
        if reference[2] is None:
            self._say(BAD_REFERENCE, "a `${` is not closed", span, "write `${vars.NAME}`, or `$${` for a plain `${`")
            return None
        if named is None:
            message = f"`{shortened(reference[0])}` is not a variable"
            inside = (reference[1] or "").strip()
            label = f"did you mean `${{vars.{inside}}}`?" if inside in self.known else ""
            help_ = "only `${vars.NAME}` may stand here; write `$${` for a plain `${`"
            self._say(BAD_REFERENCE, message, span, help_, label)
            return None
        return self.look_up(named[1], span)

    def _is_single(self, held: Tree, reference: re.Match[str], part: Tree) -> bool:
        if held.value is not None and not isinstance(held.value, dict | tuple):
            return True
        what = "empty" if held.value is None else "a mapping" if isinstance(held.value, dict) else "a list"
        message = f"`{shortened(reference[0])}` is {what}, and cannot be a part of a text"
        self._say(BAD_REFERENCE, message, self._place(reference[0], part.span), "let it be the whole value")
        return False

    def _fits(self, held: Tree | None, part: Tree, depth: int) -> bool:
        """Whether the document stays within its limits; said once where it does not."""
        self._values += held.size if held else 0
        deep = held is not None and depth + held.height > DEEPEST
        if not deep and self._values <= MOST_NODES and self._characters <= LARGEST_FILE:
            return True
        if not self._full:
            self._full = True
            message = "with its variables written out, the spec is too large"
            self._say(TOO_LARGE, message, part.span, "use smaller variables, or fewer of them")
        return False

    def _place(self, reference: str, span: Span | None) -> Span | None:
        """Where a reference stands within the text of a value: where it can be found there."""
        if span is None:
            return None
        lines = self.sources.get(span.file, "").split("\n")
        for number in range(span.line, min(span.end_line, len(lines)) + 1):
            column = lines[number - 1].find(reference, span.column - 1 if number == span.line else 0)
            if column >= 0:
                return Span(span.file, number, column + 1, number, column + 1 + len(reference))
        return span


def written(value: Any) -> str:
    """A plain value as it stands in a text: ``true``, ``0.001``."""
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def plain_variables(part: Tree | None, sources: Mapping[str, str], found: Diagnostics) -> dict[str, Tree]:
    """What ``vars`` defines; a variable that is made of another is complained about."""
    if part is None or not isinstance(part.value, dict):
        return {}
    known = {}
    for name, held in part.value.items():
        said = len(found)
        emptied = _without_references(held, sources, found)
        known[name] = emptied if len(found) > said else held
    return known


def _without_references(part: Tree, sources: Mapping[str, str], found: Diagnostics) -> Tree:
    if isinstance(part.value, dict):
        return tree({k: _without_references(v, sources, found) for k, v in part.value.items()}, part.span, part.key)
    if isinstance(part.value, tuple):
        return tree(tuple(_without_references(v, sources, found) for v in part.value), part.span, part.key)
    if isinstance(part.value, str) and "${" in part.value.replace("$${", ""):
        message = f"a variable holds plain values, not `{shortened(part.value)}`"
        found.add(Diagnostic(BAD_REFERENCE, message, part.span, "write the value out; `$${` stands for a plain `${`"))
        return part.but(REFUSED)
    return part.but(part.value.replace("$${", "${")) if isinstance(part.value, str) and "$${" in part.value else part
