"""Draws a format in a process of its own, within limits: a typesetter that hangs or dies costs its own file alone.

The parent never imports the typesetter. The child gets the factsheet as JSON on its standard input and a clean environment,
and leaves the file in a folder that is read once it has ended well.
"""

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats.json_file import text

SECONDS = 300.0
"""Wall clock that one file may take; 10,000 features and 5,000 findings take a tenth of it."""
BYTES = 4 << 30
"""Address space of the child, in bytes; Pango and the fonts alone map a few hundred million."""
LARGEST = 512 << 20
"""Bytes of the file."""
ABSENT = 66
"""Exit status of a child that lacks a library."""

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "LC_", "XDG_", "FONTCONFIG_")
"""Beginnings of the environment variables that the child is given."""
_PR_SET_PDEATHSIG = 1


class NotDrawn(Exception):  # noqa: N818
    """The child hung, died or hit a limit; the message says which."""


class LibraryAbsent(Exception):  # noqa: N818
    """The child lacks a library of the system; the message is the loader's."""


def draw(factsheet: Factsheet, module: str, suffix: str) -> bytes:
    """The bytes of a factsheet in a format.

    Args:
        factsheet: what to draw.
        module: name of the format's module.
        suffix: of the file, such as ``.pdf``.

    Raises:
        LibraryAbsent: the format needs a library that this host does not have.
        NotDrawn: it hung, died or hit a limit.
    """
    with tempfile.TemporaryDirectory(prefix="pgx-draw-") as folder:
        place = Path(folder)
        target, said = place / f"factsheet{suffix}", place / "said.txt"
        (place / "factsheet.json").write_bytes(text(factsheet).encode("utf-8"))
        status = _run_child([module, str(target), str(BYTES)], place / "factsheet.json", said)
        last = (said.read_bytes()[-2000:].decode("utf-8", "replace").strip().splitlines() or [""])[-1]
        if status == ABSENT:
            raise LibraryAbsent(last)
        if status is None:
            raise NotDrawn(f"drawing it took longer than {SECONDS:g} seconds and was stopped")
        if status < 0:
            raise NotDrawn(f"the process that drew it died of {signal.Signals(-status).name}")
        if status or not target.is_file():
            raise NotDrawn(last or f"the process that drew it ended with status {status}")
        return target.read_bytes()


def _run_child(arguments: list[str], given: Path, said: Path) -> int | None:
    """Exit status of the child, negative for a signal; None where it was stopped at its time."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    with given.open("rb") as reading, said.open("wb") as saying:
        child = subprocess.Popen(  # noqa: S603  (this interpreter, on our own module)
            [sys.executable, "-m", "pgx_compiler.report.apart", *arguments],
            stdin=reading, stdout=subprocess.DEVNULL, stderr=saying, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            return child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _confine(size: int) -> None:
    """Limits of this process; it dies with the one that started it."""
    with contextlib.suppress(OSError, AttributeError):  # another system than Linux: the wall clock remains
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for what, limit in ((resource.RLIMIT_AS, size), (resource.RLIMIT_FSIZE, LARGEST), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        within = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (within, within))


def main(module: str, target: str, size: str) -> int:
    """What the child does; returns its exit status. The last line that it prints says what went wrong."""
    _confine(int(size))
    try:
        factsheet = Factsheet.model_validate_json(sys.stdin.buffer.read())
        importlib.import_module(module).write(factsheet, Path(target))
    except MemoryError:
        sys.stderr.write(f"drawing it needs more than {int(size) >> 20:,} MiB of memory\n")
        return 1
    except (ImportError, OSError) as error:
        sys.stderr.write(f"\n{' '.join(str(error).split())}\n")
        return ABSENT if isinstance(error, ImportError) or error.errno is None else 1
    except Exception as error:  # noqa: BLE001  (a sentence for the parent, whatever the typesetter raised)
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())[:500]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
