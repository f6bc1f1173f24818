"""What a worker keeps at hand: data read once, models opened once, and the results that a node rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.canonical import canonical_json
from pgx_compiler.evidence.results import Attribution
from pgx_compiler.evidence.store import Artifact, Record, Store
from pgx_compiler.execute import texts
from pgx_compiler.execute.fixed_inputs import with_fixed
from pgx_compiler.execute.linked_scores import open_view
from pgx_compiler.execute.renaming import renamed
from pgx_compiler.modalities import modalities
from pgx_compiler.modalities.data import AuditData, Split, Variable
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.labels import class_names, position_of
from pgx_compiler.modalities.table import Table, TableSetting
from runtimes import datasets
from runtimes.adaptation import Adaptation
from runtimes.capabilities import Inputs, View
from runtimes.powers import Powers
from runtimes.target import framework_for, frameworks


class UnfitInput(Exception):  # noqa: N818
    """The data or the model cannot be used, which only running could show; a sentence for the author."""


@dataclass
class Bench:
    """The worker's side of one audit. Caches live as long as the worker."""

    store: Store
    splits: dict[str, tuple[Split, dict[str, NDArray[Any]]]] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)

    def artifact(self, record: Mapping[str, Any]) -> Artifact:
        """A finished node's result, verified."""
        return self.store.load(Record(**record))

    def split(self, source: Mapping[str, Any]) -> Split:
        """The rows of a data node."""
        return self._read(source)[0]

    def beside(self, source: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The columns of a data node that the model does not read, but the audit looks at."""
        return self._read(source)[1]

    def _read(self, source: Mapping[str, Any]) -> tuple[Split, dict[str, NDArray[Any]]]:
        key = canonical_json(source).decode()
        if key not in self.splits:
            self.splits[key] = read_split(self.store.path(source["sha256"], source["suffix"]), source, self.store)
        return self.splits[key]

    def model(self, source: Mapping[str, Any], score: str, runtime: str | None = None) -> Any:
        """An open handle of a model node, in one score, on the runtime that the plan chose (default: of predictions)."""
        framework = frameworks()[runtime] if runtime else framework_for(source["format"])
        key = f"{framework.TARGET.name} {score} {canonical_json(source).decode()}"
        if key not in self.models:
            self.models[key] = self._opened(source, score, framework)
        return self.models[key]

    def _opened(self, source: Mapping[str, Any], score: str, framework: Any) -> Any:
        path = self.store.path(source["sha256"], source["suffix"])
        said = source.get("adaptation", {})
        beside = {
            location: self.store.path(*_named(location, digest))
            for location, digest in source.get("beside", {}).items()
        }
        adapts = source["format"] == "onnx"
        powers = Powers.of(source.get("powers", {}))
        view = View(score, source["task"], source["output"], Adaptation.of(said if adapts else {}, beside), powers)
        opened = open_view(framework, path, view)
        if said and not adapts:
            tensors = {tensor.name: tensor for tensor in framework.inspect(path, view).inputs}
            opened = with_fixed(opened, tensors, Adaptation.of(said).inputs)
        names = {ours: theirs for ours, theirs in source["renamed"].items() if ours != theirs}
        return renamed(opened, names) if names else opened


def _named(location: str, digest: str) -> tuple[str, str]:
    """An object of the store that was a file of weights: its digest and suffix."""
    return digest, Path(location).suffix


def read_split(
    path: Path, source: Mapping[str, Any], store: Store | None = None
) -> tuple[Split, dict[str, NDArray[Any]]]:
    """Read a data file as the model's inputs and labels. Raises `UnfitInput` or `DataFileError`."""
    text = {column for name, _, dtype in source["inputs"] if dtype == "str" for column in source["sources"][name]}
    if source["target"] and source["task"] == "classification":
        text.add(source["target"])
    raw = datasets.read(path, text | texts.columns_of_text(source))
    arrays = dict(raw.arrays)
    labels = None
    if source["target"]:
        labels = read_labels(arrays.pop(source["target"]), source)
    inputs: dict[str, NDArray[Any]] = {}
    tokens = texts.cut(arrays, source, store)
    for name, shape, dtype in source["inputs"]:
        if name in tokens:
            inputs[name] = tokens[name].astype(dtype)
            continue
        columns = source["sources"][name]
        order = source.get("moved", {}).get(name)
        if order is not None:
            arrays = {**arrays, **{c: np.transpose(arrays[c], order) for c in columns}}
        taken = [_as_dtype(_scaled(arrays[c], source["preprocess"]["scale"]), dtype, c, source) for c in columns]
        joined = taken[0] if len(taken) == 1 else np.stack(taken, axis=1)
        inputs[name] = joined.reshape((len(joined), *[n if n is not None else -1 for n in shape]))
    texts.check_ids(inputs, source)
    n = len(next(iter(inputs.values())))
    row_ids = np.arange(n) if raw.row_ids is None else raw.row_ids
    beside = {name: arrays[name] for name in source["beside"] if name in arrays}
    return Split(source["split"], inputs, labels, row_ids), beside


def _as_dtype(array: NDArray[Any], dtype: str, column: str, source: Mapping[str, Any]) -> NDArray[Any]:
    """A column in the model's dtype, unchanged in value. Raises `UnfitInput`."""
    of = f"column `{column}` of {source['split']}"
    if dtype == "str":
        if array.dtype.kind in "OUS":
            return np.array(["" if v is None else str(v) for v in array.reshape(-1)], np.str_).reshape(array.shape)
        raise UnfitInput(f"{of} holds numbers, but the model reads text")
    if array.dtype.kind in "OUS":
        raise UnfitInput(f"{of} holds words, but the model reads numbers")
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    if cast.dtype.kind in "iub":
        changed = np.flatnonzero((cast != array).reshape(len(array), -1).any(axis=1))
        if len(changed):
            held = array[changed[0]].reshape(-1)
            value = held[cast[changed[0]].reshape(-1) != held][0]
            said = "no value" if value != value else f"{value:g}"
            raise UnfitInput(f"{of} holds {said} in row {changed[0]}, but the model reads {dtype}")
    return cast


def _scaled(array: NDArray[Any], scale: list[float] | None) -> NDArray[Any]:
    if scale is None or array.dtype.kind not in "ui":
        return array
    low, high = scale
    return low + array.astype(np.float64) * ((high - low) / 255.0)


def read_labels(raw: NDArray[Any], source: Mapping[str, Any]) -> NDArray[Any]:
    """Class positions (int64) or regression values (float64). Raises `UnfitInput` naming the first bad row.

    Labels of a classification are names of classes, where all of them are; else positions from 0.
    """
    raw = raw.reshape(len(raw))
    wordy = raw.dtype.kind in "OUS"
    missing = np.array([v is None or v == "" for v in raw], bool) if wordy else ~np.isfinite(raw.astype(np.float64))
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise UnfitInput(
            f"{int(missing.sum())} rows of {source['split']} have no `{source['target']}`; first: row {first}"
        )
    if source["task"] == "regression":
        if wordy:
            raise UnfitInput(f"`{source['target']}` of {source['split']} holds words: `{raw[0]}`")
        return raw.astype(np.float64)
    classes = list(source["classes"])
    values, inverse = np.unique(raw.astype(np.str_) if wordy else raw, return_inverse=True)
    named = class_names(values, classes)
    position = {name: index for index, name in enumerate(classes)}
    if set(named) <= set(position):
        return np.array([position[name] for name in named], np.int64)[inverse]
    positions = [position_of(name) for name in named]
    unknown = [name for name, found in zip(named, positions, strict=True) if found is None and name not in position]
    if unknown or None in positions:
        shown = unknown or [name for name in named if name not in position]
        raise UnfitInput(f"`{source['target']}` has values that are no class: {', '.join(shown[:5])}")
    labels = np.array(positions, np.int64)[inverse]
    outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(outside):
        row = int(outside[0])
        raise UnfitInput(
            f"row {row} of {source['split']} has class {labels[row]}, but there are {len(classes)} classes"
        )
    return labels


def feature_map(description: Mapping[str, Any], inputs: Inputs) -> FeatureMap:
    """Build the feature map that a node's parameters describe."""
    modality = modalities()[description["modality"]]
    found: FeatureMap = modality.feature_map({name: a.shape[1:] for name, a in inputs.items()}, description)
    return found


def features_from(artifact: Artifact) -> FeatureMap:
    """The features of each row, as a ``features`` node has left them."""
    arrays = artifact.arrays
    owners = {key.removeprefix("owner_"): held for key, held in arrays.items() if key.startswith("owner_")}
    names = tuple(map(str, arrays["names"]))
    return FeatureMap(names, owners, artifact.document["layout"], arrays["counts"], arrays.get("labels"))


def explained_rows(bench: Bench, node: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[Rows, list[str]]:
    """The rows that a node explains, with their references, and their row ids."""
    split = bench.split(inputs["data"]["params"])
    rows = bench.artifact(inputs["rows"]["record"]).arrays
    references = bench.artifact(inputs["references"]["record"])
    chosen = {name: array[rows["index"]] for name, array in split.inputs.items()}
    if "features" in inputs:
        features = features_from(bench.artifact(inputs["features"]["record"]))
    else:
        features = feature_map(node["params"]["features"], split.inputs)
    document = references.document
    held = References(
        {name: references.arrays[name] for name in split.inputs}, document["name"], document.get("packed", {})
    )
    return Rows(chosen, rows["target"], held, features, rows.get("targets")), [str(row) for row in rows["row_ids"]]


def bound_table(
    bench: Bench, node: Mapping[str, Any], inputs: Mapping[str, Any], data: AuditData, rows: Rows, ids: list[str]
) -> Table:
    """The table of an audit with the node's model, for methods that ask for real values."""
    params = node["params"]
    setting = params["table"]
    return Table(
        data,
        bench.model(inputs["model"]["params"], params["score"], node["runtime"]),
        Split("explained", rows.inputs, None, np.array(ids)),
        rows.target,
        TableSetting(
            tuple(setting["outputs"]),
            tuple(setting["focus"]),
            params["score"],
            frozenset(setting["immutable"]),
            frozenset(setting["ordered"]),
            {name: (low, high) for name, (low, high) in setting["ranges"].items()},
            setting["units"],
        ),
    )


def audit_data(bench: Bench, about: Mapping[str, Any], inputs: Mapping[str, Any]) -> AuditData:
    """The data of an audit as precaution methods see it."""
    train = bench.split(inputs["train"]["params"])
    test = bench.split(inputs["test"]["params"]) if "test" in inputs else None
    features = feature_map(about["features"], train.inputs)
    modality = modalities()[about["modality"]]
    roles = about["roles"]
    columns = about["features"]["columns"]
    variables = modality.variables(train.inputs, test.inputs if test else None, features, columns, roles)
    named = [_with_categories(v, about["categories"].get(v.name)) for v in variables]
    aside = bench.beside(inputs["train"]["params"])
    aside_test = bench.beside(inputs["test"]["params"]) if test else {}
    named += [_beside(name, values, aside_test.get(name), roles.get(name, "feature")) for name, values in aside.items()]
    return AuditData(about["modality"], about["task"], tuple(about["classes"]), train, test, features, tuple(named))


def _with_categories(variable: Variable, categories: list[str] | None) -> Variable:
    if not categories or variable.kind == "categorical":
        return variable

    def codes(values: NDArray[Any] | None) -> NDArray[Any] | None:
        if values is None:
            return None
        return np.where(np.isfinite(values), np.nan_to_num(values), -1).astype(np.int64)

    train = codes(variable.train)
    assert train is not None
    return Variable(
        variable.name, "categorical", train, codes(variable.test), tuple(categories), variable.role, unit=variable.unit
    )


def _beside(name: str, train: NDArray[Any], test: NDArray[Any] | None, role: Any) -> Variable:
    if train.dtype.kind in "fiu":
        other = None if test is None else test.astype(np.float64)
        return Variable(name, "numeric", train.astype(np.float64), other, role=role, is_descriptor=True)
    words = sorted({str(v) for part in (train, test) if part is not None for v in part if v is not None})
    position = {word: index for index, word in enumerate(words)}

    def codes(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else np.array([position.get(str(v), -1) for v in values], np.int64)

    found = codes(train)
    assert found is not None
    return Variable(name, "categorical", found, codes(test), tuple(words), role, is_descriptor=True)


def attribution_of(node: Mapping[str, Any], artifact: Artifact) -> Attribution:
    """A finished attribution, as agreement and faithfulness see it."""
    document = artifact.document
    return Attribution(
        node.get("step") or node["id"],
        document["method"],
        document["direction"],
        artifact.arrays["values"],
        artifact.arrays.get("standard_error"),
        document["signed"],
        artifact.arrays.get("present"),
    )
