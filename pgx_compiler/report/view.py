"""What the templates need beside the factsheet: order, anchors, tiles, tables cut to a length. No new numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pgx_compiler.report.factsheet import (
    AgreementEntry,
    Explanation,
    Fact,
    Factsheet,
    FaithfulnessEntry,
    FindingEntry,
    TuningEntry,
)
from pgx_compiler.report.figures import Series
from pgx_compiler.report.numbers import number
from pgx_compiler.report.slices import layers_of
from pgx_compiler.report.table_entry import TableEntry
from pgx_compiler.report.target_entry import GRIDS

Medium = Literal["html", "pdf"]
ROWS = {"html": 1000, "pdf": 200}
"""Longest table; the rest is in factsheet.json, and the page says so."""
COLUMNS = {"html": 40, "pdf": 9}
FINDINGS = {"html": 500, "pdf": 100}
"""Findings that are told, the gravest first; the others are counted."""
EXAMPLES = {"html": 24, "pdf": 8}
MAPS_ACROSS = {"html": 8, "pdf": 5}
"""Heat maps beside each other in one table."""
CHARTS = {"html": 40, "pdf": 12}
MOST_STATED = 24
"""Facts printed beside a statement; all of them stand in the index."""
MOST_SAID = 3
"""Sentences printed for one row."""
MOST_FEATURES = 15
MOST_SETTINGS = 5
"""Settings that get a column of their own in the table of candidates."""
_EXPLORED_NUMBERS = 120_000


@dataclass(frozen=True)
class Tile:
    """One headline number."""

    title: str
    value: Any
    unit: str
    interval: tuple[float, float] | None
    n: int | None
    threshold: str | None
    status: str | None
    """Of the gate on it, or why there is no value."""
    anchor: str | None
    reason: str | None


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what is read, and what it sorts by."""

    text: str
    raw: float | str
    numeric: bool


@dataclass(frozen=True)
class Grid:
    """A detail table, cut to what a page can hold."""

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    rows_left_out: int
    columns_left_out: int


def anchors(entries: Sequence[Fact | FindingEntry]) -> dict[str, str]:
    """Id of a fact or finding to its anchor in the page, unique and safe in an address."""
    made: dict[str, str] = {}
    taken: set[str] = set()
    for one in entries:
        kind = "fact-" if isinstance(one, Fact) else "finding-"
        slug = kind + re.sub(r"[^A-Za-z0-9._-]+", "-", one.id)[:200]
        while slug in taken:
            slug += f"-{len(made)}"
        if one.id not in made:
            made[one.id] = slug
            taken.add(slug)
    return made


def ordered(explanations: Sequence[Explanation]) -> list[Explanation]:
    """Perturbation first, gradient second, each in the order of the spec."""
    return sorted(explanations, key=lambda one: one.direction != "perturbation")


def marks(explanations: Sequence[Explanation]) -> dict[str, Series]:
    """How each step is marked in the charts; steps of the same method are told apart by their id."""
    titles = [one.title for one in explanations]
    seen = {"perturbation": 0, "gradient": 0}
    made = {}
    for one in ordered(explanations):
        title = one.title if titles.count(one.title) == 1 else one.step
        made[one.step] = Series(one.step, title, one.direction, seen[one.direction])
        seen[one.direction] += 1
    return made


def tile(factsheet: Factsheet, named: str, anchor: Mapping[str, str]) -> Tile:
    """A headline number from its fact, with the gate on it where there is one."""
    fact = next((one for one in factsheet.facts if one.id == named), None)
    gate = next((one for one in factsheet.gates if named in (one.gate, one.fact)), None)
    if fact is None and gate is None:
        return Tile(named, None, "", None, None, None, "not_measured", None, None)
    if fact is None:
        assert gate is not None
        return Tile(gate.title, gate.value, "", gate.interval, None, gate.threshold, gate.status, None, gate.reason)
    status = gate.status if gate else (fact.status if fact.status.startswith("not_") else None)
    value, bounds = fact.value, fact.interval
    reason = fact.reason or (gate.reason if gate else None)
    threshold = gate.threshold if gate else None
    return Tile(fact.title, value, fact.unit, bounds, fact.n, threshold, status, anchor.get(fact.id), reason)


def grid(table: TableEntry, medium: Medium) -> Grid:
    """A detail table with numbers to the right; rows and columns beyond what fits are counted, not shown."""
    columns = table.columns[: COLUMNS[medium]]
    numeric = tuple(_is_numeric([row[at] for row in table.rows if at < len(row)]) for at in range(len(columns)))
    rows = tuple(
        tuple(_cell(row[at] if at < len(row) else None, numeric[at]) for at in range(len(columns)))
        for row in table.rows[: ROWS[medium]]
    )
    left_out = max(0, len(table.rows) - ROWS[medium])
    return Grid(table.title, tuple(columns), numeric, rows, left_out, len(table.columns) - len(columns))


def records(title: str, entries: Sequence[Mapping[str, Any]], medium: Medium) -> Grid:
    """A table of mappings; its columns are their keys, in the order they first come up."""
    columns = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = [[entry.get(key) for key in columns] for entry in entries]
    return grid(TableEntry(step="", title=title, columns=columns, rows=rows), medium)


def _is_numeric(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)


def _cell(value: Any, numeric: bool) -> Cell:
    raw = value if isinstance(value, int | float) and not isinstance(value, bool) else number(value)
    return Cell(number(value), raw, numeric)


def by_unit(explanations: Sequence[Explanation]) -> list[tuple[str, list[Explanation]]]:
    """Methods that share a unit and the rows they explain, and so may share an axis."""
    groups: dict[tuple[str, str], list[Explanation]] = {}
    for one in explanations:
        groups.setdefault((one.unit, one.ground), []).append(one)
    return [(unit, group) for (unit, _), group in groups.items()]


def feature_order(explanations: Sequence[Explanation]) -> list[int]:
    """Features by their mean share of each method's largest magnitude, first the most important."""
    if not explanations:
        return []
    tops = [max((float(v) for v in one.mean_absolute), default=0.0) or 1.0 for one in explanations]
    count = len(explanations[0].feature_names)
    weight = [
        sum(float(one.mean_absolute[i]) / top for one, top in zip(explanations, tops, strict=True))
        for i in range(count)
    ]
    return sorted(range(count), key=lambda i: (-weight[i], i))


def batches(items: Sequence[Any], size: int) -> list[list[Any]]:
    """Items in runs of at most a size, as even as can be."""
    runs = -(-len(items) // size) or 1
    each = -(-len(items) // runs) or 1
    return [list(items[at : at + each]) for at in range(0, len(items), each)]


def left_out(named: Sequence[str], shown: Mapping[str, Any]) -> int:
    """How many of what is named is not shown."""
    return sum(name not in shown for name in named)


@dataclass(frozen=True)
class Matrix:
    """One agreement method over all pairs of steps."""

    method: str
    title: str
    entries: list[AgreementEntry]
    steps: list[str]

    def at(self, first: str, second: str) -> AgreementEntry | None:
        """The comparison of two steps, whichever way round; of a step with itself under another seed."""
        kind = "self" if first == second else "pair"
        pairs = ((first, second), (second, first))
        return next((e for e in self.entries if e.kind == kind and (e.first, e.second) in pairs), None)

    def level(self, entry: AgreementEntry) -> int:
        """Shade of a cell, 0 to 4, by where the median lies between chance and the best value."""
        if entry.median is None or entry.range is None:
            return 0
        low, high = float(entry.range[0]), float(entry.range[1])
        worst, best = (low, high) if entry.better == "higher" else (high, low)
        start = float(entry.chance) if entry.chance is not None else worst
        share = (float(entry.median) - start) / ((best - start) or 1.0)
        return round(4 * min(1.0, max(0.0, share)))


def matrices(factsheet: Factsheet, order: Sequence[str]) -> list[Matrix]:
    """The agreement entries by method."""
    groups: dict[str, list[AgreementEntry]] = {}
    for entry in factsheet.agreement:
        groups.setdefault(entry.step, []).append(entry)
    made = []
    for entries in groups.values():
        named = {name for entry in entries for name in (entry.first, entry.second)}
        steps = [name for name in order if name in named] + sorted(named - set(order))
        made.append(Matrix(entries[0].method, entries[0].title, entries, steps))
    return made


def checks_by_step(entries: Sequence[FaithfulnessEntry]) -> list[list[FaithfulnessEntry]]:
    """Faithfulness entries by their step."""
    groups: dict[str, list[FaithfulnessEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.step, []).append(entry)
    return list(groups.values())


def setting_names(tuning: TuningEntry) -> list[str]:
    """Every setting that a trial had, in the order they first come up."""
    return list(dict.fromkeys(name for trial in tuning.trials for name in trial.settings))


_SEVERITIES = ("error", "warning", "info")
SECTIONS = (
    "scope",
    "findings",
    "data",
    "explanations",
    "statements",
    "agreement",
    "faithfulness",
    "expectations",
    "tuning",
    "provenance",
    "signatures",
    "facts",
)


def context(factsheet: Factsheet, told: Mapping[str, str], medium: Medium) -> dict[str, Any]:
    """All names that the templates use."""
    anchor = anchors(factsheet.facts)
    marked = marks(factsheet.explanations)
    told_first = sorted(factsheet.findings, key=lambda one: _SEVERITIES.index(one.severity))[: FINDINGS[medium]]
    kind = factsheet.audit.layout.get("kind")
    ran = [one for one in ordered(factsheet.explanations) if one.status == "done" and one.rows]
    pictured = any(e.image or (e.slices and e.slices[0].image) for e in factsheet.examples)
    return {
        "f": factsheet,
        "w": told,
        "medium": medium,
        "sections": [name for name in SECTIONS if name != "statements" or factsheet.statements],
        "anchors": anchor,
        "facts": {fact.id: fact for fact in factsheet.facts},
        "findings_shown": told_first,
        "told_elsewhere": {id for check in factsheet.precaution for id in check.findings}
        | {id for stated in factsheet.statements for id in stated.findings},
        "drawn_at_random": {one.step for one in factsheet.explanations if one.mean_standard_error is not None},
        "findings": {finding.id: finding for finding in told_first},
        "finding_anchors": anchors(told_first),
        "tiles": [tile(factsheet, named, anchor) for named in factsheet.verdict.headline[:5]],
        "marks": marked,
        "cards": ordered(factsheet.explanations),
        "ran": ran,
        "matrices": matrices(factsheet, list(marked)),
        "kind": kind,
        "on_grid": kind in (*GRIDS, "segments", "supervoxels"),
        "own_features": kind in ("words", "segments", "supervoxels"),
        "pictured": pictured,
        "segments_hidden": kind in ("segments", "supervoxels")
        and not any(e.owners or (e.slices and e.slices[0].owners) for e in factsheet.examples),
        "signs": {one.step: one.signed for one in factsheet.explanations},
        "most_words": 12,
        "examples": factsheet.examples[: EXAMPLES[medium]],
        "most_rows": ROWS[medium],
        "maps_across": MAPS_ACROSS[medium] - pictured,  # the row's own picture stands beside them
        "most_features": MOST_FEATURES,
        "most_settings": MOST_SETTINGS,
        "most_charts": CHARTS[medium],
        "most_stated": MOST_STATED,
        "most_said": MOST_SAID,
    }


def explorer(factsheet: Factsheet, told: Mapping[str, str]) -> dict[str, Any] | None:
    """What the page's script needs to show one row at a time; None where it would make the page too heavy."""
    examples = factsheet.examples[: EXAMPLES["html"]]
    if not examples or sum(len(one.values) for e in examples for one in e.explanations) > _EXPLORED_NUMBERS:
        return None
    ran = [one for one in ordered(factsheet.explanations) if one.status == "done"]
    marked = marks(factsheet.explanations)
    names = next((one.feature_names for one in ran if not one.layout), [])
    return {
        "layout": {key: factsheet.audit.layout.get(key) for key in ("kind", "rows", "columns")},
        "features": names,
        "stops": list(_stops()),
        "words": {key: told[key] for key in _SCRIPT_WORDS},
        "methods": [
            {"step": one.step, "title": marked[one.step].title, "direction": one.direction, "unit": one.unit}
            for one in ran
        ],
        "examples": [
            {
                "row": e.row_id,
                "target": e.target,
                "predicted": e.predicted,
                "label": e.label,
                "inputs": e.inputs,
                "image": e.image is not None,
                "features": e.features,
                "owners": e.owners,
                "layers": layers_of(e.slices, factsheet.audit.layout),
                "values": {one.step: [float(f"{v:.4g}") for v in one.values] for one in e.explanations},
            }
            for e in examples
        ],
    }


_SCRIPT_WORDS = (
    "choose_row", "previous", "next", "row", "target", "predicted", "label", "feature", "value", "copy", "copied",
    "filter_facts", "all_statuses", "theme", "shown_of", "sort_by", "hover_hint", "picture_of_row",
)  # fmt: skip


def _stops() -> tuple[str, ...]:
    from pgx_compiler.report.heat_maps import STOPS

    return STOPS
