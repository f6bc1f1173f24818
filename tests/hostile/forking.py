"""Runs `pgx` in processes that are forked from one that has imported everything: a real run takes a tenth of a second.

python forking.py: each line of standard input is a request as JSON, each line of standard output its answer. `Forking` is the side
of the tests. A run is a process of its own, with its own exit status, standard error and end, and may be struck by a fault.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
DOCUMENTED = (0, 1, 2, 3, 4, 5, 130)
"""Every exit status but 70, which is our own failure."""


@dataclass(frozen=True)
class Ended:
    """What became of one run."""

    status: int
    """Exit status, or minus the number of the signal that it died of."""
    said: str
    struck: Sequence[Mapping[str, Any]]
    """Each fault that was struck, and where; of a fault that only counts, every call that it saw."""
    seconds: float

    @property
    def documented(self) -> bool:
        return self.status in DOCUMENTED and "Traceback" not in self.said and "our mistake" not in self.said


@dataclass
class Begun:
    """A run under way."""

    forking: "Forking"
    name: str
    pid: int
    started: float = field(default_factory=time.monotonic)

    def end(self) -> Ended:
        told = self.forking.ask({"do": "wait", "name": self.name})
        place = self.forking.notes
        struck = [json.loads(line) for line in _text(place / f"{self.name}.struck").splitlines()]
        return Ended(told["status"], _text(place / f"{self.name}.said"), struck, time.monotonic() - self.started)

    def answer(self) -> str:
        return _text(self.forking.notes / f"{self.name}.answer")


class Forking:
    """A process that has imported what a run needs, and forks one at every request."""

    def __init__(self, notes: Path, before: Sequence[str] = ()) -> None:
        notes.mkdir(parents=True, exist_ok=True)
        self.notes = notes
        self._number = 0
        paths = os.pathsep.join([str(TESTS.parent), str(TESTS), str(HERE)])
        own = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(notes), "TMPDIR": str(notes)}
        self._server = subprocess.Popen(
            [*before, sys.executable, str(HERE / "forking.py"), str(notes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **own},
        )  # fmt: skip

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def warm(self, arguments: Sequence[Any]) -> Ended:
        """Run once, and import from now on beforehand whatever that run had imported."""
        ended = self.begin(arguments, tell_modules=True).end()
        self.ask({"do": "import"})
        return ended

    def begin(self, arguments: Sequence[Any], **more: Any) -> Begun:
        self._number += 1
        name = f"{self._number}"
        said = {"do": "run", "name": name, "arguments": [str(one) for one in arguments], **more}
        return Begun(self, name, self.ask(said)["pid"])

    def run(self, arguments: Sequence[Any], **more: Any) -> Ended:
        return self.begin(arguments, **more).end()

    def mount(self, place: Path, options: str) -> None:
        """A file system of its own at a folder; only where the process was begun in a name space of its own."""
        self.ask({"do": "mount", "place": str(place), "options": options})

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""


# --- the side of the process


def _serve(notes: Path) -> None:
    children: dict[str, int] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        if asked["do"] == "run":
            answer["pid"] = children[asked["name"]] = os.fork() or _child(asked, notes)
        elif asked["do"] == "wait":
            answer["status"] = os.waitstatus_to_exitcode(os.waitpid(children.pop(asked["name"]), 0)[1])
        elif asked["do"] == "mount":
            command = ["mount", "-t", "tmpfs", "-o", asked["options"], "tmpfs", asked["place"]]
            subprocess.run(command, check=True, capture_output=True)
        elif asked["do"] == "import":
            for name in asked.get("modules") or json.loads((notes / "modules.json").read_bytes()):
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
            gc.freeze()  # else the first collection of every child copies all that was imported
        print(json.dumps(answer), flush=True)


def _child(asked: Mapping[str, Any], notes: Path) -> Any:
    status: Any = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _redirect(notes, asked["name"])
        if "cwd" in asked:
            os.chdir(asked["cwd"])
        for name, value in asked.get("environment", {}).items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if "TZ" in asked.get("environment", {}):
            time.tzset()
        if "umask" in asked:
            os.umask(asked["umask"])
        for name, value in asked.get("limits", {}).items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if "fault" in asked:
            importlib.import_module("striking").strike(asked["fault"], notes / f"{asked['name']}.struck")
        for change in asked.get("changes", ()):
            getattr(importlib.import_module("striking"), change)()
        if "function" in asked:
            module, _, name = asked["function"].partition(":")
            status = getattr(importlib.import_module(module), name)(*asked["given"])
        else:
            status = _main(asked["arguments"])
        if asked.get("tell_modules"):
            (notes / "modules.json").write_text(json.dumps(sorted(sys.modules)))
    except BaseException:  # noqa: BLE001  (whatever it is, it must be seen, and must not go on as a second server)
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 70)


def _main(arguments: Sequence[str]) -> Any:
    from pgx_compiler.cli import main

    try:
        return main(arguments)
    except SystemExit as error:
        return error.code


def _redirect(notes: Path, name: str) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, kind in ((1, "answer"), (2, "said")):
        opened = os.open(notes / f"{name}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    sys.modules.setdefault("tests", types.ModuleType("tests")).__path__ = [str(TESTS)]
    _serve(Path(sys.argv[1]))
