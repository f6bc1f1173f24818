"""Probabilities of a classifier that answers with logits: what it says is needed beside what is explained."""

from pathlib import Path
from typing import Any

from runtimes.capabilities import Floats, Inputs, Predictor, Spent, View
from runtimes.formats.scores import sigmoid, softmax
from runtimes.powers import NO_POWERS
from runtimes.target import ModelFileError


class LinkedPredictor:
    """A handle of logits seen as probabilities: of exclusive classes by softmax, of one of two by sigmoid."""

    def __init__(self, logits: Predictor, single: bool) -> None:
        self._logits = logits
        self._link = sigmoid if single else softmax
        self.spent: Spent = logits.spent

    @property
    def rows_per_call(self) -> int:
        """As the handle says."""
        return self._logits.rows_per_call

    def predict(self, inputs: Inputs) -> Floats:
        """Probabilities, ``(rows, outputs)``."""
        # two classes of one number are [-z, z]: each is a sigmoid of its own
        return self._link(self._logits.predict(inputs))


def open_view(framework: Any, path: Path, view: View) -> Any:
    """Open a file for a view; where it has logits alone, its probabilities are made of them."""
    try:
        return framework.open_model(path, view)
    except ModelFileError:
        trusted = [View("value", powers=view.powers)] if view.powers != NO_POWERS else []
        facts = framework.inspect(path, *trusted)
        if view.score != "probability" or {"probability", "logit"} & facts.scores != {"logit"}:
            raise
        logits = View("logit", view.task, view.output, view.adaptation, view.powers)
        return LinkedPredictor(framework.open_model(path, logits), single=facts.n_outputs == 1)
