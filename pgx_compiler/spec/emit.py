"""A composed spec as text that reads back as the same data: what a run keeps of a spec that was put together."""

from typing import Any

import yaml

from pgx_compiler.spec.scalars import AmbiguousScalarError, UnusableNumberError, resolve
from pgx_compiler.spec.source import Document

_GONE = ("extends", "vars", "profiles")
"""Keys that have done their part."""


def composed_text(document: Document) -> str:
    """The spec that a run works from: the file itself, or what was put together, as canonical YAML.

    A comment at the top names the files and what the command line changed. Steps stand written out, variables are
    replaced, and `extends`, `vars` and `profiles` are gone.
    """
    composition = document.composition
    if not composition.composed:
        return document.text
    files = [document.name_of(name) for name in composition.sources if not name.startswith("<--")]
    lines = [f"put together by pgx from {_line(files[0])}", *(f"extending {_line(name)}" for name in files[1:])]
    lines += [f"overridden by {_line(text)}" for text in composition.overrides]
    lines += [
        f"without the step {_line(one.step)}, since `{_line(one.because)}` does not hold"
        for one in composition.left_out
    ]
    data = {key: value for key, value in document.data.items() if key not in _GONE}
    return "".join(f"# {line}\n" for line in lines) + dumped(data)


def dumped(data: Any) -> str:
    """Plain data as YAML 1.2; `load` reads the same data from it."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _line(text: str) -> str:
    """A text that stays on its line of the comment."""
    return "".join(character if character.isprintable() else "?" for character in text)


class _Dumper(yaml.SafeDumper):
    """Writes text plain only where YAML 1.2 reads it as text, and nothing twice by reference."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    # libraries of YAML 1.1 take `1e-3` for text and would leave out its quotes
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if _reads_as_text(value) else '"')


def _reads_as_text(value: str) -> bool:
    try:
        return isinstance(resolve(value), str)
    except (AmbiguousScalarError, UnusableNumberError):
        return False


_Dumper.add_representer(str, _text)
