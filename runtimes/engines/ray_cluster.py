"""Runs work on the machines of a Ray cluster: each job is a Ray task, and the task has a sandboxed worker process do it.

The driver keeps the store. A job's objects go out by digest and are kept in a folder of each machine while the run lasts;
its files come back as bytes and are treated like any worker's. On the machine the task is done by an engine of processes
with a single place, which lives as long as the Ray worker: so sandbox, limits, environment and opened models are what
they are without a cluster, nothing that a model does can reach Ray, and what the driver takes from Ray is text and bytes.

Whoever can reach a Ray cluster can run anything on it: it has to be trusted, and so do its machines. Ray decides where and
when a task runs, and runs it again where a machine or a Ray worker was lost; a job that fails or reaches a limit has been
heard, and is not. Ray Core alone is used: tasks, objects, no graphs.
"""

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import secrets
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runtimes.engines import machine
from runtimes.engines.boxes import Area, new_box, remove
from runtimes.engines.contract import (
    CannotOpen,
    Delivered,
    Engine,
    Job,
    LimitReached,
    Progress,
    Setting,
    WorkerDied,
    WorkFailed,
)
from runtimes.engines.logs import open_log
from runtimes.engines.station import Parcel, Station, alike, differences

LOCAL = "local"
"""Address that stands for a cluster of this machine alone, started for the run and ended with it."""
RETRIES = 3
"""Times that a task is begun again after its machine or its Ray worker was lost."""
_SMALL = 16 * 2**10
"""Bytes up to which an object travels with the task; larger ones are put into Ray's object store, once."""
_CHUNK = 64 * 2**20
"""Bytes of an object that are in memory at a time."""
_REACHABLE = 5.0
"""Seconds in which a cluster has to answer a knock."""
_ANSWER = 120.0
"""Seconds in which every machine has to say what it has installed: a Ray worker may have to be started."""
_CLOSING = 2.5
"""Seconds after which closing leaves the rest to Ray, which ends what belongs to a driver that is gone."""


# --- the driver


class RayEngine:
    """A connection to a cluster, and the tasks that are under way there."""

    def __init__(self, setting: Setting, address: str) -> None:
        self._setting = setting
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Job, Progress, Future[Delivered]]] = deque()
        self._at_work: dict[Any, Future[Delivered]] = {}
        self._sent: dict[str, Parcel] = {}
        """Objects that are in Ray's object store; they stay there while this engine refers to them."""
        self._closed = False
        self._ray = _connect(address, setting)
        try:
            packages = tuple(sorted({"runtimes", *(name.partition(".")[0] for name in setting.modules)}))
            self._roomiest = self._look_around(packages)
            self._task = self._ray.remote(_done_here)
            self._area = Area(setting.boxes)
        except BaseException:
            self._ray.shutdown()
            raise
        self._told = {
            "run": secrets.token_hex(8),
            "alike": _alike(packages),
            "packages": packages,
            "modules": setting.modules,
            "sandbox": setting.sandbox,
        }
        self._hands = ThreadPoolExecutor(4, "ray-results")

    def _look_around(self, packages: tuple[str, ...]) -> int:
        """Bytes of memory of the machine that has most, once all have been found to have what this one has.

        Raises `CannotOpen`.
        """
        nodes = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise CannotOpen(
                "no machine of the cluster has a core to offer", "add machines to it, or start it with cores"
            )
        told = _told_by(self._ray, [node["NodeID"] for node in nodes], packages)
        here = _alike(packages)
        for node, there in zip(nodes, told, strict=True):
            if unlike := differences(here, there):
                reason = f"machine {node['NodeManagerAddress']} of the cluster has other software: {unlike}"
                raise CannotOpen(reason, "install the same version of pgx with the same packages on every machine")
        return int(max(node["Resources"].get("memory", 0) for node in nodes))

    def submit(self, job: Job, progress: Progress) -> Future[Delivered]:
        """Queue a job; Ray finds a machine for it."""
        future: Future[Delivered] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(WorkerDied("the engine is closed"))
                return future
            self._waiting.append((job, progress, future))
        self._hand_out()
        return future

    def _hand_out(self) -> None:
        with self._lock:
            while self._waiting and len(self._at_work) < self._setting.jobs and not self._closed:
                job, progress, future = self._waiting.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    reference = self._begin(job)
                except OSError as error:
                    future.set_exception(WorkerDied(f"the job's files could not be read: {error}"))
                    continue
                self._at_work[reference] = future
                reference.future().add_done_callback(functools.partial(self._heard, reference, job, progress))

    def _begin(self, job: Job) -> Any:
        parcels = [self._parcel(name) for name in job.reads]
        asked = {"function": job.function, "payload": job.payload, "lane": job.lane, "apart": job.apart}
        asked = {**self._told, "job": {**asked, "limits": vars(job.limits)}}
        # a task that asks for more than any machine has would wait for ever
        needs = min(job.needs, int(0.9 * self._roomiest))
        options = {"num_cpus": 1, "max_retries": RETRIES, "memory": needs or None}
        return self._task.options(**options).remote(json.dumps(asked), parcels)

    def _parcel(self, name: str) -> Parcel:
        if name in self._sent:
            return self._sent[name]
        with (self._setting.store / name).open("rb") as file:
            first = file.read(_SMALL + 1)
            if len(first) <= _SMALL:
                return name, hashlib.sha256(first).hexdigest(), first
            file.seek(0)
            seen, chunks = hashlib.sha256(), []
            while chunk := file.read(_CHUNK):
                seen.update(chunk)
                chunks.append(self._ray.put(chunk))
        self._sent[name] = (name, seen.hexdigest(), chunks)
        return self._sent[name]

    def _heard(self, reference: Any, job: Job, progress: Progress, ended: "Future[Any]") -> None:
        with contextlib.suppress(RuntimeError):  # closed: nobody waits any more
            self._hands.submit(self._take_in, reference, job, progress, ended)

    def _take_in(self, reference: Any, job: Job, progress: Progress, ended: "Future[Any]") -> None:
        with self._lock:
            future = self._at_work.pop(reference, None)
        if future is None:
            return
        self._hand_out()
        try:
            delivered = self._delivered(ended, job, progress)
        except Exception as error:  # noqa: BLE001  (whoever waits must hear of it)
            _settle(future, error)
        else:
            _settle(future, delivered)

    def _delivered(self, ended: "Future[Any]", job: Job, progress: Progress) -> Delivered:
        from ray.exceptions import RayError, RayTaskError

        try:
            header, *contents = ended.result()
        except RayTaskError as error:  # the task itself, not the work: ours, or the machine's
            raise WorkFailed(type(error.cause).__name__, str(error.cause), str(error)) from None
        except RayError as error:
            why = str(error).strip().partition("\n")[0]
            kind = type(error).__name__
            raise WorkerDied(f"lost on the cluster, and begun again up to {RETRIES} times ({kind}: {why})") from None
        told = json.loads(header)
        if told["printed"] and self._setting.logs is not None:
            place = self._setting.logs / f"worker-{job.lane}.log"
            with contextlib.suppress(OSError), os.fdopen(open_log(place), "a", encoding="utf-8") as log:
                log.write(told["printed"])
        if "done" not in told:
            raise _failure(told)
        with contextlib.suppress(Exception):  # whoever watches may fail without failing the work
            for done, total in told["progress"]:
                progress(done, total)
        return Delivered(told["done"], self._unpacked(told["files"], contents), told["facts"])

    def _unpacked(self, files: Sequence[Sequence[str]], contents: Sequence[bytes]) -> Path:
        box = new_box(self._area.folder)
        for (name, sha256), content in zip(files, contents, strict=True):
            if Path(name).name != name or hashlib.sha256(content).hexdigest() != sha256:
                remove(box)
                raise WorkerDied("its result was changed on the way")
            (box / name).write_bytes(content)
        return box

    def close(self) -> None:
        """End what runs and leave the cluster as it was; one that was started for the run is ended."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            lost = [*self._at_work.values(), *(future for _, _, future in self._waiting)]
            references = list(self._at_work)
            self._at_work.clear()
            self._waiting.clear()
        # a cluster that does not answer must not keep anybody: the thread then ends with the program
        leaving = threading.Thread(target=_leave, args=(self._ray, references), name="ray-leaving", daemon=True)
        leaving.start()
        leaving.join(_CLOSING)
        for future in lost:
            if not future.cancel():
                _settle(future, WorkerDied("the engine was closed"))
        self._hands.shutdown(wait=False, cancel_futures=True)
        self._area.close()


def _settle(future: "Future[Delivered]", what: Delivered | Exception) -> None:
    """A future's end; one that was closed meanwhile has had it."""
    try:
        if isinstance(what, Delivered):
            future.set_result(what)
        else:
            future.set_exception(what)
    except Exception:  # noqa: BLE001
        if isinstance(what, Delivered):
            what.discard()


def _failure(told: Mapping[str, Any]) -> Exception:
    if "failed" in told:
        return WorkFailed(told["failed"], told["message"], told["details"])
    if "limit" in told:
        return LimitReached(told["message"], told["limit"])
    return WorkerDied(told["died"])


def _leave(ray: Any, references: Iterable[Any]) -> None:
    for reference in references:
        with contextlib.suppress(Exception):
            ray.cancel(reference, force=True)
    ray.shutdown()


def _connect(address: str, setting: Setting) -> Any:
    """Ray, connected to a cluster. Raises `CannotOpen`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL:
        # despite its name, what keeps a cluster of one machine to that machine's own addresses
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import logging

    import ray
    from ray.job_config import JobConfig

    class OurJob(JobConfig):  # type: ignore[misc]
        def _runtime_env_has_working_dir(self) -> bool:
            """Else Ray would have its workers import from this process's working folder: it may be a stranger's."""
            return True

    if ray.is_initialized():
        raise CannotOpen("this process is connected to a Ray cluster already", "call `ray.shutdown()` first")
    own = {"num_cpus": min(setting.jobs, machine.cores()), "include_dashboard": False} if address == LOCAL else {}
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address, job_config=OurJob(), log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:
        ray.shutdown()  # of what was started already
        why = str(error).strip().partition("\n")[0]
        raise CannotOpen(
            f"the Ray cluster at {address} cannot be used: {why}",
            "the address is that of its head, and this machine has to be one of the cluster's; same versions of Ray and Python",
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in kept.items():  # Ray puts its own in their place
                signal.signal(number, handler)
    return ray


def chosen(address: str | None) -> str:
    """The address of the cluster to use; never one that nobody named. Raises `CannotOpen`."""
    if importlib.util.find_spec("ray") is None:
        raise CannotOpen("the engine `ray` needs the package ray", "install it with pip install 'pgx-compiler[ray]'")
    named = address or os.environ.get("RAY_ADDRESS", "")
    if not named:
        help_ = "name its head, such as --address 10.0.0.5:6379, or set RAY_ADDRESS; `local` starts one on this machine"
        raise CannotOpen("no Ray cluster is named", help_)
    if named in (LOCAL, "auto"):
        return named
    if "://" in named:
        help_ = "run pgx on a machine of the cluster, or submit it as a Ray job, and give the address of its head"
        raise CannotOpen(f"`{named}` is an address for Ray's client, which pgx does not use", help_)
    host, _, port = named.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACHABLE).close()
    except (OSError, ValueError, OverflowError) as error:
        help_ = "it is host:port of the cluster's head, as `ray status` or `ray start --head` tell it (port 6379 by default)"
        raise CannotOpen(f"no Ray cluster answers at `{named}`: {error}", help_) from error
    return named


def open_engine(setting: Setting) -> Engine:
    """Connect to the cluster of the setting's address, else of RAY_ADDRESS. Raises `CannotOpen`."""
    return RayEngine(setting, chosen(setting.address))


def _told_by(ray: Any, nodes: Sequence[str], packages: tuple[str, ...]) -> list[Mapping[str, str]]:
    """What each machine has installed. Raises `CannotOpen`."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def tell(packages: tuple[str, ...]) -> str:
        """Travels as code, not by its name: it runs where there may be nothing of ours."""
        import json

        try:
            from runtimes.engines import ray_cluster
        except Exception as error:  # noqa: BLE001  (whatever it is, this machine cannot be used)
            return json.dumps({"pgx-compiler": f"cannot be imported: {error}"})
        return json.dumps(ray_cluster._alike(packages))

    asked = [
        ray.remote(tell)
        .options(num_cpus=0, max_retries=1, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote(packages)
        for node in nodes
    ]
    try:
        return [json.loads(told) for told in ray.get(asked, timeout=_ANSWER)]
    except ray.exceptions.RayError as error:
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise CannotOpen(f"not every machine of the Ray cluster answers ({why})", "see `ray status`") from error


# --- a machine of the cluster


def _alike(packages: tuple[str, ...]) -> Mapping[str, str]:
    import ray

    return {**alike(packages), "ray": ray.__version__}


def _done_here(asked: str, parcels: Sequence[Parcel]) -> list[Any]:
    """The task: do one job on this machine; returns what `Station.do` does."""
    import ray

    told = json.loads(asked)
    if unlike := differences(told["alike"], _alike(tuple(told["packages"]))):
        died = f"machine {socket.gethostname()} of the cluster has other software: {unlike}"
        return [json.dumps({"died": died, "printed": ""})]
    node = ray.get_runtime_context().get_node_id()
    station = _station(told["run"], node, told["sandbox"], tuple(told["modules"]))
    return station.do(told["job"], parcels, _fetched, _earlier_attempts())


def _earlier_attempts() -> int:
    """How often this task was begun before and lost; Ray tells it in no public way."""
    import ray

    with contextlib.suppress(AttributeError):
        return int(ray._private.worker.global_worker.core_worker.get_current_task_attempt_number())
    return 0


_station = functools.cache(Station)
"""One for each Ray worker; Ray gives a worker to one run alone."""


def _fetched(packed: Any) -> Iterator[bytes]:
    """The chunks of a parcel: Ray brings each chunk to a machine once, whoever asks there."""
    import ray

    for chunk in packed:
        yield ray.get(chunk)
