"""A handle whose file gives its inputs other names than the audit does."""

from collections.abc import Mapping
from typing import Any

from pgx_compiler.execute.forwarding import Arrays, Translation, in_front
from runtimes.capabilities import IDS


class Renaming(Translation):
    """The audit's names of inputs for the file's own; the ids of an input that is looked up are named after it."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._theirs = names
        self._ours = {theirs: ours for ours, theirs in names.items()}

    def given(self, inputs: Arrays) -> Arrays:
        """The same arrays under the file's names."""
        return {_renamed(name, self._theirs): array for name, array in inputs.items()}

    def found(self, arrays: Arrays) -> Arrays:
        """The same arrays under the audit's names."""
        return {_renamed(name, self._ours): array for name, array in arrays.items()}

    def name(self, theirs: str) -> str:
        """The audit's name."""
        return self._ours.get(theirs, theirs)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    looked_up = name.removesuffix(IDS)
    if name in names or looked_up not in names:
        return names.get(name, name)
    return names[looked_up] + name[len(looked_up) :]


def renamed(handle: Any, names: Mapping[str, str]) -> Any:
    """The handle under the audit's input names (ours to theirs), with all that it offers."""
    return in_front(handle, Renaming(names))
