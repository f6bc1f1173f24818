"""Probabilities of a classifier that answers with logits: what it says is needed beside what is explained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pgx_compiler.execute.forwarding import COUNTS, Translation, in_front
from runtimes.capabilities import Coalitions, Floats, Scores, View
from runtimes.formats.scores import sigmoid, softmax
from runtimes.target import ModelFileError


class Linking(Translation):
    """Logits seen as probabilities: of exclusive classes by softmax, of one of two by sigmoid.

    What rests on the score itself, such as its gradient, is another one then, and not offered.
    """

    def __init__(self, single: bool) -> None:
        self._link = sigmoid if single else softmax

    def scores(self, scores: Floats) -> Floats:
        """Probabilities, ``(rows, outputs)``."""
        # two classes of one number are [-z, z]: each is a sigmoid of its own
        return self._link(scores)

    def carries(self, hint: Any) -> bool:
        """Scores alone, and what a handle says of itself."""
        return hint in (Scores, Coalitions | None, *COUNTS)


def open_view(framework: Any, path: Path, view: View) -> Any:
    """Open a file for a view; where it has logits alone, its probabilities are made of them."""
    try:
        return framework.open_model(path, view)
    except ModelFileError:
        plain = View("value", powers=view.powers, signature=view.signature)
        facts = framework.inspect(path, *([plain] if plain != View("value") else []))
        if view.score != "probability" or {"probability", "logit"} & facts.scores != {"logit"}:
            raise
        logits = replace(view, score="logit")
        return in_front(framework.open_model(path, logits), Linking(single=facts.n_outputs == 1))
