"""Engines: the same work, in this process or in others, and what happens when it goes wrong."""

import os
import time
from pathlib import Path

import pytest

from runtimes.engines import inline, processes
from runtimes.engines.contract import WorkerDied, WorkFailed

WORK = "engine_work:"


@pytest.fixture(autouse=True)
def work_can_be_found(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture(params=[inline, processes], ids=["inline", "processes"])
def engine(request, tmp_path):
    opened = request.param.open_engine(2, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def workers(tmp_path):
    opened = processes.open_engine(2, tmp_path)
    yield opened
    opened.close()


def quiet(done, total):
    pass


def test_returns_what_the_work_returns_and_tells_its_progress(engine):
    told = []
    future = engine.submit(WORK + "double", {"value": 21}, "a", lambda done, total: told.append((done, total)))
    assert future.result(60)["value"] == 42
    assert told == [(1, 1)]


def test_a_failure_keeps_its_kind_and_its_words(engine):
    with pytest.raises(WorkFailed, match="the value is 3") as caught:
        engine.submit(WORK + "fail", {"value": 3}, "a", quiet).result(60)
    assert caught.value.kind == "ValueError"
    assert "Traceback" in caught.value.details


def test_a_lane_is_one_process_and_lanes_are_apart(workers):
    first = [workers.submit(WORK + "double", {"value": n}, "a", quiet).result(60)["pid"] for n in range(2)]
    other = workers.submit(WORK + "double", {"value": 1}, "b", quiet).result(60)["pid"]
    assert first[0] == first[1]
    assert len({first[0], other, os.getpid()}) == 3


def test_a_crash_ends_its_job_by_name_and_the_lane_goes_on(workers):
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        workers.submit(WORK + "die", {}, "a", quiet).result(60)
    assert workers.submit(WORK + "double", {"value": 4}, "a", quiet).result(60)["value"] == 8


def test_what_libraries_print_does_not_reach_the_answers(workers, tmp_path):
    assert workers.submit(WORK + "chatter", {}, "a", quiet).result(60) == {"value": 1}
    workers.close()
    assert "from C as well" in (tmp_path / "worker-a.log").read_text()


def test_close_leaves_no_process_behind(tmp_path):
    opened = processes.open_engine(1, tmp_path)
    pid = opened.submit(WORK + "double", {"value": 1}, "a", quiet).result(60)["pid"]
    opened.submit(WORK + "linger", {}, "a", quiet)
    start = time.monotonic()
    opened.close()
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
