"""A power cut at any moment: what was acknowledged is found whole, and nothing under a final name is damaged.

The whole exploration is ``benchmarks/execution/crash_states.py``; here a part of it, and the proof that a weaker protocol is caught.
"""

import itertools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.evidence import disk
from pgx_compiler.evidence.canonical import archive, canonical_json, digest, digest_of_file
from pgx_compiler.evidence.ledger import BrokenLedger
from pgx_compiler.evidence.store import ARRAYS, DOCUMENT, Artifact, Record, Store
from tests.evidence.crash_model import build, record, states

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  (mkdtemp makes it private)
KEYS = [digest(f"key {n}") for n in range(3)]


def two_nodes(root, box):
    """A model is taken in, two nodes are kept (one from a box, with arrays), the run is sealed."""
    store = Store(root)
    source = box / "model.onnx"
    source.write_bytes(b"weights")
    (box / DOCUMENT).write_bytes(canonical_json({"x": 1}))
    (box / ARRAYS).write_bytes(archive({"v": np.arange(3)}))

    def work(promise):
        store.ingest(source, digest(b"weights"))
        promise(("file", digest(b"weights"), ".onnx"))
        promise(("key", store.accept(KEYS[0], box, {"n": 0}, {}, 0.0).key))
        promise(("key", store.keep(KEYS[1], Artifact({"y": 2}), {"n": 1}, {}, 0.0).key))
        promise(("seal", store.ledger.append({"event": "run", "keys": KEYS[:2]})))
        promise(("key", store.keep(KEYS[2], Artifact({"x": 1}), {"n": 2}, {}, 0.0).key))
        promise(("seal", store.ledger.append({"event": "run", "keys": KEYS})))

    return work


def wrong_with(root, promised):
    """What a crash has broken in a store: promises not kept, and damage under a final name."""
    store = Store(root)
    found = []
    forgotten = max((at for at, (kind, *_) in enumerate(promised) if kind == "forget"), default=-1)
    for kind, *what in promised[forgotten + 1 :]:
        if kind == "key":
            kept = store.find(what[0])
            if kept is None or not store.whole(kept):
                found.append(f"lost key {what[0][:6]}")
        elif kind == "file":
            path = store.path(*what)
            if not path.is_file() or digest_of_file(path) != what[0]:
                found.append("lost file")
    try:
        seals = [entry.seal for entry in store.ledger.entries()]
        found += [f"lost seal {what[0][:6]}" for kind, *what in promised if kind == "seal" and what[0] not in seals]
    except BrokenLedger as error:
        found.append(str(error))
    for path in (root / "objects").glob("*/[!.]*"):
        if digest_of_file(path) != path.name.split(".")[0]:
            found.append("damaged object")
    for path in (root / "records").glob("*/[!.]*"):
        kept = store.find(path.stem)
        if not isinstance(kept, Record) or not store.whole(kept):
            found.append("damaged record")
    return found


def explore(work_in, monkeypatch, most=None, skip=lambda call, about: False, stop=False):
    """Every different state of a piece of work; returns how many, and what was found wrong."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        base = Path(folder)
        (base / "box").mkdir()
        moments = record(base / "store", work_in(base / "store", base / "box"), monkeypatch, skip)
        seen, wrong = set(), {}
        every = ((moment, tree) for moment in moments for tree in states(moment))
        for moment, tree in itertools.islice(every, most):
            known = digest([sorted((p, (c or b"").hex(), c is None) for p, c in tree.items()), len(moment.promised)])
            if known in seen:
                continue
            seen.add(known)
            place = base / f"state-{len(seen)}"
            build(tree, place)
            for one in wrong_with(place, moment.promised):
                wrong[one] = wrong.get(one, 0) + 1
            shutil.rmtree(place)
            if stop and wrong:
                break
        return len(seen), wrong


def test_no_crash_loses_what_was_acknowledged_nor_leaves_damage(monkeypatch):
    count, wrong = explore(two_nodes, monkeypatch)
    assert wrong == {}
    assert count > 40


def no_file_is_flushed(monkeypatch):
    return {"skip": lambda call, about: call == "fsync file"}


def no_folder_is_flushed(monkeypatch):
    return {"skip": lambda call, about: call == "fsync folder"}


def objects_are_not_flushed(monkeypatch):
    return {"skip": lambda call, about: call == "fsync file" and about.startswith(("objects", "incoming"))}


def records_are_not_flushed(monkeypatch):
    return {"skip": lambda call, about: call == "fsync file" and about.startswith("records")}


def the_ledger_is_not_flushed(monkeypatch):
    return {"skip": lambda call, about: call == "fsync file" and about.startswith("ledger")}


def names_of_objects_are_not_flushed(monkeypatch):
    return {"skip": lambda call, about: call == "fsync folder" and about.startswith("objects/")}


def names_of_records_are_not_flushed(monkeypatch):
    return {"skip": lambda call, about: call == "fsync folder" and about.startswith("records/")}


def new_folders_are_not_flushed(monkeypatch):
    def make_folder(folder):
        for one in reversed([folder, *folder.parents]):
            if not one.is_dir():
                disk.os.mkdir(one)

    monkeypatch.setattr(disk, "make_folder", make_folder)
    return {}


def files_are_written_in_place(monkeypatch):
    def write_whole(path, content, mode=None):
        disk.make_folder(path.parent)
        descriptor = disk.os.open(path, disk.os.O_WRONLY | disk.os.O_CREAT, 0o644)
        disk.os.write(descriptor, content)
        disk.os.fsync(descriptor)
        disk.os.close(descriptor)
        disk.sync_folder(path.parent)

    monkeypatch.setattr("pgx_compiler.evidence.store.write_whole", write_whole)
    return {}


def renamed_before_it_is_flushed(monkeypatch):
    def write_whole(path, content, mode=None):
        disk.make_folder(path.parent)
        temporary = path.with_name(f".{path.name}")
        descriptor = disk.os.open(temporary, disk.os.O_WRONLY | disk.os.O_CREAT, 0o644)
        disk.os.write(descriptor, content)
        disk.os.replace(temporary, path)
        disk.os.fsync(descriptor)
        disk.os.close(descriptor)
        disk.sync_folder(path.parent)

    monkeypatch.setattr("pgx_compiler.evidence.store.write_whole", write_whole)
    return {}


def the_record_comes_before_its_objects(monkeypatch):
    held = []
    put = Store.put

    def late(self, content, suffix=""):
        held.append((content, suffix))
        return digest(content)

    record_of = Store._record

    def early(self, *arguments):
        made = record_of(self, *arguments)
        while held:
            put(self, *held.pop())
        return made

    monkeypatch.setattr(Store, "put", late)
    monkeypatch.setattr(Store, "_record", early)
    return {}


def a_known_object_is_trusted_by_its_name(monkeypatch):
    """As if another process had renamed it, and died before its folder was flushed."""
    real = disk.sync_folder
    seen = []

    def once_too_few(folder):
        if folder.parent.name == "objects" and folder not in seen:
            seen.append(folder)
        else:
            real(folder)

    monkeypatch.setattr("pgx_compiler.evidence.disk.sync_folder", once_too_few)
    monkeypatch.setattr("pgx_compiler.evidence.store.sync_folder", lambda folder: None)
    return {}


WEAKER = [
    no_file_is_flushed,
    no_folder_is_flushed,
    objects_are_not_flushed,
    records_are_not_flushed,
    the_ledger_is_not_flushed,
    names_of_objects_are_not_flushed,
    names_of_records_are_not_flushed,
    new_folders_are_not_flushed,
    files_are_written_in_place,
    renamed_before_it_is_flushed,
    the_record_comes_before_its_objects,
    a_known_object_is_trusted_by_its_name,
]


@pytest.mark.parametrize("weaken", WEAKER, ids=lambda w: w.__name__)
def test_a_weaker_protocol_is_caught(weaken, monkeypatch):
    _, wrong = explore(two_nodes, monkeypatch, stop=True, **weaken(monkeypatch))
    assert wrong
