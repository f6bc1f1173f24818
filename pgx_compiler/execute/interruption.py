"""Signals that end a run: the first ends it in order, the second at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = 130
"""Exit status of whatever was interrupted, by whichever signal."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(KeyboardInterrupt):
    """Somebody asked the run to end; says by which signal."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` at the first signal, end at the second; workers end with this process, however it ends.

    A signal that was ignored before (``nohup``) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # a notebook's own affair
        return
    asked = 0

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal asked
        asked += 1
        if asked > 1:
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # a live display may have hidden the cursor
            os._exit(STATUS)
        raise Interrupted(signal.Signals(number).name)

    before = {}
    for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
