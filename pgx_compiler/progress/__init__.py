"""What people see of a run while it goes: one calm live view in a terminal, a line now and then elsewhere."""

import contextlib
import locale
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from pgx_compiler.execute.events import Event
from pgx_compiler.progress.lines import ASCII, UNICODE, Signs, cells, frame, stays, summary
from pgx_compiler.progress.standing import Said, Standing

FRAMES = 0.25
"""Seconds between two looks; nothing is written where nothing has changed."""
FORESEE_AFTER = 1.5
"""Seconds after which a run is long enough to ask the store how long such work took."""
FIRST_LINE, NEXT_LINE = 10.0, 30.0
"""Seconds until the first plain line, and from one to the next, where there is no terminal."""

_UP, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[{}A", "\x1b[K", "\x1b[J"
_TOGETHER, _SHOW = "\x1b[?2026h", "\x1b[?2026l"
"""Terminals that know it show all between the two at once; the others ignore it."""
_RED, _DIM, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Watching:
    """Listens to a run and shows it; what it cannot write, it leaves unwritten."""

    def __init__(self, stream: TextIO, signs: Signs, *, live: bool, color: bool = False) -> None:
        self._stream, self._signs, self._live, self._color = stream, signs, live, color
        self._standing = Standing()
        self._lock = threading.Lock()
        self._said: list[Said] = []
        self._shown: list[str] = []
        self._next_line = FIRST_LINE
        self._look: Callable[[], Mapping[str, float]] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._show_until_the_end, name="progress", daemon=True)
        self._broken = False

    def __call__(self, event: Event) -> None:
        """Take an event; it is shown at the next look."""
        with self._lock:
            self._said += self._standing.take(event, time.monotonic())

    def foresee(self, look: Callable[[], Mapping[str, float]]) -> None:
        """How to learn what nodes are expected to take, in seconds; asked once, where the run is long enough."""
        self._look = look

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def stop(self) -> None:
        """Show no more, and leave only what is done and what failed."""
        self._ending.set()
        self._thread.join(2)
        if self._live:
            self._paint(last=True)

    def _show_until_the_end(self) -> None:
        while not self._ending.wait(FRAMES):
            self._ask_the_store()
            if self._live:
                self._paint()
            else:
                self._plain_line()

    def _ask_the_store(self) -> None:
        began = self._standing.began
        if self._look is None or began is None or time.monotonic() - began < FORESEE_AFTER:
            return
        look, self._look = self._look, None
        with contextlib.suppress(Exception):  # a forecast that cannot be had is none
            found = look()
            with self._lock:
                self._standing.expected = found

    def _paint(self, *, last: bool = False) -> None:
        columns, rows = _size(self._stream)
        width = max(8, columns - 1)
        with self._lock:
            said, self._said = self._said, []
            running = self._standing.began is not None and not self._standing.over and not last
            lines = frame(self._standing, time.monotonic(), width, rows, self._signs) if running else []
        if lines == self._shown and not said:
            return
        above = [self._painted(one, stays(one, width, self._signs)) for one in said]
        # lines written when the terminal was wider may take several rows by now
        height = sum(max(1, -(-cells(line) // columns)) for line in self._shown)
        text = "\r" + (_UP.format(height - 1) if height > 1 else "")
        text += "".join(f"{line}{_CLEAR_LINE}\n" for line in above)
        text += f"{_CLEAR_LINE}\n".join(lines) + _CLEAR_BELOW
        self._shown = lines
        self._write(f"{_TOGETHER}{text}{_SHOW}")

    def _plain_line(self) -> None:
        now = time.monotonic()
        with self._lock:
            began = self._standing.began
            if began is None or self._standing.over or now - began < self._next_line:
                return
            self._next_line = now - began + NEXT_LINE
            names = [group.name for group in self._standing.groups]
            line = summary(self._standing, now, 10_000, self._signs).strip()
        at_work = ", ".join(self._signs.shown(name)[:60] for name in names[:4]) + (", ..." if len(names) > 4 else "")
        self._write(f"pgx: {line}{f' ({at_work})' if at_work else ''}\n")

    def _painted(self, said: Said, line: str) -> str:
        if not self._color:
            return line
        word = f"  {said.status}"
        paint = _RED if said.status == "failed" else _DIM
        return f"{paint}{word}{_PLAIN}{line.removeprefix(word)}"

    def _write(self, text: str) -> None:
        if self._broken:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True  # the terminal has gone: the run goes on without it


def _size(stream: TextIO) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24


def signs_of(environment: Mapping[str, str]) -> Signs:
    """What the terminal of these surroundings can show."""
    encoding = locale.nl_langinfo(locale.CODESET) if hasattr(locale, "nl_langinfo") else "utf-8"
    unicode = encoding.lower().replace("-", "") == "utf8" and environment.get("TERM") != "linux"
    return UNICODE if unicode else ASCII


@contextmanager
def watch(*, quiet: bool = False, stream: Any = None) -> Iterator[Watching]:
    """A listener for as long as a run takes: a live view where stderr is a terminal, else a line now and then.

    Args:
        quiet: show nothing.
        stream: where it is shown; None: standard error.
    """
    shown = sys.stderr if stream is None else stream
    terminal = shown is not None and shown.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    watching = Watching(shown, signs_of(os.environ), live=terminal, color=terminal and not os.environ.get("NO_COLOR"))
    if quiet or shown is None:
        yield watching
        return
    watching.start()
    try:
        yield watching
    finally:
        watching.stop()
