"""The rectifiers of a Keras model (ReLU), and other rules for the gradient that goes back through them.

Guided backpropagation (Springenberg, Dosovitskiy, Brox & Riedmiller, 2015, section 3) passes on what is positive, where
the unit was active; deconvolution (Zeiler & Fergus, 2014, section 2.1) passes on what is positive, wherever it was.
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from runtimes.formats.keras_runtime import keras, tensorflow

RULES = ("deconvolution", "guided")

_WORDS = frozenset({"relu", "relu6"})
"""Names of activation functions that cut off what is negative."""
_OPERATIONS = {"Relu": None, "Relu6": 6.0}
"""Kinds of operations in a functional model, with what they cut off above."""


def has_rectifiers(config: Any) -> bool:
    """Whether a model's configuration has a ReLU somewhere: as an activation, a layer or an operation."""
    if isinstance(config, list):
        return any(has_rectifiers(item) for item in config)
    if not isinstance(config, Mapping):
        return False
    kind, settings = config.get("class_name"), config.get("config")
    if kind in _OPERATIONS or (kind == "ReLU" and isinstance(settings, Mapping) and _cuts_at_zero(settings)):
        return True
    word = config.get("activation")
    if isinstance(word, Mapping):  # a function, as Keras 3 writes those of its own that are no plain word
        word = word.get("config")
    return (isinstance(word, str) and word in _WORDS) or any(has_rectifiers(value) for value in config.values())


def _cuts_at_zero(settings: Mapping[str, Any]) -> bool:
    return not settings.get("negative_slope") and not settings.get("threshold")


def rectifiers(model: Any, rule: str) -> list[tuple[Any, str, Any]]:
    """Each ReLU of a model as ``(thing, attribute, ReLU with another rule for the gradient)``."""
    changes: list[tuple[Any, str, Any]] = []
    for thing in _operations(model):
        known = vars(thing)
        if type(thing).__name__ == "ReLU" and _cuts_at_zero(known):
            changes.append((thing, "call", rectifier(rule, known.get("max_value"))))
        elif type(thing).__name__ in _OPERATIONS:
            changes.append((thing, "call", rectifier(rule, _OPERATIONS[type(thing).__name__])))
        elif known.get("activation") in (keras().activations.relu, keras().activations.relu6):
            above = 6.0 if known["activation"] is keras().activations.relu6 else None
            changes.append((thing, "activation", rectifier(rule, above)))
    return changes


def rectifier(rule: str, above: float | None) -> Any:
    """A ReLU cut off at ``above``, with the gradient of a rule.

    What is cut off above is no more active than what is cut off below.
    """
    tf = tensorflow()
    # What was active is read off the output, which the next layer needs anyway; TensorFlow has one operation for each slope.
    known = {None: (tf.nn.relu, tf.raw_ops.ReluGrad), 6.0: (tf.nn.relu6, tf.raw_ops.Relu6Grad)}

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def rectified(given: Any) -> Any:
        zero = tf.zeros((), given.dtype)
        limit = tf.cast(inf if above is None else above, given.dtype)
        cut = known[above][0](given) if above in known else tf.clip_by_value(given, zero, limit)

        def backwards(slope: Any) -> Any:
            positive = tf.nn.relu(slope)
            if rule == "deconvolution":
                return positive
            if above in known:
                return known[above][1](gradients=positive, features=cut)
            return tf.where((cut > zero) & (cut < limit), positive, tf.zeros_like(slope))

        return cut, backwards

    return lambda given: rectified(given)


def _operations(model: Any) -> Iterator[Any]:
    """All operations of a model and of what is nested in it: layers, cells of recurrent layers, plain operations."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        waiting += list(getattr(thing, "operations", ()))
        waiting += list(getattr(thing, "_layers", ()))
