"""The plan as a table for a terminal: what runs, where, at what price, for how long, and why. At most 100 columns wide."""

import textwrap
from collections.abc import Iterable, Sequence

from pgx_compiler.diagnostics.render import harmless
from pgx_compiler.ir.node import Node
from pgx_compiler.plan.forecast import Forecast, spoken
from pgx_compiler.plan.plan import Plan, distinct
from pgx_compiler.plan.selection import Selection
from pgx_compiler.plan.shards import groups_of
from pgx_compiler.plan.stages import PARTS, stage_of
from pgx_compiler.plan.states import FOOTER, SOURCES

WIDTH = 100
"""Columns of a terminal that the table needs at most."""
_LONGEST = 41
_RUNTIMES = {"onnx_runtime": "onnx", "tensorflow_native": "tensorflow", None: "host"}
_HEAD = ("step", "runtime", "forward", "backward", "memory", "time", "state")
_RIGHT = (2, 3, 4, 5)


def table(plan: Plan, found: Forecast, selection: Selection | None = None) -> str:
    """The nodes by stage with their prices, sums, and what the store knows already."""
    nodes = [n for n in plan.folded if n.op not in SOURCES and (selection is None or n.id in selection.nodes)]
    priced = {node.id for node in distinct(plan.folded)}
    shards = {
        name: f"{len(parts)} {'trials' if plan.graph[name].op == 'tune' else 'shards'}"
        for name, parts in groups_of(plan.graph).items()
    }
    rows: list[tuple[str, ...]] = []
    for part in PARTS:
        of_part = [node for node in nodes if stage_of(node) == part]
        if of_part:
            rows.append(_sum(part, of_part, priced, found))
            rows += [_row(node, part, node.id in priced, found, shards.get(node.id, "")) for node in of_part]
    lines = _laid_out([_HEAD, *rows])
    lines.insert(1, "-" * max(len(line) for line in lines))
    return harmless("\n".join([*lines, "", *_summary(plan, nodes, priced, found, selection)]), keep_newlines=True)


def _row(node: Node, part: str, paid: bool, found: Forecast, shards: str) -> tuple[str, ...]:
    cost = node.cost if paid else {}
    cut = f"  {shards}" if shards else ""
    return (
        "  " + shortened(_name(node, part), _LONGEST - 2 - len(cut)) + cut,
        _RUNTIMES.get(node.runtime, node.runtime or ""),
        _count(cost.get("forward", 0)) if paid else "shared",
        _count(cost.get("backward", 0)) if paid else "shared",
        size(cost.get("bytes", 0)),
        spoken(found.seconds[node.id]) if node.id in found.seconds else "?",
        found.states[node.id],
    )


def _sum(part: str, nodes: Sequence[Node], priced: Iterable[str], found: Forecast) -> tuple[str, ...]:
    paid = [node for node in nodes if node.id in priced]
    known = [found.seconds[node.id] for node in paid if node.id in found.seconds]
    states = [found.states[node.id] for node in nodes]
    return (
        f"{part} ({len(nodes)})",
        "",
        _count(sum(node.cost.get("forward", 0) for node in paid)),
        _count(sum(node.cost.get("backward", 0) for node in paid)),
        size(max((node.cost.get("bytes", 0) for node in paid), default=0)),
        (spoken(sum(known)) + ("+" if len(known) < len(paid) else "")) if known else "?",
        f"{states.count('hit')}/{len(nodes)}",
    )


def _name(node: Node, part: str) -> str:
    """The id without the stage that the group says already, with the algorithm where it has another name."""
    first, _, rest = node.id.partition(".")
    name = rest if rest and first in (part, "explain", "model") else node.id
    return f"{name} = {node.method}" if node.op == "attribute" and node.step and node.method != node.step else name


def shortened(text: str, width: int) -> str:
    """A name cut in the middle, where the end tells it apart as much as the beginning."""
    if len(text) <= width:
        return text
    tail = width * 3 // 5
    return f"{text[: width - tail - 1]}…{text[-tail:]}"


def _laid_out(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    return [
        "  ".join(
            cell.rjust(width) if i in _RIGHT else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _summary(
    plan: Plan, nodes: Sequence[Node], priced: Iterable[str], found: Forecast, selection: Selection | None
) -> list[str]:
    paid = [node for node in nodes if node.id in priced]
    forward, backward = (sum(node.cost.get(way, 0) for node in paid) for way in ("forward", "backward"))
    lines = []
    if selection is not None:
        all_of_them = plan.totals["nodes"]
        lines.append(f"selected by {selection.words}: {len(nodes)} of {all_of_them} nodes, what they rest on included")
    here = {node.id for node in nodes}
    left = [name for name in found.left if name in here]
    predicted = [name for name in left if name in found.seconds]
    known = sum(found.states[node.id] == "hit" for node in nodes)
    lines.append(f"{len(nodes)} nodes, {known} known already; {forward:,} model rows forward, {backward:,} backward")
    if left:
        seconds = sum(found.seconds[name] for name in predicted)
        said = f"about {spoken(seconds)}, one after another; " if predicted else ""
        lines.append(f"left to compute: {said}{len(predicted)} of {len(left)} nodes have a measurement to go by")
    largest = max((node.cost.get("bytes", 0) for node in nodes), default=0)
    if largest:
        lines.append(f"memory: a step's own arrays at their largest, roughly; {size(largest)} here")
    lines += _budget(plan)
    lines.append(FOOTER)
    reasons = {(node.step, node.note): node.id for node in reversed(nodes) if node.note and node.step}
    notes = [
        f"{name}: {note}" for (_, note), name in reversed(reasons.items())
    ]  # a reason of a whole step is said once
    if notes:
        lines += ["", "chosen by the compiler:"]
        for note in notes:
            lines += textwrap.wrap(note, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    composition = plan.audit.document.composition
    told = [f"left out: {one.step}, since `{one.because}` does not hold" for one in composition.left_out]
    told += [f"overridden by {text}" for text in composition.overrides]
    lines += ["", *told] if told else []
    lines += ["", f"plan {plan.digest[:16]}, spec {plan.spec_digest[:16]}"]
    return lines


def _budget(plan: Plan) -> list[str]:
    budget = plan.audit.spec.strategy.budget.model_rows
    return [f"budget: {budget:,} model rows, {plan.totals['model_rows'] / budget:.0%} of it planned"] if budget else []


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def size(number: int) -> str:
    """Bytes in a few characters: ``12 kB``."""
    if not number:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 9999.5 or unit == "GB":
            break
        number = round(number / 1000)
    return f"{number:,} {unit}"
