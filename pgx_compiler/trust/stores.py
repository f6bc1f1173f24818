"""Whose results are believed without computing them: a store that this person's own runs have made, or that somebody named.

A store is looked for beside the spec. A stranger's folder may bring one along, full of results that no model ever gave, each
of the right form and under the right key. So a store that a run makes is signed with a key of the person's own, which
stands beside the trust file; one without that signature is used only where PGX_STORE names it.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.trust.ledger import own_folder

STORE_OF_OTHERS = Code(
    5019,
    "store-of-others",
    "The evidence store beside the spec was not made by your own runs: it came with the folder, from another machine or"
    " account, or its way leads through a link. Its results would be believed without computing them. Delete or move it, and"
    " they are computed; or name it with the environment variable PGX_STORE, if you believe whoever made it.",
)
MARK = "made-by.json"
_BYTES = 32
_LARGEST = 4096


def key_path() -> Path:
    """Where the person's key is, or would be."""
    return own_folder() / "store-key"


def require_own_store(root: Path) -> str | None:
    """Sign a store that is about to be made, and refuse one that somebody else has made.

    Args:
        root: a store that was found, not named.

    Returns:
        What a person should know: that there is no place for a key, so that nothing could be checked. None: all is well.

    Raises:
        AuthorError: the store is not this person's own.
        OSError: the store cannot be written.
    """
    for part in (root, root.parent):
        if part.is_symlink():
            raise _refused(root, f"{part} is a link")
    try:
        key = _own_key()
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        return f"whether the evidence store {root} is your own cannot be told: {key_path_in_words()} cannot be written"
    if not _holds_results(root):
        _sign(root, key)
    elif not _is_signed(root, key):
        raise _refused(root, "it does not bear your signature")
    return None


def key_path_in_words() -> str:
    """The place of the key, also where there is no home."""
    try:
        return str(key_path())
    except RuntimeError:
        return "a key in your home"


def _refused(root: Path, why: str) -> AuthorError:
    help_ = f"delete or move {root.parent}, and all is computed; or believe it: PGX_STORE={root}"
    message = f"the evidence store {root} was not made by your own runs: {why}"
    return AuthorError(Diagnostics([Diagnostic(STORE_OF_OTHERS, message, None, help_)]))


def _holds_results(root: Path) -> bool:
    return any((root / name).exists() for name in ("layout.json", "records", "objects", "ledger.jsonl"))


def _own_key() -> bytes:
    """The person's key, made at the first use. Raises OSError, and RuntimeError where there is no home."""
    path = key_path()
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write(temporary, secrets.token_bytes(_BYTES), 0o600)
    try:
        with contextlib.suppress(FileExistsError):  # another run was first, and its key is everybody's
            os.link(temporary, path)
    finally:
        temporary.unlink()
    return _read(path)


def _sign(root: Path, key: bytes) -> None:
    root.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(16)
    temporary = root / f".{MARK}.{secrets.token_hex(8)}"
    _write(temporary, json.dumps({"store": name, "signature": _signature(name, key)}).encode(), 0o644)
    temporary.replace(root / MARK)


def _is_signed(root: Path, key: bytes) -> bool:
    try:
        said = json.loads(_read(root / MARK))
        return hmac.compare_digest(str(said["signature"]), _signature(str(said["store"]), key))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _signature(name: str, key: bytes) -> str:
    return hmac.new(key, f"pgx evidence store {name}".encode(), hashlib.sha256).hexdigest()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LARGEST)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
