"""A machine of a cluster, as one of its worker processes sees it: where objects are kept, and where jobs are done.

All processes of one run on one machine share a folder: each object is brought there once. They hold a lock on it as long
as they live, and a janitor that waits for that lock deletes the folder when the last of them has ended, however it ended.
Jobs are done by an engine of processes with a single place. Nothing here knows what kind of cluster it is.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from runtimes.engines import machine, processes, sandbox
from runtimes.engines.boxes import remove
from runtimes.engines.contract import Delivered, Job, LimitReached, Limits, Sandbox, Setting, WorkerDied, WorkFailed

Parcel = tuple[str, str, Any]
"""An object on its way: its name, its SHA-256, and its bytes or what `Fetch` makes them from."""
Fetch = Callable[[Any], Iterator[bytes]]
"""The bytes of an object, a piece at a time."""

_DISTRIBUTION = "pgx-compiler"
_MOST_FILES = 64
_MOST_PRINTED = 16 * 2**10
"""Bytes of what a job printed that are told."""


class Station:
    """One worker process of a cluster."""

    def __init__(self, run: str, node: str, kind: Sandbox, modules: tuple[str, ...]) -> None:
        """Settle on this machine.

        Args:
            run: names the run, unlike any other.
            node: names the machine; in tests several are one.
            kind: how jobs are locked up.
            modules: imported before the first job comes.
        """
        self._machine = f"{socket.gethostname()} {node[:8]}"
        self._folder, self._lock = _shared(f"{run}-{node[:16]}")
        self._store = self._folder / "store"
        own = self._folder / f"process-{os.getpid()}"
        self._logs = own / "logs"
        for folder in (self._store, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        self._engine = processes.open_engine(Setting(1, self._store, own / "boxes", self._logs, kind, modules=modules))
        self._read: dict[str, int] = {}
        """Lane to how much of its log has been told."""

    def do(self, asked: Mapping[str, Any], parcels: Sequence[Parcel], fetch: Fetch, lost: int) -> list[Any]:
        """Do one job; returns a header in JSON, and the contents of the files that it names.

        It never raises on behalf of the work: what a cluster carries of exceptions is not for those who trust nobody.

        Args:
            asked: the job, as plain JSON.
            parcels: the objects that it reads.
            fetch: opens a parcel.
            lost: times that the job was begun elsewhere and lost.
        """
        limits = asked["limits"]
        memory = limits["memory"] or machine.memory_of_worker(machine.cores())
        reads = tuple(name for name, *_ in parcels)
        job = Job(
            asked["function"], asked["payload"], asked["lane"], reads, asked["apart"], Limits(limits["seconds"], memory)
        )
        progress: list[tuple[int, int]] = []
        contents: list[bytes] = []
        fetched = 0
        try:
            fetched = sum(self._lay_out(parcel, fetch) for parcel in parcels)
            ended = self._engine.submit(job, lambda done, total: progress.append((done, total)))
            told, contents = _told(ended)
        except (OSError, WorkerDied) as error:
            told = {"died": f"{error} (on {self._machine})"}
        if "facts" in told:
            told["facts"] |= {"machine": self._machine, "fetched": fetched}
            if lost:
                told["facts"]["retries"] = told["facts"].get("retries", 0) + lost
        told |= {"printed": self._printed(job.lane), "progress": progress[-1:]}
        return [json.dumps(told), *contents]

    def _lay_out(self, parcel: Parcel, fetch: Fetch) -> int:
        """Bring an object here, if no process of this machine has; 1 if it was brought. Raises `WorkerDied`, OSError."""
        name, sha256, packed = parcel
        path = self._store / name
        if path.exists():
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(packed, bytes):  # it has come already
            self._write(path, sha256, [packed])
            return 1
        with (self._folder / f"{path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return 0
            self._write(path, sha256, fetch(packed))
        return 1

    def _write(self, path: Path, sha256: str, pieces: Iterable[bytes]) -> None:
        temporary = self._folder / f"{path.name}.{os.getpid()}"
        seen = hashlib.sha256()
        with temporary.open("wb") as file:
            for piece in pieces:
                seen.update(piece)
                file.write(piece)
        if seen.hexdigest() != sha256:
            temporary.unlink()
            raise WorkerDied(f"{path.name} was changed on the way")
        os.replace(temporary, path)

    def _printed(self, lane: str) -> str:
        with contextlib.suppress(OSError), (self._logs / f"worker-{lane}.log").open("rb") as log:
            start = self._read.get(lane, 0)
            self._read[lane] = end = log.seek(0, os.SEEK_END)
            log.seek(max(start, end - _MOST_PRINTED))
            return log.read(end - log.tell()).decode("utf-8", "replace")
        return ""


def _told(ended: "Future[Delivered]") -> tuple[dict[str, Any], list[bytes]]:
    """What a job came to, in words and bytes."""
    try:
        delivered = ended.result()
    except WorkFailed as error:
        return {"failed": error.kind, "message": str(error), "details": error.details}, []
    except LimitReached as error:
        return {"limit": error.limit, "message": str(error)}, []
    try:
        files = dict(_left(delivered.folder))
    finally:
        delivered.discard()
    names = [[name, hashlib.sha256(content).hexdigest()] for name, content in files.items()]
    return {"done": delivered.said, "files": names, "facts": dict(delivered.facts)}, list(files.values())


def _left(box: Path) -> Iterator[tuple[str, bytes]]:
    """The files that a job left at the top of its box. Links and folders stay behind, whoever made them."""
    with os.scandir(box) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    if len(names) > _MOST_FILES:
        raise WorkerDied(f"it left {len(names)} files; {_MOST_FILES} are taken")
    left = sandbox.LARGEST_FILE
    for name in names:
        with open(os.open(box / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            left -= size
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or left < 0:
                raise WorkerDied("what it left is more than is taken")
            yield name, file.read(size)


# --- the folder of a run on a machine


def _shared(name: str) -> tuple[Path, int]:
    """The folder that the processes of a run share on this machine, and the lock that says that one is alive."""
    ours = Path(tempfile.gettempdir()) / f"pgx-cluster-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        ours.mkdir(mode=0o700)
    found = ours.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise WorkerDied(f"{ours} belongs to somebody else")
    ours.chmod(0o700)
    folder = ours / name
    for _ in range(100):
        try:
            folder.mkdir()
        except FileExistsError:
            new = False
        else:
            new = True
            _sweep(ours, but=name)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_still(folder / _LOCK, lock):
                if new:
                    _call_janitor(folder)
                return folder, lock
            os.close(lock)  # a janitor was quicker
    raise WorkerDied(f"{folder} cannot be held")


_LOCK = "lock"


def _is_still(path: Path, descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _sweep(ours: Path, but: str) -> None:
    """Delete what runs left whose janitor died too: a machine that lost its power."""
    for folder in ours.iterdir():
        if folder.name != but:
            _delete_once_free(folder, wait=False)


def _delete_once_free(folder: Path, *, wait: bool) -> None:
    with contextlib.suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            remove(folder)
        finally:
            os.close(lock)


def _call_janitor(folder: Path) -> None:
    """Start the process that deletes the folder when nobody holds it any more; it outlives this one."""
    program = [sys.executable, "-P", "-s", "-m", "runtimes.engines.station", str(folder)]
    nothing = subprocess.DEVNULL
    subprocess.run(  # noqa: S603  (our own program)
        program, stdin=nothing, stdout=nothing, stderr=nothing, cwd="/", env=sandbox.environment(), check=True,
        start_new_session=True,
    )  # fmt: skip


# --- what must be the same on every machine


@functools.cache
def alike(packages: tuple[str, ...]) -> Mapping[str, str]:
    """What this machine has of all that the bytes of a result may depend on.

    Args:
        packages: whose source code counts.
    """
    found = {"python": platform.python_version(), "processor": platform.machine()}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        needed = importlib.metadata.requires(_DISTRIBUTION) or []
        names = [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in needed if "extra ==" not in line]
        found |= {name: _version(name) for name in (_DISTRIBUTION, "keras", *names)}
    source = hashlib.sha256()
    for package in packages:
        spec = importlib.util.find_spec(package)
        for root in map(Path, (spec and spec.submodule_search_locations) or ()):
            for path in sorted(root.rglob("*.py")):
                source.update(f"{path.relative_to(root.parent).as_posix()}\n".encode() + path.read_bytes())
    return {**found, "source code": source.hexdigest()[:16]}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What another machine has that this one has not; empty where they are alike."""
    unlike = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return ", ".join(f"{name} {there.get(name, 'absent')} (here {here.get(name, 'absent')})" for name in unlike)


if __name__ == "__main__":
    # the janitor: out of the family of whoever called it, which a cluster may end as a whole
    if os.fork():
        os._exit(0)
    _delete_once_free(Path(sys.argv[1]), wait=True)
