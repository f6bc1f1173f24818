"""What an audit will cost in model rows, reckoned before there is a graph.

The plan's own price is `pgx_compiler.passes.price`; a test holds the two equal.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from pgx_compiler.ir.sharding import borders
from pgx_compiler.ir.trials import BASELINE
from pgx_compiler.methods.algorithms import best_first, refusal_by_model
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Cost, Declaration, Params, Shape
from runtimes.target import ModelFacts


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
    work: Mapping[str, int] = field(default_factory=dict)
    """Capability to the multiply-adds a row of the file that offers it most cheaply: by it long steps are cut into shards."""

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
                once = self._in_shards(algorithm, step.params, shape, (1, shape.references))
                rows += once * (2 if compared and algorithm.stochastic and beside[step.ground] > 1 else 1)
            elif declaration.explains:
                rows += self._in_shards(declaration, step.params, step.shape or self.explained)
            elif declaration.stage == "faithfulness":
                judged = [one.shape or self.explained for one in explained]
                rows += sum(self._in_shards(declaration, step.params, shape) for shape in judged)
            elif declaration.stage == "precaution":
                rows += rows_of(declaration, step.params, self.checked)
        return rows

    def _in_shards(
        self, declaration: Declaration, params: Mapping[str, Any], shape: Shape, beside: tuple[int, int] = (0, 0)
    ) -> int:
        """Model rows of one step, some of which every shard of it asks for.

        ``beside`` is what is asked besides: for each row, and once.
        """

        def cost(rows: int) -> int:
            return rows_of(declaration, params, replace(shape, rows=rows)) + beside[0] * rows + beside[1]

        whole, together, work = cost(shape.rows), declaration.rows_together, self.work.get(declaration.capability)
        cut = [] if together is None or work is None else borders(shape.rows, together, whole, work, cost)
        return sum(cost(stop - start) for start, stop in pairwise(cut)) if cut else whole


def cost_of_trial(
    number: int,
    train: int,
    fit: Mapping[str, Any],
    space: Mapping[str, Mapping[str, Any]],
    methods: Sequence[tuple[str, Mapping[str, Any]]],
    shape: Shape,
) -> Cost:
    """Model rows of one trial of a search at most: trained, validated after each epoch and at the end, and explained.

    A trial that turns out to repeat another costs nothing.

    Args:
        number: of the trial; with one method, the first explains the audited model as well.
        train: rows of the training data, those held out included.
        fit: ``epochs`` and ``validation`` of the spec.
        space: of the spec; where it searches ``fit.epochs``, every trial but the first may take the most of them.
        methods: by which candidates are explained, with their parameters; none where nothing is compared.
        shape: what they are explained on.
    """
    epochs = fit["epochs"] if number == BASELINE else max(fit["epochs"], *_values(space.get("fit.epochs", {})))
    held_out = int(train * fit["validation"])
    forward, backward = held_out * (epochs + 1), (train - held_out) * epochs
    for name, params in methods:
        once = catalogue()[name].cost(params_of(catalogue()[name], params), shape)
        times = 2 if number == BASELINE and len(methods) == 1 else 1
        forward += times * (once.forward + shape.rows + shape.references)
        backward += times * once.backward
    return Cost(forward, backward)


def algorithm_of_candidates(name: str, facts: ModelFacts, shape: Shape, score: str) -> Declaration:
    """What explains the candidates of a search: the method asked for, or what computes a request on such a model best."""
    declaration = catalogue()[name]
    if not declaration.is_request:
        return declaration
    able, _ = best_first(name, shape, refusal_by_model(facts, shape, score))
    return able[0]


def _values(dimension: Mapping[str, Any]) -> list[int]:
    """The numbers that a dimension may take at most, rounded as training does."""
    choice = dimension.get("choice") or []
    bounds = [held[1] for kind, held in dimension.items() if kind != "choice" and held]
    return [0, *(round(one) for one in (*choice, *bounds) if isinstance(one, int | float))]


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
