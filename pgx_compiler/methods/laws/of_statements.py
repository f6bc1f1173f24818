"""What methods promise that state something of rows or of the whole model."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pgx_compiler.methods.apply import make_global
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.methods.laws.bench import STANDARD_ERRORS, Bench, beyond, data_of, reported, statements


def unread_feature(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What is measured of a feature that the model does not read is zero, or undefined."""
    if not bench.ignored or bench.table is None:
        return None
    unread = {bench.table.names[feature] for feature in bench.ignored}
    report = make_global(declaration, bench.model, bench.rows, None, bench.table, declaration.params(), seed)
    told = [m for m in report.measures if m.subject in unread and m.value is not None]
    values = np.array([m.value for m in told], np.float64)
    errors = np.array([m.standard_error or 0.0 for m in told])
    return beyond(np.abs(values), 1e-9 + STANDARD_ERRORS * errors, "an unread feature is stated to matter")


def price_is_a_ceiling(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """A method that states something asks the model for no more rows than its declaration plans."""
    data = bench.data or data_of(bench)
    bench = replace(bench, data=data)
    test = 0 if data.test is None else len(data.test)
    shape = replace(bench.shape, data_rows=len(data.train) + test, test_rows=test)
    before = bench.model.spent.forward
    (reported if declaration.gives == "global" else statements)(declaration, bench, seed)
    asked = np.array([bench.model.spent.forward - before], np.float64)
    return beyond(asked, declaration.cost(declaration.params(), shape).forward, "more rows are asked than planned")


def repeatable(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """The same seed gives the same statements and numbers."""
    if declaration.gives == "global":
        reports = [repr(reported(declaration, bench, seed)) for _ in range(2)]
        return [] if reports[0] == reports[1] else ["the same seed reports something else"]
    one, other = statements(declaration, bench, seed), statements(declaration, bench, seed)
    apart = [
        repr(a.statements) != repr(b.statements) or repr(a.numbers) != repr(b.numbers)
        for a, b in zip(one, other, strict=True)
    ]
    return beyond(np.array(apart, np.float64), 0.0, "the same seed says something else")


def counterfactuals_hold(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What is called a counterfactual has another class, and nothing but what may change is changed."""
    table = bench.table
    if table is None:
        return None
    fixed = [index for index, feature in enumerate(table.features) if feature.immutable]
    wrong: list[float] = []
    for index, stated in enumerate(statements(declaration, bench, seed)):
        z, row = stated.arrays["counterfactuals"], table.row(index).z
        z = z[~np.isnan(z).all(axis=1)]
        before, after = (table.score(part).argmax(axis=1) for part in (row[None], z))
        wrong += list((after == before) | (z[:, fixed] != row[fixed]).any(axis=1))
    return beyond(np.array(wrong, np.float64), 0.0, "a counterfactual does not hold")


def flat_where_unread(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The curve of a feature that the model does not read is flat."""
    if not bench.ignored or bench.table is None:
        return None
    curves = np.stack([one.arrays["curve_scores"][list(bench.ignored)] for one in statements(declaration, bench, seed)])
    heights = np.nanmax(curves, axis=2) - np.nanmin(curves, axis=2)
    return beyond(heights, 1e-12, "a feature that is not read has a curve")


def unread_unnamed(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Nothing is stated of a feature that the model does not read."""
    if not bench.ignored:
        return None
    unread = {bench.rows.features.names[feature] for feature in bench.ignored}
    stated = [statement for one in statements(declaration, bench, seed) for statement in one.statements]
    named = np.array([len(unread & set(statement.features)) for statement in stated], np.float64)
    return beyond(named, 0.0, "a statement names features that the model does not read")


def promised_precision(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The precision measured of a rule is the one asked for or more, but for sampling error."""
    if bench.table is None:
        return None
    wanted = getattr(declaration.params(), "precision")  # noqa: B009
    stated = [statement.numbers for one in statements(declaration, bench, seed) for statement in one.statements]
    if not stated:
        return None
    missing = wanted - np.array([numbers["precision"] for numbers in stated])
    error = np.array([numbers["precision"] - numbers["precision_low"] for numbers in stated]) / 1.96
    return beyond(missing, STANDARD_ERRORS * error, "a rule is less precise than asked for")


def nothing_beyond_the_sum(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, no pair of them does anything together."""
    if not bench.additive:
        return None
    found = np.stack([one.arrays["interactions"] for one in statements(declaration, bench, seed)])
    error = np.stack([one.arrays["standard_error_of_pairs"] for one in statements(declaration, bench, seed)])
    pairs = found - found * np.eye(found.shape[1])
    return beyond(np.abs(pairs), 1e-6 * np.abs(found).max() + STANDARD_ERRORS * error, "features interact")
