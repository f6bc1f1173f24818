"""Engines: the same work, in this process or in others, and what happens when it goes wrong."""

import os
import time
from pathlib import Path

import pytest

from runtimes.engines import inline, processes
from runtimes.engines.contract import Job, Setting, WorkerDied, WorkFailed

WORK = "engine_work:"


@pytest.fixture(autouse=True)
def work_can_be_found(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture(params=[inline, processes], ids=["inline", "processes"])
def engine(request, tmp_path):
    opened = request.param.open_engine(setting(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def workers(tmp_path):
    opened = processes.open_engine(setting(tmp_path))
    yield opened
    opened.close()


def setting(folder, jobs=2):
    return Setting(jobs, folder / "store", folder / "boxes", folder)


def job(name, payload, lane="a", **more):
    return Job(WORK + name, payload, lane, **more)


def quiet(done, total):
    pass


def test_returns_what_the_work_returns_and_tells_its_progress(engine):
    told = []
    future = engine.submit(job("double", {"value": 21}), lambda done, total: told.append((done, total)))
    assert future.result(60).said["value"] == 42
    assert told == [(1, 1)]


def test_linear_algebra_has_one_thread_so_that_sums_are_the_same_everywhere(engine):
    assert engine.submit(job("threads", {}), quiet).result(60).said == {"most": 1}


def test_a_failure_keeps_its_kind_and_its_words(engine):
    with pytest.raises(WorkFailed, match="the value is 3") as caught:
        engine.submit(job("fail", {"value": 3}), quiet).result(60)
    assert caught.value.kind == "ValueError"
    assert "Traceback" in caught.value.details


def test_a_lane_is_one_process_and_lanes_are_apart(workers):
    first = [workers.submit(job("double", {"value": n}), quiet).result(60).said["pid"] for n in range(2)]
    other = workers.submit(job("double", {"value": 1}, "b"), quiet).result(60).said["pid"]
    assert first[0] == first[1]
    assert len({first[0], other, os.getpid()}) == 3


def test_a_crash_ends_its_job_by_name_and_the_lane_goes_on(workers):
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        workers.submit(job("die", {}), quiet).result(60)
    assert workers.submit(job("double", {"value": 4}), quiet).result(60).said["value"] == 8


def test_what_libraries_print_does_not_reach_the_answers(workers, tmp_path):
    assert workers.submit(job("chatter", {}), quiet).result(60).said == {"value": 1}
    workers.close()
    assert "from C as well" in (tmp_path / "worker-a.log").read_text()


def test_close_leaves_no_process_behind(tmp_path):
    opened = processes.open_engine(setting(tmp_path, jobs=1))
    pid = opened.submit(job("double", {"value": 1}), quiet).result(60).said["pid"]
    opened.submit(job("linger", {}), quiet)
    start = time.monotonic()
    opened.close()
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_job_reads_what_it_named_and_leaves_files_in_a_box_of_its_own(engine, tmp_path):
    (tmp_path / "store/objects/ab").mkdir(parents=True)
    (tmp_path / "store/objects/ab/abc.bin").write_bytes(b"12")
    delivered = engine.submit(job("leave", {"object": "objects/ab/abc.bin"}, reads=("objects/ab/abc.bin",)), quiet)
    made = delivered.result(60)
    assert (made.folder / "made.bin").read_bytes() == b"1212"
    made.discard()
    assert not made.folder.exists()


def test_a_worker_sees_the_objects_of_its_jobs_alone(workers, tmp_path):
    (tmp_path / "store/objects/ab").mkdir(parents=True)
    for name in ("named", "other"):
        (tmp_path / f"store/objects/ab/{name}").write_bytes(b"1")
    asked = job("leave", {"object": "objects/ab/named"}, reads=("objects/ab/named",))
    assert workers.submit(asked, quiet).result(60).said == {"seen": ["objects/ab/named"]}


@pytest.mark.parametrize("name", ["fail", "die"])
def test_a_job_that_fails_leaves_no_box_behind(workers, tmp_path, name):
    with pytest.raises((WorkFailed, WorkerDied)):
        workers.submit(job(name, {"value": 1}), quiet).result(60)
    assert not list((tmp_path / "boxes").glob("box-*"))
