"""A search unrolled into its trials: which earlier ones each of them reads.

A suggestion is a function of the results that it may see. Were those whatever has come in, it would depend on which worker
is quicker. So the graph says it: with ``parallel: k``, trial t sees the results of trials 0 to t - k, and knows of the
k - 1 trials between them and itself only that they are under way, and their settings, which it derives as they did.
None of this depends on how many trials there are, so that further ones leave the earlier ones as they were.
"""

from collections.abc import Iterator

BASELINE = 0
"""The trial with the audited settings. Every other one waits for it: what it cannot be compared with is not trained."""
STARTUP = 10
"""Trials of a model-based search that come before it has a model: drawn at random, they wait for the audited settings
alone. Measured on two toy spaces with four trials under way (``benchmarks/tuning_startup.py``): the median best of 12 seeds
is lower than with 5 or 20 of them, at 12, 20 and 40 trials."""
SUMMARY_EVERY = 32
"""Every so many trials, one hands on all that it saw, so that no trial reads more than that many and a few."""

_BLIND = "hyperopt.rand"


def seen(number: int, search: str, parallel: int) -> range:
    """The trials whose results the suggestion of trial ``number`` may see; the later one, the more.

    Args:
        number: of the trial.
        search: the algorithm: ``hyperopt.tpe``. One that learns nothing sees nothing.
        parallel: trials that may be under way at once.
    """
    if number == BASELINE:
        return range(0)
    draws = search == _BLIND or (search == "hyperopt.tpe" and number < STARTUP)
    return range(1) if draws else range(max(1, number - parallel + 1))


def reads(number: int, search: str, parallel: int) -> Iterator[int]:
    """The trials that a trial is connected with: the audited settings, and what tells it of all that it may see."""
    visible = len(seen(number, search, parallel))
    if visible:
        yield BASELINE
    summary = (visible - 1) // SUMMARY_EVERY * SUMMARY_EVERY
    told = len(seen(summary, search, parallel)) if summary > 0 else 0
    yield from range(max(1, told), visible)


def hands_on(number: int) -> bool:
    """True where a trial's result tells of all that it saw."""
    return number > BASELINE and number % SUMMARY_EVERY == 0
