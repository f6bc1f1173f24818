"""Locks between processes that share a store: kernel locks, which a death gives back.

There are no process numbers in files and nothing to unlock by hand: a lock is held by an open file (`flock`) and ends
with its process, however that ends.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType

from pgx_compiler.evidence.disk import make_folder


class NoLocks(OSError):  # noqa: N818  (said of a place, not of the program)
    """The file system keeps no locks, or the lock's place is not ours."""


class Held:
    """A lock that is held until `release`, or until the process ends."""

    def __init__(self, descriptor: int, path: Path, fleeting: bool) -> None:
        self._descriptor: int | None = descriptor
        self._path = path
        self._fleeting = fleeting

    def release(self) -> None:
        """Give it back; a fleeting lock leaves no file behind."""
        if self._descriptor is None:
            return
        if self._fleeting:
            # unlinked while it is held: who waits for the old file sees, once it has it, that the name is gone
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def try_lock_folder(folder: Path) -> Held | None:
    """Have a folder that exists to oneself, without any file in it; None where somebody else has it. Raises as `try_lock`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not _taken(descriptor, folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        return None
    return Held(descriptor, folder, fleeting=False)


def try_lock(path: Path, *, shared: bool = False, fleeting: bool = False, wait: bool = False) -> Held | None:
    """Take a lock; None where somebody else holds it.

    Args:
        path: the lock's file, made where it is missing.
        shared: several may hold it together; nobody alone meanwhile.
        fleeting: the file goes with the lock: for locks of which there are many.
        wait: block until it is free, so that the answer is never None.

    Raises:
        NoLocks: the file system has none, or the file is a link or belongs to somebody else.
    """
    make_folder(path.parent)
    while True:
        descriptor = _open(path)
        if not _taken(
            descriptor, path.parent, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        ):
            return None
        if _still_there(descriptor, path):
            return Held(descriptor, path, fleeting)
        os.close(descriptor)  # its holder has finished and unlinked it: what is there now is another lock


def _taken(descriptor: int, folder: Path, how: int) -> bool:
    """Whether the lock of an open file is ours now; else the file is closed."""
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise NoLocks(f"the file system of {folder} keeps no locks ({error.strerror})") from error
        raise
    return True


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NoLocks(f"{path} is a link; a lock must be a file of our own") from error
        raise
    if os.fstat(descriptor).st_uid != os.geteuid() and os.geteuid() != 0:
        os.close(descriptor)
        raise NoLocks(f"{path} belongs to another user")
    return descriptor


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
