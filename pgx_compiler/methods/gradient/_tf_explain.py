"""What methods of tf-explain have in common: which scores it can see."""

from pgx_compiler.methods.declaration import Shape
from runtimes.target import ModelFacts


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A score that is a column of what the model gives: tf-explain reads no other."""
    single = any(output.shape[-1:] == (1,) for output in facts.outputs)
    if score == "log_odds":
        return "tf-explain reads the model's output as it is, which is no log-odds; explain `logit` or `probability`"
    if score == "log_value" and facts.activation != "exp":
        return "tf-explain reads the model's output as it is, which is no logarithm; explain `value`"
    if score not in ("value", "log_value") and single:
        return "tf-explain reads the model's output as it is, and a single number has no column for each of two classes"
    return None
