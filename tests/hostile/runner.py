"""Runs `pgx` on hostile audits, one after the other in one process, and tells what it saw: a line of JSON for each.

python runner.py FILE: each line of the file is ``{"name", "folder", "options"}``; answers go to standard output. What the
program opens is watched by an audit hook, which nothing can take away; its memory is that of the whole process.
"""

import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HEAVY = ("tensorflow", "keras", "onnxruntime", "h5py", "PIL", "shap", "weasyprint", "hyperopt")


class Watch:
    """Notes every opening of the canary, whatever it is called, and every opening for writing."""

    def __init__(self) -> None:
        self.canary = -1
        self.read: list[str] = []
        self.called: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            with contextlib.suppress(OSError, ValueError):
                if os.stat(arguments[0]).st_ino == self.canary:
                    self.read.append(os.fsdecode(arguments[0]))
        elif event in (
            "socket.connect",
            "socket.getaddrinfo",
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.posix_spawn",
        ):
            self.called.append(event)


def entries(*folders: Path) -> dict[str, tuple[int, int]]:
    """Everything below some folders, with its size and time of change."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            facts = path.lstat()
            found[str(path)] = (facts.st_size, facts.st_mtime_ns)
    return found


def peak_megabytes() -> float:
    """Of this program alone: the peak that ``getrusage`` tells begins with that of whoever started it."""
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def main() -> None:
    from pgx_compiler.cli import main as pgx

    watch = Watch()
    sys.addaudithook(watch)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    private = [Path(os.environ[name]) for name in ("HOME", "TMPDIR")]
    for line in Path(sys.argv[1]).read_text("utf-8").splitlines():
        case = json.loads(line)
        folder = Path(case["folder"])
        answers.write(json.dumps({"begun": case["name"]}) + "\n")
        answers.flush()
        watch.canary = (folder.parent / "canary.txt").stat().st_ino
        watch.read, watch.called = [], []
        before = entries(folder.parent, *private)
        told = io.StringIO()
        started = time.perf_counter()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            try:
                status: Any = pgx([*case["options"], str(folder / "audit.yaml")])
            except SystemExit as error:
                status = error.code
        said = {
            "name": case["name"],
            "status": status,
            "said": told.getvalue(),
            "seconds": time.perf_counter() - started,
            "canary": watch.read,
            "called": watch.called,
            "changed": sorted({path for path, _ in entries(folder.parent, *private).items() ^ before.items()}),
            "megabytes": peak_megabytes(),
            "heavy": [name for name in HEAVY if name in sys.modules],
        }
        answers.write(json.dumps(said) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
