"""Whoever watches may break, and a store may hold what nobody put there: the numbers stay those of their own node."""

import errno
from pathlib import Path

import pytest

from pgx_compiler.evidence import store as store_module
from pgx_compiler.evidence.store import Artifact, DamagedEvidence, Store, write_atomically
from runtimes.engines import processes
from runtimes.engines.contract import Job, Setting

EXECUTE = Path(__file__).parent.parent / "execute"


@pytest.fixture
def workers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXECUTE))
    opened = processes.open_engine(Setting(1, tmp_path / "store", tmp_path / "boxes", tmp_path))
    yield opened
    opened.close()


@pytest.mark.parametrize("error", [ValueError("a bug"), BrokenPipeError("closed"), OSError(errno.ENOSPC, "full")])
def test_a_watcher_that_fails_neither_hangs_the_work_nor_mixes_up_answers(workers, error):
    def broken(done, total):
        raise error

    first = workers.submit(Job("engine_work:double", {"value": 1}, "lane"), broken)
    second = workers.submit(Job("engine_work:double", {"value": 2}, "lane"), broken)
    assert [first.result(60).said["value"], second.result(60).said["value"]] == [2, 4]
    assert first.result().said["pid"] == second.result().said["pid"]


def test_a_folder_in_place_of_an_object_or_a_record_is_damage(tmp_path):
    store = Store(tmp_path)
    record = store.keep("ab" * 32, Artifact({"x": 1}), {}, {}, 0.0)
    path = store.path(record.document, ".json")
    path.unlink()
    path.mkdir()
    assert not store.whole(record)
    with pytest.raises(DamagedEvidence):
        store.load(record)
    (place,) = (tmp_path / "records").glob("*/*.json")
    place.unlink()
    place.mkdir()
    assert store.find(record.key) is None
    assert store.keep(record.key, Artifact({"x": 1}), {}, {}, 0.0) == record
    assert store.whole(record)


def test_a_full_disk_is_named_by_the_file_that_did_not_fit(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "object.npz", b"x")
    assert caught.value.filename == str(tmp_path / "object.npz")
    assert list(tmp_path.iterdir()) == []
