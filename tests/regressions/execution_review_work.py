"""What hostile and unlucky work does, for ``test_execution_review``: named ``execution_review_work:...`` by it."""

import ctypes
import errno
import os
import socket
import struct
import time
from pathlib import Path

_LINE = 3
"""The worker's end of the socket to the engine."""


def _tried(act):
    try:
        return f"done: {act()}"
    except OSError as error:
        return errno.errorcode.get(error.errno, "?")


def _call(number, *arguments):
    made = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if made < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return made


def meddle(payload, place, progress):
    """Change what is not content: of a file outside, and of an object of the store that the job may read."""
    found = {}
    for name in (payload["path"], str(place.reads / "objects/ab/named")):
        acts = {
            "chmod": lambda name=name: os.chmod(name, 0o600),
            "fchmodat2": lambda name=name: _call(452, -100, name.encode(), 0o600, 0),
            "utime": lambda name=name: os.utime(name, (0, 0)),
            "chown": lambda name=name: os.chown(name, os.getuid(), os.getgid()),
            "setxattr": lambda name=name: os.setxattr(name, "user.was", b"here"),
            "setxattrat": lambda name=name: _call(
                463, -100, name.encode(), 0, b"user.was", struct.pack("QII", 0, 0, 0), 16
            ),
        }
        found |= {f"{act} {Path(name).name}": _tried(tried) for act, tried in acts.items()}
    return found


def reach(payload, place, progress):
    """Speak to a socket that lies in a folder, watch a folder, and keep what no limit counts and no death frees."""
    from multiprocessing.shared_memory import SharedMemory

    def send():
        end, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return end.sendto(b"leak", payload["path"])

    acts = {
        "datagram": send,
        "watch": lambda: ctypes.CDLL(None).inotify_init1(0) >= 0 or _call(-1),
        "memfd": lambda: os.memfd_create("x"),
        "shared memory": lambda: SharedMemory("pgx-was-here", create=True, size=10).name,
        "shmget": lambda: ctypes.CDLL(None).shmget(0, 4096, 0o1600) >= 0 or _call(-1),
        "msgget": lambda: ctypes.CDLL(None).msgget(0, 0o1600) >= 0 or _call(-1),
    }
    return {name: _tried(act) for name, act in acts.items()}


def say(payload, place, progress):
    """Say something raw, and then wait."""
    left = memoryview(payload["raw"].encode("latin-1") * payload.get("times", 1))
    while left:
        left = left[os.write(_LINE, left) :]
    time.sleep(payload.get("seconds", 30))
    return {}


def fail_at_length(payload, place, progress):
    raise ValueError("x" * payload["length"])


def write(payload, place, progress):
    (place.writes / "made").write_text("x")
    return {"pid": os.getpid()}


def lose_the_box(payload, place, progress):
    os.chdir("/")
    place.writes.rmdir() if payload["how"] != "renamed" else place.writes.rename(f"{place.writes}x")
    if payload["how"] == "a file instead":
        place.writes.write_text("x")
    return {}


def crowd_and_fail(payload, place, progress):
    for number in range(100):
        (place.writes.parent / f"more-{number}").mkdir()
    raise ValueError("and now?")
