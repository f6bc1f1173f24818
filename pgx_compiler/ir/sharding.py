"""Where a long step is cut into shards of rows: a function of rows and prices, for the plan and for who reckons with it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Sharding:
    """How long a step must be before its rows are cut into shards, and into how many.

    A part of the plan: the same on every host, on every engine, for any number of workers. Work is counted in multiply-adds
    of the model, since a row of an image network takes ten thousand times as long as one of a small table; a core does
    some ten thousand millions of them a second (measured on the audits under ``specs/``: 8 to 12).
    """

    least: int = 5_000_000_000
    """Work of a shard, at least: about half a second of one core. A shard costs some 5 ms besides (a process is there
    already, and has the model open), so that cutting costs about one part in a hundred; a step below a second stays whole."""
    most: int = 16
    """Shards of a step, at most, while none of them is beyond `long`: 16 cores are then all at work, 2 cores end
    within a sixteenth of the step of one another, and the list of a plan's nodes stays readable."""
    long: int = 5_000_000_000_000
    """Work of a shard, at most, as long as there are rows to part: about ten minutes of one core, which is what a run
    that is killed loses of a step at each worker."""
    ever: int = 256
    """Shards of a step, at most, whatever its work."""
    again: float = 0.05
    """Share of a step's model rows, at most, that all shards together may ask again: each needs the base value that all rows
    have, or the scores of a sample of the training rows."""
    row: int = 20_000
    """What a row costs beside the model's own work, in multiply-adds: to be composed and handed over takes about 2 µs
    (measured: 1 on a small network, 4 on a forest, whose comparisons the file's facts undercount)."""


def borders(
    rows: int,
    together: int,
    asked: int,
    work_per_row: int,
    cost: Callable[[int], int],
    settings: Sharding = Sharding(),
) -> list[int]:
    """Where each shard of a step begins, and where the last one ends; empty where the step stays whole.

    Args:
        rows: that are planned.
        together: rows that cannot be parted; see `Declaration.rows_together`.
        asked: model rows, forward and backward, that the whole step takes.
        work_per_row: multiply-adds of a forward pass of the model.
        cost: the same of so many of its rows.
        settings: how long a step must be.
    """
    groups = ceil(rows / together)
    work = asked * (work_per_row + settings.row)
    most = max(settings.most, min(ceil(work / settings.long), settings.ever))
    shards = min(work // settings.least, most, groups)
    if shards > 1:
        # what a step asks for once whatever its rows, every further shard asks for as well
        border = groups // 2 * together
        again = cost(border) + cost(rows - border) - cost(rows)
        shards = min(shards, 1 + int(settings.again * asked / again)) if again > 0 else shards
    if shards < 2:
        return []
    return [min(groups * number // shards * together, rows) for number in range(shards + 1)]
