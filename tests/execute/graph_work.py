"""The work of nodes for the tests of `run_graph`: what one does stands in its parameters."""

import ctypes
import time

import numpy as np

from pgx_compiler.evidence.canonical import archive, canonical_json


def perform(payload, place, progress):
    node = payload["node"]
    does = node["params"]["does"]
    if does == "hang":
        time.sleep(600)
    elif does == "swell":
        held = []
        while True:
            held.append(b"x" * 2**24)
            time.sleep(0.01)
    elif does == "crash":
        ctypes.string_at(0)
    elif does == "raise":
        raise ValueError("as asked")
    elif does == "rest":
        time.sleep(0.2)
    if does != "nothing":
        (place.writes / "document.json").write_bytes(canonical_json({"of": node["id"]}))
        (place.writes / "arrays.npz").write_bytes(archive({"values": np.arange(3.0)}))
    return {"spent": {"forward": 0, "backward": 0}, "seconds": 0.0}
