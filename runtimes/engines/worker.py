"""The program of a worker process: jobs come in as JSON lines, progress and results go out as JSON lines."""

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from runtimes.engines.contract import Place, resolve

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; Ctrl-C reaches it alone
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # libraries print; what the parent reads must be ours alone
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            function = resolve(job["function"])
            place = Place(Path(job["reads"]), Path(job["writes"]))
            done = function(job["payload"], place, lambda done, total: _say(answers, {"progress": [done, total]}))
            _say(answers, {"done": done})
        except Exception as error:  # noqa: BLE001  (the parent must hear of every failure)
            traceback.print_exc()
            _say(
                answers,
                {"failed": type(error).__name__, "message": str(error), "details": traceback.format_exc()},
            )


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
