"""Files as they were at a revision of git: read with ``git cat-file``, without a shell and without filters."""

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.diagnostics.nearest import shortened

NOT_IN_HISTORY = Code(
    5063,
    "not-in-history",
    "`REVISION:PATH` names a file as it was at a revision of git: `HEAD~3:specs/audit.yaml`. The path is taken from the "
    "folder you are in, has no `..`, and must have been committed; the revision is a commit, branch or tag.",
)

_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./~^@{}+-]{0,199}")
_LARGE_FILE = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[a-z-]+ .*\n)*?oid sha256:([0-9a-f]{64})\n"
)
_PATIENCE = 60.0
"""Seconds that git may take."""


@dataclass(frozen=True)
class Revision:
    """One commit, and the folder of the repository that paths start from."""

    commit: str
    shown: str
    """As the person wrote it."""
    folder: Path

    def read(self, path: str) -> bytes:
        """A file's bytes at this revision. Raises `AuthorError`."""
        done = _git(self.folder, "cat-file", "blob", f"{self.commit}:./{_checked(path, self.shown)}")
        if done is None:
            raise refusal(f"{self.shown} has no file `{shortened(path)}`")
        return done

    def digest(self, path: str) -> str | None:
        """SHA-256 of a file at this revision; None where it was not committed."""
        try:
            content = self.read(path)
        except AuthorError:
            return None  # models and data may be kept elsewhere: then nothing is known of them
        pointer = _LARGE_FILE.match(content)
        return pointer[1].decode() if pointer else hashlib.sha256(content).hexdigest()


def open_revision(name: str, folder: Path) -> Revision:
    """A revision of the repository that a folder is in. Raises `AuthorError`."""
    if not _REVISION.fullmatch(name) or ".." in name:
        raise refusal(f"`{shortened(name)}` is not a revision of git")
    found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found is None:
        raise refusal(f"git knows no revision `{shortened(name)}` here")
    return Revision(found.decode().strip(), name, folder)


def _checked(path: str, revision: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\0" in path or "\n" in path:
        raise refusal(f"`{revision}:{shortened(path)}` is not a path below this folder")
    return str(pure)


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git says, or None where it refuses. Raises `AuthorError` where there is no git to ask."""
    try:
        done = subprocess.run(  # noqa: S603  (a list, no shell; revision and path were checked)
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise refusal("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise refusal(f"git did not answer within {_PATIENCE:.0f} seconds") from None
    return done.stdout if done.returncode == 0 else None


def refusal(message: str) -> AuthorError:
    """What to say of a place in history that is not there."""
    help_ = "write REVISION:PATH, such as HEAD~1:specs/audit.yaml, from inside the repository"
    return AuthorError(Diagnostics([Diagnostic(NOT_IN_HISTORY, message, None, help_)]))
