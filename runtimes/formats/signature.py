"""What a file is by its first bytes, so that a refusal can say what was found instead of a model."""

import functools
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from runtimes.target import ModelFileError

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG", "a PNG image"),
    (b"%PDF", "a PDF document"),
)


T = TypeVar("T")
P = ParamSpec("P")

_DISORDER = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def refusing_disorder(
    expected: str,
) -> Callable[[Callable[Concatenate[Path, P], T]], Callable[Concatenate[Path, P], T]]:
    """Make a reader of a model file refuse one whose parts do not fit together, whatever part it stumbles over.

    A file names its own keys, types, sizes and positions. A reader that walks them has checked those that it knows to go
    wrong; of all others, what Python says of the first that does not fit is a fact about the file, not about the program.

    Args:
        expected: what the file should hold, for the message: ``an ONNX model``.
    """

    def of_reader(read: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
        @functools.wraps(read)
        def guarded(path: Path, /, *rest: P.args, **named: P.kwargs) -> T:
            try:
                return read(path, *rest, **named)
            except _DISORDER as error:
                found = f"{type(error).__name__}: {str(error)[:200]}".replace("\n", " ")
                raise ModelFileError(
                    f"`{path.name}` is not laid out as {expected} is ({found})", "export or download the model again"
                ) from error

        return guarded

    return of_reader


def describe_content(head: bytes) -> str:
    """Name what a file's first bytes say it is; empty where they say nothing known."""
    start = head.lstrip()[:64].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page (HTML or XML)"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return ""


def require_model_file(path: Path, expected: str, limit_bytes: int) -> bytes:
    """Check that a path is a plain, non-empty file of a bearable size, and return its first 512 bytes.

    Args:
        path: the file.
        expected: what it should hold, for the message: ``an ONNX model``.
        limit_bytes: the largest size that is opened.

    Raises:
        ModelFileError: missing, a directory, a device, empty, too large, or unreadable.
    """
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        raise ModelFileError(f"`{path.name}` does not exist", "check the path; it is relative to the spec") from None
    except OSError as error:
        raise ModelFileError(f"`{path.name}` cannot be read: {error.strerror}", "check its permissions") from error
    if stat.S_ISDIR(facts.st_mode):
        raise ModelFileError(f"`{path.name}` is a directory, not {expected}", "name the model file inside it")
    if not stat.S_ISREG(facts.st_mode):
        raise ModelFileError(f"`{path.name}` is not a regular file", "copy the model into a regular file")
    if facts.st_size == 0:
        raise ModelFileError(f"`{path.name}` is empty (0 bytes)", "export or download the model again")
    if facts.st_size > limit_bytes:
        raise ModelFileError(
            f"`{path.name}` has {facts.st_size:,} bytes, above the limit of {limit_bytes:,}", "use a smaller model"
        )
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise ModelFileError(f"`{path.name}` cannot be read: {error.strerror}", "check its permissions") from error


def refuse_content(path: Path, expected: str, head: bytes) -> None:
    """Refuse a file whose first bytes say that it is something else.

    Raises:
        ModelFileError: the content is of another known kind.
    """
    found = describe_content(head)
    if found:
        pointer = "git-lfs" in found
        raise ModelFileError(
            f"`{path.name}` is {found}, not {expected}",
            "run `git lfs pull`" if pointer else "check that the download or export finished, and the file's suffix",
        )
