"""Landlock by ctypes: a process gives up, for good and without any privilege, all files that it does not name.

https://docs.kernel.org/userspace-api/landlock.html. What a kernel can take away depends on its ABI version: files from 1,
truncation from 3, TCP from 4, devices' ioctl from 5, signals and abstract sockets from 6.
"""

import ctypes
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
"""System calls; these numbers are the same on all architectures."""
_VERSION_ONLY = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FOLDER, _REMOVE_FILE, _MAKE_FOLDER, _MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_RIGHTS_SINCE = {1: 13, 2: 14, 3: 15, 5: 16}
"""ABI version to how many rights over files it knows."""

READS = _READ | _READ_FOLDER
CHANGES = READS | _WRITE | _TRUNCATE | _REFER | _REMOVE_FILE | _REMOVE_FOLDER | _MAKE_FILE | _MAKE_FOLDER
"""Plain files and folders only: no device, pipe, socket or symbolic link is made."""
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_TCP = 0b11
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _call(number: int, *arguments: object) -> int:
    made = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if made < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(made)


def version() -> int:
    """The kernel's ABI version; 0 where there is no Landlock."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_ONLY))
    except OSError:
        return 0


def restrict(reads: Iterable[Path], changes: Iterable[Path]) -> None:
    """Give up all files but these, and all that lies below them; TCP, other processes and abstract sockets as well.

    Nothing may ever be executed. Places that are not there are passed over. The process must have said that it wants no
    new privileges. Raises `OSError`.

    Args:
        reads: what may be read.
        changes: what may be read and changed.
    """
    abi = version()
    known = (1 << max(rights for since, rights in _RIGHTS_SINCE.items() if since <= max(abi, 1))) - 1
    asked = _Ruleset(known, _TCP if abi >= 4 else 0, _ABSTRACT_SOCKETS | _SIGNALS if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = _call(_CREATE, ctypes.byref(asked), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for rights, places in ((READS, reads), (CHANGES, changes)):
            for place in places:
                _allow(rules, place, rights & known)
        _call(_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _allow(rules: int, place: Path, rights: int) -> None:
    try:
        found = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            rights &= _OF_FILES
        rule = _Beneath(rights, found)
        _call(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(found)
