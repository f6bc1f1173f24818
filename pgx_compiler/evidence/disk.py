"""Durable files: everything that the store asks of the file system, in the order that a crash cannot undo.

A file is written under another name, flushed to the disk, renamed, and then its folder is flushed: after that it is
whole under its name, whatever happens; before that it is not there at all. A folder that has to be made is flushed into
its parent before anything is put into it.

After a failed fsync nothing is tried again on the same file: the kernel marks the pages as clean although they may not have
reached the disk (Rebello et al., ATC 2020), so a second fsync would succeed for nothing.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

READ_ONLY = 0o444
_CHUNK = 1 << 20


class NotRegular(OSError):  # noqa: N818  (said of a file, not of the program)
    """A link, a pipe, a device or a folder stands where a file is expected."""


_ABOUT_THE_READER = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EACCES, errno.EPERM})


def says_nothing_of_the_file(error: OSError) -> bool:
    """True where a failed read tells of this process (too few files or memory, no permission), not of what is stored."""
    return error.errno in _ABOUT_THE_READER


def write_whole(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a whole file or nothing; it replaces what was there."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with _named(path), _removed_unless_done(temporary):
        descriptor = _create(temporary)
        try:
            _write(descriptor, content)
            if mode is not None:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    sync_folder(path.parent)


def copy_whole(source: int, folder: Path, check: Callable[[Path], None], named: Callable[[str], Path]) -> str:
    """Copy an open file under the name of its content, hashed while it is copied; returns the SHA-256.

    Args:
        source: descriptor of a regular file, read from its start.
        folder: where the copy is made, on the file system of its final place.
        check: raises where the finished copy is not acceptable; nothing is kept then. It sees the copy, not the source: whoever
            wrote the source may still be changing it.
        named: the final path for a digest.
    """
    make_folder(folder)
    temporary = folder / f".incoming.{os.getpid()}.{secrets.token_hex(4)}"
    seen = hashlib.sha256()
    with _named(temporary), _removed_unless_done(temporary):
        descriptor = _create(temporary)
        try:
            while chunk := os.read(source, _CHUNK):
                seen.update(chunk)
                _write(descriptor, chunk)
            os.fchmod(descriptor, READ_ONLY)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        check(temporary)
        path = named(seen.hexdigest())
        make_folder(path.parent)
        os.replace(temporary, path)
    sync_folder(path.parent)
    return seen.hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each flushed into its parent."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one)
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder: the names in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        with _named(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> int:
    """A descriptor of a regular file, links not followed and pipes not waited for. Raises `NotRegular`, OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise NotRegular(f"{path.name} is a link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(f"{path.name} is no regular file")
    return descriptor


def read_regular(path: Path) -> bytes:
    """The content of a regular file. Raises `NotRegular`, OSError."""
    with os.fdopen(open_regular(path), "rb") as stream:
        return stream.read()


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _write(descriptor: int, content: bytes) -> None:
    """All of it: the kernel may take less than it is given."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of a descriptor does not say which file it was: a full disk, say."""
    try:
        yield
    except OSError as error:
        if error.filename is None and not isinstance(error, NotRegular):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def _removed_unless_done(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
