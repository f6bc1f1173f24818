"""Time, memory, crashes and nonsense end a job by name, and nothing else."""

import os
import signal
import time

import pytest
from execute.conftest import eventually

from runtimes.engines.contract import LimitReached, Limits, WorkerDied, WorkFailed

OUT_OF_RANGE = "\x00\xff\n"


@pytest.mark.parametrize("name", ["spin", "spin_and_ignore"])
def test_a_loop_in_native_code_ends_at_its_time(workers, name):
    began = time.monotonic()
    other = workers.begin("engine_work:double", {"value": 21}, lane="b")
    with pytest.raises(LimitReached, match=r"time limit of 0\.5 s reached") as caught:
        workers.begin(name, limits=Limits(seconds=0.5)).result(60)
    assert caught.value.limit == "seconds"
    # the limit, two seconds of grace, and what a busy machine takes to start a process
    assert time.monotonic() - began < 15
    assert other.result(60).said["value"] == 42
    workers.still_works()


def test_time_begins_when_the_job_does(start):
    engine = start(jobs=1)
    first = engine.begin("rest", {"seconds": 1.0}, limits=Limits(seconds=30))
    second = engine.begin("rest", {"seconds": 0.3}, limits=Limits(seconds=0.9))
    assert first.result(60).said["pid"] == second.result(60).said["pid"]


def test_memory_ends_at_its_limit(workers):
    with pytest.raises(LimitReached, match="memory limit of 200 MiB reached") as caught:
        workers.begin("allocate", limits=Limits(memory=200 * 2**20)).result(60)
    assert caught.value.limit == "memory"
    workers.still_works()


def test_what_no_machine_has_is_refused_in_the_worker(workers):
    with pytest.raises(WorkFailed) as caught:
        workers.begin("allocate_at_once", {"bytes": 10**13}, limits=Limits(memory=2**30)).result(60)
    assert caught.value.kind == "MemoryError"
    workers.still_works()


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL"])
def test_a_crash_is_named(workers, name):
    with pytest.raises(WorkerDied, match=f"died of {name}"):
        workers.begin("crash", {"signal": name}).result(60)
    workers.still_works()


def test_native_crashes_and_silent_ends_are_named(workers):
    for name, words in (
        ("crash_in_native_code", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("leave_silently", "ended with status 0"),
    ):
        with pytest.raises(WorkerDied, match=words):
            workers.begin(name).result(60)
    workers.still_works()


@pytest.mark.parametrize(
    "said", ["no JSON\n", "[]\n", "{}\n", '{"progress": "a"}\n', '{"done": 3}\n', OUT_OF_RANGE, "[" * 100_000 + "\n"]
)
def test_nonsense_ends_whoever_speaks_it(workers, said):
    with pytest.raises(WorkerDied, match="nonsense"):
        workers.begin("garbage", {"said": said}).result(60)
    workers.still_works()


def test_a_line_without_end_ends_its_worker(workers, monkeypatch):
    monkeypatch.setattr("runtimes.engines.nurseries.LONGEST_LINE", 2**20)
    with pytest.raises(WorkerDied, match="does not end its line"):
        workers.begin("endless_line").result(60)


def test_hanging_up_is_no_way_to_live_on(workers):
    with pytest.raises(WorkerDied, match="hung up"):
        workers.begin("hang_up").result(60)
    workers.still_works()


def test_a_flood_of_progress_stops_neither_others_nor_the_clock(workers):
    flood = workers.begin("flood", limits=Limits(seconds=1))
    workers.still_works()
    with pytest.raises(LimitReached):
        flood.result(60)


def test_a_second_answer_is_not_taken_for_the_next_job(workers):
    assert workers.said("answer_twice")["value"] == "forged"
    # the late answer ends the worker that gave it, and the next job is done by another
    assert [workers.said("engine_work:double", {"value": n})["value"] for n in (1, 2, 3)] == [2, 4, 6]


@pytest.fixture
def told(tmp_path):
    path = tmp_path / "store/objects/ab/told"
    path.parent.mkdir(parents=True)
    path.write_text("die")
    return path


def test_a_worker_killed_from_outside_costs_no_result(workers, told, tmp_path):
    begun = []
    future = workers.begin("die_once", progress=lambda *_: begun.append(1), reads=("objects/ab/told",))
    assert eventually(lambda: begun, 30)
    told.unlink()
    told.write_text("live")
    os.kill(_workers_of(os.getpid())[0], signal.SIGKILL)
    assert future.result(60).facts["retries"] == 1


def test_a_job_that_is_killed_twice_has_failed(workers, told):
    begun = []
    future = workers.begin("die_once", progress=lambda *_: begun.append(1), reads=("objects/ab/told",))
    for times in (1, 2):
        assert eventually(lambda: len(begun) == times, 30)  # noqa: B023
        os.kill(_workers_of(os.getpid())[0], signal.SIGKILL)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        future.result(60)
    workers.still_works()


def test_a_crash_is_tried_again_only_where_the_worker_had_a_past(workers):
    begun = []
    with pytest.raises(WorkerDied):
        workers.begin("crash", {"signal": "SIGSEGV"}, progress=lambda *_: begun.append("fresh")).result(60)
    workers.said("rest", {"seconds": 0})
    with pytest.raises(WorkerDied):
        workers.begin("crash", {"signal": "SIGSEGV"}, progress=lambda *_: begun.append("used")).result(60)
    assert begun == ["fresh", "used", "used"]


def test_a_nursery_that_is_killed_is_replaced(workers, told):
    begun = []
    future = workers.begin("die_once", progress=lambda *_: begun.append(1), reads=("objects/ab/told",))
    assert eventually(lambda: begun, 30)
    told.unlink()
    told.write_text("live")
    os.kill(_children(os.getpid())[0], signal.SIGKILL)
    assert future.result(60).facts["retries"] == 1


def test_a_worker_that_cannot_be_forked_from_what_is_imported_starts_from_nothing(start, tmp_path, monkeypatch):
    # a lane whose imports leave a process that dies as soon as it is a child
    (tmp_path / "dies_when_forked.py").write_text("import os\nos.register_at_fork(after_in_child=os.abort)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = start(modules=("dies_when_forked",))
    assert engine.said("engine_work:double", {"value": 4})["value"] == 8
    engine.close()
    assert "before its first word" in (tmp_path / "worker-a.log").read_text()


def test_a_nursery_that_dies_while_it_imports_is_done_without(start, tmp_path, monkeypatch):
    (tmp_path / "dies_when_imported.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = start(modules=("dies_when_imported",))
    assert engine.said("engine_work:double", {"value": 4})["value"] == 8
    engine.close()
    assert "died while it imported" in (tmp_path / "worker-a.log").read_text()


def test_jobs_run_beside_one_another_up_to_the_number_allowed(start):
    engine = start(jobs=2)
    running, most = set(), []

    def progress(number):
        def told(done, total):
            running.add(number)
            most.append(len(running))

        return told

    futures = []
    for number in range(4):
        future = engine.begin("rest", {"seconds": 0.4}, progress=progress(number))
        future.add_done_callback(lambda _, number=number: running.discard(number))
        futures.append(future)
    pids = {future.result(60).said["pid"] for future in futures}
    assert max(most) == 2
    assert len(pids) == 2


def test_a_worker_that_has_read_a_model_gets_its_next_job(start, tmp_path):
    (tmp_path / "store/objects/ab").mkdir(parents=True)
    for name in ("m1", "m2"):
        (tmp_path / f"store/objects/ab/{name}").write_bytes(b"x" * 100)
    engine = start(jobs=2)
    pair = [engine.begin("rest", {"seconds": 0.5}, reads=(f"objects/ab/{name}",)) for name in ("m1", "m2")]
    first, second = (future.result(60).said["pid"] for future in pair)
    assert first != second
    for name, pid in (("m2", second), ("m1", first), ("m2", second)):
        assert engine.said("rest", {"seconds": 0}, reads=(f"objects/ab/{name}",))["pid"] == pid


def _children(process):
    with open(f"/proc/{process}/task/{process}/children") as told:
        direct = told.read().split()
    for thread in os.listdir(f"/proc/{process}/task"):
        if int(thread) != process:
            with open(f"/proc/{process}/task/{thread}/children") as told:
                direct += told.read().split()
    return [int(child) for child in direct if b"nursery" in _command(child)]


def _command(process):
    with open(f"/proc/{process}/cmdline", "rb") as told:
        return told.read()


def _workers_of(process):
    return [worker for one in _children(process) for worker in _workers_below(one)]


def _workers_below(process):
    with open(f"/proc/{process}/task/{process}/children") as told:
        return [int(child) for child in told.read().split()]


@pytest.mark.frameworks
def test_models_that_crash_or_never_end_are_named_and_others_go_on(workers):
    begun = []
    lane = {"lane": "onnx_runtime", "progress": lambda *_: begun.append(1)}
    with pytest.raises(WorkerDied, match="SIGFPE"):
        workers.begin("onnx_model", {"kind": "division"}, **lane).result(60)
    with pytest.raises(LimitReached, match="time limit"):
        workers.begin("onnx_model", {"kind": "loop"}, limits=Limits(seconds=2), **lane).result(60)
    assert len(begun) == 2  # both had begun to run the model
    workers.still_works()


@pytest.mark.frameworks
def test_an_endless_loop_in_tensorflow_is_ended(workers):
    begun = []
    with pytest.raises(LimitReached, match="time limit"):
        workers.begin(
            "tensorflow_loop", lane="tensorflow_native", limits=Limits(seconds=3), progress=lambda *_: begun.append(1)
        ).result(120)
    assert begun
    workers.still_works()
