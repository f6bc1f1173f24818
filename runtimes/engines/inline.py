"""Runs work at once, in this process: for debugging, and for tests that want a traceback."""

import contextlib
import os
import traceback
from collections.abc import Iterator
from concurrent.futures import Future

from runtimes.engines.boxes import Area, new_box
from runtimes.engines.contract import Delivered, Engine, Job, Place, Progress, Setting, WorkFailed, resolve


class InlineEngine:
    """No process, no parallelism, no protection and no limits."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._area = Area(setting.boxes)

    def submit(self, job: Job, progress: Progress) -> Future[Delivered]:
        """Run the work before returning."""
        future: Future[Delivered] = Future()
        place = Place(self._setting.store, new_box(self._area.folder))
        try:
            work = resolve(job.function)
            with _single_threaded():
                said = work(job.payload, place, progress)
            future.set_result(Delivered(said, place.writes, {"sandbox": "none"}))
        except Exception as error:  # noqa: BLE001  (handed on through the future, as a worker process would)
            Delivered({}, place.writes).discard()
            failed = WorkFailed(type(error).__name__, str(error), traceback.format_exc())
            failed.__cause__ = error
            future.set_exception(failed)
        return future

    def close(self) -> None:
        """Nothing to stop."""
        self._area.close()


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """One thread of linear algebra, as in a worker process: else the last bits of sums depend on the number of cores."""
    from threadpoolctl import threadpool_limits

    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # for libraries that the work is the first to load
    try:
        with threadpool_limits(1):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def open_engine(setting: Setting) -> Engine:
    """An inline engine; one job at a time whatever is asked."""
    return InlineEngine(setting)
