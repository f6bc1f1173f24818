"""The reasons of a choice for people and for programs: ``pgx compile --why``."""

from typing import Any

from pgx_compiler.analysis.strategy.choice import Choices, place_of


def why_text(choices: Choices) -> str:
    """One line a question and a method, stage by stage."""
    lines: list[str] = []
    if choices.answers:
        lines += ["questions", *(f"  {answer.sentence}" for answer in choices.answers), ""]
    stage = ""
    for choice in choices.methods:
        if choice.stage != stage:
            lines += [""] * bool(stage) + [place_of(choice.stage)]
            stage = choice.stage
        lines.append(f"  {choice.sentence}")
    if choices.answers:
        spent = f"estimated cost: {choices.estimate:,} model rows"
        if choices.budget is not None:
            spent += f", of {choices.budget:,} in the budget"
        lines += ["", spent]
    return "\n".join(lines)


def why_data(choices: Choices) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "questions": [
            {
                "question": answer.question,
                "answered_by": list(answer.methods),
                "reason": answer.reason,
                "mend": answer.mend,
            }
            for answer in choices.answers
        ],
        "methods": [
            {
                "method": choice.method,
                "stage": choice.stage,
                "verdict": "taken" if choice.taken else "refused",
                "by": "author" if choice.by_author else "strategy",
                "reason": choice.reason,
                "source": choice.rule,
                "questions": list(choice.questions),
                "step": choice.step,
                "params": dict(choice.params),
                "line": choice.line,
            }
            for choice in choices.methods
        ],
        "model_rows": choices.estimate,
        "budget": choices.budget,
    }
