"""The store: what is read back is what was written, or it is found out."""

import json
import os

import numpy as np
import pytest

from pgx_compiler.evidence.canonical import archive, canonical_json, digest, unarchive
from pgx_compiler.evidence.store import Artifact, DamagedEvidence, Store, write_atomically

KEY = "ab" * 32


def kept(store: Store):
    artifact = Artifact({"n": 3, "bad": float("nan")}, {"values": np.arange(6.0).reshape(2, 3)})
    return store.keep(KEY, artifact, {"operation": ["x", 1]}, {"forward": 5}, 0.25)


def test_a_result_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path)
    record = kept(store)
    assert store.find(KEY) == record
    found = store.load(record)
    assert found.document == {"n": 3, "bad": None}
    assert found.arrays["values"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert store.find("cd" * 32) is None


def test_objects_are_named_by_their_content(tmp_path):
    store = Store(tmp_path)
    name = store.put(b"evidence", ".json")
    # sha256("evidence")
    assert name == digest(b"evidence")
    assert store.path(name, ".json").read_bytes() == b"evidence"
    assert store.put(b"evidence", ".json") == name


@pytest.mark.parametrize("which", ["document", "arrays"])
def test_a_flipped_bit_is_found_set_aside_and_never_used(tmp_path, which):
    store = Store(tmp_path)
    record = kept(store)
    path = store.path(getattr(record, which), ".json" if which == "document" else ".npz")
    content = bytearray(path.read_bytes())
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(bytes(damaged))
        assert not store.whole(record)
        assert not path.exists()
    with pytest.raises(DamagedEvidence):
        store.load(record)
    assert store.damaged
    assert kept(store) == record
    assert store.whole(record)


def test_a_damaged_record_counts_as_absent(tmp_path):
    store = Store(tmp_path)
    kept(store)
    path = tmp_path / "records" / "ab" / f"{KEY}.json"
    body = json.loads(path.read_bytes())
    body["record"]["spent"] = {"forward": 1}
    path.write_bytes(canonical_json(body))
    assert store.find(KEY) is None
    path.write_bytes(b"{not json")
    assert store.find(KEY) is None


def test_ingest_copies_what_was_hashed_and_refuses_what_changed(tmp_path):
    source = tmp_path / "model.onnx"
    source.write_bytes(b"weights")
    store = Store(tmp_path / "store")
    copy = store.ingest(source, digest(b"weights"))
    assert copy.read_bytes() == b"weights"
    assert copy.suffix == ".onnx"
    source.write_bytes(b"other weights")
    assert store.ingest(source, digest(b"weights")) == copy
    with pytest.raises(DamagedEvidence, match="changed while it was being read"):
        store.ingest(source, digest(b"third weights"))


def test_nothing_half_written_stays_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "factsheet.json", b"{}")
    assert list(tmp_path.iterdir()) == []


def test_equal_values_have_equal_bytes_whatever_their_order():
    assert canonical_json({"b": 1, "a": (1.0, np.float64(2.5))}) == b'{"a":[1.0,2.5],"b":1}'
    one = archive({"b": np.arange(3), "a": np.ones(2)})
    other = archive({"a": np.ones(2), "b": np.arange(3)})
    assert one == other
    assert unarchive(one)["b"].tolist() == [0, 1, 2]


def test_no_array_is_ever_unpickled(tmp_path):
    import io

    hostile = io.BytesIO()
    np.savez(hostile, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        unarchive(hostile.getvalue())
