"""What a worker process does: jobs come in as JSON lines, progress and results go out as JSON lines."""

import contextlib
import importlib
import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runtimes.engines import sandbox
from runtimes.engines.contract import Place, resolve

_LONGEST_SAID = 20_000
"""Characters of a failure: some libraries print the whole array that they do not like."""


def live(line: int, folder: Path, module: str, memory: int | None, *, locked: bool) -> None:
    """Be a worker until the engine hangs up.

    Args:
        line: descriptor of the socket to the engine.
        folder: its own part of the boxes: ``view`` is read, ``boxes`` and ``home`` are changed, nothing else is its concern.
        module: where its first job's function is; our own code, and found before the sandbox is closed.
        memory: bytes that it may come to hold.
        locked: whether the sandbox is set up.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine decides; Ctrl-C reaches it alone
    with contextlib.suppress(Exception):  # the job will meet it again, and say it
        importlib.import_module(module)
    home = folder / "home"
    sandbox.settle(home)
    changes = (home, folder / "boxes")
    confined = sandbox.confine((folder / "view",), changes, memory) if locked else sandbox.Confined()
    _say(line, {"ready": confined.on, "lacks": confined.lacks})
    for asked in _lines(line):
        os.chdir(asked["writes"])
        number = asked["job"]
        told = _answered(asked, lambda done, total: _say(line, {"progress": [done, total], "job": number}))  # noqa: B023
        _say(line, {**told, "job": number})
        os.chdir(home)


def _answered(asked: Mapping[str, Any], progress: Callable[[int, int], None]) -> dict[str, Any]:
    try:
        function = resolve(asked["function"])
        return {"done": function(asked["payload"], Place(Path(asked["reads"]), Path(asked["writes"])), progress)}
    except Exception as error:  # noqa: BLE001  (the engine must hear of every failure)
        traceback.print_exc()
        said, details = str(error)[:_LONGEST_SAID], traceback.format_exc()[-_LONGEST_SAID:]
        return {"failed": type(error).__name__[:100], "message": said, "details": details}


def _lines(line: int) -> Iterator[Mapping[str, Any]]:
    with os.fdopen(line, "rb", closefd=False) as asked:
        for one in asked:
            yield json.loads(one)


def _say(line: int, message: Mapping[str, Any]) -> None:
    left = memoryview((json.dumps(message) + "\n").encode("ascii"))
    while left:
        left = left[os.write(line, left) :]
