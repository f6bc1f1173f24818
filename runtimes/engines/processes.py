"""Runs work in worker processes, one for each lane, at most ``jobs`` of them busy at a time.

A lane is a runtime: its process imports the framework once and keeps models open. Parent and worker speak JSON
lines over pipes, so nothing that a worker says is ever unpickled. A worker that dies ends only its own job.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from runtimes.engines.boxes import new_box, show
from runtimes.engines.contract import Delivered, Engine, Job, Progress, Setting, WorkerDied, WorkFailed

_LIBRARY_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""One thread a worker: parallelism comes from lanes, and sums do not depend on the number of cores."""


@dataclass
class _Job:
    job: Job
    progress: Progress
    future: Future[Delivered]


class ProcessEngine:
    """Lanes of worker processes."""

    def __init__(self, setting: Setting) -> None:
        self._busy = threading.Semaphore(max(1, setting.jobs))
        self._setting = setting
        self._logs = setting.logs
        setting.boxes.mkdir(parents=True, exist_ok=True)
        self._view = Path(tempfile.mkdtemp(prefix="view-", dir=setting.boxes))
        self._lanes: dict[str, queue.Queue[_Job | None]] = {}
        self._workers: dict[str, subprocess.Popen[str]] = {}
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def submit(self, job: Job, progress: Progress) -> Future[Delivered]:
        """Queue the work on its lane."""
        future: Future[Delivered] = Future()
        lane = job.lane
        if lane not in self._lanes:
            self._lanes[lane] = queue.Queue()
            thread = threading.Thread(target=self._serve, args=(lane,), name=f"lane {lane}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._lanes[lane].put(_Job(job, progress, future))
        return future

    def close(self) -> None:
        """End every worker: asked first, killed after two seconds."""
        self._closed.set()
        for lane in self._lanes.values():
            lane.put(None)
        workers = list(self._workers.values())
        for worker in workers:
            with contextlib.suppress(OSError):
                worker.terminate()
        for worker in workers:
            try:
                worker.wait(2)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            _close_streams(worker)
        for thread in self._threads:
            thread.join(2)
        shutil.rmtree(self._view, ignore_errors=True)

    def _serve(self, lane: str) -> None:
        while not self._closed.is_set():
            job = self._lanes[lane].get()
            if job is None:
                return
            with self._busy:
                if self._closed.is_set() or not job.future.set_running_or_notify_cancel():
                    continue
                try:
                    job.future.set_result(self._perform(lane, job))
                except (WorkerDied, WorkFailed) as error:
                    job.future.set_exception(error)
                except Exception as error:  # noqa: BLE001  (a broken lane must not leave its job waiting for ever)
                    job.future.set_exception(WorkerDied(f"the worker of lane {lane} could not be used: {error}"))

    def _perform(self, lane: str, job: _Job) -> Delivered:
        show(self._setting.store, self._view, job.job.reads)
        delivered = Delivered({}, new_box(self._setting.boxes))
        try:
            return self._answered(lane, job, delivered.folder)
        except BaseException:
            delivered.discard()
            raise

    def _answered(self, lane: str, job: _Job, box: Path) -> Delivered:
        worker = self._worker(lane)
        try:
            return _converse(worker, job, self._view, box)
        except (BrokenPipeError, ValueError):
            # It hung up, or was cut off in the middle of a line; where it only spoke nonsense, it must not go on.
            if not _gone_soon(worker):
                worker.kill()
        except WorkFailed:
            raise
        except BaseException:
            # Its answer to this job is still to come, and the next job of the lane would take it for its own.
            self._workers.pop(lane, None)
            worker.kill()
            worker.wait()
            _close_streams(worker)
            raise
        status = worker.wait()
        self._workers.pop(lane, None)
        _close_streams(worker)
        raise WorkerDied(_last_words(status))

    def _worker(self, lane: str) -> subprocess.Popen[str]:
        worker = self._workers.get(lane)
        if worker is not None and worker.poll() is None:
            return worker
        log = (self._logs / f"worker-{lane}.log").open("ab") if self._logs else subprocess.DEVNULL
        try:
            worker = subprocess.Popen(
                [sys.executable, "-m", "runtimes.engines.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env={**os.environ, **_LIBRARY_THREADS, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )
        finally:
            if not isinstance(log, int):
                log.close()
        self._workers[lane] = worker
        return worker


def _converse(worker: subprocess.Popen[str], job: _Job, view: Path, box: Path) -> Delivered:
    """Hand a job to its worker and listen until it answers. Raises `WorkFailed`, and ValueError where it stops."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    asked = {"function": job.job.function, "payload": job.job.payload, "reads": str(view), "writes": str(box)}
    worker.stdin.write(json.dumps(asked) + "\n")
    worker.stdin.flush()
    for line in worker.stdout:
        said = json.loads(line)
        if "progress" in said:
            _tell(job, said["progress"])
        elif "failed" in said:
            raise WorkFailed(said["failed"], said["message"], said["details"])
        else:
            return Delivered(said["done"], box)
    raise ValueError("it ended without an answer")


def _tell(job: _Job, done: Sequence[int]) -> None:
    """Pass progress on. Whoever watches may fail (a full disk, a closed terminal) without failing the work."""
    with contextlib.suppress(Exception):
        job.progress(*done)


def _gone_soon(worker: subprocess.Popen[str]) -> bool:
    try:
        worker.wait(2)
    except subprocess.TimeoutExpired:
        return False
    return True


def _close_streams(worker: subprocess.Popen[str]) -> None:
    for stream in (worker.stdin, worker.stdout):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()


def _last_words(status: int) -> str:
    if status >= 0:
        return f"the worker process ended with status {status} in the middle of its work"
    name = signal.Signals(-status).name
    hint = {"SIGKILL": " (killed; often the system ran out of memory)", "SIGSEGV": " (a crash in native code)"}
    return f"the worker process died of {name}{hint.get(name, '')}"


def open_engine(setting: Setting) -> Engine:
    """Worker processes; their standard error goes to files in the folder of logs."""
    return ProcessEngine(setting)
