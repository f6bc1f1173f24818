"""A handle in front of another: it offers what that one does, with what goes in and what comes out translated.

What there is to offer is read from the protocols of `runtimes.capabilities`, and what must be translated from the types there:
arrays by input name, names of inputs, owners of elements, scores. So a new capability is forwarded without being named here.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, wraps
from typing import Any

from runtimes import capabilities
from runtimes.capabilities import Coalitions, InputName, Inputs, Labelled, Owners, Scores, Spent, Trained

Hint = Any
Arrays = Mapping[str, Any]


class Translation:
    """What stands between: by itself, nothing is changed."""

    def given(self, inputs: Arrays) -> Arrays:
        """Arrays under the audit's names, as the handle reads them."""
        return inputs

    def owned(self, owners: Arrays) -> Arrays:
        """The owners of the elements of what `given` gives."""
        return self.given(owners)

    def found(self, arrays: Arrays) -> Arrays:
        """What the handle says of its inputs, as the audit reads it."""
        return arrays

    def name(self, theirs: str) -> str:
        """The audit's name of one of the handle's inputs."""
        return theirs

    def scores(self, scores: Any) -> Any:
        """The handle's scores, as the audit reads them."""
        return scores

    def carries(self, hint: Hint) -> bool:  # noqa: ARG002
        """Whether what the handle gives under this type still holds; a capability is offered only if all of it does."""
        return True

    def above(self, handle: Any) -> "Translation":  # noqa: ARG002
        """What stands before a handle that reads what another one has made of its inputs."""
        return self


class Forwarding:
    """A handle in front of another; its capabilities are added by `in_front`."""

    def __init__(self, handle: Any, between: Translation) -> None:
        self._handle = handle
        self._between = between
        self._kept: dict[str, Any] = {}

    def _inward(self, hint: Hint, value: Any) -> Any:
        if value is None:
            return None
        if _is(hint, Owners):
            return self._between.owned(value)
        if _is(hint, Inputs):
            return self._between.given(value)
        return replace(value, inputs=self._between.given(value.inputs)) if _is(hint, Labelled) else value

    def _outward(self, hint: Hint, value: Any) -> Any:
        between = self._between
        if value is None:
            return None
        if _is(hint, Inputs):
            return between.found(value)
        if _is(hint, InputName):
            return between.name(value)
        if _is(hint, Scores):
            return between.scores(value)
        if _is(hint, Coalitions):
            return ScoredCoalitions(value, between)
        if _is(hint, Trained):
            return replace(value, open_view=lambda view: in_front(value.open_view(view), between))
        return in_front(value, between.above(self._handle)) if any(_is(hint, one) for one in PROTOCOLS) else value


class ScoredCoalitions:
    """Coalitions whose scores are translated; see `runtimes.capabilities.Coalitions`."""

    def __init__(self, coalitions: Coalitions, between: Translation) -> None:
        self._between = between
        self._coalitions = coalitions
        self.takes = coalitions.takes

    def scores(self, masks: Any) -> Any:
        """The scores of the composed rows."""
        return self._between.scores(self._coalitions.scores(masks))


def in_front(handle: Any, between: Translation) -> Any:
    """The handle with a translation before it, offering every capability that it has and that the translation carries."""
    offered = [
        protocol
        for protocol in PROTOCOLS
        if isinstance(handle, protocol) and all(map(between.carries, _given_by(protocol)))
    ]
    return _kind(tuple(offered))(handle, between)


def runtime_protocols(module: Any = capabilities) -> tuple[type, ...]:
    """Every protocol of a module that a handle can be held against."""
    kinds = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    return tuple(one for one in kinds if getattr(one, "_is_runtime_protocol", False))


PROTOCOLS = runtime_protocols()


@cache
def _kind(offered: tuple[type, ...]) -> type[Forwarding]:
    members: dict[str, Any] = {}
    for protocol in offered:
        members |= {name: _attribute(name, hint) for name, hint in _attributes(protocol).items()}
        members |= {name: _method(function) for name, function in _methods(protocol).items()}
    return type("Forwarded", (Forwarding,), members)


def _attributes(protocol: type) -> dict[str, Hint]:
    return typing.get_type_hints(protocol, include_extras=True)


def _methods(protocol: type) -> dict[str, Callable[..., Any]]:
    lines = [one for one in reversed(protocol.__mro__) if getattr(one, "_is_protocol", False)]
    found = {name: thing for line in lines for name, thing in vars(line).items() if inspect.isfunction(thing)}
    return {name: function for name, function in found.items() if not name.startswith("_")}


def _given_by(protocol: type) -> list[Hint]:
    """The types of all that a handle of a protocol gives."""
    returned = [
        typing.get_type_hints(function, include_extras=True)["return"] for function in _methods(protocol).values()
    ]
    return [*_attributes(protocol).values(), *returned]


def _attribute(name: str, hint: Hint) -> property:
    def attribute(self: Forwarding) -> Any:
        value = getattr(self._handle, name)
        known = self._kept.get(name)
        if known is None or known[0] is not value:
            known = self._kept[name] = (value, self._outward(hint, value))
        return known[1]

    return property(attribute, doc="As the handle has it.")


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function, include_extras=True)

    @wraps(function)
    def method(self: Forwarding, *positional: Any, **named: Any) -> Any:
        bound = signature.bind(self, *positional, **named)
        for name, value in bound.arguments.items():
            bound.arguments[name] = self._inward(hints.get(name), value)
        return self._outward(hints["return"], getattr(self._handle, function.__name__)(*bound.args[1:], **bound.kwargs))

    return method


def _is(hint: Hint, wanted: Hint) -> bool:
    """Whether a type is another, or that or None."""
    return bool(hint == wanted or (wanted in typing.get_args(hint) and type(None) in typing.get_args(hint)))


COUNTS = (int, Spent)
"""What a handle says of itself whatever its scores are."""
