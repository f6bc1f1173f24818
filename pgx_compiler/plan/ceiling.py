"""What no audit may cost, whatever its budget says: a slip of the keyboard or a spec that is meant to run for ever."""

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic
from pgx_compiler.ir.node import Node
from pgx_compiler.plan.plan import Plan

BEYOND_REASON = Code(
    5014,
    "beyond-reason",
    "A step would ask the model for more than a million million rows, or hold more than 1 TiB of its own arrays at once: no"
    " machine finishes that. The parameters that make the cost are those that `pgx compile` prices; most often a number of"
    " samples has some zeros too many.",
)
MOST_ROWS = 10**12
MOST_BYTES = 2**40


def beyond_reason(plan: Plan) -> Diagnostic | None:
    """What is to be said of the dearest step, where it is beyond the ceiling."""
    for node in sorted(plan.graph, key=_rows, reverse=True)[:1]:
        if _rows(node) > MOST_ROWS:
            return _said(plan, node, f"needs {_rows(node):,} model rows; {MOST_ROWS:,} are the most")
    for node in sorted(plan.graph, key=_bytes, reverse=True)[:1]:
        if _bytes(node) > MOST_BYTES:
            return _said(plan, node, f"would hold {_bytes(node):,} bytes at once; {MOST_BYTES:,} are the most")
    return None


def _rows(node: Node) -> int:
    return int(node.cost.get("forward", 0)) + int(node.cost.get("backward", 0))


def _bytes(node: Node) -> int:
    return int(node.cost.get("bytes", 0))


def _said(plan: Plan, node: Node, told: str) -> Diagnostic:
    path = next((step.path for step in plan.audit.steps if step.id == node.step), ("kind",))
    help_ = "ask for fewer samples, rows, features or trials"
    return Diagnostic(BEYOND_REASON, f"`{node.step or node.id}` {told}", plan.audit.span(*path), help_, path=path)
