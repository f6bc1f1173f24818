"""A part of a step's rows: what a shard leaves of each row, and how gathering reads it back.

A shard keeps what the method said of its rows as it said it. Everything that looks over rows (summaries, intervals,
curves brought to one length, findings) is made by gathering, by the code that makes it where nothing is cut; so that
the result is the same to the byte.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.results import RowReport
from pgx_compiler.evidence.store import Artifact
from pgx_compiler.execute.bench import Bench
from pgx_compiler.methods.attributing import Attributed, Several
from pgx_compiler.methods.declaration import Declaration, RowScore

Inputs = Mapping[str, Any]


class LostRows(Exception):  # noqa: N818
    """Our own mistake: the shards of a step do not hold exactly its rows."""


def part_of(node: Mapping[str, Any], rows: int) -> slice | None:
    """The rows that a node works on, where it is a shard; where fewer rows were chosen than planned, perhaps none."""
    if "part" not in node["params"]:
        return None
    start, stop = node["params"]["part"]
    return slice(min(start, rows), min(stop, rows))


def shards(bench: Bench, inputs: Inputs, rows: int) -> list[Artifact]:
    """The results of a gathering's shards that hold rows, in the order of the rows. Raises `LostRows`."""
    names = sorted(port for port in inputs if port.startswith("shard."))
    found = [bench.artifact(inputs[port]["record"]) for port in names]
    held = sum(one.document["rows"] for one in found)
    if held != rows:
        raise LostRows(f"the shards hold {held} rows of {rows}")
    return [one for one in found if one.document["rows"]]


def nothing() -> Artifact:
    """What a shard leaves that has no rows."""
    return Artifact({"rows": 0})


def of_attributed(found: Attributed) -> Artifact:
    """What an attribution method gave for the rows of a shard."""
    arrays = {
        "values": found.values,
        "base_values": found.base_values,
        "scores": found.scores,
        **{f"map_{name}": array for name, array in found.maps.items()},
        **{f"note_{name}": array for name, array in found.notes.items()},
    }
    if found.standard_error is not None:
        arrays["standard_error"] = found.standard_error
    if found.several is not None:
        several = vars(found.several)
        arrays |= {f"several_{name}": array for name, array in several.items() if array is not None}
    return Artifact({"rows": len(found.values)}, arrays)


def attributed(parts: Sequence[Artifact]) -> Attributed:
    """The rows of all shards as one."""
    # what only some rows have is left out, as it is where nothing is cut
    common = set.intersection(*(set(part.arrays) for part in parts))
    joined = {name: np.concatenate([part.arrays[name] for part in parts]) for name in sorted(common)}

    def family(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): array for name, array in joined.items() if name.startswith(prefix)}

    several = family("several_")
    return Attributed(
        values=joined["values"],
        standard_error=joined.get("standard_error"),
        base_values=joined["base_values"],
        scores=joined["scores"],
        maps=family("map_"),
        notes=family("note_"),
        several=Several(**{"standard_error": None, **several}) if several else None,
    )


def of_statements(declaration: Declaration, said: Sequence[RowReport]) -> Artifact:
    """What a method stated of the rows of a shard. Raises `TypeError` where it gives a number that it does not declare."""
    numbers = {name for one in said for name in one.numbers}
    if numbers - set(declaration.quantities):
        raise TypeError(f"{declaration.name} gives {sorted(numbers - set(declaration.quantities))}, undeclared")
    arrays: dict[str, Any] = {
        f"number_{name}": np.array([one.numbers.get(name, np.nan) for one in said], np.float64)
        for name in declaration.quantities
    }
    shapes, held = _rowwise([one.arrays for one in said])
    rows = [{"statements": plain(one.statements), "charts": plain(one.charts)} for one in said]
    return Artifact({"rows": len(said), "said": rows, "arrays": shapes}, {**arrays, **held})


def statements(declaration: Declaration, parts: Sequence[Artifact]) -> list[RowReport]:
    """What was stated of the rows of all shards; statements and charts as the plain data that they become anyway."""
    return [
        RowReport(
            numbers={name: part.arrays[f"number_{name}"][index] for name in declaration.quantities},
            statements=said["statements"],
            arrays=arrays,
            charts=said["charts"],
        )
        for part in parts
        for index, (said, arrays) in enumerate(zip(part.document["said"], _by_row(part), strict=True))
    ]


def of_judged(found: Sequence[RowScore]) -> Artifact:
    """What a faithfulness check said of the rows of a shard."""
    shapes, held = _rowwise([{name: np.asarray(array) for name, array in one.extra.items()} for one in found])
    scores = np.array([one.score for one in found], np.float64)
    return Artifact({"rows": len(found), "arrays": shapes}, {"score": scores, **held})


def judged(parts: Sequence[Artifact]) -> list[RowScore]:
    """What was said of the rows of all shards."""
    return [
        RowScore(float(score), extra)
        for part in parts
        for score, extra in zip(part.arrays["score"], _by_row(part), strict=True)
    ]


def _rowwise(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, list[int]]], dict[str, Any]]:
    """Arrays of each row: their shapes by row, and under ``of_<name>`` all of one name, or ``of_<name>.<row>`` each.

    An archive knows no arrays without an axis, and rows may differ in shape and in type; nothing of it is lost here.
    """
    shapes = [{name: list(np.shape(array)) for name, array in row.items()} for row in rows]
    held: dict[str, Any] = {}
    for name in sorted({name for row in rows for name in row}):
        arrays = [np.asarray(row[name]) for row in rows if name in row]
        if len(arrays) == len(rows) and len({(array.shape, array.dtype) for array in arrays}) == 1:
            held[f"of_{name}"] = np.stack(arrays)
        else:
            held |= {f"of_{name}.{at}": np.asarray(row[name]) for at, row in enumerate(rows) if name in row}
    return shapes, held


def _by_row(part: Artifact) -> Iterator[dict[str, Any]]:
    for index, shapes in enumerate(part.document["arrays"]):
        yield {name: _held(part.arrays, name, index).reshape(shape) for name, shape in shapes.items()}


def _held(arrays: Mapping[str, Any], name: str, index: int) -> Any:
    whole = arrays.get(f"of_{name}")
    return arrays[f"of_{name}.{index}"] if whole is None else whole[index]
