"""Tables with models of which everything is known, for the tests of methods that ask for real values.

    table = table_of(lambda z: 2 * z[:, 0], [Column("a", values), Column("c", codes, ("x", "y", "z"), "one_hot")])

The model is a formula over decoded rows ``z (rows, features)``; the handle decodes what a runtime would be given, by means
of its own, so that a mistake of the table's codecs shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.declaration import Declaration, Params, Shape
from pgx_compiler.methods.laws import Bench
from pgx_compiler.modalities import tabular
from pgx_compiler.modalities.data import AuditData, Split
from pgx_compiler.modalities.features import References, Rows
from pgx_compiler.modalities.table import Table, TableSetting
from runtimes.capabilities import Floats, Inputs, Spent
from runtimes.target import ModelFacts, TensorFacts

Formula = Callable[[Floats], Any]
"""Decoded rows ``(rows, features)`` to ``(rows,)`` or ``(rows, outputs)``."""


@dataclass(frozen=True)
class Column:
    """One feature: numbers, or positions in `categories` (-1 or NaN: missing), and how the model reads them."""

    name: str
    values: Any
    """``(rows,)``: training rows first, then test rows."""
    categories: tuple[str, ...] = ()
    encoding: Literal["number", "one_hot", "words"] = "number"
    """``number``: one column as it is (a coded category, where there are `categories`); ``one_hot``: one column a category;
    ``words``: an input of its own, of text."""

    def encoded(self, dtype: Any) -> NDArray[Any]:
        """``(rows, columns)`` as the model reads them."""
        held = np.asarray(self.values, np.float64)
        if self.encoding == "one_hot":
            return np.array([[float(code == k) for k in range(len(self.categories))] for code in held], dtype)
        if self.encoding == "words":
            return np.array([[self.categories[int(code)]] for code in held], np.str_)
        return held[:, None].astype(dtype)

    def decoded(self, block: NDArray[Any]) -> Floats:
        """What `encoded` was made of."""
        if self.encoding == "one_hot":
            return np.array([next((k for k, on in enumerate(row) if on), -1.0) for row in block], np.float64)
        if self.encoding == "words":
            return np.array([self.categories.index(row[0]) for row in block], np.float64)
        return block[:, 0].astype(np.float64)


class FormulaModel:
    """A formula over decoded rows as a black box that counts the rows asked for."""

    rows_per_call = 97  # odd and small, so that every method has to batch

    def __init__(self, formula: Formula, columns: Sequence[Column]) -> None:
        self.spent = Spent()
        self.largest_call = 0
        self._formula, self._columns = formula, columns

    def predict(self, inputs: Inputs) -> Floats:
        blocks, start = [], 0
        for column in self._columns:
            if column.encoding == "words":
                blocks.append(column.decoded(inputs[column.name]))
                continue
            width = len(column.categories) if column.encoding == "one_hot" else 1
            blocks.append(column.decoded(inputs["x"][:, start : start + width]))
            start += width
        z = np.stack(blocks, axis=1)
        self.spent.forward += len(z)
        self.largest_call = max(self.largest_call, len(z))
        scores = np.asarray(self._formula(z), np.float64)
        return scores.reshape(len(z), -1)


def data_of(
    columns: Sequence[Column],
    *,
    labels: Any = None,
    test: int = 0,
    classes: tuple[str, ...] = (),
    dtype: Any = np.float64,
) -> AuditData:
    """The data of an audit; the last ``test`` rows are the test split, none where it is 0."""
    plain = [c for c in columns if c.encoding != "words"]
    wordy = [c for c in columns if c.encoding == "words"]
    inputs = {"x": np.concatenate([c.encoded(dtype) for c in plain], axis=1)} if plain else {}
    inputs |= {c.name: c.encoded(dtype) for c in wordy}
    named, groups = [], {}
    for column in (*plain, *wordy):
        if column.encoding == "one_hot":
            named += [f"{column.name}={category}" for category in column.categories]
            groups[column.name] = [f"{column.name}=*"]
        else:
            named.append(column.name)
    described = {"columns": named, "groups": groups}
    features = tabular.feature_map({name: a.shape[1:] for name, a in inputs.items()}, described)
    n = len(columns[0].values)
    cut = n - test
    parts = [{name: array[rows] for name, array in inputs.items()} for rows in (slice(cut), slice(cut, n))]
    told = [None, None] if labels is None else [np.asarray(labels)[:cut], np.asarray(labels)[cut:]]
    splits = [Split(name, p, y, np.arange(len(next(iter(p.values()))))) for name, p, y in zip(("train", "test"), parts, told, strict=True)]  # fmt: skip
    variables = tabular.variables(parts[0], parts[1] if test else None, features, named, {})
    by_name = {column.name: column for column in columns}
    told_codes = tuple(
        replace(
            v, kind="categorical", categories=by_name[v.name].categories, train=_codes(v.train), test=_codes(v.test)
        )
        if by_name[v.name].categories and v.kind == "numeric"
        else v
        for v in variables
    )
    task = "classification" if classes else "regression"
    return AuditData("tabular", task, classes, splits[0], splits[1] if test else None, features, told_codes)


def table_of(
    formula: Formula,
    columns: Sequence[Column],
    *,
    labels: Any = None,
    test: int = 0,
    classes: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ("value",),
    focus: tuple[int, ...] = (0,),
    score: str = "value",
    explained: int = 3,
    dtype: Any = np.float64,
    **setting: Any,
) -> Table:
    """A table bound to a formula; ``table.model`` is not kept: take `handle_of` for the rows that were asked.

    ``explained`` rows are the first of the unseen ones. ``setting`` holds further fields of `TableSetting`.
    """
    data = data_of(columns, labels=labels, test=test, classes=classes, dtype=dtype)
    model = FormulaModel(formula, [c for c in columns if c.encoding != "words"] + [c for c in columns if c.encoding == "words"])  # fmt: skip
    split = data.test or data.train
    rows = Split("explained", {n: a[:explained] for n, a in split.inputs.items()}, None, split.row_ids[:explained])
    said = TableSetting(classes or outputs, focus, score, **setting)
    return Table(data, model, rows, np.full(explained, focus[-1]), said)


def handle_of(table: Table) -> FormulaModel:
    """The black box behind a table of `table_of`: what it has spent."""
    return table._model  # type: ignore[return-value]


def shape_of(table: Table) -> Shape:
    """The table as the planner sees it."""
    train, test = len(table.train), 0 if table.test is None else len(table.test)
    outputs = len(table.outputs)
    return Shape(len(table.explained), len(table), 1, outputs, train + test, test)


def run(declaration: Declaration, table: Table, seed: int = 0, **params: Any) -> Any:
    """A global explanation of a table."""
    given: list[Any] = [table, declaration.params(**params)]
    return declaration.function(*given, *([np.random.default_rng(seed)] if declaration.stochastic else []))


def spent_by(declaration: Declaration, table: Table, seed: int = 0, **params: Any) -> tuple[int, int]:
    """Model rows that a global explanation asks for, and those that its declaration plans."""
    handle = handle_of(table)
    before = handle.spent.forward
    run(declaration, table, seed, **params)
    return handle.spent.forward - before, declared(declaration, table, declaration.params(**params))


def declared(declaration: Declaration, table: Table, params: Params) -> int:
    """Model rows that a declaration plans for a table."""
    return declaration.cost(params, shape_of(table)).forward


def values_of(report: Any, prefix: str) -> dict[str, float | None]:
    """The measures whose names begin with a prefix, by the rest of their names."""
    return {m.name.removeprefix(prefix): m.value for m in report.measures if m.name.startswith(prefix)}


def mixed_columns(n: int = 400, seed: int = 3) -> list[Column]:
    """Two numbers, a one-hot group, a coded category, and a number that models leave unread; all independent."""
    rng = np.random.default_rng(seed)
    return [
        Column("a", rng.normal(size=n)),
        Column("b", rng.uniform(-1, 1, n)),
        Column("colour", rng.integers(0, 3, n), ("red", "green", "blue"), "one_hot"),
        Column("grade", rng.integers(0, 4, n), ("low", "fair", "good", "best")),
        Column("unread", rng.normal(size=n)),
    ]


def table_benches() -> list[Bench]:
    """Benches with a table, for laws: an additive model and one with interactions, neither of which reads the last feature."""
    effect = np.array([0.0, 1.0, -0.5])

    def additive(z: Floats) -> Floats:
        return np.stack([z[:, 0] + z[:, 1] ** 2 + effect[z[:, 2].astype(int)] + 0.3 * z[:, 3], -z[:, 0]], axis=1)

    def interacting(z: Floats) -> Floats:
        return np.stack([z[:, 0] * z[:, 1] + effect[z[:, 2].astype(int)] * z[:, 3], z[:, 1]], axis=1)

    return [
        _bench("table additive", additive, additive_model=True),
        _bench("table interacting", interacting, additive_model=False),
    ]


def _bench(name: str, formula: Formula, *, additive_model: bool) -> Bench:
    columns = mixed_columns(200)
    z = np.stack([np.asarray(c.values, np.float64) for c in columns], axis=1)
    noise = np.random.default_rng(1).normal(size=(len(z), 2))
    labels = (formula(z) + noise).argmax(axis=1)
    table = table_of(formula, columns, labels=labels, test=60, classes=("no", "yes"), focus=(1,), score="logit")
    data = data_of(columns, labels=labels, test=60, classes=("no", "yes"))
    assert data.test is not None
    rows = {n: a[:3] for n, a in data.test.inputs.items()}
    references = References({n: a[None, :5] for n, a in data.train.inputs.items()})
    inputs = tuple(TensorFacts(n, (None, *a.shape[1:]), str(a.dtype)) for n, a in rows.items())
    facts = ModelFacts(
        "onnx", "network", inputs, (TensorFacts("score", (None, 2), "float64"),), frozenset({"Predictor"}),
        frozenset({"logit"}), 2, 0, {}, activation="softmax",
    )  # fmt: skip
    explained = Rows(rows, np.full(3, 1), references, data.features)
    return Bench(
        name,
        "tabular",
        handle_of(table),
        explained,
        facts,
        "logit",
        ignored=(4,),
        additive=additive_model,
        table=table,
        data=data,
    )


def _codes(values: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if values is None else np.where(np.isfinite(values), np.nan_to_num(values), -1).astype(np.int64)
