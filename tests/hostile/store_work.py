"""A small day in the life of a store: what the tests of faults strike at, in a process that `forking` forks."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from pgx_compiler.evidence.canonical import archive, canonical_json, digest
from pgx_compiler.evidence.locks import NoLocks
from pgx_compiler.evidence.store import ARRAYS, DOCUMENT, Artifact, DamagedEvidence, Store, UnfitResult

KEYS = [digest(f"key {number}") for number in range(4)]
MODEL = b"weights of a model"


def work(root: str, acknowledged: str) -> None:
    """Keep three results, take in a model and a worker's box; after each step, say so outside of the store."""
    said = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def acknowledge(*what: Any) -> None:
        os.write(said, json.dumps(what).encode() + b"\n")

    store = Store(Path(root) / "store")
    with store.enter():
        source = Path(root) / "model.onnx"
        store.ingest(source, digest(MODEL))
        acknowledge("file", digest(MODEL), ".onnx")
        for number in (0, 1):
            with store.claim(KEYS[number]) as held:  # type: ignore[union-attr]
                assert held is not None
                made = Artifact({"number": number}, {"values": np.arange(number * 3.0)} if number else {})
                acknowledge("key", KEYS[number], store.keep(KEYS[number], made, {}, {}, 0.0).content)
        box = Path(root) / "box"
        box.mkdir(exist_ok=True)
        (box / DOCUMENT).write_bytes(canonical_json({"from": "a worker"}))
        (box / ARRAYS).write_bytes(archive({"values": np.ones(5)}))
        acknowledge("key", KEYS[2], store.accept(KEYS[2], box, {}, {}, 0.0).content)
        acknowledge(
            "key", KEYS[3], store.keep(KEYS[3], Artifact({"number": 0}), {}, {}, 0.0).content
        )  # a known content
        for line in (1, 2):
            acknowledge("seal", store.ledger.append({"event": "note", "line": line}))
        for key in KEYS:
            record = store.find(key)
            assert record is not None
            store.load(record)
    acknowledge("done")


def quietly(root: str, acknowledged: str) -> int:
    """The same; 0 where it came to its end, 2 where it met what a caller is told to expect, 3 where damage was found."""
    try:
        work(root, acknowledged)
    except (DamagedEvidence, UnfitResult):
        return 3
    except (OSError, NoLocks) as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        return 2
    return 0
