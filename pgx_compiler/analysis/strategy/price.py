"""What an audit will cost in model rows, reckoned before there is a graph.

The plan's own price is `pgx_compiler.passes.price`; a test holds the two equal.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration, Params, Shape


@dataclass(frozen=True)
class Step:
    """A step as far as its price goes."""

    method: str
    params: Mapping[str, Any]
    ground: str = ""
    """Name of the rows and features that it explains, where they are not those of the stage."""
    shape: Shape | None = None
    """Their sizes."""


@dataclass(frozen=True)
class Pricing:
    """The sizes that prices rest on."""

    explained: Shape
    """What attributions and judgements run on."""
    checked: Shape
    """What precaution runs on."""
    fixed: int
    """Model rows that are spent whatever is chosen: predictions, and the search."""

    def total(self, steps: Iterable[Step], algorithms: Mapping[str, str]) -> int:
        """Model rows of a whole audit with these steps.

        An attribution is scored once more for its base values, and done again under another seed where it draws and is
        compared; a judgement is passed on every attribution.
        """
        known = [(catalogue()[step.method], step) for step in steps]
        compared = any(declaration.stage == "agreement" for declaration, _ in known)
        explained = [step for declaration, step in known if declaration.direction]
        beside = Counter(step.ground for step in explained)
        rows = self.fixed
        for declaration, step in known:
            if declaration.direction:
                shape, algorithm = step.shape or self.explained, catalogue()[algorithms.get(step.method, step.method)]
                once = rows_of(algorithm, step.params, shape) + shape.rows + shape.references
                rows += once * (2 if compared and algorithm.stochastic and beside[step.ground] > 1 else 1)
            elif declaration.explains:
                rows += rows_of(declaration, step.params, step.shape or self.explained)
            elif declaration.stage == "faithfulness":
                rows += sum(rows_of(declaration, step.params, one.shape or self.explained) for one in explained)
            elif declaration.stage == "precaution":
                rows += rows_of(declaration, step.params, self.checked)
        return rows


def rows_of(declaration: Declaration, params: Mapping[str, Any], shape: Shape) -> int:
    """Model rows forward and backward of one step; what does not fit the method's parameters counts as its default."""
    cost = declaration.cost(params_of(declaration, params), shape)
    return cost.forward + cost.backward


def params_of(declaration: Declaration, params: Mapping[str, Any]) -> Params:
    """The parameters that a method takes of those given; its defaults where they are wrong, which is said elsewhere."""
    kept = {name: value for name, value in params.items() if name in declaration.params.model_fields}
    try:
        return declaration.params.model_validate(kept)
    except ValidationError:
        return declaration.params()
