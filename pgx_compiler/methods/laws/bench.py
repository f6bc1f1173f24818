"""The small models that methods are held to, and what several laws ask of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_type_hints

import numpy as np

from pgx_compiler.evidence.results import Attribution, Report, RowReport, Scores
from pgx_compiler.methods.apply import Attributed, attribute, compare, make_global, state
from pgx_compiler.methods.declaration import Declaration, Shape
from pgx_compiler.modalities.data import AuditData, Split, Variable
from pgx_compiler.modalities.features import Rows
from pgx_compiler.modalities.game import game_of_row
from pgx_compiler.modalities.table import Table, TableRow
from runtimes.capabilities import CAPABILITIES, Floats, Predictor
from runtimes.target import ModelFacts

STANDARD_ERRORS = 5.0
"""How far a sampled value may lie from what the law says."""


@dataclass(frozen=True)
class Bench:
    """A small model of which something is known, with rows to explain."""

    name: str
    modality: str
    model: Predictor
    rows: Rows
    facts: ModelFacts
    score: str = "value"
    ignored: tuple[int, ...] = ()
    """Features that the model does not read."""
    symmetric: tuple[tuple[int, int], ...] = ()
    """Pairs of features that the model treats alike, equal in every row and reference."""
    parts: tuple[tuple[float, Predictor], ...] = ()
    """Models of which this one is the weighted sum."""
    additive: bool = False
    """No feature interacts with another."""
    mirrored: tuple[tuple[int, int], ...] = ()
    """Pairs of features that change places in the mirror; the rows, references and the model are their own mirror images."""
    twin: Predictor | None = None
    """Another model that computes the same function by other layers."""
    shifted: tuple[Predictor, Rows] | None = None
    """The rows and references with a constant added to each element, and a model that takes it off again."""
    unbiased: bool = False
    """No layer of the network adds a bias."""
    table: Table | None = None
    """The same as a table, where methods may ask for real values; its model is `model`."""
    data: AuditData | None = None
    """The data that the rows were taken from."""

    @property
    def shape(self) -> Shape:
        """The bench as the planner sees it."""
        outputs = self.facts.n_outputs
        return Shape(len(self.rows), len(self.rows.features), len(self.rows.references), outputs, len(self.rows))

    def suits(self, declaration: Declaration) -> bool:
        """Whether the method can be run here at all."""
        if self.modality not in declaration.modalities:
            return False
        asked = set(get_type_hints(declaration.function).values())
        if {Table, TableRow} & asked and self.table is None:
            return False
        if declaration.capability and not isinstance(self.model, CAPABILITIES[declaration.capability]):
            return False
        return declaration.admits is None or declaration.admits(self.facts, self.shape, self.score) is None


Law = Callable[[Declaration, Bench, int], Sequence[str] | None]


def statements(declaration: Declaration, bench: Bench, seed: int) -> list[RowReport]:
    """What a method states of each row of a bench."""
    return state(declaration, bench.model, bench.rows, bench.table, declaration.params(), seed)


def reported(declaration: Declaration, bench: Bench, seed: int) -> Report:
    """What a method reports of a bench."""
    data = bench.data or data_of(bench)
    return make_global(declaration, bench.model, bench.rows, data, bench.table, declaration.params(), seed)


def data_of(bench: Bench) -> AuditData:
    """Data of an audit for a bench: mixtures of its rows and references, with the model's own answers as labels."""
    rows, rng = bench.rows, np.random.default_rng(11)
    held = {name: np.concatenate([array, rows.references.of_row(0)[name]]) for name, array in rows.inputs.items()}
    size = len(next(iter(held.values())))
    shares = rng.dirichlet(np.full(size, 0.5), 80)
    inputs = {
        name: np.tensordot(shares, array, 1).astype(array.dtype)
        if array.dtype.kind == "f"
        else array[shares.argmax(axis=1)]
        for name, array in held.items()
    }
    labels = bench.model.predict(inputs).argmax(axis=1).astype(np.int64)
    classes = tuple(f"class {k}" for k in range(bench.facts.n_outputs))
    train = Split("train", inputs, labels, np.arange(len(labels)))
    variable = Variable("first share", "numeric", shares[:, 0], None, is_descriptor=True)
    return AuditData(bench.modality, "classification", classes, train, None, rows.features, (variable,))


def explained(declaration: Declaration, bench: Bench, seed: int) -> Attributed:
    """A method's explanation of a bench."""
    return attribute(declaration, bench.model, bench.rows, declaration.params(), seed)


def compared(declaration: Declaration, first: Attribution, second: Attribution) -> Scores:
    """A comparison of two explanations by a method's defaults."""
    return compare(declaration, first, second, declaration.params())


def size_of(found: Attributed) -> float:
    """The size of what is explained: a gap is judged against it."""
    return float(max(np.abs(found.scores - found.base_values).max(), np.abs(found.values).max(), 1e-12))


def error_of(found: Attributed) -> Floats:
    """Standard errors, zero where the method draws nothing."""
    return np.zeros_like(found.values) if found.standard_error is None else found.standard_error


def contributions(bench: Bench) -> Floats:
    """What each feature alone adds to the references, ``(rows, features)``."""
    rows, alone = bench.rows, np.eye(len(bench.rows.features), dtype=bool)
    games = [
        game_of_row(bench.model, rows.inputs, row, rows.references, rows.features, int(target))
        for row, target in enumerate(rows.target)
    ]
    return np.stack([(game.value(alone) - game.empty())[:, 0] for game in games])


def random_attributions(seed: int, rows: int = 50, features: int = 12) -> tuple[Attribution, Attribution]:
    """Two explanations that know nothing, and nothing of each other."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, rows, features))
    return (
        Attribution("first", "random", "perturbation", first, None, signed=True),
        Attribution("second", "random", "gradient", second, None, signed=True),
    )


def beyond(found: Floats, allowed: Floats | float, words: str) -> list[str]:
    """One sentence where anything exceeds what is allowed (NaN does)."""
    excess = ~(found <= allowed)
    if not excess.any():
        return []
    return [f"{words}: {excess.sum()} of {excess.size}, by up to {np.max(found):.3g}"]
