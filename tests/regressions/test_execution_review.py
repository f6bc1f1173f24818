"""What a hostile model could do to the engine, the store and the host, before somebody tried; each once."""

import json
import os
import resource
import signal
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
from execute.conftest import Processes
from execute.test_sandbox import GIVEN

from pgx_compiler.driver import store_of
from pgx_compiler.evidence.canonical import archive
from pgx_compiler.evidence.left_results import MOST_VALUES, UnfitResult, check_arrays, left_document
from pgx_compiler.evidence.store import ARRAYS, DOCUMENT
from pgx_compiler.execute.journal import Journal, Setup
from pgx_compiler.execute.run import _said
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from runtimes.engines.contract import Limits, WorkerDied, WorkFailed
from runtimes.engines.processes import ProcessEngine

needs_calls = pytest.mark.skipif("processes" in GIVEN.lacks, reason=f"this host lacks: {GIVEN.lacks.get('processes')}")
REFUSED = {"EPERM", "EACCES", "ENOSYS"}


@pytest.fixture
def workers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    opened = Processes(tmp_path)
    yield opened
    opened.close()


def begin(workers, name, payload=None, seconds=30, **more):
    return workers.begin(f"execution_review_work:{name}", payload, limits=Limits(seconds, 2**30), **more)


def said(workers, name, payload=None, **more):
    delivered = begin(workers, name, payload, **more).result(60)
    delivered.discard()
    return delivered.said


def works(workers):
    return said(workers, "write")["pid"] > 0


# --- the sandbox


@needs_calls
def test_modes_owners_times_and_attributes_of_files_are_not_changed(workers, tmp_path):
    # Landlock lets them all be changed, of every file of the user; an object shares its inode with the worker's view of it
    named, canary = tmp_path / "store/objects/ab/named", tmp_path / "canary"
    named.parent.mkdir(parents=True)
    for path in (named, canary):
        path.write_text("evidence")
        path.chmod(0o440)
    before = [os.stat(path) for path in (named, canary)]
    found = said(workers, "meddle", {"path": str(canary)}, reads=("objects/ab/named",))
    assert len(found) == 12
    assert set(found.values()) <= REFUSED, found
    for path, was in zip((named, canary), before, strict=True):
        now = os.stat(path)
        assert (now.st_mode, now.st_mtime_ns, os.listxattr(path)) == (was.st_mode, was.st_mtime_ns, [])


@needs_calls
def test_no_socket_of_a_folder_is_reached_and_nothing_is_kept_beyond_the_limits(workers, tmp_path):
    # a pair of datagram sockets sends to any address; neither a network namespace nor Landlock up to 7 stops it
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.settimeout(0.2)
        found = said(workers, "reach", {"path": str(tmp_path / "log")})
        with pytest.raises(TimeoutError):
            listener.recv(10)
    assert len(found) == 6
    assert not [act for act, told in found.items() if told.startswith("done")], found


# --- the line between worker and engine


@pytest.mark.parametrize(
    "raw",
    [
        '{"progress": [1e999, 1], "job": 0}\n',
        '{"progress": [NaN, 1], "job": 0}\n',
        '{"progress": [[], 1], "job": 0}\n',
        '{"done": [], "job": 0}\n',
        '{"ready": {}, "lacks": {}}\n',
        "[" * 100_000 + "\n",
    ],
)
def test_nonsense_on_the_line_ends_its_worker_and_nothing_else(workers, raw):
    other = begin(workers, "say", {"raw": "", "seconds": 1.0}, lane="b")
    with pytest.raises(WorkerDied, match="nonsense"):
        begin(workers, "say", {"raw": raw}).result(30)
    assert other.result(30).said == {}
    assert works(workers)


@pytest.mark.parametrize(("told", "heard"), [("9" * 4000, 2**53), ("-5", 0)])
def test_progress_is_kept_within_reason(workers, told, heard):
    seen = []
    raw = f'{{"progress": [{told}, 7], "job": 0}}\n'
    begin(workers, "say", {"raw": raw, "seconds": 0}, progress=lambda *counts: seen.append(counts)).result(30)
    assert seen == [(heard, 7)]


def test_a_long_line_takes_little_memory_and_time_of_the_parent(workers):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # eight million lists: 64 bytes each once they are read
    with pytest.raises(WorkerDied, match="does not end its line"):
        begin(workers, "say", {"raw": "[],", "times": 8_000_000}).result(30)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert works(workers)


def test_a_long_message_of_a_failure_is_cut_and_not_the_workers_end(workers):
    with pytest.raises(WorkFailed) as failed:
        begin(workers, "fail_at_length", {"length": 2**24}).result(30)
    assert 1_000 < len(str(failed.value)) < 100_000
    assert works(workers)


# --- the box


@pytest.mark.parametrize("how", ["removed", "renamed", "a file instead"])
def test_a_worker_that_takes_its_box_away_ends_nothing_but_itself(workers, how):
    other = begin(workers, "say", {"raw": "", "seconds": 1.0}, lane="b")
    with pytest.raises(WorkerDied, match="box"):
        begin(workers, "lose_the_box", {"how": how}).result(30)
    assert other.result(30).said == {}
    assert works(workers)


@pytest.mark.parametrize("name", ["fail_at_length", "crowd_and_fail"])
def test_a_worker_can_write_again_after_a_job_that_failed(workers, name):
    # the folder of boxes used to be made anew, and the sandbox knows it by its inode: every later job was refused
    first = said(workers, "write")["pid"]
    with pytest.raises(WorkFailed):
        begin(workers, name, {"length": 1}).result(30)
    assert said(workers, "write")["pid"] == first


def test_nobody_waits_for_an_engine_that_broke(workers, monkeypatch):
    engine = workers.engine
    assert isinstance(engine, ProcessEngine)
    left = []
    monkeypatch.setattr("threading.excepthook", left.append)

    def broken():
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(engine._supervisor, "_hand_out", broken)
    asked = [begin(workers, "write") for _ in range(20)]
    for future in asked:
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            future.result(20)
    engine._thread.join(20)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        begin(workers, "write").result(5)
    assert left == []


def test_a_nursery_that_hangs_is_ended_and_another_takes_its_place(workers, monkeypatch):
    monkeypatch.setattr("runtimes.engines.supervisor._START", 0.5)
    assert works(workers)
    nursery = workers.engine._supervisor._nurseries["a"]
    os.kill(nursery._process.pid, signal.SIGSTOP)
    with pytest.raises(WorkerDied, match="come up in time"):
        begin(workers, "write", seconds=0.5, apart="another model").result(30)
    assert nursery._process.poll() == -signal.SIGKILL
    assert works(workers)


def test_a_store_that_is_named_from_here_is_found_by_workers_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGX_STORE", "own/store")
    assert store_of("audit.yaml").root == tmp_path / "own" / "store"


def test_a_worker_that_says_without_end_that_it_is_done_does_not_fill_the_disk(tmp_path):
    node = Node(id="a", op="check", params={}, inputs={})
    setup = Setup("1", "audit", "plan", "processes", 1)
    with Journal(tmp_path / "events.jsonl", Graph([node]), setup) as journal:
        for _ in range(1000):
            journal.progressed(node, 7, 7)
    told = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert 1 <= told.count("progress") <= 5, told[:5]  # one, and one for each second that the loop takes


# --- what is left in it


@pytest.mark.parametrize(
    "answer",
    [
        {"spent": {"forward": float("inf")}, "seconds": 1.0},
        {"spent": {"forward": -1}, "seconds": 1.0},
        {"spent": {"forward": True}, "seconds": 1.0},
        {"spent": {"x" * 1000: 1}, "seconds": 1.0},
        {"spent": [], "seconds": 1.0},
        {"spent": {}, "seconds": float("nan")},
        {"spent": {}, "seconds": "1"},
        {"spent": {}, "seconds": -1.0},
        {"spent": {}},
        {},
    ],
)
def test_an_answer_that_is_none_is_refused_and_ends_no_run(answer):
    with pytest.raises(UnfitResult):
        _said(answer)


def test_an_honest_answer_is_taken():
    assert _said({"spent": {"forward": 3, "halved": 1}, "seconds": 2}) == ({"forward": 3, "halved": 1}, 2.0)


def test_a_document_that_would_fill_the_memory_is_refused_unread(tmp_path):
    path = tmp_path / DOCUMENT
    path.write_text('{"a":[' + "[]," * MOST_VALUES + "[]]}")  # a hundred bytes for each three
    with pytest.raises(UnfitResult, match="too large"):
        left_document(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UnfitResult):
        left_document(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_document_that_cannot_be_read_is_the_nodes_affair(tmp_path):
    (tmp_path / DOCUMENT).write_text("{}")
    (tmp_path / DOCUMENT).chmod(0)
    with pytest.raises(UnfitResult, match="Permission denied"):
        left_document(tmp_path / DOCUMENT)


def _bundle(path, *members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as bundle:
        for name, content in members:
            bundle.writestr(name, content)
    return path


def _member(shape, dtype="<f8", content=b""):
    """An array's file, whatever its header says."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct_size(len(head)) + head.encode() + content


def struct_size(length):
    return length.to_bytes(2, "little")


def test_arrays_that_swell_are_refused(tmp_path):
    path = tmp_path / ARRAYS
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("values.npy", "w") as member:
        member.write(_member(f"({2**26},)"))
        for _ in range(2**9):
            member.write(bytes(2**20))  # 512 MiB of zeros, half a MiB packed
    with pytest.raises(UnfitResult, match="swell"):
        check_arrays(path)


@pytest.mark.parametrize(
    "members",
    [
        [("values.npy", _member("(-1, -1)", content=bytes(8)))],
        [("values.npy", _member(f"(0, {10**30})"))],
        [("values.npy", _member(f"({10**15},)", "<U0"))],
        [("values.npy", _member("(1,)", "|O", bytes(8)))],
        [("values.npy", _member("(1,)", "<M8[s]", bytes(8)))],
        [("values.npy", b"no array")],
    ],
)
def test_arrays_that_nobody_could_read_are_refused(tmp_path, members):
    with pytest.raises(UnfitResult):
        check_arrays(_bundle(tmp_path / ARRAYS, *members))


def test_arrays_packed_in_another_way_are_refused(tmp_path):
    honest = _member("(1,)", content=bytes(8))
    check_arrays(_bundle(tmp_path / ARRAYS, ("values.npy", honest)))
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(UnfitResult, match="packed"):
            check_arrays(_bundle(tmp_path / ARRAYS, ("values.npy", honest), compression=compression))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_too_many_arrays_and_two_of_one_name_are_refused(tmp_path):
    honest = _member("(1,)", content=bytes(8))
    with pytest.raises(UnfitResult, match="one name"):
        check_arrays(_bundle(tmp_path / ARRAYS, ("a.npy", honest), ("a.npy", honest)))
    with pytest.raises(UnfitResult, match="too many"):
        check_arrays(_bundle(tmp_path / ARRAYS, *((f"{n}.npy", b"") for n in range(10_001))))


def test_what_passes_can_be_read_and_a_wrong_checksum_does_not_pass(tmp_path):
    content = bytearray(archive({"values": np.arange(1000.0)}))
    path = tmp_path / ARRAYS
    path.write_bytes(content)
    check_arrays(path)
    at = content.index(b"PK\1\2") + 16  # the checksum in the list of members
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnfitResult):
        check_arrays(path)
