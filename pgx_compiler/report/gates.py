"""Hold the facts against the gates of the spec."""

from collections.abc import Mapping, Sequence

from pgx_compiler.report.factsheet import Fact, GateEntry
from pgx_compiler.spec.model import Gate


def fact_id(gate: Gate, facts: Mapping[str, Fact]) -> str:
    """The id of the fact that a gate means; of a pair of steps, in whichever order the fact names them."""
    if gate.between:
        first, second = gate.between
        found = [f"{gate.fact}.{a}~{b}.{gate.aggregate}" for a, b in ((first, second), (second, first))]
        return next((name for name in found if name in facts), found[0])
    if gate.of:
        return f"{gate.fact}.{gate.of}.{gate.aggregate}"
    return gate.fact


def threshold_in_words(gate: Gate) -> str:
    """``>= 0.5``, ``between 0.2 and 0.8``, with the end of the interval that must hold."""
    if gate.min is not None and gate.max is not None:
        words = f"between {gate.min:g} and {gate.max:g}"
    else:
        words = f">= {gate.min:g}" if gate.min is not None else f"<= {gate.max:g}"
    end = {"value": "", "lower": " (lower end of the interval)", "upper": " (upper end of the interval)"}[gate.bound]
    return words + end


def judge_gates(gates: Sequence[Gate], facts: Mapping[str, Fact]) -> list[GateEntry]:
    """Each gate passed, failed or unknown; a value that was not measured is unknown, never a pass."""
    return [_judge(number, gate, facts) for number, gate in enumerate(gates)]


def _judge(number: int, gate: Gate, facts: Mapping[str, Fact]) -> GateEntry:
    name = fact_id(gate, facts)
    fact = facts.get(name)
    value, reason = _decisive(gate, fact)
    status = "unknown"
    if value is not None:
        above = gate.min is None or value >= gate.min - gate.tolerance
        below = gate.max is None or value <= gate.max + gate.tolerance
        status = "passed" if above and below else "failed"
    return GateEntry.model_validate(
        {
            "gate": gate.id or f"gate {number + 1}",
            "fact": name,
            "title": fact.title if fact else name,
            "aggregate": gate.aggregate,
            "value": fact.value if fact and not isinstance(fact.value, str) else None,
            "interval": fact.interval if fact else None,
            "threshold": threshold_in_words(gate),
            "min": gate.min,
            "max": gate.max,
            "bound": gate.bound,
            "status": status,
            "reason": reason,
        }
    )


def _decisive(gate: Gate, fact: Fact | None) -> tuple[float | None, str | None]:
    """The number that decides, or why there is none."""
    if fact is None:
        return None, "no step has measured it"
    if fact.value is None or isinstance(fact.value, str):
        return None, fact.reason or "it has no value"
    if gate.bound == "value":
        return float(fact.value), None
    if fact.interval is None:
        return None, "it has no interval: too few rows"
    return float(fact.interval[0 if gate.bound == "lower" else 1]), None
