"""What a model says of itself: the modality it reads, its task, its output; each with the reason for the guess."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from runtimes.target import ModelFacts, TensorFacts

_LINKS = ("softmax", "sigmoid", "logistic")
_SEQUENTIAL = ("LSTM", "GRU", "SimpleRNN", "Bidirectional", "Conv1D", "RNN")
_OF_CLASSES = ("crossentropy", "cross_entropy", "hinge")
_OF_NUMBERS = ("mean_squared", "mean_absolute", "mse", "mae", "huber", "poisson", "logcosh", "log_cosh", "quantile")


_NAMED_IDS = re.compile(r"token|(^|_)ids?$", re.IGNORECASE)
"""Names that inputs of token ids have."""


_CUTTING = frozenset({"Tokenizer", "TfIdfVectorizer", "StringSplit", "TextVectorization"})
"""Operators and layers that make words of a text."""


@dataclass(frozen=True)
class Guess:
    """A value, and why it was taken."""

    value: str
    why: str


def modality_of(facts: ModelFacts) -> Guess:
    """What a row is, by the shape of the model's input and the layers that read it."""
    text = whole_text(facts)
    if text is not None:
        return Guess("text", f"the model cuts what it reads as `{text.name}` into words")
    if len(facts.inputs) > 1:
        wide = [tensor for tensor in facts.inputs if len(tensor.shape) > 2]
        if not wide:
            return Guess("tabular", f"the model has {len(facts.inputs)} inputs, one a column")
    shape = facts.inputs[0].shape[1:]
    words = " × ".join("any" if size is None else str(size) for size in shape)
    if "Embedding" in facts.operators and len(shape) == 1:
        return Guess("text", f"the model embeds {words} tokens a row")
    first = facts.inputs[0]
    if (
        len(shape) == 1
        and first.dtype.startswith("int")
        and "Gather" in facts.operators
        and _NAMED_IDS.search(first.name)
    ):
        return Guess("text", f"the model looks up {words} numbers a row, called `{first.name}`")
    if len(shape) <= 1:
        return Guess("tabular", f"the model reads {words or 'one number'}{' numbers' if words else ''} a row")
    if len(shape) == 2 and (shape[0] is None or any(kind in facts.operators for kind in _SEQUENTIAL)):
        return Guess("series", f"the model reads {words} a row, in sequence")
    if len(shape) > 3 or any("3D" in kind for kind in facts.operators):
        return Guess("volume", f"the model reads {words} a row")
    return Guess("image", f"the model reads {words} a row")


def whole_text(facts: ModelFacts) -> TensorFacts | None:
    """The input that holds texts which the model cuts itself, where it has exactly one."""
    texts = [one for one in facts.inputs if one.dtype == "str" and one.shape[1:] in ((), (1,), (None,))]
    return texts[0] if len(texts) == 1 and _CUTTING.intersection(facts.operators) else None


def task_of(facts: Sequence[ModelFacts], labels_are_classes: bool | None) -> Guess:
    """Classification or regression: by the last activation, else the loss, else the scores, else the labels."""
    for one in facts:
        if one.activation in _LINKS:
            return Guess("classification", f"the output ends in {one.activation}")
    for one in facts:
        loss = (one.loss or "").casefold()
        if any(word in loss for word in _OF_CLASSES):
            return Guess("classification", f"the loss is {one.loss}")
        if any(word in loss for word in _OF_NUMBERS):
            return Guess("regression", f"the loss is {one.loss}")
    if any(one.activation == "exp" for one in facts):
        return Guess("regression", "the output ends in an exponential")
    if any(one.classes for one in facts):
        return Guess("classification", "the file names its classes")
    if all("value" not in one.scores for one in facts):
        return Guess("classification", "the model gives probabilities")
    if labels_are_classes and facts[0].n_outputs > 1:
        return Guess("classification", "the labels are classes, one output each")
    return Guess("regression", "the output is a number without bounds")


def rescales(facts: ModelFacts) -> bool:
    """Whether the model brings integer pixels onto its own range."""
    return any(layer.kind in ("Rescaling", "Normalization") for layer in facts.layers)
