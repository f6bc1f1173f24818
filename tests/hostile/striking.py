"""Faults of the system, struck into one process: the n-th call that touches a place fails, is cut short, is late, or ends it.

What is replaced are the functions of `os`, `fcntl` and `io` through which this program reaches files; a call counts where its path, or
the path of its descriptor, lies below the place. Each strike is written down, with the call and the file, before it happens: a fault
that was never reached proves nothing.
"""

import builtins
import ctypes
import errno
import fcntl
import io
import json
import os
import signal
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

BY_DESCRIPTOR = ("write", "fsync", "fchmod", "ftruncate", "read", "pread")
BY_PATH = ("open", "mkdir", "replace", "rename", "unlink", "link", "stat", "scandir", "listdir", "rmdir", "utime")
NEEDING_SPACE = ("write", "fsync", "mkdir", "replace", "rename", "link")


class _Strike:
    def __init__(self, fault: Mapping[str, Any], notes: Path) -> None:
        self._place: str = fault["place"]
        self._calls: list[str] = fault.get("calls") or [*BY_DESCRIPTOR, *BY_PATH, "create", "flock", "io.open"]
        self._when: int = fault.get("when", 0)
        self._how: str = fault.get("how", "count")
        self._lasting: bool = fault.get("lasting", False)
        self._seen = 0
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._real_write = os.write

    def wrap(self, call: str, real: Callable[..., Any], path_of: Callable[..., str]) -> Callable[..., Any]:
        def called(*arguments: Any, **more: Any) -> Any:
            name = "create" if call == "open" and len(arguments) > 1 and arguments[1] & os.O_CREAT else call
            if name not in self._calls or not (path := path_of(*arguments)).startswith(self._place):
                return real(*arguments, **more)
            self._seen += 1
            strikes = self._seen == self._when or (self._lasting and self._seen > self._when > 0)
            if self._how == "count" or strikes:
                noted = {"call": name, "path": path, "number": self._seen}
                self._real_write(self._notes, json.dumps(noted).encode() + b"\n")
            if not strikes:
                return real(*arguments, **more)
            return self._fail(call, real, arguments, more, path)

        return called

    def _fail(self, call: str, real: Callable[..., Any], arguments: Any, more: Any, path: str) -> Any:
        if self._how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        if self._how == "late":
            time.sleep(0.05)
            return real(*arguments, **more)
        if self._how == "hang":
            time.sleep(600)
        if self._how == "short":
            if call != "write" or len(arguments[1]) < 2:
                return real(*arguments, **more)
            return real(
                arguments[0], arguments[1][: len(arguments[1]) // 2]
            )  # the kernel may take less than it is given
        number = getattr(errno, self._how)
        if call in BY_DESCRIPTOR or call == "flock":
            raise OSError(number, os.strerror(number))
        raise OSError(number, os.strerror(number), path)


def strike(fault: Mapping[str, Any], notes: Path) -> None:
    """Strike one fault into this process.

    Args:
        fault: ``place`` (a folder), ``calls`` (default: all), ``when`` (the n-th of these calls there; 0: never), ``how`` (the
            name of an error, ``short``, ``late``, ``hang``, ``kill`` or ``count``), ``lasting`` (every call after it as well).
        notes: where each strike is written down.
    """
    one = _Strike(fault, notes)
    for name in BY_DESCRIPTOR:
        setattr(os, name, one.wrap(name, getattr(os, name), _of_descriptor))
    for name in BY_PATH:
        setattr(os, name, one.wrap(name, getattr(os, name), _of_path))
    fcntl.flock = one.wrap("flock", fcntl.flock, _of_descriptor)
    io.open = builtins.open = one.wrap("io.open", io.open, _of_path)  # type: ignore[assignment]


def _of_descriptor(descriptor: Any, *_: Any) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor if isinstance(descriptor, int) else descriptor.fileno()}")
    except (OSError, ValueError, AttributeError):
        return ""


def _of_path(path: Any, *_: Any, **__: Any) -> str:
    if isinstance(path, int):
        return _of_descriptor(path)
    try:
        return os.path.abspath(os.fsdecode(path))
    except TypeError:
        return ""


# --- other circumstances, by name


def a_year_ago() -> None:
    """The clock of everything in Python goes a year behind."""
    _clock(-365 * 86400)


def in_ten_years() -> None:
    _clock(3650 * 86400)


def _clock(by: float) -> None:
    import datetime as module
    import sys

    real_time, real = time.time, module.datetime
    time.time = lambda: real_time() + by
    time.time_ns = lambda: int((real_time() + by) * 1e9)

    class Shifted(real):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real.now(tz) + module.timedelta(seconds=by)

    for loaded in list(sys.modules.values()):
        if getattr(loaded, "datetime", None) is real and loaded is not module:
            loaded.datetime = Shifted  # type: ignore[attr-defined]


def without_landlock() -> None:
    """A kernel of before 5.13: asking for Landlock is an unknown call (ENOSYS), here and in every process begun from here."""
    refuse({444: errno.ENOSYS})


def without_locks() -> None:
    """A file system without locks: every flock is refused (ENOLCK), here and in every process begun from here."""
    refuse({{"x86_64": 73, "aarch64": 32}[os.uname().machine]: errno.ENOLCK})


def refuse(calls: Mapping[int, int]) -> None:
    """Have the kernel refuse some system calls by number, with an error of choice. Raises OSError where it cannot."""
    program = b"".join(
        [
            _instruction(0x20, 0, 0, 0),  # load the number of the call
            *(
                _instruction(0x15, 0, 1, call) + _instruction(0x06, 0, 0, 0x50000 | error)
                for call, error in calls.items()
            ),
            _instruction(0x06, 0, 0, 0x7FFF0000),  # allow
        ]
    )
    held = ctypes.create_string_buffer(program)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held)))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(38, 1, 0, 0, 0) or library.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(head)), 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def _instruction(code: int, then: int, otherwise: int, value: int) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def another_onnxruntime() -> None:
    """The distribution that asks models says that it is another version."""
    import importlib.metadata as metadata

    real = metadata.version
    metadata.version = lambda name: "9.9.9" if name == "onnxruntime" else real(name)
