"""From the meaning of an audit to its graph: which work there is, before anything is optimised."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from pgx_compiler.analysis.checks.signature import output_name
from pgx_compiler.analysis.resolved import Ground, Resolved, ResolvedStep
from pgx_compiler.analysis.strategy.price import algorithm_of_candidates
from pgx_compiler.analysis.targets import output_words
from pgx_compiler.ir import trials
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.repeats import ROWS_REPEATED
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.modalities import modalities
from pgx_compiler.spec.model import RowSelection
from runtimes.powers import NO_POWERS


def lower(audit: Resolved) -> Graph:
    """The graph of an audit: one node for each thing asked for, and what those rest on."""
    return Graph(
        [
            *_sources(audit),
            *_model_facts(audit),
            *_precaution(audit),
            *_shared_ground(audit),
            *_own_grounds(audit),
            *_explanations(audit),
            *_statements(audit),
            *_comparisons(audit),
            *_judgements(audit),
            *_reliance(audit),
            *_tuning(audit),
        ]
    )


def feature_description(audit: Resolved, ground: Ground | None = None) -> dict[str, Any]:
    """All that is needed to build the feature map again, as plain values."""
    spec = audit.spec
    groups = {name: list(patterns) for name, patterns in audit.groups.items()}
    settled = dict(ground.described if ground else audit.described)
    return {"modality": spec.data.modality, "groups": groups, "columns": list(audit.columns), **settled}


def dotted(path: tuple[str | int, ...]) -> str:
    """A path in the document as people write it: ``explain.perturbation[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _explained_split(audit: Resolved, select: RowSelection | None = None) -> str:
    wanted = (select or audit.select).from_
    return f"data.{wanted if wanted in audit.data else 'train'}"


def _judged_split(audit: Resolved) -> str:
    return "data.test" if "test" in audit.data else "data.train"


def _steps(audit: Resolved, *stages: str) -> list[ResolvedStep]:
    return [step for step in audit.steps if step.stage in stages]


def _asked(step: ResolvedStep) -> dict[str, Any]:
    return {
        "method": step.declaration.name,
        "step": step.id,
        "source": dotted(step.path),
        "line": step.span.line if step.span else None,
        "note": step.chosen,
    }


def _sources(audit: Resolved) -> Iterator[Node]:
    spec = audit.spec
    for format, file in audit.models.items():
        file_params: dict[str, Any] = {
            "format": format,
            "sha256": file.sha256,
            "suffix": file.path.suffix,
            "task": spec.model.task,
            "output": output_name(spec.model.output),
            "renamed": dict(audit.renamed.get(format, {})),
        }
        if format in audit.adaptations:
            file_params["adaptation"] = dict(audit.adaptations[format])
        if format == "keras" and spec.model.signature:
            file_params["signature"] = spec.model.signature
        if file.powers != NO_POWERS:
            code = [one["code"] for one in file.trust if "code" in one]
            file_params["powers"] = {**file.powers.plain, **({"code": code} if code else {})}
        if (whole := audit.described.get("text")) is not None:
            theirs = audit.renamed.get(format, {}).get(whole, whole)
            file_params["whole_text"] = [whole, next(len(t.shape) for t in file.facts.inputs if t.name == theirs)]
        if file.beside:
            file_params["beside"] = {location: digest for location, (_, digest) in file.beside.items()}
        yield Node(f"model.{format}", "model", {}, file_params, source=f"model.{format}")
    for split, data in audit.data.items():
        described = spec.data.train if split == "train" else spec.data.test
        assert described is not None
        params: dict[str, Any] = {
            "split": split,
            "sha256": data.sha256,
            "suffix": data.path.suffix,
            "target": described.target,
            "columns": list(audit.columns),
            "beside": list(audit.beside),
            "inputs": [[tensor.name, list(tensor.shape[1:]), tensor.dtype] for tensor in audit.inputs],
            "sources": {name: list(arrays) for name, arrays in audit.sources.items()},
            "preprocess": spec.data.preprocess.model_dump(mode="json"),
            "task": spec.model.task,
            "classes": list(audit.classes),
        }
        if audit.moved.get(split):
            params["moved"] = {name: list(order) for name, order in audit.moved[split].items()}
        if spec.data.modality == "text":
            params["text"] = _text(audit)
        yield Node(f"data.{split}", "data", {}, params, source=f"data.{split}")


def _text(audit: Resolved) -> dict[str, Any]:
    """Where token ids are, how many there may be, and how a column of text becomes them; or where the text itself is."""
    if "text" in audit.described:
        return {"whole": audit.described["text"]}
    known = len(audit.vocabulary.facts) if audit.vocabulary else None
    return {"ids": audit.described["ids"], "known": known, "tokenizer": dict(audit.tokenizer) or None}


def _model_facts(audit: Resolved) -> Iterator[Node]:
    judged = _judged_split(audit)
    for format in audit.models:
        for data in sorted({judged, "data.train"} if format == _primary(audit) else {judged}):
            split = data.removeprefix("data.")
            inputs = {"model": f"model.{format}", "data": data}
            yield Node(
                f"predict.{format}.{split}", "predict", inputs, {"score": audit.score, "task": audit.spec.model.task}
            )
    split = judged.removeprefix("data.")
    for format, file in audit.models.items():
        ports = {"model": f"model.{format}", "data": judged, "predictions": f"predict.{format}.{split}"}
        dtypes = sorted({tensor.dtype for tensor in file.facts.outputs})
        params = {"score": audit.score, "rows": ROWS_REPEATED, "dtypes": dtypes}
        yield Node(_repeat(format), "repeat", ports, params, source=f"model.{format}")
    asked = {"score": audit.score, "task": audit.spec.model.task}
    inputs = {format: f"predict.{format}.{split}" for format in audit.models}
    if (rebuilt := _rebuilt(audit)) is not None:
        inputs["rebuilt"] = f"predict.rebuilt.{split}"
        ports = {"model": f"model.{rebuilt.runs_on}", "data": judged}
        yield Node(inputs["rebuilt"], "predict", ports, {**asked, "offers": rebuilt.declaration.capability})
    if _has_parity(audit):
        coarse = rebuilt is not None and audit.models["onnx"].facts.coarse
        yield Node("model.parity", "parity", inputs, {**asked, "coarse": True} if coarse else asked)
    inputs = {"test": f"predict.{_primary(audit)}.{split}", "train": f"predict.{_primary(audit)}.train"}
    if judged == "data.train":
        del inputs["train"]
    yield Node("model.performance", "performance", inputs, {"task": audit.spec.model.task, **_chosen(audit)})


def _chosen(audit: Resolved) -> dict[str, Any]:
    """Which outputs of a regression are meant, and their names, for whoever compares or says them; else nothing."""
    chosen = [[place, output_words(audit.outputs[place])] for place in audit.chosen_outputs]
    return {"chosen": chosen} if chosen else {}


def _repeat(format: str) -> str:
    return f"model.{format}.repeat"


def _rebuilt(audit: Resolved) -> ResolvedStep | None:
    """A step that asks a file for what only another framework than that of its predictions offers."""
    return next((step for step in audit.steps if step.on_rebuild), None)


def _has_parity(audit: Resolved) -> bool:
    """Whether the two directions explain what has to be shown to be one model first."""
    return len(audit.models) > 1 or _rebuilt(audit) is not None


def _primary(audit: Resolved) -> str:
    return "onnx" if "onnx" in audit.models else next(iter(audit.models))


def _precaution(audit: Resolved) -> Iterator[Node]:
    about = _about(audit)
    for step in _steps(audit, "precaution"):
        inputs = {split: f"data.{split}" for split in audit.data}
        if step.declaration.capability:
            inputs["model"] = f"model.{step.runs_on or _primary(audit)}"
        params = {"with": step.params.model_dump(mode="json"), "about": about}
        yield Node(f"precaution.{step.id}", "check", inputs, params, **_asked(step))


def _about(audit: Resolved) -> dict[str, Any]:
    """What precaution, and whoever asks for real values, must know of the data."""
    spec = audit.spec
    return {
        "features": feature_description(audit),
        "roles": {name: feature.role for name, feature in spec.data.features.items() if feature.role != "feature"},
        "categories": {name: feature.categories for name, feature in spec.data.features.items() if feature.categories},
        "modality": spec.data.modality,
        "task": spec.model.task,
        "classes": list(audit.classes),
        "score": audit.score,
        **_chosen(audit),
    }


def _explains(audit: Resolved) -> bool:
    return bool(_steps(audit, "perturbation", "gradient")) or audit.spec.tuning is not None


def _shared_ground(audit: Resolved) -> Iterator[Node]:
    if not _explains(audit):
        return
    yield _rows(audit, audit.select, "rows", "explain.rows")
    described = feature_description(audit)
    yield from _features_of_rows(audit, "", _explained_split(audit), "rows", described)
    params = {"fill": dict(audit.fill), "features": described}
    inputs = {"train": "data.train", "data": _explained_split(audit), "rows": "rows"}
    yield Node("references", "references", {**inputs, **_own_features(described, "")}, params)


def _features_of_rows(audit: Resolved, name: str, data: str, rows: str, described: Mapping[str, Any]) -> Iterator[Node]:
    """Segments, words: features that only the rows' own values tell, computed once for all who ask."""
    if modalities()[audit.spec.data.modality].varies(described):
        yield Node(f"features{name}", "features", {"data": data, "rows": rows}, {"features": dict(described)})


def _own_features(described: Mapping[str, Any], name: str) -> dict[str, str]:
    """The port of features that differ from row to row, where they do."""
    return {"features": f"features{name}"} if modalities()[described["modality"]].varies(described) else {}


def _own_grounds(audit: Resolved) -> Iterator[Node]:
    """The rows and references of steps that have their own; steps of the same ground share them."""
    done: set[str] = set()
    for step in _steps(audit, "perturbation", "gradient"):
        ground = step.ground
        if ground is None:
            continue
        rows, references = f"rows{ground.rows_name}", f"references{ground.name}"
        if rows not in done and ground.rows_name:
            yield _rows(audit, ground.select, rows, f"{dotted(step.path)}.rows")
        if references not in done:
            data, described = _explained_split(audit, ground.select), feature_description(audit, ground)
            yield from _features_of_rows(audit, ground.name, data, rows, described)
            inputs = {"train": "data.train", "data": data, "rows": rows, **_own_features(described, ground.name)}
            yield Node(references, "references", inputs, {"fill": dict(audit.fill), "features": described})
        done |= {rows, references}


def _rows(audit: Resolved, select: RowSelection, name: str, source: str) -> Node:
    data = _explained_split(audit, select)
    split = data.removeprefix("data.")
    params: dict[str, Any] = {
        "select": select.model_dump(mode="json", by_alias=True, exclude={"from_"}),
        "target": audit.chosen_outputs[0] if audit.outputs else audit.target,
        "task": audit.spec.model.task,
        "classes": list(audit.classes),
    }
    if audit.targets:
        params["targets"] = list(audit.targets)
    inputs = {"data": data, "predictions": f"predict.{_primary(audit)}.{split}"}
    return Node(name, "rows", inputs, params, source=source)


def _ground(audit: Resolved, step: ResolvedStep) -> dict[str, str]:
    """What a step that explains rests on."""
    ground = audit.ground(step)
    return {
        "model": f"model.{step.runs_on or _primary(audit)}",
        "data": _explained_split(audit, ground.select),
        "rows": f"rows{ground.rows_name}",
        "references": f"references{ground.name}",
        **_own_features(feature_description(audit, step.ground), ground.name),
    }


def _explanations(audit: Resolved) -> Iterator[Node]:
    for step in audit.attributions:
        params: dict[str, Any] = {
            "with": step.params.model_dump(mode="json"),
            "score": audit.score,
            "features": feature_description(audit, step.ground),
            "direction": step.stage,
        }
        if step.runs_on and (ends := audit.models[step.runs_on].facts.ends.get(audit.score)):
            params["ends"] = list(ends)
        asked = _asked(step)
        if audit.targets and not audit.gives_every_target(step):
            asked["note"] = "; ".join(filter(None, (asked["note"], OF_THE_FIRST)))
        yield Node(f"explain.{step.id}", "attribute", _ground(audit, step), params, **asked)


OF_THE_FIRST = "of so many targets the first alone: each further one would cost as many gradients again"


def _statements(audit: Resolved) -> Iterator[Node]:
    """What is said of rows or of the whole model beside attributions."""
    for step in audit.statements:
        params = {
            "with": step.params.model_dump(mode="json"),
            "score": audit.score,
            "features": feature_description(audit, step.ground),
            "direction": step.stage,
        }
        inputs = _ground(audit, step) | {"train": "data.train"}
        inputs |= {"test": "data.test"} if "test" in audit.data else {}
        params["about"] = _about(audit)
        if audit.spec.data.modality == "tabular":
            params["table"] = _table_setting(audit)
        yield Node(f"explain.{step.id}", "state", inputs, params, **_asked(step))


def _table_setting(audit: Resolved) -> dict[str, Any]:
    """What the spec says of a table beyond its data; see `pgx_compiler.modalities.table.TableSetting`."""
    spec, n = audit.spec, audit.n_outputs
    outputs = list(audit.classes) or [output_words(name) for name in audit.outputs] or ["value"]
    named = list(audit.chosen_outputs) or [one for one in audit.targets if isinstance(one, int)]
    named = named or [index for index, name in enumerate(audit.classes) if name == audit.target]
    focus = named or ([1] if audit.classes and n == 2 else list(range(n)))
    features = spec.data.features
    return {
        "outputs": outputs,
        "focus": focus,
        "immutable": sorted(name for name, feature in features.items() if feature.immutable),
        "ordered": sorted(name for name, feature in features.items() if feature.ordered),
        "ranges": {name: list(feature.range) for name, feature in sorted(features.items()) if feature.range},
        "units": {name: feature.unit for name, feature in sorted(features.items()) if feature.unit},
    }


def _comparisons(audit: Resolved) -> Iterator[Node]:
    explained = audit.attributions
    for step in _steps(audit, "agreement"):
        for first, second in combinations(explained, 2):
            if audit.ground(first).name != audit.ground(second).name:
                continue
            inputs = {"first": f"explain.{first.id}", "second": f"explain.{second.id}"}
            if _has_parity(audit) and first.stage != second.stage:
                inputs["parity"] = "model.parity"
            inputs |= {f"repeat.{format}": _repeat(format) for format in audit.models}
            name = f"agreement.{step.id}.{first.id}~{second.id}"
            yield Node(name, "compare", inputs, {"with": step.params.model_dump(mode="json")}, **_asked(step))


def _judgements(audit: Resolved) -> Iterator[Node]:
    for step in _steps(audit, "faithfulness"):
        for explained in audit.attributions:
            inputs = {**_ground(audit, explained), "attribution": f"explain.{explained.id}"}
            params = {
                "with": step.params.model_dump(mode="json"),
                "score": audit.score,
                "features": feature_description(audit, explained.ground),
            }
            yield Node(f"faithfulness.{step.id}.{explained.id}", "judge", inputs, params, **_asked(step))


def _reliance(audit: Resolved) -> Iterator[Node]:
    """Join what the data said with what the explanations show: expectations, sensitive and drifted features."""
    explained = audit.attributions
    if not explained:
        return
    spec = audit.spec
    inputs: dict[str, str] = {f"attribution.{step.id}": f"explain.{step.id}" for step in explained}
    inputs |= {f"check.{step.id}": f"precaution.{step.id}" for step in _steps(audit, "precaution")}
    inputs |= {"data": _explained_split(audit), "rows": "rows"}
    if _has_parity(audit):
        inputs["parity"] = "model.parity"
    params: dict[str, Any] = {
        "expectations": [item.model_dump(mode="json", exclude={"source"}) for item in spec.strategy.expectations],
        "sensitive": sorted(name for name, feature in spec.data.features.items() if feature.role == "sensitive"),
        "regions": {name: [file.sha256, file.path.suffix] for name, file in audit.masks.items()},
        "features": feature_description(audit),
        "target": audit.target,
        "classes": list(audit.classes),
    }
    own = {
        s.id: feature_description(audit, s.ground)
        for s in explained
        if s.ground and s.ground.described != audit.described
    }
    if own:
        params["own_features"] = own
    yield Node("reliance", "rely", inputs, params, source="strategy.expectations")


def _tuning(audit: Resolved) -> Iterator[Node]:
    tuning = audit.spec.tuning
    if tuning is None:
        return
    dumped: dict[str, Any] = tuning.model_dump(mode="json")
    keras = audit.models["keras"].facts
    asked = {name: dumped[name] for name in ("search", "space", "narrow", "fit")}
    asked["declared"] = dict(sorted(keras.tunables.items()))
    asked["task"] = audit.spec.model.task
    asked["agreement"] = [
        _method(metric.removeprefix("agreement."), _params_of(audit, metric))
        for metric in sorted(tuning.explain.require)
    ]
    judged = {"objective": dumped["objective"], "require": dumped["explain"]["require"]}
    shape = Shape(tuning.explain.rows, len(audit.features), audit.references)
    methods = [algorithm_of_candidates(name, keras, shape, audit.score) for name in tuning.explain.methods]
    trained = {
        "explain": {"rows": tuning.explain.rows, "methods": [_method(one.name) for one in methods]},
        "gives_probabilities": "probability" in keras.scores,
        "score": audit.score,
        "features": feature_description(audit),
    }
    checks = {f"check.{step.id}": f"precaution.{step.id}" for step in _steps(audit, "precaution")}
    inputs = {"model": "model.keras", "train": "data.train", "data": _explained_split(audit), **checks}
    inputs |= {"rows": "rows", "references": "references", **_own_features(feature_description(audit), "")}
    for number in range(tuning.trials):
        params: dict[str, Any] = {"number": number, **asked, **trained}
        if len(trials.seen(number, tuning.search, tuning.parallel)) > 1:
            # what is made of results changes only the trials that see any: the others are kept when it changes
            params |= {**judged, "parallel": tuning.parallel}
        earlier = {f"trial.{n}": _trial(n) for n in trials.reads(number, tuning.search, tuning.parallel)}
        yield Node(_trial(number), "trial", {**inputs, **earlier}, params, source="tuning")
    ports = {f"trial.{number}": _trial(number) for number in range(tuning.trials)} | checks
    yield Node("tuning", "tune", ports, {**asked, **judged}, step="tuning", source="tuning")


def _trial(number: int) -> str:
    return f"tuning.trial.{number}"


def _method(name: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    declaration = catalogue()[name]
    return {"name": name, "with": declaration.params.model_validate(params or {}).model_dump(mode="json")}


def _params_of(audit: Resolved, metric: str) -> dict[str, Any]:
    """The parameters under which the audit itself uses an agreement method, where it does."""
    name = metric.removeprefix("agreement.")
    for step in _steps(audit, "agreement"):
        if step.declaration.name == name:
            return step.params.model_dump(mode="json")
    return {}
