"""The program of a nursery: it imports what the workers of a lane need, once, and forks a worker whenever it is asked to.

It opens no model and computes nothing: a process that has run TensorFlow cannot be forked. It keeps its workers company
until they end, tells the engine how they ended, and takes them with it when it ends itself.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from runtimes.engines import sandbox
from runtimes.engines.worker import live

FRAMEWORKS = "runtimes.frameworks"


def main(arguments: Sequence[str]) -> None:
    """Serve until the engine hangs up or dies.

    Args:
        arguments: the socket's descriptor, the engine's process, the lane, ``warm`` or ``cold``, and what to import.
    """
    control, engine, lane, warm, *modules = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sandbox.die_with(int(engine))
    _adopt_orphans()
    nursery = _Nursery(socket.socket(fileno=int(control)))
    nursery.say({"warm": _warm_up(lane, modules) if warm == "warm" else "", "seconds": round(time.process_time(), 3)})
    nursery.serve()


def _warm_up(lane: str, modules: Sequence[str]) -> str:
    """Import what the lane needs; returns what went wrong. A worker would only meet it again, and say it properly."""
    wrong = ""
    steps: list[Callable[[], Any]] = [partial(importlib.import_module, name) for name in modules]
    if (Path(importlib.import_module(FRAMEWORKS).__path__[0]) / f"{lane}.py").is_file():
        steps.append(lambda: getattr(importlib.import_module(f"{FRAMEWORKS}.{lane}"), "warm_up", int)())
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001  (see above)
            traceback.print_exc()
            wrong = f"{type(error).__name__}: {error}"
    gc.collect()
    gc.freeze()  # the workers' collectors leave these pages alone, so that they stay shared
    return wrong


def _adopt_orphans() -> None:
    """What a worker's own children leave behind comes to the nursery, where there is no filter that forbids children."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


class _Nursery:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: dict[int, int] = {}
        """Process to the engine's number of the worker."""
        self._descriptors: list[int] = []
        self._rest = b""
        self._bell, bell = socket.socketpair()
        for end in (self._bell, bell):
            end.setblocking(False)
        self._bell_rung = bell
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)

    def say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall((json.dumps(message) + "\n").encode("ascii"))

    def serve(self) -> None:
        while True:
            heard, _, _ = select.select([self._control, self._bell], [], [])
            if self._bell in heard:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(4096)
            self._bury()
            if self._control in heard and not self._listen():
                break
        for process in self._workers:
            _kill(process, signal.SIGKILL)
        signal.alarm(2)  # one that hangs in the kernel is left to the system
        self._end_orphans()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
                self._end_orphans()

    def _listen(self) -> bool:
        block, descriptors, _, _ = socket.recv_fds(self._control, 65536, 16)
        self._descriptors += descriptors
        if not block:
            return False
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return True

    def _obey(self, asked: dict[str, Any]) -> None:
        if "kill" in asked:
            for process, number in self._workers.items():
                if number == asked["kill"]:
                    _kill(process, asked["signal"])
            return
        line = self._descriptors.pop(0)
        process = os.fork()
        if not process:
            self._become_worker(line, asked)
        os.close(line)
        self._workers[process] = asked["fork"]
        self.say({"forked": asked["fork"], "process": process})

    def _become_worker(self, line: int, asked: dict[str, Any]) -> None:
        """In the child: never returns."""
        status = 1
        try:
            nursery = os.getppid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            sandbox.die_with(nursery)
            os.dup2(line, 3)
            os.closerange(4, os.sysconf("SC_OPEN_MAX"))
            live(3, Path(asked["folder"]), asked["module"], asked["memory"], locked=asked["locked"])
            status = 0
        except BaseException:  # noqa: BLE001  (nothing of the nursery may run in its child)
            traceback.print_exc()
        finally:
            os._exit(status)

    def _bury(self) -> None:
        """Tell of workers that have ended, and end what they left behind."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in self._workers:
                _kill(ended.si_pid, signal.SIGKILL)  # its group; not yet reaped, so that the number is still its own
            _, status = os.waitpid(ended.si_pid, 0)
            number = self._workers.pop(ended.si_pid, None)
            if number is not None:
                self.say({"ended": number, "status": os.waitstatus_to_exitcode(status)})
            self._end_orphans()

    def _end_orphans(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
            for child in map(int, children):
                if child not in self._workers:  # a worker that ended is no child any more
                    os.kill(child, signal.SIGKILL)


def _kill(process: int, number: int) -> None:
    """A worker and all of its group; it leads one as soon as it runs."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(process, number)


if __name__ == "__main__":
    main(sys.argv[1:])
