"""The plan as a table for a terminal: what runs, where, at what price, and why."""

from pgx_compiler.evidence.store import Store
from pgx_compiler.plan.plan import Plan


def table(plan: Plan, store: Store | None = None) -> str:
    """One line a node; with a store also whether its result is known already (``hit``) or must be computed (``run``)."""
    rows = [("step", "what", "runtime", "forward", "backward", "state")]
    states: dict[str, str] = {}
    for node in plan.graph:
        if node.op in ("model", "data"):
            continue
        states[node.id] = "hit" if store is not None and store.find(node.key) is not None else "run"
        rows.append(
            (
                node.id,
                node.op if node.method is None else f"{node.op} {node.method}",
                node.runtime or "host",
                _rows(node.cost.get("forward", 0)),
                _rows(node.cost.get("backward", 0)),
                states[node.id],
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if i in (3, 4) else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"  {node.id}: {node.note}" for node in plan.graph if node.note and node.step]
    totals = plan.totals
    known = sum(state == "hit" for state in states.values())
    price = f"{totals['forward']:,} model rows forward, {totals['backward']:,} backward"
    lines += ["", f"{totals['nodes']} nodes, {known} known already; {price}"]
    budget = plan.audit.spec.strategy.budget.model_rows
    if budget:
        lines.append(f"budget: {budget:,} model rows, {totals['model_rows'] / budget:.0%} of it planned")
    if notes:
        lines += ["", "chosen by the compiler:", *notes]
    lines.append(f"plan {plan.digest[:16]}, spec {plan.spec_digest[:16]}")
    return "\n".join(lines)


def _rows(count: int) -> str:
    return f"{count:,}" if count else "-"
