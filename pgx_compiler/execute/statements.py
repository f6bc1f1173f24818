"""From what a method says of each row to what a step leaves behind: facts over rows, the statements, the arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.results import Measure, Report, RowReport
from pgx_compiler.evidence.summary import bootstrap_interval
from pgx_compiler.methods.declaration import Declaration, Quantity


def statements_report(
    declaration: Declaration, said: Sequence[RowReport], row_ids: Sequence[str]
) -> tuple[Report, dict[str, Any]]:
    """The report of a step over its rows, and the document's further keys: ``rows``, a list in the order of the rows.

    Raises:
        TypeError: the method gives a number that it does not declare.
    """
    numbers = {name for one in said for name in one.numbers}
    if numbers - set(declaration.quantities):
        raise TypeError(f"{declaration.name} gives {sorted(numbers - set(declaration.quantities))}, undeclared")
    per_row = {
        name: np.array([one.numbers.get(name, np.nan) for one in said], np.float64) for name in declaration.quantities
    }
    measures = [quantity_measure(name, quantity, per_row[name]) for name, quantity in declaration.quantities.items()]
    arrays = {f"number_{name}": values for name, values in per_row.items()}
    arrays["row_ids"] = np.array([str(row) for row in row_ids])
    for name in sorted({name for one in said for name in one.arrays}):
        held = [np.asarray(one.arrays[name]) for one in said if name in one.arrays]
        if len(held) == len(said) and len({array.shape for array in held}) == 1:
            arrays[name] = np.stack(held)
        else:
            arrays |= {
                f"{name}_{index}": np.asarray(one.arrays[name]) for index, one in enumerate(said) if name in one.arrays
            }
    rows = [
        {"row_id": str(row), "statements": plain(one.statements), "charts": plain(one.charts)}
        for row, one in zip(row_ids, said, strict=True)
    ]
    return Report(tuple(measures), arrays=arrays), {"rows": rows}


def quantity_measure(name: str, quantity: Quantity, values: Any) -> Measure:
    """A declared number over the rows where it is defined, with a bootstrap interval."""
    known = values[np.isfinite(values)]
    if not len(known):
        reason = "it is undefined for every row"
        return Measure(name, None, quantity.title, 0, quantity.unit, better=quantity.better, reason=reason)
    value = float(np.median(known) if quantity.aggregate == "median" else known.mean())
    interval = bootstrap_interval(known, quantity.aggregate)
    words = "median over rows" if quantity.aggregate == "median" else "mean over rows"
    title = f"{quantity.title}, {words}"
    return Measure(name, value, title, len(known), quantity.unit, interval, better=quantity.better)
