"""How often a model is asked again what it has answered already: what pays for it, and what is asked.

A sample of rows is asked three more times: together in another order, the same once more, and in calls of a few rows each.
"""

ROWS_REPEATED = 64
"""Rows of the sample, at most (own default). A model that draws at random differs on every one of them, one that takes other
rows into account on nearly every one."""
TIMES = 3
ROWS_APART = 7
"""Rows of a call where they are asked apart: a number that no batch is likely to be a multiple of."""


def rows_repeated(rows: int, sample: int = ROWS_REPEATED) -> int:
    """Model rows that asking again takes, of so many rows that there are."""
    return TIMES * min(sample, rows)
