"""Every state that a crash may leave on a disk, for what the store really does.

The calls of `pgx_compiler.evidence.disk`, `.ledger` and `.store` to the file system are recorded. After a crash at any point, a
disk holds: of every file, what was flushed, or anything between that and what was written since; of every folder, the
names that were flushed, and any subset of the changes since. `states` gives all of them, as folders in memory.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgx_compiler.evidence import disk, ledger, store, sweep

UNREAD = ("incoming", "trash")
"""Folders whose files nobody reads after a crash: which of them are left makes no difference."""


@dataclass
class Inode:
    """A file's content: what the disk surely has, and what was written since."""

    flushed: bytes = b""
    now: bytes = b""

    def copies(self) -> list[bytes]:
        """What may be found after a crash: the old, the new, and a new one of which half arrived."""
        if self.flushed == self.now:
            return [self.now]
        half = len(self.flushed) + max(0, len(self.now) - len(self.flushed)) // 2
        torn = self.now[:half] if half < len(self.now) else self.now[:-1] + bytes(1)
        return list(dict.fromkeys([self.now, torn, self.flushed]))


@dataclass(frozen=True)
class Change:
    """A change to the names of one folder: ``name`` is what it does to (folder, name) → file or folder."""

    folder: str
    sets: tuple[tuple[str, Any], ...]


@dataclass
class Disk:
    """What has happened to a folder so far."""

    root: Path
    inodes: dict[int, Inode] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    flushed: dict[str, int] = field(default_factory=dict)
    """Folder to how many of its changes are surely on the disk."""
    promised: list[Any] = field(default_factory=list)
    """What the store has acknowledged."""


class Recorder:
    """Stands for the module `os`: does what is asked, and takes it down."""

    def __init__(self, root: Path, skip: Callable[[str, Any], bool] = lambda call, about: False) -> None:
        self.disk = Disk(root)
        self.moments: list[Disk] = []
        self._skip = skip
        self._open: dict[int, tuple[str, int]] = {}
        self._names: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        new = flags & os.O_CREAT and not os.path.lexists(path)
        descriptor = os.open(path, flags, mode)
        told = self._told(path)
        if told is not None:
            if new:
                number = self._names[told] = len(self.disk.inodes)
                self.disk.inodes[number] = Inode()
                self._change(told, number)
            self._open[descriptor] = (told, self._names.get(told, -1))
        return descriptor

    def write(self, descriptor: int, content: Any) -> int:
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        count = os.write(descriptor, content)
        if descriptor in self._open:
            inode = self.disk.inodes[self._open[descriptor][1]]
            inode.now = inode.now[:at] + bytes(content[:count]) + inode.now[at + count :]
            self._moment()
        return count

    def ftruncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)
        if descriptor in self._open:
            inode = self.disk.inodes[self._open[descriptor][1]]
            inode.now = inode.now[:length]
            self._moment()

    def fsync(self, descriptor: int) -> None:
        told = self._open.get(descriptor)
        if told is None:
            return
        name, number = told
        if number >= 0:
            if not self._skip("fsync file", name):
                inode = self.disk.inodes[number]
                inode.flushed = inode.now
        elif not self._skip("fsync folder", name):
            self.disk.flushed[name] = sum(change.folder == name for change in self.disk.changes)
        self._moment()

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        os.close(descriptor)

    def replace(self, source: Any, target: Any) -> None:
        os.replace(source, target)
        old, new = self._told(source), self._told(target)
        if old is None or new is None:
            return
        number = self._names.pop(old)
        self._names[new] = number
        if os.path.dirname(old) == os.path.dirname(new):
            # one folder: a rename is one change, never half of it
            folder = os.path.dirname(new)
            self._take_down(Change(folder, ((os.path.basename(old), None), (os.path.basename(new), number))))
        else:
            self._change(new, number)
            self._change(old, None)

    def unlink(self, path: Any) -> None:
        os.unlink(path)
        told = self._told(path)
        if told is not None:
            self._names.pop(told, None)
            self._change(told, None)

    def mkdir(self, path: Any, mode: int = 0o777) -> None:
        os.mkdir(path, mode)
        told = self._told(path)
        if told is not None:
            self._change(told, "folder")

    def promise(self, what: Any) -> None:
        """The store has said that something is kept: from now on it must be found, whatever happens."""
        self.disk.promised.append(what)
        self._moment()

    def _told(self, path: Any) -> str | None:
        """A path below the root; locks are not kept over a crash and do not count."""
        try:
            below = Path(path).relative_to(self.disk.root).as_posix()
        except ValueError:
            return None
        return None if below.startswith("locks") else "" if below == "." else below

    def _change(self, told: str, what: Any) -> None:
        self._take_down(Change(os.path.dirname(told), ((os.path.basename(told), what),)))

    def _take_down(self, change: Change) -> None:
        if change.folder.startswith(UNREAD):
            return
        self.disk.changes.append(change)
        self._moment()

    def _moment(self) -> None:
        now = self.disk
        self.moments.append(
            Disk(
                now.root,
                {number: Inode(inode.flushed, inode.now) for number, inode in now.inodes.items()},
                list(now.changes),
                dict(now.flushed),
                list(now.promised),
            )
        )


def record(
    root: Path,
    work: Callable[[Callable[[Any], None]], None],
    monkeypatch: Any,
    skip: Callable[[str, Any], bool] = lambda call, about: False,
) -> list[Disk]:
    """Do some work and return the disk after each of its calls; ``work`` is given a function that takes promises."""
    recorder = Recorder(root, skip)
    with monkeypatch.context() as patched:
        for module in (disk, ledger, store, sweep):
            patched.setattr(module, "os", recorder)
        work(recorder.promise)
    return recorder.moments


Tree = dict[str, bytes | None]
"""Path to content; None for a folder."""


def states(moment: Disk) -> Iterator[Tree]:
    """What a crash at this moment may leave behind."""
    seen = dict.fromkeys({change.folder for change in moment.changes}, 0)
    sure, loose = [], []
    for change in moment.changes:
        (sure if seen[change.folder] < moment.flushed.get(change.folder, 0) else loose).append(change)
        seen[change.folder] += 1
    position = {id(change): at for at, change in enumerate(moment.changes)}
    for size in range(len(loose) + 1):
        for chosen in itertools.combinations(loose, size):
            names = _names(sorted([*sure, *chosen], key=lambda change: position[id(change)]))
            reached = {path: what for path, what in names.items() if _reachable(path, names)}
            files = [path for path, what in reached.items() if what != "folder"]
            folders: Tree = {path: None for path, what in reached.items() if what == "folder"}
            for contents in itertools.product(*(moment.inodes[reached[path]].copies() for path in files)):
                yield {**folders, **dict(zip(files, contents, strict=True))}


def _names(changes: list[Change]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for change in changes:
        for name, what in change.sets:
            path = f"{change.folder}/{name}" if change.folder else name
            if what is None:
                names.pop(path, None)
            else:
                names[path] = what
    return names


def _reachable(path: str, names: dict[str, Any]) -> bool:
    above = os.path.dirname(path)
    return not above or (names.get(above) == "folder" and _reachable(above, names))


def build(tree: Tree, root: Path) -> None:
    """Make a state real."""
    root.mkdir()
    for path in sorted(tree):
        content = tree[path]
        if content is None:
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
