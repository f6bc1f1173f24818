"""What the folder of a run, its store and the system under it could do to a run, before somebody tried again; each once."""

import errno
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from execute.conftest import Processes
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main
from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.manifest import empty_folders
from pgx_compiler.evidence.retention import Rule
from pgx_compiler.evidence.store import Artifact, Store, object_path
from pgx_compiler.evidence.sweep import seal_run, sweep
from pgx_compiler.execute.run import _outcome
from pgx_compiler.ir.node import Node
from runtimes.engines import nurseries
from runtimes.engines.contract import Limits, WorkerDied, WorkFailed

AGED = time.time() - 2 * 24 * 3600
LATER = time.time() + 2 * 24 * 3600


def said_by(capsys, *arguments):
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    return status, told.out + told.err


# --- what a run rests on, swept


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("PGX_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def keep(store, name, value=0):
    return store.keep(digest(name), Artifact({"value": value}, {"v": np.arange(4) + value}), {}, {}, 0.0)


def seal(store, *records, audit="a"):
    return seal_run(store, {"audit": audit}, {r.key[:6]: (r.key, r.content) for r in records}, (), ())[0]


def aged(store):
    for path in store.root.rglob("*"):
        if path.is_file():
            os.utime(path, (AGED, AGED))


def flip(path):
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def files(store):
    passed = ("locks", "layout.json")
    return sorted(p for p in store.root.rglob("*") if p.is_file() and p.relative_to(store.root).parts[0] not in passed)


def damaged_list(store, record, root):
    flip(store.path(root, ".json"))


def lost_list(store, record, root):
    store.path(root, ".json").unlink()


def damaged_record(store, record, root):
    flip(store.record_path(record.key))


def lost_record(store, record, root):
    store.record_path(record.key).unlink()


def piped_list(store, record, root):
    store.path(root, ".json").unlink()
    os.mkfifo(store.path(root, ".json"))


@pytest.mark.parametrize("harm", [damaged_list, lost_list, damaged_record, lost_record, piped_list])
@pytest.mark.parametrize("more", [[], ["--yes"]])
def test_where_it_is_not_known_what_a_run_rests_on_nothing_is_swept(store, capsys, harm, more):
    record = keep(store, "used")
    harm(store, record, seal(store, record))
    aged(store)
    before = files(store)
    status, said = said_by(capsys, "gc", *more)
    assert status == 5
    assert "damaged evidence" in said
    assert "the run of `a` at line 1 of the ledger" in said
    assert "Run that audit again" in said
    # neither in the trash nor set aside
    assert files(store) == before


def test_a_run_that_is_sealed_again_mends_its_list(store, capsys):
    record = keep(store, "used")
    flip(store.path(seal(store, record), ".json"))
    seal(store, record)
    aged(store)
    assert said_by(capsys, "gc", "--yes")[0] == 0
    assert store.whole(store.find(record.key))


def test_what_an_earlier_sweep_took_is_not_lost(store):
    # two sweeps with other rules: what the first did not count is gone, and the second counts it again
    for number in range(3):
        seal(store, keep(store, f"r{number}", number))
    assert sweep(store, Rule(keep_runs=1), pretend=False, now=LATER).runs == 1
    swept = sweep(store, Rule(keep_runs=3), pretend=False, now=LATER)
    assert (swept.runs, swept.moved) == (3, [])
    assert store.whole(store.find(digest("r2")))


def test_a_run_that_the_last_sweep_counted_is_lost_where_its_list_is_gone(store, capsys):
    root = seal(store, keep(store, "used"))
    keep(store, "unused", 1)
    assert sweep(store, Rule(), pretend=False, now=LATER).moved
    store.path(root, ".json").unlink()
    assert said_by(capsys, "gc", "--yes")[0] == 5


def test_of_two_results_of_one_key_both_stay_where_a_run_rests_on_each(store):
    first = keep(store, "used")
    seal(store, first)
    store.path(first.document, ".json").unlink()  # so that the later result comes to stand
    second = keep(store, "used", 1)
    seal(store, second)
    assert store.find(first.key).content == second.content != first.content
    sweep(store, Rule(), pretend=False, now=LATER)
    assert (store.root / "conflicts" / first.key / f"{first.content}.json").exists()
    assert (store.root / object_path(first.arrays, ".npz")).exists()


def test_a_store_that_cannot_be_written_is_a_diagnostic(store, capsys, monkeypatch):
    keep(store, "unused")
    aged(store)

    def refused(*_):
        raise OSError(errno.EROFS, "Read-only file system", "f")

    monkeypatch.setattr(os, "replace", refused)
    status, said = said_by(capsys, "gc", "--yes")
    assert status == 2
    assert "PGX5011" in said
    assert "Read-only file system" in said


def test_a_store_that_is_a_file_is_not_taken_for_none(tmp_path, capsys, monkeypatch):
    (tmp_path / "f").write_text("a file")
    monkeypatch.setenv("PGX_STORE", str(tmp_path / "f"))
    status, said = said_by(capsys, "gc")
    assert status == 2
    assert "PGX5011" in said
    assert "it is no folder" in said
    assert "the store is no folder" in said_by(capsys, "verify", "--store")[1]


# --- the folder of a run


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A project with the run ``o`` of ``audit.yaml``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PGX_STORE", raising=False)
        folder = make_project(tmp_path_factory.mktemp("second") / "project")
        write_spec(folder, "german-credit-trees", SMALL_TREES, "audit.yaml")
        assert main(["run", str(folder / "audit.yaml"), "-o", str(folder / "o")]) == 0
    return folder


@pytest.fixture
def project(ran, tmp_path, monkeypatch):
    monkeypatch.delenv("PGX_STORE", raising=False)
    return Path(shutil.copytree(ran, tmp_path / "project"))


def linked(place):
    victim = place.parent.parent / "victim"
    victim.write_text("untouched")
    place.symlink_to(victim)


def linked_hard(place):
    victim = place.parent.parent / "victim"
    victim.write_text("untouched")
    place.hardlink_to(victim)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("events.jsonl", linked_hard),
        ("worker-host.log", linked_hard),
        ("events.jsonl", linked),
        ("events.jsonl", os.mkfifo),
        ("events.jsonl", os.mkdir),
        ("worker-onnx_runtime.log", linked),
        ("worker-onnx_runtime.log", os.mkdir),
        ("worker-host.log", os.mkfifo),
        ("evidence/rows", linked),
    ],
)
def test_what_is_in_the_way_in_a_runs_folder_is_refused_before_anything_is_computed(project, capsys, name, how):
    shutil.rmtree(project / ".pgx")
    place = project / "new" / name
    place.parent.mkdir(parents=True)
    how(place)
    status, said = said_by(capsys, "run", project / "audit.yaml", "-o", project / "new")
    assert status == 2
    assert "PGX5011" in said
    assert str(place) in said
    assert not list(project.rglob("records/*/*.json"))
    for victim in project.rglob("victim"):
        assert victim.read_text() == "untouched"


def test_a_journal_and_a_log_follow_no_link_that_comes_later(tmp_path):
    from pgx_compiler.execute.journal import Journal, Setup
    from pgx_compiler.ir.graph import Graph

    (tmp_path / "other").write_text("untouched")
    ways = {
        "link": lambda place: place.symlink_to(tmp_path / "victim"),
        "pipe": os.mkfifo,
        "second name": lambda place: place.hardlink_to(tmp_path / "other"),
    }
    for name, made in ways.items():
        place = tmp_path / name
        made(place)
        with pytest.raises(OSError, match="a link, a pipe or a device") as caught:
            Journal(place, Graph([]), Setup("p", "a", "d", "inline", 1))
        assert caught.value.filename == str(place)
    assert not (tmp_path / "victim").exists()
    assert (tmp_path / "other").read_text() == "untouched"


def test_what_a_run_writes_whole_takes_the_place_of_a_name_and_leaves_the_other_names_of_its_file(project, capsys):
    folder = project / "o"
    names = [
        "factsheet.json",
        "plan.json",
        "spec.yaml",
        *(str(one.relative_to(folder)) for one in folder.glob("evidence/*.json")),
    ]
    outside = project / "outside"
    outside.mkdir()
    for number, name in enumerate(names):
        (outside / str(number)).write_text("untouched")
        (folder / name).unlink()
        (folder / name).hardlink_to(outside / str(number))
    assert len(names) > 4
    assert said_by(capsys, "run", project / "audit.yaml", "-o", folder)[0] in (0, 1)
    assert {one.read_text() for one in outside.iterdir()} == {"untouched"}
    assert all((folder / name).stat().st_nlink == 1 for name in names)
    assert said_by(capsys, "verify", folder)[0] == 0


def test_an_added_empty_folder_is_named(project, capsys):
    assert said_by(capsys, "verify", project / "o")[0] == 0
    (project / "o" / "evidence" / "more" / "and more").mkdir(parents=True)
    status, said = said_by(capsys, "verify", project / "o")
    assert status == 5
    assert "damaged: evidence/more is an empty folder that no run leaves" in said
    assert "and more" not in said


def test_a_run_into_the_folder_of_another_leaves_no_empty_folder(project, capsys):
    (project / "o" / "evidence" / "gone").mkdir()
    (project / "o" / "mine").mkdir()  # of the person, whose folder this is
    assert said_by(capsys, "run", project / "audit.yaml", "-o", project / "o")[0] == 0
    assert said_by(capsys, "verify", project / "o")[0] == 0
    assert empty_folders(project / "o") == ["mine"]


def test_a_name_with_a_line_break_forges_no_line(project, capsys):
    (project / "o" / "x\no: whole: 99 files match\x1b[2J\ndamaged: spec.yaml was changed").write_text("")
    status, said = said_by(capsys, "verify", project / "o")
    assert status == 5
    told = "x<U+000A>o: whole: 99 files match<U+001B>[2J<U+000A>damaged: spec.yaml was changed is not in the manifest"
    lines = [line for line in said.splitlines() if line.startswith("damaged: ")]
    assert lines == [f"damaged: {told}: somebody has put it there"]
    assert not [line for line in said.splitlines() if line.startswith("o: whole")]


def test_a_spec_with_a_line_break_in_its_name_forges_no_line(project, capsys):
    spec = project / "a\nother.yaml: nothing is wrong with it (9 steps)\n.yaml"
    shutil.copy(project / "audit.yaml", spec)
    status, said = said_by(capsys, "check", spec)
    assert status == 0
    assert len(said.strip().splitlines()) == 1


# --- a system that gives no processes


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "execute"))
    opened = []

    def open_engine(**setting):
        opened.append(Processes(tmp_path, **setting))
        return opened[-1]

    yield open_engine
    for one in opened:
        one.close()


def double(workers):
    return workers.begin("engine_work:double", {"value": 21}).result(60)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.ENOENT])
def test_where_no_process_can_be_started_the_node_is_told_and_the_next_one_tries_again(start, monkeypatch, number):
    real = subprocess.Popen

    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(nurseries.subprocess, "Popen", refused)
    workers = start(lanes=("a",))
    for _ in range(2):
        with pytest.raises(WorkerDied, match=f"no worker process could be started: {os.strerror(number)}"):
            double(workers)
    monkeypatch.setattr(nurseries.subprocess, "Popen", real)
    assert double(workers).said["value"] == 42


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN])
def test_a_want_of_open_files_is_told_as_one(start, monkeypatch, number):
    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(nurseries.socket, "socketpair", refused)
    with pytest.raises(WorkerDied, match=f"no worker process could be started: {os.strerror(number)}"):
        double(start(lanes=("a",)))


@pytest.mark.parametrize("how", [lambda p: p.mkdir(), os.mkfifo, lambda p: p.symlink_to(p.parent / "victim")])
def test_a_log_that_cannot_be_written_names_its_place_and_hangs_nobody(start, tmp_path, how):
    how(tmp_path / "worker-a.log")
    workers = start(lanes=("a",))
    with pytest.raises(OSError, match="worker-a.log") as caught:
        double(workers)
    assert caught.value.filename == str(tmp_path / "worker-a.log")
    assert not (tmp_path / "victim").exists()


# --- memory


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("MemoryError", ""),
        ("_ArrayMemoryError", "Unable to allocate 7.28 TiB for an array"),
        (
            "RuntimeException",
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 68719476736",
        ),
        ("RuntimeException", "std::bad_alloc"),
        ("ResourceExhaustedError", "OOM when allocating tensor with shape[4096,4096,4096]"),
    ],
)
def test_an_allocation_that_the_limit_refused_names_the_limit(tmp_path, kind, message):
    def reason(kind, message, limits):
        from concurrent.futures import Future

        ended = Future()
        ended.set_exception(WorkFailed(kind, message))
        return _outcome(Node("n", "predict", key="k"), ended, Store(tmp_path), limits).reason

    limited = Limits(memory=2**31)
    assert reason(kind, message, limited).endswith("; a worker may hold 2 GiB, `pgx run --memory` allows more")
    assert "--memory" not in reason(kind, message, Limits())
    assert "--memory" not in reason("InvalidArgument", "Got invalid dimensions for input", limited)


def test_the_help_says_when_memory_is_looked_at(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "at a look every 0.2 seconds" in said
    assert "twice as much and 4 GiB" in said
