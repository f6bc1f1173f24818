"""What each operation of the graph does. A function takes the node, its inputs and a bench, and makes an `Artifact`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pgx_compiler.evidence.canonical import canonical_json, plain, write_archive
from pgx_compiler.evidence.results import Report, RowReport
from pgx_compiler.evidence.store import ARRAYS, DOCUMENT, Artifact, Store
from pgx_compiler.evidence.summary import summarise
from pgx_compiler.execute import parts, reliance, repetition, rows_chosen, texts, trials
from pgx_compiler.execute.bench import (
    Bench,
    UnfitInput,
    attribution_of,
    audit_data,
    bound_table,
    chosen_rows,
    explained_rows,
    feature_map,
    features_from,
    rows_used,
    table_data,
)
from pgx_compiler.execute.model_checks import parity, performance
from pgx_compiler.execute.predicting import finite_predictions, not_finite
from pgx_compiler.execute.self_checks import explanation_report
from pgx_compiler.execute.statements import statements_report
from pgx_compiler.methods.apply import across_rows, attribute, compare, judge_rows, make_global, scores_of, state
from pgx_compiler.methods.attributing import Attributed, Several
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration, RowScore
from pgx_compiler.modalities import modalities
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Spent
from runtimes.engines.contract import Place

Node = Mapping[str, Any]
Inputs = Mapping[str, Any]
Progress = Callable[[int, int], None]
Operation = Callable[[Bench, Node, Inputs, Progress], Artifact]

_benches: dict[str, Bench] = {}


def perform(payload: Mapping[str, Any], place: Place, progress: Progress) -> Mapping[str, Any]:
    """Compute one node: the one function that workers run.

    Args:
        payload: ``node`` (a `pgx_compiler.ir.node.Node` as a dictionary) and ``inputs`` (port to ``{"id", "op", "params",
            "record"}``).
        place: what the store shows of itself, and where ``document.json`` and ``arrays.npz`` are left.
        progress: told the rows done and the rows there are.

    Returns:
        ``spent`` (model rows) and ``seconds``.
    """
    node = payload["node"]
    bench = _benches.setdefault(str(place.reads), Bench(Store(place.reads)))
    before = _spent(bench)
    started = time.perf_counter()
    artifact = OPERATIONS[node["op"]](bench, node, payload["inputs"], progress)
    seconds = time.perf_counter() - started
    after = _spent(bench)
    spent = {"forward": after.forward - before.forward, "backward": after.backward - before.backward}
    for name, rows in artifact.document.get("spent_inside", {}).items():
        spent[name] += rows
    if after.halved > before.halved:
        # Said where the rows are said: results may differ by rounding from those of a machine with more memory.
        spent["halved"] = after.halved - before.halved
    (place.writes / DOCUMENT).write_bytes(canonical_json(artifact.document))
    if artifact.arrays:
        with (place.writes / ARRAYS).open("wb") as file:
            write_archive(file, artifact.arrays)
    bench.scratch.release()
    return {"spent": spent, "seconds": seconds}


def _spent(bench: Bench) -> Spent:
    handles = bench.models.values()
    return Spent(*(sum(getattr(h.spent, kind) for h in handles) for kind in ("forward", "backward", "halved")))


def _report(report: Report) -> Artifact:
    document = {"measures": plain(report.measures), "findings": plain(report.findings), "tables": plain(report.tables)}
    if report.charts:
        document["charts"] = plain(report.charts)
    return Artifact(document, report.arrays)


def _check(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    declaration = catalogue()[node["method"]]
    about = node["params"]["about"]
    data = audit_data(bench, about, inputs)
    params = declaration.params.model_validate(node["params"]["with"])
    arguments: list[Any] = [data]
    if declaration.capability:
        arguments.append(bench.model(inputs["model"]["params"], about["score"], node["runtime"]))
    arguments.append(params)
    if declaration.stochastic:
        arguments.append(np.random.default_rng(node["seed"]))
    report = declaration.function(*arguments)
    rows = len(data.train) + (len(data.test) if data.test else 0)
    progress(rows, rows)
    return _report(report)


def _predict(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    split = bench.split(inputs["data"]["params"])
    model = inputs["model"]["params"]
    kinds = {"score": node["params"]["score"]}
    kinds["output"] = "probability" if node["params"]["task"] == "classification" else "value"
    arrays = {}
    for done, (name, score) in enumerate(kinds.items(), 1):
        handle = bench.model(model, score, node["runtime"])

        def told(rows: int, done: int = done) -> None:
            bench.scratch.release()
            progress((done - 1) * len(split) + rows, 2 * len(split))

        arrays[name] = finite_predictions(handle, split, inputs["data"]["params"], told)
        bad = np.flatnonzero(~np.isfinite(arrays[name]).all(axis=1))
        if len(bad):
            raise UnfitInput(not_finite(split.inputs, inputs["data"]["params"], int(bad[0]), len(bad)))
        progress(done * len(split), 2 * len(split))
    if split.labels is not None:
        arrays["labels"] = split.labels
    return Artifact({"rows": len(split), "format": model["format"], "split": split.name}, arrays)


def _parity(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:  # noqa: ARG001
    black = bench.artifact(inputs["onnx"]["record"]).arrays
    # where the audit has both, the one that is farther off speaks for the white box
    white = {port: bench.artifact(inputs[port]["record"]).arrays for port in ("keras", "rebuilt") if port in inputs}
    farthest = max(white, key=lambda port: float(np.abs(white[port]["output"] - black["output"]).max()))
    coarse, rebuilt = node["params"].get("coarse", False), farthest == "rebuilt"
    classes = node["params"]["task"] == "classification"
    report, holds = parity(white[farthest], black, node["params"]["score"], rebuilt, coarse, classes=classes)
    artifact = _report(report)
    return Artifact({**artifact.document, "holds": holds}, artifact.arrays)


def _performance(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:  # noqa: ARG001
    test, train = (
        {name: held[name] for name in ("output", "labels") if name in held} if held is not None else None
        for port in ("test", "train")
        for held in (bench.artifact(inputs[port]["record"]).arrays if port in inputs else None,)
    )
    assert test is not None
    return _report(performance(test, train, node["params"]["task"], node["params"].get("chosen", ())))


def _rows(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:  # noqa: ARG001
    split = bench.split(inputs["data"]["params"])
    predictions = {"output": bench.artifact(inputs["predictions"]["record"]).arrays["output"]}
    return rows_chosen.choose(split, predictions, node["params"], np.random.default_rng(node["seed"]))


def _references(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:  # noqa: ARG001
    train = bench.split(inputs["train"]["params"])
    split = bench.split(inputs["data"]["params"])
    index = bench.artifact(inputs["rows"]["record"]).arrays["index"]
    description = node["params"]["features"]
    if "features" in inputs:
        features = features_from(bench.artifact(inputs["features"]["record"]))
    else:
        features = feature_map(description, train.inputs)
    chosen = chosen_rows(split, index, inputs["data"]["params"])
    modality = modalities()[description["modality"]]
    found = modality.references(
        chosen, train.inputs, node["params"]["fill"], features, np.random.default_rng(node["seed"])
    )
    return Artifact({"name": found.name, "references": len(found), "packed": dict(found.packed)}, found.inputs)


def _features(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:  # noqa: ARG001
    split = bench.split(inputs["data"]["params"])
    index = bench.artifact(inputs["rows"]["record"]).arrays["index"]
    description = node["params"]["features"]
    chosen = chosen_rows(split, index, inputs["data"]["params"])
    told = texts.with_words(description, bench.store)
    found = modalities()[description["modality"]].features_of_rows(chosen, told)
    assert found.counts is not None
    arrays = {"names": np.array(found.names), "counts": found.counts}
    arrays |= {f"owner_{name}": owner for name, owner in found.owners.items()}
    if found.labels is not None:
        arrays["labels"] = found.labels
    return Artifact({"layout": plain(found.layout)}, arrays)


def _attribute(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    declaration = catalogue()[node["method"]]
    model = bench.model(inputs["model"]["params"], node["params"]["score"], node["runtime"])
    rows, ids = explained_rows(bench, node, inputs)
    part = parts.part_of(node, len(ids))
    if part and part.start == part.stop:
        return parts.nothing()
    params = declaration.params.model_validate(node["params"]["with"])
    found = attribute(declaration, model, rows, params, node["seed"] or 0, ids, progress, part)
    every = found.values if found.several is None else found.several.values
    if not np.isfinite(every).all():
        raise UnfitInput(f"{declaration.name} gives values that are not finite")
    return parts.of_attributed(found) if part else _attribution(node, rows, ids, found)


def _attribution(node: Node, rows: Rows, ids: list[str], found: Attributed) -> Artifact:
    """What an attribution step leaves of all its rows."""
    declaration = catalogue()[node["method"]]
    arrays = {
        "values": found.values,
        "feature_names": np.array(rows.features.names),
        "row_ids": np.array(ids),
        "targets": rows.target,
        "base_values": found.base_values,
        "scores": found.scores,
        **{f"map_{name}": array for name, array in found.maps.items()},
        **{f"input_{name}": array for name, array in rows.inputs.items()},
    }
    if found.standard_error is not None:
        arrays["standard_error"] = found.standard_error
    if found.several is not None:
        arrays |= _of_all_targets(found.several)
    if rows.features.varies:
        arrays["present"] = rows.features.present(len(rows))
        arrays |= {f"owner_{name}": owner for name, owner in rows.features.owners.items()}
        if rows.features.labels is not None:
            arrays["feature_labels"] = rows.features.labels
    arrays |= {f"note_{name}": held for name, held in found.notes.items()}
    report = explanation_report(declaration, arrays, node["params"]["score"], node["params"].get("ends", ()))
    document = {
        **_report(report).document,
        "method": declaration.name,
        "direction": node["params"]["direction"],
        "signed": declaration.signed,
        "unit": declaration.unit,
        "score": node["params"]["score"],
    }
    return Artifact(document, arrays)


def _of_all_targets(several: Several) -> dict[str, Any]:
    """What several targets leave beside the arrays of the primary one: targets on the last axis."""
    arrays = {
        "targets_all": several.targets,
        "values_all": several.values,
        "base_values_all": several.base_values,
        "scores_all": several.scores,
    }
    return arrays if several.standard_error is None else {**arrays, "standard_error_all": several.standard_error}


def _state(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    declaration = catalogue()[node["method"]]
    model = bench.model(inputs["model"]["params"], node["params"]["score"], node["runtime"])
    rows, ids = explained_rows(bench, node, inputs)
    params = declaration.params.model_validate(node["params"]["with"])
    data = table_data(bench, node["params"]["about"], inputs)
    table = bound_table(bench, node, inputs, data, rows, ids) if "table" in node["params"] else None
    if declaration.gives == "local":
        part = parts.part_of(node, len(ids))
        if part and part.start == part.stop:
            return parts.nothing()
        said = state(declaration, model, rows, table, params, node["seed"] or 0, ids, progress, part)
        return parts.of_statements(declaration, said) if part else _stated(bench, node, inputs, ids, said)
    report = make_global(declaration, model, rows, data, table, params, node["seed"] or 0)
    progress(len(rows), len(rows))
    return _statement(bench, node, inputs, report, {})


def _stated(bench: Bench, node: Node, inputs: Inputs, ids: list[str], said: list[RowReport]) -> Artifact:
    """What a step leaves that states something of each of its rows."""
    return _statement(bench, node, inputs, *statements_report(catalogue()[node["method"]], said, ids))


def _statement(bench: Bench, node: Node, inputs: Inputs, report: Report, rest: Mapping[str, Any]) -> Artifact:
    if node["params"]["about"]["modality"] == "tabular":
        report = replace(report, measures=(*report.measures, *rows_used(bench, inputs)))
    artifact = _report(report)
    document = {**artifact.document, **rest, "method": node["method"], "direction": node["params"]["direction"]}
    return Artifact({**document, "score": node["params"]["score"]}, artifact.arrays)


def _compare(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:  # noqa: ARG001
    declaration = catalogue()[node["method"]]
    if "parity" in inputs and not bench.artifact(inputs["parity"]["record"]).document["holds"]:
        reason = "the white box and the black box are not the same model, so their explanations are not compared"
        return Artifact({"blocked": reason, "summary": summarise(np.array([]))})
    repeats = [inputs[port]["record"] for port in inputs if port.startswith("repeat.")]
    if not all(bench.artifact(record).document["holds"] for record in repeats):
        reason = "the model answers the same row differently at different times, so its explanations are not compared"
        return Artifact({"blocked": reason, "summary": summarise(np.array([]))})
    first, second = (attribution_of(inputs[p], bench.artifact(inputs[p]["record"])) for p in ("first", "second"))
    params = declaration.params.model_validate(node["params"]["with"])
    scores = compare(declaration, first, second, params)
    document = {
        "other_rows": across_rows(declaration, first, second, params),
        "summary": summarise(scores.values),
        "chance": scores.chance,
        "range": scores.range,
        "better": scores.better,
        "title": scores.title,
        "unit": scores.unit,
        "undefined": scores.undefined,
    }
    return Artifact(document, {"values": scores.values, **scores.extra})


def _judge(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    declaration = catalogue()[node["method"]]
    model = bench.model(inputs["model"]["params"], node["params"]["score"], node["runtime"])
    rows, ids = explained_rows(bench, node, inputs)
    attribution = bench.artifact(inputs["attribution"]["record"])
    params = declaration.params.model_validate(node["params"]["with"])
    values = attribution.arrays["values"]
    part = parts.part_of(node, len(ids))
    if part and part.start == part.stop:
        return parts.nothing()
    found = judge_rows(declaration, model, rows, values, params, node["seed"] or 0, ids, progress, part)
    return parts.of_judged(found) if part else _judged(node, declaration, found)


def _judged(node: Node, declaration: Declaration, found: list[RowScore]) -> Artifact:
    """What a faithfulness check leaves of all its rows."""
    scores = scores_of(declaration, found)
    document = {
        "summary": summarise(scores.values),
        "better": scores.better,
        "title": scores.title,
        "unit": node["params"]["score"],
    }
    return Artifact(document, {"values": scores.values, **scores.extra})


def _gather(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    """Join the shards of a step: what it would have left with its rows in one piece."""
    of, declaration = node["params"]["of"], catalogue()[node["method"]]
    rows, ids = explained_rows(bench, node, inputs)
    held = parts.shards(bench, inputs, len(ids))
    progress(len(ids), len(ids))
    if of == "attribute":
        return _attribution(node, rows, ids, parts.attributed(held))
    if of == "state":
        return _stated(bench, node, inputs, ids, parts.statements(declaration, held))
    return _judged(node, declaration, parts.judged(held))


OPERATIONS: Mapping[str, Operation] = {
    "check": _check,
    "predict": _predict,
    "repeat": repetition.repeat,
    "parity": _parity,
    "performance": _performance,
    "rows": _rows,
    "features": _features,
    "references": _references,
    "attribute": _attribute,
    "state": _state,
    "compare": _compare,
    "judge": _judge,
    "gather": _gather,
    "rely": reliance.rely,
    "trial": trials.trial,
    "tune": trials.tune,
}
