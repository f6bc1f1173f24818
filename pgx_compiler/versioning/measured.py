"""The answer of a run, reduced to what another run's can be held against; also what a baseline keeps."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pgx_compiler.diagnostics.nearest import quoted
from pgx_compiler.evidence.canonical import digest, plain, unarchive
from pgx_compiler.evidence.store import DamagedEvidence
from pgx_compiler.report.factsheet import Factsheet

Number = int | float


class Part(BaseModel):
    """Base of every part: strict about keys, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measured(Part):
    """One fact."""

    value: Number | str | None
    n: int | None = None
    interval: tuple[Number, Number] | None = None
    """95 %; from the standard error where the fact has no interval of its own."""
    unit: str = ""


class Held(Part):
    """One gate."""

    fact: str
    value: Number | None
    threshold: str
    status: str


class Found(Part):
    """One finding."""

    code: str
    severity: str
    verdict: str
    title: str


class Ranked(Part):
    """Mean magnitude of one feature, and its 95 % interval."""

    value: Number
    interval: tuple[Number, Number] | None = None


class Answer(Part):
    """All of a run's answer that can be compared."""

    verdict: str
    gates: dict[str, Held]
    """By the fact that is held; a second gate on one fact is numbered."""
    findings: dict[str, Found]
    facts: dict[str, Measured]
    importance: dict[str, dict[str, Ranked]]
    """Step to feature."""


class Work(Part):
    """What a node computes, and from what: enough to say whether its numbers can be held against another run's."""

    inputs: tuple[str, ...] = ()
    made_of: dict[str, str]
    """Ingredient to a short digest or a version; what the model file alone decides is left out."""


def answer_of(factsheet: Factsheet) -> Answer:
    """The answer in a factsheet."""
    return Answer(
        verdict=factsheet.verdict.status,
        gates=_gates(factsheet),
        findings={
            item.id: Found(code=item.code, severity=item.severity, verdict=item.verdict, title=item.title)
            for item in factsheet.findings
        },
        facts={
            fact.id: Measured(value=_rounded(fact.value), n=fact.n, interval=_interval(fact), unit=fact.unit)
            for fact in factsheet.facts
        },
        importance={
            entry.step: {
                name: Ranked(
                    value=_rounded(entry.mean_absolute[at]),
                    interval=_both(entry.mean_absolute_interval[at]) if entry.mean_absolute_interval else None,
                )
                for at, name in enumerate(entry.feature_names)
            }
            for entry in factsheet.explanations
            if entry.status == "done"
        },
    )


def _gates(factsheet: Factsheet) -> dict[str, Held]:
    """Gates by the fact that they hold: their own names count positions, which a new gate moves."""
    found: dict[str, Held] = {}
    for gate in factsheet.gates:
        same = sum(held.fact == gate.fact for held in found.values())
        name = f"{gate.fact} ({same + 1})" if same else gate.fact
        value = _rounded(gate.value)
        found[name] = Held(fact=gate.fact, value=value, threshold=gate.threshold, status=gate.status)
    return found


def _interval(fact: Any) -> tuple[Number, Number] | None:
    if fact.interval is not None:
        return _both(fact.interval)
    if fact.standard_error is None or not isinstance(fact.value, int | float):
        return None
    half = 1.959964 * fact.standard_error
    return _both((fact.value - half, fact.value + half))


def _both(pair: tuple[Number, Number]) -> tuple[Number, Number]:
    return _rounded(pair[0]), _rounded(pair[1])


def _rounded(value: Any) -> Any:
    """Nine digits: below that, numbers of equal runs on two machines differ, and nobody reads them."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def work_of(
    nodes: Mapping[str, Mapping[str, Any]], lock: Mapping[str, Any], folder: Path | None = None
) -> dict[str, Work]:
    """The work of every node of a plan.

    Rows and references are known by what was chosen, where the run's folder has it: the same rows are the same
    rows whatever chose them.
    """
    found = {}
    for name, node in nodes.items():
        params = {key: value for key, value in node.get("params", {}).items() if (node["op"], key) not in _OF_THE_FILE}
        made_of = {key: digest(value)[:16] for key, value in params.items()}
        made_of["operation"] = f"{node['op']} {lock.get('operations', {}).get(node['op'], '')}".strip()
        if node.get("method"):
            made_of["method"] = f"{node['method']} {lock.get('methods', {}).get(node['method'], '')}".strip()
        inputs = tuple(sorted(node.get("inputs", {}).values()))
        chosen = _chosen(folder, node["op"]) if folder is not None else None
        if chosen is not None:
            made_of, inputs = {"rows" if node["op"] == "rows" else "values": chosen}, ()
        found[name] = Work(inputs=inputs, made_of=dict(sorted(made_of.items())))
    return found


_OF_THE_FILE = frozenset({("model", "sha256"), ("model", "suffix"), ("model", "renamed")})
"""What another file of the same model may change without the question being another."""

_CHOSEN: Mapping[str, tuple[str, ...]] = {"rows": ("row_ids",), "references": ()}
"""Operation to the arrays that say what it chose; none: all of them."""


def _chosen(folder: Path, op: str) -> str | None:
    path = folder / "evidence" / op / f"{op}.npz"
    if op not in _CHOSEN or not path.is_file():
        return None
    try:
        arrays = unarchive(path.read_bytes())
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DamagedEvidence(f"{path} cannot be read") from error
    names = _CHOSEN[op] or tuple(sorted(arrays))
    return digest([[name, plain(arrays[name])] for name in names if name in arrays])[:16]


def node_of(fact: str, work: Mapping[str, Work]) -> str | None:
    """The node that a fact comes from: the longest one whose name the fact's begins with."""
    parts = fact.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in work), None)


def why_not_comparable(node: str, old: Mapping[str, Work], new: Mapping[str, Work]) -> list[str]:
    """What differs in what a node computes and in all that it rests on; empty where its numbers can be compared."""
    reasons: dict[str, None] = {}
    alone: dict[str, list[str]] = {"newer": [], "older": []}
    waiting, seen = [node], {node}
    while waiting:
        name = waiting.pop()
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            alone["newer" if before is None else "older"].append(name)
            continue
        differing = sorted(
            key for key in {*before.made_of, *after.made_of} if before.made_of.get(key) != after.made_of.get(key)
        )
        if differing:
            reasons[_reason(name, differing)] = None
        for needed in {*before.inputs, *after.inputs} - seen:
            seen.add(needed)
            waiting.append(needed)
    only = [f"only the {which} one has {quoted(sorted(names), 3)}" for which, names in alone.items() if names]
    return [*sorted(reasons), *only]


def _reason(node: str, differing: list[str]) -> str:
    if node == "rows":
        return "other rows are explained"
    if node == "references":
        return "the references differ"
    if node.startswith("data."):
        return f"the {node.removeprefix('data.')} data differ"
    words = {"with": "parameters", "method": "the method or its version", "operation": "the operation's version"}
    return f"{', '.join(words.get(key, f'`{key}`') for key in differing)} of {node} differ"
