"""Runs work at once, in this process: for debugging, and for tests that want a traceback."""

import traceback
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
            said = resolve(job.function)(job.payload, place, progress)
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


def open_engine(setting: Setting) -> Engine:
    """An inline engine; one job at a time whatever is asked."""
    return InlineEngine(setting)
