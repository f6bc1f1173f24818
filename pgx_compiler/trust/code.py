"""The code of an installed module by its digest, found without importing it."""

import hashlib
import importlib.util
from pathlib import Path

_SUFFIXES = (".py", ".so", ".pyd")
_MOST_FILES = 20_000


class NoModuleError(ValueError):
    """A name that stands for no installed module whose files can be hashed."""


def code_digest(module: str) -> str:
    """SHA-256 over the names and contents of all files of code of a module or package.

    Args:
        module: its top-level name: to find what lies below one, Python would have to run it.

    Raises:
        NoModuleError: there is no such module.
    """
    if not module.isidentifier():
        raise NoModuleError(f"`{module[:80]}` is no top-level module: write `package`, not `package.part`")
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None or (not found.origin and not found.submodule_search_locations):
        raise NoModuleError(f"there is no installed module `{module}`")
    files: list[tuple[str, Path]] = []
    if found.submodule_search_locations:
        for place in map(Path, found.submodule_search_locations):
            files += [(path.relative_to(place).as_posix(), path) for path in place.rglob("*") if _is_code(path)]
    elif found.origin and Path(found.origin).is_file():
        files = [(Path(found.origin).name, Path(found.origin))]
    if not files or len(files) > _MOST_FILES:
        raise NoModuleError(f"`{module}` has no files of code that can be hashed")
    whole = hashlib.sha256()
    for name, path in sorted(files):
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _is_code(path: Path) -> bool:
    return path.suffix in _SUFFIXES and path.is_file()
