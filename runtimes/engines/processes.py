"""Runs work in sandboxed worker processes, ``jobs`` of them busy at a time.

Each lane (a runtime: what its process has imported) has a nursery that forks its workers, so that one starts in
milliseconds. A lane gets another worker when a job of it is waiting, none of its workers is idle, and fewer than ``jobs``
are busy. Parent and worker speak JSON lines over sockets, so nothing that a worker says is ever unpickled. One thread
does all of it: it starts, listens, watches limits and ends; nobody else touches a process.

What is tried again, once: a job whose worker was killed from outside, since that says nothing of the job; and one whose
worker crashed after it had served other jobs, since what they left behind may be to blame. A job that crashes a fresh
worker would crash the next one too, and one that reached a limit would reach it again: neither is.
"""

import contextlib
import os
import queue
import threading
from concurrent.futures import Future

from runtimes.engines.boxes import Area
from runtimes.engines.contract import Delivered, Engine, Job, Progress, Setting, WorkerDied
from runtimes.engines.nurseries import Task
from runtimes.engines.supervisor import GRACE, Supervisor


class ProcessEngine:
    """Lanes of worker processes."""

    def __init__(self, setting: Setting) -> None:
        self._area = Area(setting.boxes)
        self._inbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._bell, self._clapper = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._closed = self._over = False
        self._gate = threading.Lock()
        self._supervisor = Supervisor(setting, self._area.folder, self._inbox, self._bell)
        # a daemon: where it cannot end, the program still does, and takes the processes with it
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job, progress: Progress) -> Future[Delivered]:
        """Queue a job."""
        future: Future[Delivered] = Future()
        with self._gate:
            if self._closed or self._over:
                future.set_exception(self._supervisor.broken or WorkerDied("the engine is closed"))
                return future
            self._inbox.put(Task(job, progress, future))
            self._ring()
        return future

    def _live(self) -> None:
        """The thread: however it ends, nobody waits for a job in vain."""
        try:
            self._supervisor.live()
        finally:
            with self._gate:
                self._over = True
            with contextlib.suppress(queue.Empty):
                while True:
                    task, why = self._inbox.get_nowait(), self._supervisor.broken
                    if task is not None and not (why is None and task.future.cancel()) and not task.future.done():
                        task.future.set_exception(why or WorkerDied("the engine was closed"))

    def close(self) -> None:
        """End every process at once, and delete all boxes."""
        if self._closed:
            return
        self._closed = True
        self._inbox.put(None)
        self._ring()
        self._thread.join(GRACE + 1)
        self._area.close()
        for end in (self._bell, self._clapper):
            os.close(end)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is ringing already
            os.write(self._clapper, b"!")


def open_engine(setting: Setting) -> Engine:
    """Worker processes; what they print goes to files in the folder of logs."""
    return ProcessEngine(setting)
