"""Choose the rows to explain, and for each the output that is explained."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.store import Artifact
from pgx_compiler.execute.bench import UnfitInput
from pgx_compiler.modalities.data import Split
from runtimes.capabilities import Integers


def choose(
    split: Split, predictions: Mapping[str, NDArray[Any]], params: Mapping[str, Any], rng: np.random.Generator
) -> Artifact:
    """Rows by id, by error, by doubt, at random, or all; in the order of the file. Raises `UnfitInput`."""
    select = params["select"]
    output = predictions["output"]
    chosen: list[int] = []
    reasons: dict[int, str] = {}

    def take(rows: Any, reason: str) -> None:
        for row in rows:
            if int(row) not in reasons:
                chosen.append(int(row))
                reasons[int(row)] = reason

    if select["all"]:
        take(range(len(split)), "all")
    if select["ids"] is not None:
        take(_by_id(split, select["ids"]), "id")
    if select["errors"]:
        take(_errors(split, output, select["errors"]), "error")
    if select["borderline"]:
        ordered = np.sort(output, axis=1)
        doubt = ordered[:, -1] - (ordered[:, -2] if output.shape[1] > 1 else 0)
        take(np.argsort(doubt, kind="stable")[: select["borderline"]], "borderline")
    if select["sample"]:
        take(_sample(split, min(select["sample"], len(split)), select["stratify"] is not None, rng), "sample")
    index = np.array(sorted(chosen), np.int64)
    if not len(index):
        raise UnfitInput(f"no row of {split.name} is chosen: the model makes no error there")
    arrays = {
        "index": index,
        "target": explained_output(split, output, index, params),
        "predicted": output[index].argmax(axis=1).astype(np.int64),
        "output": output[index],
        "row_ids": np.array([str(row) for row in split.row_ids[index]]),
    }
    if "targets" in params:
        words = [{**params, "target": word} for word in params["targets"]]
        arrays["targets"] = np.stack([explained_output(split, output, index, word) for word in words], axis=1)
    if split.labels is not None:
        arrays["labels"] = split.labels[index]
    return Artifact({"rows": len(index), "chosen_as": [reasons[int(i)] for i in index], "split": split.name}, arrays)


def explained_output(split: Split, output: NDArray[Any], index: Integers, params: Mapping[str, Any]) -> Integers:
    """The output column explained for each chosen row: the predicted class, the true one, or the one named or numbered."""
    if isinstance(params["target"], int):
        return np.full(len(index), params["target"], np.int64)
    if params["task"] == "regression":
        return np.zeros(len(index), np.int64)
    if params["target"] == "predicted":
        return np.asarray(output[index].argmax(axis=1), np.int64)
    if params["target"] == "label":
        if split.labels is None:
            raise UnfitInput("`explain.target: label` needs labels, but the data names no target")
        return np.asarray(split.labels[index], np.int64)
    return np.full(len(index), list(params["classes"]).index(params["target"]), np.int64)


def _by_id(split: Split, ids: list[Any]) -> list[int]:
    wanted = {str(row) for row in ids}
    position: dict[str, int] = {}
    for start in range(0, len(split), _AT_ONCE):
        called = split.row_ids[start : start + _AT_ONCE].tolist()
        position |= {str(row): start + at for at, row in enumerate(called) if str(row) in wanted}
    unknown = [str(row) for row in ids if str(row) not in position]
    if unknown:
        raise UnfitInput(f"{split.name} has no row with the id {', '.join(unknown[:5])}")
    return [position[str(row)] for row in ids]


def _errors(split: Split, output: NDArray[Any], wanted: int) -> Integers:
    if split.labels is None:
        raise UnfitInput("`rows.errors` needs labels, but the data names no target")
    predicted = output.argmax(axis=1)
    wrong = np.flatnonzero(predicted != split.labels)
    surest = np.argsort(-output[wrong, predicted[wrong]], kind="stable")
    return np.asarray(wrong[surest][:wanted], np.int64)


def _sample(split: Split, wanted: int, stratify: bool, rng: np.random.Generator) -> Integers:
    if not stratify or split.labels is None or split.labels.dtype.kind == "f":
        return np.asarray(rng.choice(len(split), wanted, replace=False), np.int64)
    # evenly over the classes: one from each in turn, until enough; small classes give what they have
    queues = [rng.permutation(np.flatnonzero(split.labels == label)) for label in np.unique(split.labels)]
    rounds = max(len(queue) for queue in queues)
    turn = (queue[i] for i in range(rounds) for queue in queues if i < len(queue))
    return np.array(list(islice(turn, wanted)), np.int64)


_AT_ONCE = 100_000
"""Row ids looked at together."""
