"""Paths that a spec names: relative, below its own folder, and really there."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened

FORBIDDEN_PATH = Code(
    5001,
    "forbidden-path",
    "A spec names files below its own folder, by a relative path: no `..`, no absolute path, no `~`, no URL, and no"
    " symbolic link that leads out. Then an audit can be moved, and reading a foreign spec opens nothing of yours.",
)
NO_SUCH_FILE = Code(
    5002,
    "no-such-file",
    "The path does not lead to a regular file that you may read. Paths are relative to the folder of the spec that is"
    " checked, also where a file that it extends names them; a path under `extends` is relative to the file it stands in.",
)


@dataclass(frozen=True)
class RefusedPath:
    """Why a path cannot be used, and what to do."""

    code: Code
    message: str
    help: str
    label: str = ""


def locate(root: Path, folder: Path, text: str) -> Path | RefusedPath:
    """The file that a path means, from `folder`, which is `root` or below; never one outside `root`."""
    why = _forbidden(text)
    if why:
        help_ = "copy the file below the spec's folder, and write the path from there"
        return RefusedPath(FORBIDDEN_PATH, f"the path `{shortened(text)}` {why}", help_)
    path = folder / text
    reason = _unreadable(path)
    if reason:
        return RefusedPath(NO_SUCH_FILE, f"`{shortened(text)}` {reason}", _neighbours(path), _near(path))
    if not path.resolve().is_relative_to(root.resolve()):
        help_ = "copy the file below the spec's folder"
        return RefusedPath(FORBIDDEN_PATH, f"`{shortened(text)}` is a link out of the spec's folder", help_)
    return path


def _forbidden(text: str) -> str:
    if "\0" in text or not text.isprintable():
        return "holds a character that no path should hold"
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]+:", text):
        return "is a URL"
    if text.startswith("~"):
        return "starts at a home folder"
    if text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", text):
        return "is absolute"
    if ".." in re.split(r"[/\\]", text):
        return "climbs with `..`"
    return ""


def _unreadable(path: Path) -> str:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read: {(getattr(error, 'strerror', None) or 'not a path').lower()}"
    if stat.S_ISDIR(mode):
        return "is a folder, not a file"
    if not stat.S_ISREG(mode):
        return "is not a regular file"
    return "" if os.access(path, os.R_OK) else "may not be read: permission denied"


def _siblings(path: Path) -> list[str]:
    try:
        with os.scandir(path.parent) as entries:
            return sorted(entry.name for entry, _ in zip(entries, range(1000), strict=False) if entry.is_file())
    except OSError:
        return []


def _near(path: Path) -> str:
    near = nearest(path.name, _siblings(path))
    return f"did you mean `{near}`?" if near and near != path.name else ""


def _neighbours(path: Path) -> str:
    beside = _siblings(path)
    return f"in that folder: {quoted(beside, 8)}" if beside else "paths are relative to the spec's folder"
