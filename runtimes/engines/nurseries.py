"""The engine's side of its processes: nurseries that it starts, and the workers that they fork for it."""

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtimes.engines import sandbox
from runtimes.engines.contract import Delivered, Job, Progress, WorkerDied
from runtimes.engines.logs import open_log

LONGEST_LINE = 2**20
"""Bytes that a worker may say in one line; an answer holds numbers of rows and a name or two. Read as JSON, a line takes
some thirty times as much."""
_BLOCK = 1 << 16
_MOST_ROWS = 2**53
"""What no step can have: more than this is nonsense, and no longer a whole number in other programs."""
_WANTING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS})
"""Errors of a system that has no more processes, memory or open files to give: no place is to blame."""


@dataclass
class Task:
    """A job that somebody waits for."""

    job: Job
    progress: Progress
    future: Future[Delivered]
    retries: int = 0

    def fail(self, why: Exception) -> None:
        """Tell who waits for it that it cannot be begun."""
        if not self.future.done() and (self.future.running() or self.future.set_running_or_notify_cancel()):
            self.future.set_exception(why)


class Line:
    """One end of a socket on which lines of JSON come and go; it never waits."""

    def __init__(self) -> None:
        self._own, self.other = socket.socketpair()
        self._own.setblocking(False)
        self._heard = bytearray()
        self._unsaid: deque[memoryview] = deque()

    def fileno(self) -> int:
        """For a selector."""
        return self._own.fileno()

    @property
    def unsaid(self) -> bool:
        """True where something waits to be said."""
        return bool(self._unsaid)

    def say(self, message: Mapping[str, Any]) -> None:
        """Say it as soon as the other side listens."""
        self._unsaid.append(memoryview((json.dumps(message) + "\n").encode("ascii")))
        self.flush()

    def flush(self) -> None:
        """Say what waits, as far as the other side listens."""
        try:
            while self._unsaid:
                self._unsaid[0] = self._unsaid[0][self._own.send(self._unsaid[0]) :]
                if not self._unsaid[0]:
                    self._unsaid.popleft()
        except BlockingIOError:
            pass
        except OSError:  # nobody is there; who listens will hear it
            self._unsaid.clear()

    def hand(self, message: Mapping[str, Any], descriptor: int) -> None:
        """Say it at once, and hand over a descriptor with it."""
        self._own.setblocking(True)
        try:
            socket.send_fds(self._own, [(json.dumps(message) + "\n").encode("ascii")], [descriptor])
        finally:
            self._own.setblocking(False)

    def hear(self) -> list[Mapping[str, Any]] | None:
        """Whole messages, at most a block of them; None where the other side has hung up.

        Raises:
            ValueError: it speaks no JSON, or does not end.
        """
        try:
            block = self._own.recv(_BLOCK)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not block:
            return None
        if b"\n" not in block:
            self._heard += block
            if len(self._heard) > LONGEST_LINE:
                raise ValueError("it does not end its line")
            return []
        *lines, rest = block.split(b"\n")
        lines[0], self._heard = bytes(self._heard) + lines[0], bytearray(rest)
        return [_message(line) for line in lines]

    def close(self) -> None:
        """Hang up."""
        self._own.close()
        self.other.close()


def _message(line: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(line)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if not isinstance(said, dict):
        raise ValueError("it says something else than an object")  # noqa: TRY004  (of text, not of types)
    return said


@dataclass(eq=False)
class Worker:
    """One worker process, as the engine knows it."""

    number: int
    lane: str
    apart: str
    nursery: "Nursery"
    folder: Path
    line: Line
    process: int | None = None
    task: Task | None = None
    box: Path | None = None
    ready: bool = False
    listens: bool = True
    """False where it has hung up."""
    ending: Exception | None = None
    """Why the engine ends it."""
    kill_at: float | None = None
    """When it is killed if it has not ended by itself."""
    deadline: float | None = None
    """When its job's time is over."""
    idle_since: float = 0.0
    served: int = 0
    """Jobs that it has finished."""
    seen: dict[str, int] = field(default_factory=dict)
    """Objects that it could read so far, with their sizes."""
    protected: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def view(self) -> Path:
        """What it sees of the store."""
        return self.folder / "view"

    @property
    def idle(self) -> bool:
        """True where a job may be given to it."""
        return self.ready and self.task is None and self.ending is None and self.listens

    def knows(self, reads: Sequence[str]) -> int:
        """Bytes of these objects that it has read already: a model that it need not open again."""
        return sum(self.seen.get(name, 0) for name in reads)

    def kill(self, number: int) -> None:
        """Send a signal to it and all of its group, if it is still there."""
        self.nursery.line.say({"kill": self.number, "signal": number})

    def resident(self) -> int:
        """Bytes of memory that it holds, with its children; 0 where the system does not say."""
        return 0 if self.process is None else sum(map(_resident, _family(self.process)))


def _family(process: int) -> Iterator[int]:
    yield process
    with contextlib.suppress(OSError, ValueError):
        for child in Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split():
            yield from _family(int(child))


def _resident(process: int) -> int:
    """Bytes that it holds of its own; pages of files are the system's to take back, and data sets are mapped from files."""
    try:
        with open(f"/proc/{process}/status", "rb") as told:
            held = {line.partition(b":")[0]: line.split() for line in told if line.startswith(b"Rss")}
        if held:
            return 1024 * sum(int(held[kind][1]) for kind in (b"RssAnon", b"RssShmem"))
        with open(f"/proc/{process}/statm", "rb") as told:
            return int(told.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError, KeyError):
        return 0


_PAGE = os.sysconf("SC_PAGE_SIZE")


class Nursery:
    """A process that forks workers of one lane."""

    def __init__(self, lane: str, log: Path | None, modules: Sequence[str], *, warm: bool) -> None:
        """Start it.

        Raises:
            OSError: its log cannot be written, or this process has too many open files.
            WorkerDied: the system starts no process.
        """
        self.lane, self.warm = lane, warm
        self.imported = False
        self.log = log
        self.line = Line()
        descriptor = self.line.other.fileno()
        program = [sys.executable, "-P", "-s", "-m", "runtimes.engines.nursery", str(descriptor), str(os.getpid())]
        program += [lane, "warm" if warm else "cold", *modules]
        with contextlib.ExitStack() as unless_started:
            unless_started.callback(self.line.close)
            self._process = self._started(program, descriptor)
            unless_started.pop_all()
        self.line.other.close()

    def _started(self, program: Sequence[str], descriptor: int) -> subprocess.Popen[bytes]:
        out = subprocess.DEVNULL if self.log is None else open_log(self.log)
        try:
            return subprocess.Popen(  # noqa: S603  (our own program)
                program, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=(descriptor,), cwd="/",
                env=sandbox.environment(), start_new_session=True,
            )  # fmt: skip
        except OSError as error:  # no more processes or memory: no file of the run is to blame
            raise WorkerDied(f"no worker process could be started: {error.strerror or error}") from error
        finally:
            if self.log is not None:
                os.close(out)

    def fork(self, worker: Worker, job: Job, *, locked: bool) -> None:
        """Ask for a worker that a job will be given to. Raises `OSError` where the nursery is gone."""
        module, memory = job.function.partition(":")[0], job.limits.memory
        asked = {"fork": worker.number, "folder": str(worker.folder), "module": module, "memory": memory}
        asked["locked"] = locked
        self.line.hand(asked, worker.line.other.fileno())
        worker.line.other.close()

    def note(self, text: str) -> None:
        """Write something into the lane's log."""
        if self.log is not None:
            with contextlib.suppress(OSError), os.fdopen(open_log(self.log), "a", encoding="utf-8") as log:
                log.write(f"{text}\n")

    def hang_up(self) -> None:
        """Have it end all of its workers, and itself."""
        self.line.close()

    def kill(self) -> None:
        """End it at once: its workers end with it."""
        self._process.kill()

    def bury(self, seconds: float) -> int | None:
        """Wait until it has ended, and make sure that it does; its exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def not_started(error: Exception) -> Exception:
    """What who waits is told of a worker that could not be had: a file that is in the way is the whole run's affair."""
    if isinstance(error, OSError) and error.errno in _WANTING:
        return WorkerDied(f"no worker process could be started: {error.strerror or error}")
    return error


def rows_told(said: Any) -> int:
    """A number of rows, as far as a worker can be believed. Raises `ValueError`, `TypeError` and `OverflowError`."""
    return max(0, min(int(said), _MOST_ROWS))
