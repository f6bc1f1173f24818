"""The one thread that has to do with processes: it hands out jobs, listens, watches limits, and ends what must end."""

import contextlib
import itertools
import os
import queue
import selectors
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtimes.engines.boxes import new_box, remove, show, take, too_full
from runtimes.engines.contract import Delivered, LimitReached, Setting, WorkerDied, WorkFailed
from runtimes.engines.endings import in_bytes, last_words
from runtimes.engines.nurseries import Line, Nursery, Task, Worker, not_started, rows_told

WATCH_EVERY = 0.2
"""Seconds between two looks at memory and clocks."""
LOOK_INTO_BOXES_EVERY = 1.0
"""Seconds between two looks at what workers leave on the disk."""
GRACE = 2.0
"""Seconds that a worker has to end by itself."""
_START = 120.0
"""Seconds that a worker has at least until it is ready for its first job: a cold import of TensorFlow on a slow disk."""
_ASLEEP = 5.0
"""Seconds without a look after which this process, and maybe the machine, was stopped: no job's clock ran."""
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})
"""Signals that no computation sends itself."""
_IDLE = 2
"""Idle workers that are kept for each job at a time."""


class Supervisor:
    """All that an engine of processes knows; used by its own thread alone."""

    def __init__(self, setting: Setting, folder: Path, inbox: "queue.SimpleQueue[Task | None]", bell: int) -> None:
        self._setting, self._folder, self._inbox, self._bell = setting, folder, inbox, bell
        self._waiting: list[Task] = []
        self._nurseries: dict[str, Nursery] = {}
        self._retired_nurseries: list[Nursery] = []
        self._cold: set[str] = set()
        """Lanes whose nurseries import nothing: what they would import cannot be forked."""
        self._workers: dict[int, Worker] = {}
        self._numbers = itertools.count(1)
        self._looked = self._looked_into_boxes = time.monotonic()
        self._open = True
        self.broken: Exception | None = None
        """Why it ended without being told to."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(bell, selectors.EVENT_READ)

    def live(self) -> None:
        """Serve until told to end; then end everything."""
        try:
            for lane in self._setting.lanes:
                self._begin(lane)
            while self._open:
                self._turn()
        except Exception as error:  # noqa: BLE001  (in a thread of its own: who waits for a job says what has happened)
            self.broken = error
        finally:
            self._end()

    def _turn(self) -> None:
        watched = any(worker.task or worker.kill_at for worker in self._workers.values())
        # what is heard comes before clocks are looked at: an answer that is there was in time
        for key, _ in self._selector.select(WATCH_EVERY if watched else None):
            self._heard(key.data)
        if time.monotonic() - self._looked >= WATCH_EVERY:
            self._watch()
        self._hand_out()

    def _heard(self, who: "Worker | Nursery | None") -> None:
        if who is None:
            self._take_in()
        elif isinstance(who, Nursery):
            self._hear_nursery(who)
        elif who.number in self._workers:
            who.line.flush()
            self._hear_worker(who)
            self._listen_to(who)

    def _take_in(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)
        with contextlib.suppress(queue.Empty):
            while True:
                task = self._inbox.get_nowait()
                if task is None:
                    self._open = False
                else:
                    self._waiting.append(task)

    # --- handing out

    def _hand_out(self) -> None:
        """Give waiting jobs to workers, the first first, as long as there are free places."""
        free = self._setting.jobs - sum(worker.task is not None for worker in self._workers.values())
        for task in list(self._waiting):
            if free <= 0 or not self._open:
                return
            if task.future.cancelled():
                self._waiting.remove(task)
                continue
            try:
                worker = self._idle_for(task) or self._new_worker(task)
            except (OSError, WorkerDied) as error:  # a full disk, a place that cannot be written: the run's affair
                self._waiting.remove(task)
                task.fail(not_started(error))
                continue
            if worker is None:
                continue
            self._waiting.remove(task)
            if not task.retries and not task.future.set_running_or_notify_cancel():
                continue
            worker.task = task
            free -= 1
            if worker.ready:
                self._start(worker, task)
            elif task.job.limits.seconds is not None:  # what is to come up may hang as well
                worker.deadline = time.monotonic() + max(task.job.limits.seconds, _START)

    def _idle_for(self, task: Task) -> Worker | None:
        job = task.job
        fit = [w for w in self._workers.values() if w.idle and w.lane == job.lane and w.apart == job.apart]
        if task.retries:  # what it met may have to do with what the worker did before
            fit = [worker for worker in fit if not worker.served]
        return max(fit, key=lambda worker: (worker.knows(job.reads), worker.idle_since), default=None)

    def _new_worker(self, task: Task) -> Worker | None:
        self._retire()
        number = next(self._numbers)
        folder = self._folder / f"worker-{number}"
        nursery = self._nursery(task.job.lane, task.job.function.partition(":")[0])
        for name in ("view", "boxes", "home"):
            (folder / name).mkdir(parents=True)
        worker = Worker(number, task.job.lane, task.job.apart, nursery, folder, Line())
        try:
            worker.nursery.fork(worker, task.job, locked=self._setting.sandbox != "none")
        except OSError:  # it has just died; its end will be heard, and another takes its place
            worker.line.close()
            remove(folder)
            return None
        self._workers[number] = worker
        self._selector.register(worker.line, selectors.EVENT_READ, worker)
        return worker

    def _begin(self, lane: str) -> None:
        """Have a nursery before a job asks for it; where none can be started, the job will meet it again, and is told."""
        with contextlib.suppress(OSError, WorkerDied):
            self._nursery(lane)

    def _nursery(self, lane: str, *modules: str) -> Nursery:
        if lane not in self._nurseries:
            warm = lane not in self._cold
            log = self._setting.logs / f"worker-{lane}.log" if self._setting.logs else None
            needed = tuple(dict.fromkeys([*self._setting.modules, *modules])) if warm else ()
            nursery = Nursery(lane, log, needed, warm=warm)
            self._nurseries[lane] = nursery
            self._selector.register(nursery.line, selectors.EVENT_READ, nursery)
        return self._nurseries[lane]

    def _start(self, worker: Worker, task: Task) -> None:
        """Show a worker what the job reads, give it a box, and let it begin."""
        job = task.job
        try:
            new = [name for name in job.reads if name not in worker.seen]
            show(self._setting.store, worker.view, new)
            worker.seen |= {name: (worker.view / name).stat().st_size for name in new}
            worker.box = new_box(worker.folder / "boxes")
        except OSError as error:
            worker.task = None
            worker.idle_since = time.monotonic()
            missing = isinstance(error, FileNotFoundError)
            task.fail(WorkerDied(f"what the job reads is gone: {error}") if missing else error)
            return
        worker.deadline = None if job.limits.seconds is None else time.monotonic() + job.limits.seconds
        asked = {"function": job.function, "payload": job.payload, "job": worker.served}
        asked |= {"reads": str(worker.view), "writes": str(worker.box)}
        worker.line.say(asked)
        self._listen_to(worker)

    def _listen_to(self, worker: Worker) -> None:
        if worker.number in self._workers and worker.listens:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.line.unsaid else 0)
            self._selector.modify(worker.line, events, worker)

    # --- listening

    def _hear_nursery(self, nursery: Nursery) -> None:
        said = nursery.line.hear()
        if said is None:
            self._nursery_ended(nursery)
            return
        for message in said:
            if "warm" in message:
                nursery.imported = True
                if message["warm"]:
                    nursery.note(f"the nursery could not import everything: {message['warm']}")
            elif "forked" in message and (worker := self._workers.get(message["forked"])):
                worker.process = message["process"]
            elif "ended" in message and (worker := self._workers.get(message["ended"])):
                self._worker_ended(worker, message["status"])

    def _nursery_ended(self, nursery: Nursery) -> None:
        """Its workers end with it. One that could not even import what it should is followed by one that imports nothing."""
        self._selector.unregister(nursery.line)
        nursery.hang_up()
        status = nursery.bury(GRACE)
        if self._nurseries.get(nursery.lane) is nursery:
            del self._nurseries[nursery.lane]
            if not nursery.imported and nursery.warm:
                nursery.note(
                    "the nursery died while it imported; workers of this lane import by themselves from now on"
                )
                self._cold.add(nursery.lane)
                self._begin(nursery.lane)
        for worker in [w for w in self._workers.values() if w.nursery is nursery]:
            self._worker_ended(worker, status if status is not None and nursery.imported else -signal.SIGKILL)

    def _hear_worker(self, worker: Worker) -> None:
        try:
            said = worker.line.hear()
            if said is None:
                self._hung_up(worker, "it hung up")
                return
            for message in said:
                self._told(worker, message)
        except Exception as error:  # noqa: BLE001  (whatever a worker says, or does to its box, it ends nobody but itself)
            self._hung_up(worker, f"it spoke nonsense: {str(error)[:200]}")

    def _told(self, worker: Worker, message: Mapping[str, Any]) -> None:
        task = worker.task
        if not worker.ready:
            worker.protected, worker.lacks = dict(message["ready"]), dict(message["lacks"])
            worker.ready = True
            if worker.lacks and self._setting.sandbox == "required":
                lacks = "; ".join(f"{name}: {why}" for name, why in worker.lacks.items())
                self._end_worker(worker, WorkerDied(f"the sandbox is required, but could not be set up ({lacks})"))
            elif task is not None:
                self._start(worker, task)
        elif worker.ending is not None:
            return
        elif task is None or worker.box is None or message["job"] != worker.served:
            raise ValueError("it speaks without being asked")
        elif "progress" in message:
            done, total = map(rows_told, message["progress"])
            # whoever watches may fail (a full disk, a closed terminal) without failing the work
            with contextlib.suppress(Exception):
                task.progress(done, total)
        elif "failed" in message:
            failed = WorkFailed(str(message["failed"]), str(message["message"]), str(message["details"]))
            remove(take(worker.box, self._folder))  # never the folder of boxes: the sandbox knows it by its inode
            self._release(worker)
            task.future.set_exception(failed)
        else:
            self._deliver(worker, task, message["done"])

    def _deliver(self, worker: Worker, task: Task, said: Any) -> None:
        if not isinstance(said, dict):
            raise ValueError("its answer is no object")  # noqa: TRY004  (of text, not of types)
        # out of the worker's reach before anybody looks into it
        assert worker.box is not None
        kept = take(worker.box, self._folder)
        facts: dict[str, Any] = {
            "worker": worker.process or 0,
            "sandbox": ", ".join(sorted(worker.protected)) or "none",
        }
        if task.retries:
            facts["retries"] = task.retries
        self._release(worker)
        task.future.set_result(Delivered(said, kept, facts))

    def _release(self, worker: Worker) -> None:
        worker.task = worker.box = worker.deadline = None
        worker.served += 1
        worker.idle_since = time.monotonic()

    def _hung_up(self, worker: Worker, why: str) -> None:
        """It has ended, and its nursery will say how; or it only pretends to, and is ended."""
        if worker.listens:
            worker.listens = False
            self._selector.unregister(worker.line)
            if why != "it hung up":
                self._end_worker(worker, WorkerDied(f"the worker was ended: {why}"))
            else:
                worker.kill_at = time.monotonic() + GRACE

    # --- watching

    def _watch(self) -> None:
        now = time.monotonic()
        stopped, self._looked = now - self._looked, now
        held = 0
        if boxes := now - self._looked_into_boxes >= LOOK_INTO_BOXES_EVERY:
            self._looked_into_boxes = now
        for worker in list(self._workers.values()):
            if worker.kill_at is not None and now >= worker.kill_at:
                worker.ending = worker.ending or WorkerDied("the worker hung up in the middle of its work")
                worker.kill(signal.SIGKILL)
                if now >= worker.kill_at + 2 * GRACE:  # whoever should kill it hangs as well
                    worker.nursery.kill()
            if worker.deadline is not None and stopped > _ASLEEP:
                worker.deadline += stopped
            held += (resident := worker.resident())
            if worker.task is None or worker.ending is not None:
                continue
            limits = worker.task.job.limits
            if worker.box is None:
                if worker.deadline is not None and now >= worker.deadline:
                    self._end_worker(worker, WorkerDied("the worker did not come up in time"))
            elif limits.memory is not None and resident > limits.memory:
                self._end_worker(worker, LimitReached(f"memory limit of {in_bytes(limits.memory)} reached", "memory"))
            elif worker.deadline is not None and now >= worker.deadline:
                self._end_worker(worker, LimitReached(f"time limit of {limits.seconds:g} s reached", "seconds"))
            elif boxes and (full := too_full(worker.folder)):
                self._end_worker(worker, LimitReached(full, "box"))
        if self._setting.room is not None and held > self._setting.room:
            self._retire(all_but=0)

    def _end_worker(self, worker: Worker, why: Exception) -> None:
        if worker.ending is None:
            worker.ending = why
            worker.kill_at = time.monotonic() + GRACE
            worker.kill(signal.SIGTERM)

    def _retire(self, all_but: int | None = None) -> None:
        """End the workers that were idle longest, beyond those that are kept warm."""
        kept = _IDLE * self._setting.jobs if all_but is None else all_but
        idle = sorted((w for w in self._workers.values() if w.idle), key=lambda w: -w.idle_since)
        for worker in idle[kept:]:
            worker.ending = WorkerDied("it is not needed")
            worker.kill(signal.SIGKILL)

    def _worker_ended(self, worker: Worker, status: int) -> None:
        if worker.listens:  # its last words may still be on the way
            with contextlib.suppress(Exception):  # (they may be anything)
                while worker.task is not None and (said := worker.line.hear()):
                    for message in said:
                        self._told(worker, message)
            self._selector.unregister(worker.line)
        worker.listens = False
        del self._workers[worker.number]
        worker.line.close()
        remove(worker.folder)
        if not worker.ready and worker.ending is None and worker.nursery.warm and worker.nursery.imported:
            self._do_without_nursery(worker, status)
        elif worker.task is not None:
            self._job_lost(worker, worker.task, status)

    def _do_without_nursery(self, worker: Worker, status: int) -> None:
        """A worker died before its first word: what its nursery has imported cannot be forked here."""
        lane = worker.lane
        worker.nursery.note(f"{last_words(status)} before its first word; workers import by themselves from now on")
        if self._nurseries.get(lane) is worker.nursery:
            del self._nurseries[lane]  # it serves the workers that it has, and ends with the engine
            self._retired_nurseries.append(worker.nursery)
            self._cold.add(lane)
            self._begin(lane)
        if worker.task is not None:
            worker.task.retries += 1
            self._waiting.insert(0, worker.task)

    def _job_lost(self, worker: Worker, task: Task, status: int) -> None:
        from_outside = worker.ending is None and -status in _FROM_OUTSIDE
        again = (from_outside or worker.served > 0) and not isinstance(worker.ending, LimitReached)
        if again and not task.retries:
            task.retries += 1
            self._waiting.insert(0, task)
            worker.nursery.note(f"{last_words(status)}; its job is tried once more")
            return
        task.future.set_exception(worker.ending or WorkerDied(last_words(status)))

    # --- ending

    def _end(self) -> None:
        """Hang up on all nurseries, which end with all that they forked; what waits is told."""
        self._open = False
        nurseries = [*self._nurseries.values(), *self._retired_nurseries]
        for worker in self._workers.values():
            worker.kill(signal.SIGKILL)
        for nursery in nurseries:
            nursery.hang_up()
        until = time.monotonic() + GRACE / 2
        for nursery in nurseries:
            nursery.bury(max(0.0, until - time.monotonic()))
        lost = [worker.task for worker in self._workers.values() if worker.task is not None]
        for worker in self._workers.values():
            worker.line.close()
        self._selector.close()
        with contextlib.suppress(queue.Empty):
            while task := self._inbox.get_nowait():
                self._waiting.append(task)
        for task in [*lost, *self._waiting]:
            if self.broken is not None:
                task.fail(self.broken)
            elif not task.future.done() and not task.future.cancel():
                task.future.set_exception(WorkerDied("the engine was closed"))
