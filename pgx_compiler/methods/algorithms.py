"""Which algorithm computes a quantity that was asked for: one ranking, for all who have to know.

The strategy reckons with it, the search explains its candidates by it, and the pass `specialise` puts it into the graph.
"""

from collections.abc import Callable
from math import inf

from pgx_compiler.methods.catalogue import computing
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.methods.price import Shape
from runtimes.target import ModelFacts

Refusal = Callable[[Declaration], str | None]
"""Why an algorithm cannot be used here; None where it can."""


def refusal_by_model(facts: ModelFacts, shape: Shape, score: str) -> Refusal:
    """What a model file, the sizes and the score have against an algorithm."""

    def refusal(declaration: Declaration) -> str | None:
        if declaration.capability not in facts.capabilities:
            return f"the model offers no {declaration.capability}"
        return declaration.admits(facts, shape, score) if declaration.admits else None

    return refusal


def best_first(quantity: str, shape: Shape, refusal: Refusal) -> tuple[list[Declaration], dict[str, str]]:
    """The algorithms that compute a quantity here, best first, and why the others cannot be used, by name.

    Exact ones come before those that sample, and the cheapest of them first. Those that sample are asked for the same samples,
    so that their model rows differ by rounding alone and their errors many times: the most accurate comes first.
    """
    reasons = {declaration.name: refusal(declaration) for declaration in computing(quantity)}
    admitted = [declaration for declaration in computing(quantity) if reasons[declaration.name] is None]
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    return sorted(admitted, key=lambda declaration: _rank(declaration, shape)), refused


def _rank(declaration: Declaration, shape: Shape) -> tuple[bool, float, int, str]:
    cost = declaration.cost(declaration.params(), shape)
    error = inf if declaration.relative_error is None else declaration.relative_error
    return (
        not declaration.exact,
        0.0 if declaration.exact else error,
        cost.forward + cost.backward,
        declaration.name,
    )
