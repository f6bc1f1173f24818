"""What a worker leaves in its box is taken for evidence only if it is what a node makes."""

import os

import numpy as np
import pytest

from pgx_compiler.evidence.canonical import archive, canonical_json
from pgx_compiler.evidence.store import ARRAYS, DOCUMENT, Artifact, Store, UnfitResult

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def box(tmp_path):
    (tmp_path / "box").mkdir()
    return tmp_path / "box"


def test_a_whole_result_is_the_same_record_as_one_kept_by_hand(store, box, tmp_path):
    artifact = Artifact({"x": 1.5, "name": "ß"}, {"values": np.arange(6.0).reshape(2, 3)})
    (box / DOCUMENT).write_bytes(canonical_json(artifact.document))
    (box / ARRAYS).write_bytes(archive(artifact.arrays))
    accepted = store.accept(KEY, box, {"of": "tests"}, {"forward": 3}, 0.5)
    assert accepted == Store(tmp_path / "other").keep(KEY, artifact, {"of": "tests"}, {"forward": 3}, 0.5)
    assert np.array_equal(store.load(accepted).arrays["values"], artifact.arrays["values"])


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b'{"b":1, "a":2}', b"[" * 100_000, b'{"x":NaN}', b"\x80\x04\x95", '{"a":"\ud800"}'.encode("utf-8", "surrogatepass")],
    ids=["empty", "cut", "not canonical", "deep", "NaN", "a pickle", "surrogate"],
)  # fmt: skip
def test_a_document_that_is_no_canonical_json_is_refused(store, box, document):
    (box / DOCUMENT).write_bytes(document)
    with pytest.raises(UnfitResult):
        store.accept(KEY, box, {}, {}, 0.0)
    assert store.find(KEY) is None


def _object_array(path):
    np.savez(path, values=np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize("write", [lambda p: p.write_bytes(b"PK\x05"), _object_array], ids=["torn", "objects"])
def test_arrays_that_cannot_be_read_without_unpickling_are_refused(store, box, write):
    (box / DOCUMENT).write_bytes(b"{}")
    write(box / ARRAYS)
    with pytest.raises(UnfitResult):
        store.accept(KEY, box, {}, {}, 0.0)


@pytest.mark.parametrize("make", ["nothing", "link", "fifo", "folder"])
def test_what_is_no_regular_file_is_refused(store, box, make, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_bytes(b"{}")
    {
        "nothing": lambda: None,
        "link": lambda: (box / DOCUMENT).symlink_to(secret),
        "fifo": lambda: os.mkfifo(box / DOCUMENT),
        "folder": lambda: (box / DOCUMENT).mkdir(),
    }[make]()
    with pytest.raises(UnfitResult):
        store.accept(KEY, box, {}, {}, 0.0)
