"""Boxes: the private folders of jobs, and what a worker may see of the store."""

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtimes.engines.endings import in_bytes


class Area:
    """One engine's part of the folder of boxes. It is locked while the engine lives; what a dead one left is swept."""

    def __init__(self, boxes: Path) -> None:
        boxes.mkdir(parents=True, exist_ok=True)
        _sweep(boxes)
        self.folder = Path(tempfile.mkdtemp(prefix="engine-", dir=boxes))
        self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks: nobody sweeps there either
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Delete everything."""
        remove(self.folder)
        os.close(self._lock)


_LOCK = "lock"


def _sweep(boxes: Path) -> None:
    """Delete what engines left that were killed: nobody holds their lock."""
    for folder in boxes.glob("engine-*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
            finally:
                os.close(lock)


def new_box(boxes: Path) -> Path:
    """An empty folder that nobody else has."""
    if not boxes.is_dir():
        boxes.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="box-", dir=boxes))


def take(box: Path, folder: Path) -> Path:
    """Move a box into a folder that its worker does not reach; where it is then. Raises `ValueError` where it is no box."""
    kept = folder / box.name
    try:
        os.rename(box, kept)
    except FileNotFoundError:
        raise ValueError("it took its box away") from None
    if kept.is_symlink() or not kept.is_dir():
        kept.unlink()
        raise ValueError("its box is no folder any more")
    return kept


@dataclass(frozen=True)
class Room:
    """What a folder of a worker may hold."""

    bytes: int
    entries: int


RESULTS = Room(8 * 2**30, 1_000)
"""Of a worker's boxes: an honest job leaves two files."""
OWN = Room(64 * 2**30, 10_000)
"""Of a worker's home, where rows lie that do not fit into memory: a file for each column, each half its own."""
_LEVELS = 8
"""Of folders in folders; in deeper ones things could be hidden from whoever looks."""


def overfull(folder: Path, room: Room) -> bool:
    """Whether a folder that is being filled holds more than it may; looking takes no longer than what it may hold does."""
    held = entries = 0
    below = [(folder, 0)]
    while below:
        place, level = below.pop()
        try:
            with os.scandir(place) as found:
                for entry in found:
                    entries += 1
                    if entries > room.entries:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        below.append((Path(entry.path), level + 1))
                    else:
                        with contextlib.suppress(FileNotFoundError):
                            held += entry.stat(follow_symlinks=False).st_blocks * 512  # what is a hole takes no room
        except FileNotFoundError:
            continue  # it has just gone
        except OSError:
            return True  # closed to us on purpose, or too deep
        if held > room.bytes or level > _LEVELS:
            return True
    return False


def too_full(folder: Path) -> str | None:
    """What a worker leaves too much of in its part of the boxes, in words; None where it keeps within its room."""
    for name, room, what in (("boxes", RESULTS, "results"), ("home", OWN, "its own")):
        if overfull(folder / name, room):
            return f"limit of {in_bytes(room.bytes)} and {room.entries:,} files of {what} reached"
    return None


def show(store: Path, view: Path, reads: Iterable[str]) -> None:
    """Make objects of a store visible below another folder: linked where the file system can, else copied."""
    for name in reads:
        target = view / name
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(store / name, target)
        except FileExistsError:
            continue
        except OSError:
            shutil.copyfile(store / name, target)


def remove(folder: Path) -> None:
    """Delete a folder that hostile work may have filled: however deep, whatever it holds, whoever may enter it.

    What cannot be deleted stays, silently: an engine that is opened later tries again.
    """
    if folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        folder.chmod(0o700)
    numbers = itertools.count()
    stuck: set[str] = set()
    while below := [name for name in _emptied(folder, folder, numbers) if name not in stuck]:
        for name in below:
            with contextlib.suppress(OSError):
                os.chmod(folder / name, 0o700)  # a folder: links were deleted
            _emptied(folder / name, folder, numbers)
            try:
                os.rmdir(folder / name)
            except OSError:
                stuck.add(name)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _emptied(place: Path, top: Path, numbers: Iterator[int]) -> list[str]:
    """Delete the files of a folder and bring its folders up to the top, so that no path grows too long; its folders."""
    found = []
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in list(entries):
            with contextlib.suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                elif place == top:
                    found.append(entry.name)
                else:
                    os.chmod(entry.path, 0o700)
                    os.rename(entry.path, top / f".risen-{next(numbers)}")
    return found
