"""The manifest of a run's folder: every file with its digest, whose run it is, and the seal of its line in the ledger.

``root`` is the digest of what the manifest says of run and files; the ledger's line holds it, so that a manifest that was
written anew for other files is no longer the sealed one. ``digest`` covers the whole manifest, the seal too: a changed byte
shows without the ledger. The file is the one text that its content has.
"""

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.disk import NotRegular, read_regular, write_whole
from pgx_compiler.evidence.inspection import kind_of

SCHEMA = "pgx-manifest/2"
PLACE = PurePosixPath("evidence/manifest.json")
"""Below the run's folder."""

_LITTER = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}")
"""Name of a file that was being written; where its process is gone it is nobody's."""


class BadManifest(ValueError):  # noqa: N818  (said of a file, not of the program)
    """The manifest was changed, or is none."""


@dataclass(frozen=True)
class Manifest:
    """What a manifest says."""

    run: Mapping[str, Any]
    """``id``, ``audit``, ``spec`` and ``plan`` (digests), ``time``, ``folder`` (its name), ``pgx`` and ``code``."""
    files: Sequence[Mapping[str, Any]]
    """``file`` (below the folder), ``sha256``, ``bytes``; of arrays, ``arrays``."""
    beside: Sequence[str] = ()
    """Names that stood in the folder before the run, and are no part of it."""
    sealed: Mapping[str, str] | None = None
    """``seal`` of the ledger's line, ``evidence`` (the object that lists what the run rests on), and ``ledger``: the seal of
    the ledger's first line, which says which ledger it is. None where no ledger was there."""

    @property
    def root(self) -> str:
        """Digest of what it says of run and files."""
        return digest(self._said)

    @property
    def _said(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "run": self.run, "files": list(self.files), "beside": list(self.beside)}

    @property
    def digests(self) -> dict[str, str]:
        """File to digest."""
        return {entry["file"]: entry["sha256"] for entry in self.files}

    def to_json(self) -> bytes:
        """The text of ``manifest.json``."""
        document = {**self._said, "root": self.root, "sealed": self.sealed}
        return (json.dumps({**document, "digest": digest(document)}, indent=2, sort_keys=True) + "\n").encode()


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write it, atomically: it is the last file of a run."""
    write_whole(folder / PLACE, manifest.to_json())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run's folder.

    Raises:
        FileNotFoundError: there is none: the run has not ended, or this is no run.
        BadManifest: it was changed, or is of a schema that this program does not know.
        OSError: it cannot be read, or is no regular file.
    """
    content = read_regular(folder / PLACE)
    try:
        found = json.loads(content)
        if found.get("schema") != SCHEMA:
            raise BadManifest(f"its schema is {str(found.get('schema'))[:40]!r}; this program knows {SCHEMA}")
        manifest = Manifest(found["run"], found["files"], found["beside"], found["sealed"])
        if manifest.to_json() != content:
            raise BadManifest("it does not match its own digest")
        _check(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise error if isinstance(error, BadManifest) else BadManifest(f"it cannot be read: {error}") from error
    return manifest


def _check(manifest: Manifest) -> None:
    """Its digest holds, but whoever wrote it may be anybody."""
    names = [entry["file"] for entry in manifest.files]
    if names != sorted(set(names)):
        raise BadManifest("its files are not in order, or one is listed twice")
    for name in names:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or str(place) != name or place == PLACE:
            raise BadManifest(f"`{name[:80]}` is no file of a run")
    told = [*manifest.digests.values(), *(manifest.run[name] for name in ("id", "audit", "spec", "plan", "time"))]
    if not all(isinstance(value, str) for value in (*told, *manifest.beside, *(manifest.sealed or {}).values())):
        raise BadManifest("it holds something else than words where words stand")


def files_of(folder: Path, beside: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Every file of a run's folder but the manifest, and every entry that is no file: links, pipes, devices.

    Args:
        folder: of the run.
        beside: names directly in it that are no part of it, and are not looked at.
    """
    found: list[str] = []
    strange: list[str] = []
    passed = set(beside)
    open_ = [(folder, PurePosixPath())]
    while open_:
        place, below = open_.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                name = below / entry.name
                if str(name) in passed or name == PLACE:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    open_.append((Path(entry.path), name))
                else:
                    regular = stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
                    (found if regular else strange).append(str(name))
    return sorted(found), sorted(strange)


def empty_folders(folder: Path, beside: Iterable[str] = ()) -> list[str]:
    """Folders of a run's folder that hold no file, nor any other thing, at any depth; the outermost of each.

    Args:
        folder: of the run.
        beside: names directly in it that are no part of it, and are not looked at.
    """
    passed = set(beside)
    empty: set[PurePosixPath] = set()
    for place, folders, files in os.walk(folder, topdown=False):
        below = PurePosixPath(Path(place).relative_to(folder))
        # a link to a folder counts among the folders, and is told as what it is
        if below.parts and below.parts[0] not in passed and not files and {below / name for name in folders} <= empty:
            empty.add(below)
    return sorted(str(one) for one in empty if one.parent not in empty)


@dataclass(frozen=True)
class Before:
    """What a folder held before a run wrote into it."""

    beside: Sequence[str]
    """Names that are nobody's of ours."""
    listed: Sequence[str]
    """Files of an earlier run."""


OURS = frozenset({"spec.yaml", "plan.json", "pgx.lock", "events.jsonl", "evidence"})
"""Names directly in a run's folder, beside ``factsheet.*`` and the ``*.log`` of workers."""


def open_folder(folder: Path) -> Before:
    """Make a run's folder, or take that of an earlier run over: its manifest goes first, as it will soon not be true.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / PLACE.parent).is_symlink():
        raise NotRegular(f"{folder / PLACE.parent} is a link")
    listed: Sequence[str] = ()
    beside: set[str] = set()
    try:
        earlier = read_manifest(folder)
        listed, beside = list(earlier.digests), set(earlier.beside)
    except (BadManifest, FileNotFoundError, NotRegular):
        beside = {name for name in os.listdir(folder) if not _is_ours(name)}
    else:
        known = {PurePosixPath(name).parts[0] for name in listed}
        beside |= {name for name in os.listdir(folder) if not _is_ours(name) and name not in known}
    _refuse_strange(folder, beside)
    (folder / PLACE).unlink(missing_ok=True)
    return Before(sorted(name for name in beside if (folder / name).exists()), listed)


def _refuse_strange(folder: Path, beside: Iterable[str]) -> None:
    """Raise `NotRegular` where the run would write through a link or into a pipe, or come to refuse it at its end."""
    for name in [*files_of(folder, beside)[1], *(one.name for one in folder.glob("worker-*.log") if one.is_dir())]:
        # all else is written under another name first, which then takes the place of what is there
        if name == "events.jsonl" or name.endswith(".log") or name.startswith("evidence/"):
            kind = kind_of(os.lstat(folder / name).st_mode)
            raise NotRegular(errno.EINVAL, f"a file of the run belongs there, and it is {kind}", str(folder / name))
    for path in (
        folder / "events.jsonl",
        *folder.glob("*.log"),
    ):  # what is added to: all else takes the place of its name
        if path.name not in beside and path.is_file() and os.lstat(path).st_nlink > 1:
            why = (
                "lines are added to this file, and it has another name besides (a hard link), which would see them too"
            )
            raise NotRegular(errno.EINVAL, why, str(path))


def _is_ours(name: str) -> bool:
    return name in OURS or name.startswith("factsheet.") or name.endswith(".log") or _LITTER.fullmatch(name) is not None


def clear(folder: Path, before: Before, written: Iterable[str]) -> None:
    """Remove what an earlier run into the same folder left and this one has not written, and unfinished files.

    No folder that holds nothing stays either: one that is there later was put there.
    """
    stale = {name for name in set(before.listed) - set(written) if not name.endswith(".log")}
    for name in files_of(folder, before.beside)[0]:
        if name in stale or _LITTER.fullmatch(PurePosixPath(name).name):
            (folder / name).unlink(missing_ok=True)
    for name in empty_folders(folder, before.beside):
        shutil.rmtree(folder / name)
