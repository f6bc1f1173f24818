"""A store looked over: every changed byte is found, nothing is touched, and a run that is going on raises no alarm."""

import os
import threading

import numpy as np
import pytest

from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.inspection import inspect_store
from pgx_compiler.evidence.store import Artifact, Store
from pgx_compiler.evidence.sweep import seal_run


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    with store.enter():
        records = {name: keep(store, name) for name in ("a", "b")}
        contents = {name: (record.key, record.content) for name, record in records.items()}
        seal_run(store, {"audit": "x"}, contents, (), ())
    return store


def keep(store, name, more=0):
    return store.keep(
        digest(name), Artifact({"name": name}, {"v": np.arange(4) + ord(name) + more}), {"of": name}, {}, 0.5
    )


def files(store):
    found = [path for path in store.root.rglob("*") if path.is_file() and "locks" not in path.parts]
    return sorted(found)


def named(store):
    return [problem.file for problem in inspect_store(store).problems]


def test_a_whole_store_has_no_problems_and_is_counted(store):
    found = inspect_store(store)
    # two documents, two archives and the list of the run
    assert (found.problems, found.objects, found.records, found.lines, found.runs) == ([], 5, 2, 1, 1)


def test_every_single_changed_byte_is_found_and_nothing_is_touched(store):
    before = {path: path.read_bytes() for path in files(store)}
    missed = []
    for path, content in before.items():
        path.chmod(0o644)
        for offset in range(len(content)):
            path.write_bytes(content[:offset] + bytes([content[offset] ^ (1 << offset % 8)]) + content[offset + 1 :])
            if path.relative_to(store.root).as_posix() not in named(store):
                missed.append((path.name, offset))
        path.write_bytes(content)
    assert missed == []
    assert {path: path.read_bytes() for path in files(store)} == before


@pytest.mark.parametrize("how", ["swapped", "truncated", "empty", "link", "pipe", "folder", "planted", "misplaced"])
def test_structural_changes_are_found(store, how):
    first, second = (store.path(keep(store, name).arrays, ".npz") for name in ("a", "b"))
    wanted = {first}
    if how == "swapped":
        os.rename(first, first.with_name("x"))
        os.rename(second, first)
        os.rename(first.with_name("x"), second)
        wanted = {first, second}
    elif how == "planted":
        wanted = {store.root / "objects" / "trials.pkl"}
        (store.root / "objects" / "trials.pkl").write_bytes(b"\x80\x04.")
    elif how == "misplaced":
        place = store.root / "objects" / "00" / first.name
        place.parent.mkdir(exist_ok=True)
        os.rename(first, place)
        wanted = {place, store.record_path(digest("a"))}
    elif how in ("truncated", "empty"):
        first.chmod(0o644)
        os.truncate(first, 10 if how == "truncated" else 0)
    else:
        elsewhere = store.root.parent / "elsewhere"
        os.rename(first, elsewhere)
        {"link": lambda: first.symlink_to(elsewhere), "pipe": lambda: os.mkfifo(first), "folder": first.mkdir}[how]()
    assert set(named(store)) == {path.relative_to(store.root).as_posix() for path in wanted}


def test_a_missing_object_and_a_record_of_another_key_are_named(store):
    record, other = keep(store, "a"), keep(store, "b")
    store.path(record.document, ".json").unlink()
    store.record_path(other.key).write_bytes(store.record_path(record.key).read_bytes())
    what = {problem.file: problem.what for problem in inspect_store(store).problems}
    below = store.root
    assert "which is missing" in what[store.record_path(record.key).relative_to(below).as_posix()]
    assert "of another key" in what[store.record_path(other.key).relative_to(below).as_posix()]


def test_a_record_that_points_elsewhere_than_the_ledger_says_is_found_unless_a_conflict_was_noted(store):
    record = keep(store, "a")
    path = store.record_path(record.key)
    path.unlink()
    keep(store, "a", more=1)
    assert named(store) == [path.relative_to(store.root).as_posix()]
    # the same through the front door: both results are kept, and the ledger says so
    path.unlink()
    keep(store, "a")
    keep(store, "a", more=2)
    assert store.conflicts == [record.key]
    assert named(store) == []


def test_a_torn_last_line_is_no_damage(store):
    with store.ledger.path.open("ab") as stream:
        stream.write(b'{"body":{"event":"ru')
    assert named(store) == []


def test_nothing_is_said_of_a_store_that_is_being_written(store):
    done = threading.Event()

    def write():
        for number in range(40):
            store.keep(digest(number), Artifact({"n": number}, {"v": np.arange(50) + number}), {}, {}, 0.0)
            store.ledger.append({"n": number})
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    looks = 0
    while not done.is_set():
        assert named(store) == []
        looks += 1
    writer.join()
    assert looks > 1
