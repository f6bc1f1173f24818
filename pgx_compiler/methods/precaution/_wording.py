"""How precaution methods say numbers and name their measures."""

import re
from collections.abc import Sequence

from pgx_compiler.evidence.results import Measure, Report


def percent(share: float) -> str:
    """``0.1234`` as ``12.3 %``; small shares keep two figures."""
    value = 100 * share
    return f"{value:.2g} %" if 0 < abs(value) < 1 else f"{value:.1f} %"


def number(value: float) -> str:
    """Three significant figures, without an exponent where it is avoidable."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def listing(names: Sequence[str], most: int = 5) -> str:
    """Names in backticks, the first few, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def measure_names(prefix: str, subjects: Sequence[str]) -> dict[str, str]:
    """Each subject's own measure name in snake_case, distinct even where two subjects differ by punctuation only."""
    taken: dict[str, str] = {}
    used: set[str] = set()
    for subject in subjects:
        plain = f"{prefix}_{re.sub(r'[^0-9a-z]+', '_', subject.lower()).strip('_')}"
        name, count = plain, 2
        while name in used:
            name, count = f"{plain}_{count}", count + 1
        used.add(name)
        taken[subject] = name
    return taken


def not_measured(name: str, title: str, reason: str) -> Report:
    """A report that says only why there is nothing to report."""
    return Report(measures=(Measure(name, None, title, reason=reason),))
