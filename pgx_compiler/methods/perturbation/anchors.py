"""Anchors, rules that hold a decision fast (Ribeiro, Singh & Guestrin, 2018): https://doi.org/10.1609/aaai.v32i1.11491."""

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from pgx_compiler.evidence.results import RowReport, Statement
from pgx_compiler.evidence.summary import wilson_interval
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, local_explanation
from pgx_compiler.methods.perturbation._anchor_rules import Rule, Rules
from pgx_compiler.methods.perturbation._kl_lucb import best_arms, bounds
from pgx_compiler.modalities.table import TableRow

MOST_CONFIRMS = 10
"""Rows spent on one doubtful rule, in units of ``confirm``: closer to the border than that nobody can tell (own default)."""


class AnchorsParams(Params):
    """Parameters of anchors."""

    precision: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Share of rows under the rule that must get the same decision (the paper and peers)."""
    delta: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Chance with which the search may take a rule for precise that is not, over all that it looks at (peers: for each)."""
    tau: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """By how much a candidate left out may be more precise than one kept (peers)."""
    beam: Annotated[int, Field(ge=1)] = 1
    """Candidates kept at each length of rule (peers: 1). More find rules of larger coverage, at as many times the rows."""
    batch: Annotated[int, Field(ge=1)] = 100
    """Rows drawn of a candidate at a time (peers)."""
    bins: Annotated[int, Field(ge=2)] = 4
    """Parts of equal frequency into which conditions cut a number (peers: quartiles)."""
    longest: Annotated[int, Field(ge=1)] = 6
    """Most conditions of a rule: more than that nobody reads (own default)."""
    samples: Annotated[int, Field(ge=1000)] = 100000
    """Most rows asked of the model for each explained row, ``confirm`` among them (peers: no limit). A third of them is what
    a search among twenty features takes."""
    confirm: Annotated[int, Field(ge=100)] = 1000
    """Rows drawn afresh to measure the precision of the rule that was found: those that chose it would flatter it."""

    @model_validator(mode="after")
    def _room(self) -> "AnchorsParams":
        if self.confirm >= self.samples:
            raise ValueError("`confirm` must be smaller than `samples`")
        return self


def cost(params: AnchorsParams, shape: Shape) -> Cost:
    """At most: the rows drawn, and the row itself."""
    return Cost(
        forward=shape.rows * (params.samples + 1), bytes=8 * shape.features * (shape.data_rows + 8 * params.batch)
    )


@local_explanation(
    paper="https://doi.org/10.1609/aaai.v32i1.11491",
    modalities={"tabular"},
    tasks=("classification",),
    cost=cost,
    laws=("promised_precision", "price_is_a_ceiling", "repeatable"),
    quantities={
        "found": Quantity("A rule was found", "share", "mean", "higher"),
        "precision": Quantity("Precision of the rule on fresh draws", "share", "median", "higher"),
        "coverage": Quantity("Coverage of the rule among the training rows", "share", "median", "higher"),
        "conditions": Quantity("Conditions of the rule", "", "median", "lower"),
    },
)
def anchors(row: TableRow, params: AnchorsParams, rng: np.random.Generator) -> RowReport:
    """Find a short rule about the row's values under which the model nearly always decides as it did for the row.

    Candidates grow by one condition at a time (beam search); which of them is the most precise is told by a bandit
    (KL-LUCB), with as few model rows as it takes. Of the rules that are precise, that of the largest coverage is given.

    Reading:
        Where the rule holds, other values hardly matter to the decision: of rows drawn under the rule, the stated share
        (precision, measured on fresh draws, with the lower end of its 95 % interval) got the same decision. The coverage
        is the share of training rows that meet the rule: a rule of small coverage is hardly more than the row itself. A
        rule without conditions says that nearly every row gets this decision. No rule is an answer too: within the
        length and the rows allowed, none was precise enough.

    Limits:
        A rule explains decisions, not scores. Its precision is about rows drawn as follows, and no others: a training row
        is taken, and where it breaks a condition, that feature alone takes a value that meets it; such rows may never
        occur. Conditions are cut at quantiles, so that the true border may lie elsewhere. Another rule may be as precise
        and as common; one is shown.
    """
    rules = Rules(row, params.bins)
    decision = int(np.argmax(row.table.score(row.z[None])[0]))
    search = _Search(rules, decision, params, rng)
    found = search.run()
    if found is None:
        return RowReport({"found": 0.0})
    hits = search.ask(found, params.confirm, reserved=True)[0]
    interval = wilson_interval(hits, params.confirm)
    assert interval is not None
    precision, coverage = hits / params.confirm, rules.coverage(found)
    names = rules.features(found)
    outcome = f"⇒ {row.table.outputs[decision]}"
    measured = f"precision {precision:.3f} (at least {interval[0]:.3f}), coverage {coverage:.1%} of the training rows"
    statement = Statement(
        f"{rules.words(found)} {outcome}; {measured}",
        f"{' and '.join(f'{name} as in the row' for name in names) or 'always'} {outcome}; {measured}",
        names,
        {"precision": precision, "precision_low": interval[0], "coverage": coverage},
    )
    numbers = {"found": 1.0, "precision": precision, "coverage": coverage, "conditions": float(len(found))}
    return RowReport(numbers, (statement,))


class _Search:
    """Beam search over rules within the rows allowed."""

    def __init__(self, rules: Rules, decision: int, params: AnchorsParams, rng: np.random.Generator) -> None:
        self._rules, self._decision, self._params, self._rng = rules, decision, params, rng
        self._left = params.samples - params.confirm

    def ask(self, rule: Rule, count: int, reserved: bool = False) -> tuple[int, int]:
        """Rows with the same decision, and rows asked: fewer than ``count`` where no more are left."""
        if not reserved:
            count = min(count, self._left)
            self._left -= count
        if not count:
            return 0, 0
        scores = self._rules.row.table.score(self._rules.draw(rule, count, self._rng))
        return int((scores.argmax(axis=1) == self._decision).sum()), count

    def run(self) -> Rule | None:
        """The precise rule of the largest coverage; None where none was found."""
        beam: list[Rule] = [Rule()]
        best, above = None, 0.0
        for _ in range(self._params.longest + 1):
            for rule in beam:
                coverage = self._rules.coverage(rule) if rule else 1.0
                if coverage > above and self._is_precise(rule):
                    best, above = rule, coverage
            candidates = self._rules.extended(beam, above)
            if not candidates or not self._left or above == 1.0:
                break
            beam = self._most_precise(candidates)
        return best

    def _most_precise(self, candidates: list[Rule]) -> list[Rule]:
        first = [self.ask(rule, self._params.batch) for rule in candidates]
        hits, draws = np.array(first, np.float64).T.copy()
        chosen = best_arms(
            lambda arm: self.ask(candidates[arm], self._params.batch),
            hits, draws, self._params.beam, self._params.delta, self._params.tau, lambda: self._left > 0,
        )  # fmt: skip
        return [candidates[arm] for arm in chosen]

    def _is_precise(self, rule: Rule) -> bool:
        """Whether the lower bound of its precision reaches what is asked; draws until that is clear or too dear.

        Draws that won the rule its place would flatter it: only fresh ones count. The chance of being wrong is shared out
        over all rules that may be looked at, and over the looks: 1 / (t (t + 1)) sums to 1.
        """
        params = self._params
        rules = 1 + params.longest * params.beam
        hits, draws, look = np.zeros(1), np.zeros(1), 1
        while draws[0] < MOST_CONFIRMS * params.confirm:
            found = self.ask(rule, params.batch)
            if found[1] == 0:
                return False
            hits, draws = hits + found[0], draws + found[1]
            level = float(np.log(rules * look * (look + 1) / params.delta))
            low, high = bounds(hits, draws, level)
            if low[0] >= params.precision:
                return True
            if high[0] < params.precision:
                return False
            look += 1
        return False
