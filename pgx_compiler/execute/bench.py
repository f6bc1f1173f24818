"""What a worker keeps at hand: data read once, models opened once, and the results that a node rests on."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.canonical import canonical_json
from pgx_compiler.evidence.results import Attribution, Measure
from pgx_compiler.evidence.store import Artifact, Record, Store
from pgx_compiler.execute import texts
from pgx_compiler.execute.fixed_inputs import with_fixed
from pgx_compiler.execute.linked_scores import open_view
from pgx_compiler.execute.renaming import renamed
from pgx_compiler.execute.scratch import Scratch
from pgx_compiler.execute.splits import HELD, Beside, Coded
from pgx_compiler.execute.splits import UnfitInput as UnfitInput
from pgx_compiler.execute.splits import read_labels as read_labels
from pgx_compiler.execute.splits import read_split as read_split
from pgx_compiler.execute.whole_texts import WholeTexts
from pgx_compiler.modalities import modalities
from pgx_compiler.modalities.data import MOST_ROWS, AuditData, Split, Variable, drawn_rows
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from pgx_compiler.modalities.table import Table, TableSetting
from runtimes.adaptation import Adaptation
from runtimes.capabilities import Inputs, View
from runtimes.powers import Powers
from runtimes.target import framework_for, frameworks

AT_HAND = 16 * 2**20
"""Bytes of a result's arrays, as they are stored, that are read at once."""


@dataclass
class Bench:
    """The worker's side of one audit. Caches live as long as the worker."""

    store: Store
    splits: dict[str, tuple[Split, Beside]] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    scratch: Scratch = field(default_factory=Scratch)
    """Where rows lie that are not held in memory."""
    audits: dict[str, AuditData] = field(default_factory=dict)
    """The data of the audit, where making it costs a pass over the disk."""

    def artifact(self, record: Mapping[str, Any]) -> Artifact:
        """A finished node's result, verified; large arrays are read when they are asked for."""
        return self.store.load(Record(**record), AT_HAND)

    def split(self, source: Mapping[str, Any]) -> Split:
        """The rows of a data node."""
        return self._read(source)[0]

    def beside(self, source: Mapping[str, Any]) -> Beside:
        """The columns of a data node that the model does not read, but the audit looks at."""
        return self._read(source)[1]

    def _read(self, source: Mapping[str, Any]) -> tuple[Split, Beside]:
        key = canonical_json(source).decode()
        if key not in self.splits:
            path = self.store.path(source["sha256"], source["suffix"])
            self.splits[key] = read_split(path, source, self.store, self.scratch)
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
        adaptation, signature = Adaptation.of(said if adapts else {}, beside), source.get("signature", "")
        view = View(score, source["task"], source["output"], adaptation, powers, signature)
        opened = open_view(framework, path, view)
        if said and not adapts:
            tensors = {tensor.name: tensor for tensor in framework.inspect(path, view).inputs}
            opened = with_fixed(opened, tensors, Adaptation.of(said).inputs)
        names = {ours: theirs for ours, theirs in source["renamed"].items() if ours != theirs}
        handle = renamed(opened, names) if names else opened
        return WholeTexts(handle, *source["whole_text"]) if "whole_text" in source else handle


def _named(location: str, digest: str) -> tuple[str, str]:
    """An object of the store that was a file of weights: its digest and suffix."""
    return digest, Path(location).suffix


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


def chosen_rows(split: Split, index: Any, source: Mapping[str, Any]) -> Inputs:
    """The rows that are explained, as games see them."""
    return texts.in_pieces({name: array[index] for name, array in split.inputs.items()}, source)


def explained_rows(bench: Bench, node: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[Rows, list[str]]:
    """The rows that a node explains, with their references, and their row ids."""
    split = bench.split(inputs["data"]["params"])
    rows = bench.artifact(inputs["rows"]["record"]).arrays
    references = bench.artifact(inputs["references"]["record"])
    chosen = chosen_rows(split, rows["index"], inputs["data"]["params"])
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
    """The data of an audit as precaution methods see it: of all rows."""
    splits = {port: bench.split(inputs[port]["params"]) for port in ("train", "test") if port in inputs}
    aside = {port: bench.beside(inputs[port]["params"]) for port in splits}
    on_disk = any(nbytes(split) > HELD for split in splits.values())
    if not on_disk:
        return described_data(about, splits, aside)
    key = canonical_json([about, *(inputs[port]["params"] for port in splits)]).decode()
    if key not in bench.audits:
        bench.audits = {key: described_data(about, splits, aside, bench.scratch)}
    return bench.audits[key]


def table_data(bench: Bench, about: Mapping[str, Any], inputs: Mapping[str, Any]) -> AuditData:
    """The data of an audit as methods see it that state something of the whole model: of a table, of some rows at most."""
    splits = {port: bench.split(inputs[port]["params"]) for port in ("train", "test") if port in inputs}
    if about["modality"] != "tabular" or all(len(split) <= MOST_ROWS for split in splits.values()):
        return audit_data(bench, about, inputs)
    aside: dict[str, Beside] = {port: bench.beside(inputs[port]["params"]) for port in splits}
    for port, split in splits.items():
        if len(split) > MOST_ROWS:
            chosen = drawn_rows(len(split), MOST_ROWS)
            splits[port] = split.of_rows(chosen)
            aside[port] = {name: _of_rows(held, chosen) for name, held in aside[port].items()}
    return described_data(about, splits, aside)


def rows_used(bench: Bench, inputs: Mapping[str, Any]) -> tuple[Measure, ...]:
    """What is said where `table_data` holds some of the rows only."""
    words = {"train": "training", "test": "test"}
    lengths = {port: len(bench.split(inputs[port]["params"])) for port in words if port in inputs}
    return tuple(
        Measure(f"{port}_rows_used", float(MOST_ROWS),
                f"Rows that stand for all {rows:,} {words[port]} rows here, drawn at random", rows, "rows")
        for port, rows in lengths.items()
        if rows > MOST_ROWS
    )  # fmt: skip


def nbytes(split: Split) -> int:
    """Bytes of a split's rows."""
    return sum(array.nbytes for array in split.inputs.values())


def _of_rows(held: NDArray[Any] | Coded, chosen: NDArray[np.int64]) -> NDArray[Any] | Coded:
    return Coded(held.codes[chosen], held.words) if isinstance(held, Coded) else held[chosen]


def described_data(
    about: Mapping[str, Any], splits: Mapping[str, Split], aside: Mapping[str, Beside], scratch: Scratch | None = None
) -> AuditData:
    """Splits as an audit describes them.

    Args:
        about: modality, task, classes, roles and features of the audit.
        splits: ``train``, and ``test`` where there is one.
        aside: of each split the columns that the model does not read.
        scratch: where the variables lie; None: in memory.
    """
    train, test = splits["train"], splits.get("test")
    features = feature_map(about["features"], train.inputs)
    modality = modalities()[about["modality"]]
    roles = about["roles"]
    columns = about["features"]["columns"]
    # of a table one feature at a time: all of them would be the data set once more, in float64
    maps = _single(features) if scratch is not None and about["modality"] == "tabular" else [features]
    found = (
        v for m in maps for v in modality.variables(train.inputs, test.inputs if test else None, m, columns, roles)
    )
    told = (_with_categories(variable, about["categories"].get(variable.name)) for variable in found)
    of_test = aside.get("test", {})
    rest = (_beside(name, held, of_test.get(name), roles.get(name, "feature")) for name, held in aside["train"].items())
    named = [v if scratch is None else _on_disk(v, scratch) for v in itertools.chain(told, rest)]
    return AuditData(
        about["modality"],
        about["task"],
        tuple(about["classes"]),
        train,
        test,
        features,
        tuple(named),
        chosen=tuple((place, name) for place, name in about.get("chosen", ())),
    )


def _single(features: FeatureMap) -> Iterator[FeatureMap]:
    """Each feature by itself; no other owns anything."""
    for position, name in enumerate(features.names):
        owners = {key: np.where(owner == position, 0, FIXED) for key, owner in features.owners.items()}
        yield FeatureMap((name,), owners, features.layout)


def _on_disk(variable: Variable, scratch: Scratch) -> Variable:
    test = None if variable.test is None else scratch.keep(variable.test)
    kept = replace(variable, train=scratch.keep(variable.train), test=test)
    scratch.release()
    return kept


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


def _beside(name: str, train: NDArray[Any] | Coded, test: NDArray[Any] | Coded | None, role: Any) -> Variable:
    if not isinstance(train, Coded) and train.dtype.kind in "fiu":
        other = None if test is None or isinstance(test, Coded) else test.astype(np.float64)
        return Variable(name, "numeric", train.astype(np.float64), other, role=role, is_descriptor=True)
    coded = [None if part is None else part if isinstance(part, Coded) else _coded(part) for part in (train, test)]
    met = [np.unique(part.codes) if part is not None else np.zeros(0, np.int64) for part in coded]
    words = sorted({part.words[i] for part, seen in zip(coded, met, strict=True) if part for i in seen if i >= 0})
    position = {word: index for index, word in enumerate(words)}

    def codes(part: Coded | None) -> NDArray[Any] | None:
        if part is None:
            return None
        return np.array([*(position.get(word, -1) for word in part.words), -1], np.int64)[part.codes]

    found = codes(coded[0])
    assert found is not None
    return Variable(name, "categorical", found, codes(coded[1]), tuple(words), role, is_descriptor=True)


def _coded(held: NDArray[Any]) -> Coded:
    known: dict[str, int] = {}
    codes = [-1 if v is None else known.setdefault(str(v), len(known)) for v in held.reshape(len(held))]
    return Coded(np.array(codes, np.int32), tuple(known))


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
